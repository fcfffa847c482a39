//! How costs grow: curves over entries, readers, names, processes and bytes, each with the order that it should have.

mod crowd;
mod draw;
mod entries;
mod names;
mod pools;
mod processes;
mod readers;

use crate::{Result, machine};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// How a cost grows with what is on the x axis, by the exponent that fits best on logarithmic scales.
#[derive(Debug, Clone, Copy)]
pub enum Order {
    /// Exponents from one to the other.
    Between(f64, f64),
    /// As another series of the same curve, give or take so much.
    Like(&'static str, f64),
    /// A peer: shown.
    Any,
}

/// One line of a curve.
pub struct Series {
    pub name: &'static str,
    pub order: Order,
    /// Points with a smaller x are not fitted: there something else than the order shows.
    pub fit_from: f64,
    pub points: Vec<(f64, f64)>,
}

impl Series {
    pub fn new(name: &'static str, order: Order) -> Series {
        Series { name, order, fit_from: 0.0, points: Vec::new() }
    }

    pub fn fit_from(self, x: f64) -> Series {
        Series { fit_from: x, ..self }
    }

    /// The slope of the straight line that is nearest to the points, by least squares of the logarithms.
    fn exponent(&self) -> Option<f64> {
        let logs: Vec<(f64, f64)> =
            self.points.iter().filter(|(x, _)| *x >= self.fit_from).map(|(x, y)| (x.ln(), y.ln())).collect();
        let n = logs.len() as f64;
        let (sum_x, sum_y) = logs.iter().fold((0.0, 0.0), |(a, b), (x, y)| (a + x, b + y));
        let (mean_x, mean_y) = (sum_x / n, sum_y / n);
        let above: f64 = logs.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum();
        let below: f64 = logs.iter().map(|(x, _)| (x - mean_x).powi(2)).sum();
        (logs.len() >= 2 && below > 0.0).then(|| above / below)
    }
}

/// A picture: several lines over the same x.
pub struct Curve {
    pub file: &'static str,
    pub title: &'static str,
    pub x: &'static str,
    pub y: &'static str,
    /// The expected order, in words, and why.
    pub expected: &'static str,
    pub series: Vec<Series>,
}

impl Curve {
    /// Whether a series has the order that it should have; `None` for a peer.
    fn holds(&self, series: &Series) -> Option<bool> {
        let found = series.exponent();
        let within = |least: f64, most: f64| found.is_some_and(|e| e >= least && e <= most);
        match series.order {
            Order::Any => None,
            Order::Between(least, most) => Some(within(least, most)),
            Order::Like(other, by) => {
                let other = self.series.iter().find(|s| s.name == other).and_then(Series::exponent);
                Some(other.is_some_and(|other| within(other - by, other + by)))
            }
        }
    }

    fn print(&self) {
        println!("\n{} ({} over {})\n  expected: {}", self.title, self.y, self.x, self.expected);
        for series in &self.series {
            let points =
                series.points.iter().map(|(x, y)| format!("{x}: {y:.1}")).collect::<Vec<_>>().join("  ");
            let exponent = series.exponent().map_or("?".into(), |e| format!("{e:.2}"));
            let order = match series.order {
                Order::Any => "shown".into(),
                Order::Between(least, most) => format!("{least} to {most}"),
                Order::Like(other, by) => format!("that of {other} +- {by}"),
            };
            let word =
                self.holds(series).map_or("", |holds| if holds { ": holds" } else { ": DOES NOT HOLD" });
            println!("  {:<24} exponent {exponent} (expected {order}){word}\n    {points}", series.name);
        }
    }

    fn json(&self) -> Value {
        let series: Vec<Value> = self
            .series
            .iter()
            .map(|s| json!({ "name": s.name, "exponent": s.exponent(), "holds": self.holds(s), "points": s.points }))
            .collect();
        json!({ "title": self.title, "x": self.x, "y": self.y, "expected": self.expected, "series": series })
    }
}

/// How far to go.
#[derive(Debug, Clone, Copy)]
pub struct Extent {
    pub entries: u64,
    pub readers: usize,
    pub names: u64,
    pub processes: usize,
    pub bytes: u64,
}

const FULL: Extent =
    Extent { entries: 50_000_000, readers: 64, names: 10_000, processes: 1000, bytes: 12 << 30 };
const QUICK: Extent = Extent { entries: 1_000_000, readers: 16, names: 1000, processes: 64, bytes: 1 << 30 };

/// A peer is drawn as far as it gets in this time.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Curves that are measured together.
type Part = fn(Extent) -> Result<Vec<Curve>>;

/// Measures the curves whose title contains `only`; writes numbers and pictures if `write`.
pub fn run(quick: bool, only: &str) -> Result<()> {
    let (start, extent) = (Instant::now(), if quick { QUICK } else { FULL });
    println!("{}", machine::describe());
    // Processes first: while this one is small, it is forked fast.
    let parts: [(&str, Part); 5] = [
        ("processes", processes::curves),
        ("readers", readers::curves),
        ("names", names::curves),
        ("pools", pools::curves),
        ("entries", entries::curves),
    ];
    let mut curves = Vec::new();
    for (_, part) in parts.iter().filter(|(name, _)| name.contains(only)) {
        let part = part(extent)?;
        part.iter().for_each(Curve::print);
        curves.extend(part);
    }
    let failed = curves.iter().flat_map(|c| c.series.iter().filter(|s| c.holds(s) == Some(false))).count();
    println!(
        "\ncurves {}, not of the expected order {failed}; {:.0} s",
        curves.len(),
        start.elapsed().as_secs_f64()
    );
    if !quick && only.is_empty() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/bench");
        fs::create_dir_all(&folder)?;
        let all = json!({ "machine": machine::describe(), "curves": curves.iter().map(Curve::json).collect::<Vec<_>>() });
        fs::write(folder.join("curves.json"), serde_json::to_string_pretty(&all)? + "\n")?;
        curves.iter().try_for_each(|curve| draw::draw(curve, &folder))?;
    }
    if failed > 0 { Err("a curve is not of the order that it should have".into()) } else { Ok(()) }
}

/// 1, 10, 100, ...: up to `most`, which is the last.
pub fn decades(least: u64, most: u64) -> Vec<u64> {
    let mut steps: Vec<u64> =
        std::iter::successors(Some(least), |x| x.checked_mul(10)).take_while(|x| *x < most).collect();
    steps.push(most);
    steps
}

/// Doubled again and again: up to `most`, which is the last.
pub fn doublings(least: u64, most: u64) -> Vec<u64> {
    let mut steps: Vec<u64> =
        std::iter::successors(Some(least), |x| x.checked_mul(2)).take_while(|x| *x < most).collect();
    steps.push(most);
    steps
}
