//! Several whole runs of all rows, and their medians.

use crate::measure::{Numbers, Outcome, Spread, Verdict, judge, median};

/// What one row has in several runs.
///
/// The medians of ours, theirs and limit, and of the runs' medians of paired ratios; the verdict is that of these. Of ratios the least and the most of
/// all runs. A run without numbers (a peer that is missing, a failure) stands for all.
pub fn medians(runs: Vec<Outcome>) -> Option<Outcome> {
    let mut runs = runs;
    if let Some(i) = runs.iter().position(|o| o.numbers.is_none()) {
        return Some(runs.swap_remove(i));
    }
    let numbers = combined(&runs)?;
    let first = runs.into_iter().next()?;
    let verdict = match first.verdict {
        Verdict::Shown => Verdict::Shown,
        _ => judge(first.target, &numbers),
    };
    Some(Outcome { verdict, numbers: Some(numbers), ..first })
}

fn combined(runs: &[Outcome]) -> Option<Numbers> {
    let all: Vec<&Numbers> = runs.iter().filter_map(|o| o.numbers.as_ref()).collect();
    let of = |part: fn(&Numbers) -> f64| median(&all.iter().map(|n| part(n)).collect::<Vec<_>>());
    let of_some = |part: fn(&Numbers) -> Option<f64>| {
        let parts: Vec<f64> = all.iter().filter_map(|n| part(n)).collect();
        (!parts.is_empty()).then(|| median(&parts))
    };
    all.first()?;
    Some(Numbers {
        ours: of(|n| n.ours),
        theirs: of(|n| n.theirs),
        limit: of_some(|n| n.limit),
        ratio: Spread {
            median: of(|n| n.ratio.median),
            least: all.iter().map(|n| n.ratio.least).fold(f64::INFINITY, f64::min),
            most: all.iter().map(|n| n.ratio.most).fold(0.0, f64::max),
        },
        limit_ratio: of_some(|n| n.limit_ratio),
        repetitions: all.iter().map(|n| n.repetitions).sum(),
        unmet: all.iter().find_map(|n| n.unmet.clone()),
        runs: all.iter().map(|n| n.ratio.median).collect(),
    })
}
