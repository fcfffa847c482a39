//! The table as it grows, the summary, and the files.

use crate::Result;
use crate::measure::{Effort, Outcome, Verdict};
use crate::row::{Target, Unit};
use crate::{plot, runs, table};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// All rows so far, of each run.
pub struct Report {
    runs: Vec<Vec<Outcome>>,
    machine: String,
    effort: Effort,
    started: Instant,
}

impl Report {
    pub fn begin(effort: Effort, machine: String) -> Report {
        println!("{machine}");
        Report { runs: Vec::new(), machine, effort, started: Instant::now() }
    }

    /// A further run of all rows begins.
    pub fn begin_run(&mut self) {
        println!("\n{}", heading());
        self.runs.push(Vec::new());
    }

    pub fn add(&mut self, outcome: Outcome) {
        println!("{}", line(&outcome));
        self.runs.last_mut().expect("a run has begun").push(outcome);
    }

    /// Prints the summary. Runs of all rows are written down, too.
    pub fn end(mut self, whole: bool) -> Result<()> {
        let runs = self.runs.len();
        let outcomes = match runs {
            1 => self.runs.swap_remove(0),
            _ => self.medians(),
        };
        let count = |of: fn(&Verdict) -> bool| outcomes.iter().filter(|o| of(&o.verdict)).count();
        let shown = count(|v| *v == Verdict::Shown);
        let failed = count(|v| matches!(v, Verdict::Failed(_)));
        println!(
            "\nrows {}, ok {}, short {}, missing {}, failed {failed}, and {shown} shown without a target; {:.0} s",
            outcomes.len() - shown,
            count(|v| matches!(v, Verdict::Ok | Verdict::OkAtLimit)),
            count(|v| *v == Verdict::Short),
            count(|v| matches!(v, Verdict::Missing(_))),
            self.started.elapsed().as_secs_f64(),
        );
        if whole {
            let root = Path::new(env!("CARGO_MANIFEST_DIR"));
            let pictures = root.join("../docs/bench");
            fs::write(
                root.join("results.json"),
                serde_json::to_string_pretty(&self.json(&outcomes, runs))? + "\n",
            )?;
            plot::draw(&outcomes, &pictures)?;
            fs::write(
                pictures.join("rows.md"),
                table::markdown(&outcomes, &self.machine, &self.command(runs)),
            )?;
        }
        if failed > 0 { Err(format!("{failed} rows could not be run").into()) } else { Ok(()) }
    }

    /// The medians of all runs, row by row, which it prints.
    fn medians(&mut self) -> Vec<Outcome> {
        println!("\nmedians of {} runs\n{}", self.runs.len(), heading());
        let mut rows: Vec<Vec<Outcome>> = Vec::new();
        for run in self.runs.drain(..) {
            rows.resize_with(run.len(), Vec::new);
            rows.iter_mut().zip(run).for_each(|(row, outcome)| row.push(outcome));
        }
        let outcomes: Vec<Outcome> = rows.into_iter().filter_map(runs::medians).collect();
        outcomes.iter().for_each(|o| println!("{}", line(o)));
        outcomes
    }

    /// What makes these numbers.
    fn command(&self, runs: usize) -> String {
        let quick = if self.effort.budget == Effort::QUICK.budget { " --quick" } else { "" };
        format!("cargo run --release --manifest-path bench/Cargo.toml --{quick} --runs {runs}")
    }

    fn json(&self, outcomes: &[Outcome], runs: usize) -> Value {
        json!({
            "machine": self.machine,
            "command": self.command(runs),
            "runs": runs,
            "seconds since 1970": SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |t| t.as_secs()),
            "seconds for a row": self.effort.budget.as_secs_f64(),
            "rows": outcomes.iter().map(row).collect::<Vec<_>>(),
        })
    }
}

fn row(o: &Outcome) -> Value {
    let (word, why) = verdict(&o.verdict);
    let mut row = json!({
        "group": o.group,
        "row": o.name,
        "beside": o.beside,
        "target": o.target.to_string(),
        "unit": o.unit.name(),
        "verdict": word,
        "note": o.note,
    });
    if !why.is_empty() {
        row["why"] = json!(why);
    }
    if let Some(n) = &o.numbers {
        row["ours"] = json!(n.ours);
        row["theirs"] = json!(n.theirs);
        row["limit"] = json!(n.limit);
        row["ratio"] = json!({ "median": n.ratio.median, "least": n.ratio.least, "most": n.ratio.most });
        row["limit ratio"] = json!(n.limit_ratio);
        row["repetitions"] = json!(n.repetitions);
        row["ratio of each run"] = json!(n.runs);
        row["unmet"] = json!(n.unmet);
    }
    row
}

fn heading() -> String {
    format!(
        "{:<46} {:<28} {:>9} {:>9} {:>9}  {:<24} {:>8}  verdict",
        "row", "beside", "ours", "theirs", "limit", "ratio (least..most)", "target"
    )
}

fn line(o: &Outcome) -> String {
    let (word, why) = verdict(&o.verdict);
    let name = format!("{} {}", o.group, o.name);
    let mut line = match &o.numbers {
        Some(n) => {
            let spread =
                format!("{} ({}..{})", ratio(n.ratio.median), ratio(n.ratio.least), ratio(n.ratio.most));
            format!(
                "{name:<46} {:<28} {:>9} {:>9} {:>9}  {spread:<24} {:>8}  {word}",
                o.beside,
                value(n.ours, o.unit),
                value(n.theirs, o.unit),
                n.limit.map_or(String::new(), |limit| value(limit, o.unit)),
                o.target,
            )
        }
        None => format!("{name:<46} {:<28} {:>54} {:>8}  {word}: {why}", o.beside, "", o.target),
    };
    if let Some(unmet) =
        o.numbers.as_ref().and_then(|n| n.unmet.as_ref()).filter(|_| o.target != Target::Shown)
    {
        line += &format!(": {unmet}");
    }
    line
}

pub fn verdict(verdict: &Verdict) -> (&'static str, &str) {
    match verdict {
        Verdict::Ok => ("ok", ""),
        Verdict::OkAtLimit => ("ok (at the machine's limit)", ""),
        Verdict::Short => ("short", ""),
        Verdict::Shown => ("shown", ""),
        Verdict::Missing(why) => ("missing", why),
        Verdict::Failed(why) => ("failed", why),
    }
}

pub fn ratio(ratio: f64) -> String {
    if ratio < 0.1 { format!("{ratio:.4}") } else { format!("{ratio:.2}") }
}

/// Three digits that count, in a unit that suits.
pub fn value(value: f64, unit: Unit) -> String {
    match unit {
        Unit::Bytes => format!("{value:.3}"),
        Unit::Mops => format!("{value:.1} M/s"),
        Unit::Ns if value < 100.0 => format!("{value:.1} ns"),
        Unit::Ns if value < 10_000.0 => format!("{value:.0} ns"),
        Unit::Ns if value < 1e7 => format!("{:.1} us", value / 1e3),
        Unit::Ns => format!("{:.1} ms", value / 1e6),
    }
}
