//! The table as Markdown, for documents.

use crate::measure::Outcome;
use crate::report::{ratio, value, verdict};
use std::fmt::Write;
use std::time::{SystemTime, UNIX_EPOCH};

/// All rows, with machine, day and command.
pub fn markdown(outcomes: &[Outcome], machine: &str, command: &str) -> String {
    let mut text = format!("{}, {machine}\n\n```sh\n{command}\n```\n\n", today());
    text += "| row | beside | ours | theirs | limit | ours / theirs | target | |\n|---|---|---|---|---|---|---|---|\n";
    for o in outcomes {
        let (ours, theirs, limit, quotient) = match &o.numbers {
            None => Default::default(),
            Some(n) => (
                value(n.ours, o.unit),
                value(n.theirs, o.unit),
                n.limit.map_or(String::new(), |limit| value(limit, o.unit)),
                ratio(n.ratio.median),
            ),
        };
        // Writing to a `String` does not fail.
        let _ = writeln!(
            text,
            "| {} {} | {} | {ours} | {theirs} | {limit} | {quotient} | {} | {} |",
            o.group,
            o.name,
            o.beside,
            o.target,
            verdict(&o.verdict).0
        );
    }
    text
}

/// The day, as year-month-day (the algorithm is Howard Hinnant's `civil_from_days`).
fn today() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |t| t.as_secs());
    let days = seconds / 86_400 + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    format!("{:04}-{month:02}-{day:02}", era * 400 + year + u64::from(month <= 2))
}
