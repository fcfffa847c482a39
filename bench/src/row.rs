//! What a row is: two sides that do the same work, and what their ratio should be.

use crate::Result;
use std::fmt;

/// One repetition of a side's work; returns its cost per operation, in the row's unit.
pub type Side = Box<dyn FnMut() -> Result<f64>>;

/// One line of the table.
pub struct Row {
    pub group: &'static str,
    pub name: String,
    pub beside: &'static str,
    pub target: Target,
    pub unit: Unit,
    /// Where one side does less or more than the other, or what the limit is.
    pub note: &'static str,
    pub prepare: Box<dyn FnOnce() -> Result<Trial>>,
}

impl Row {
    pub fn new(
        group: &'static str,
        name: impl Into<String>,
        beside: &'static str,
        target: Target,
        prepare: impl FnOnce() -> Result<Trial> + 'static,
    ) -> Row {
        Row { group, name: name.into(), beside, target, unit: Unit::Ns, note: "", prepare: Box::new(prepare) }
    }

    pub fn unit(self, unit: Unit) -> Row {
        Row { unit, ..self }
    }

    pub fn note(self, note: &'static str) -> Row {
        Row { note, ..self }
    }

    /// Group and name, which `--only` is looked for in.
    pub fn title(&self) -> String {
        format!("{} {} | {}", self.group, self.name, self.beside)
    }
}

/// What ours / theirs should be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Target {
    AtMost(f64),
    AtLeast(f64),
    /// No target: the peer is shown.
    Shown,
}

impl Target {
    pub fn holds(self, ratio: f64) -> bool {
        match self {
            Target::AtMost(most) => ratio <= most,
            Target::AtLeast(least) => ratio >= least,
            Target::Shown => true,
        }
    }

    /// Whether ours is within 1.15 of a limit that itself misses the target; both as ratios to theirs.
    pub fn held_by_limit(self, ratio: f64, limit: f64) -> bool {
        const WITHIN: f64 = 1.15;
        !self.holds(limit)
            && match self {
                Target::AtMost(_) => ratio <= limit * WITHIN,
                Target::AtLeast(_) => ratio >= limit / WITHIN,
                Target::Shown => true,
            }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::AtMost(most) => f.pad(&format!("<= {most}")),
            Target::AtLeast(least) => f.pad(&format!(">= {least}")),
            Target::Shown => f.pad("shown"),
        }
    }
}

/// What a side's number is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Nanoseconds of one operation.
    Ns,
    /// Operations of all workers together, millions in a second.
    Mops,
    /// Bytes taken for a byte asked for.
    Bytes,
}

impl Unit {
    pub fn name(self) -> &'static str {
        match self {
            Unit::Ns => "ns",
            Unit::Mops => "M/s",
            Unit::Bytes => "B/B",
        }
    }
}

/// A row made ready: both sides exist, with the same contents.
pub struct Trial {
    pub ours: Side,
    pub theirs: Side,
    /// A bare loop that does the least that the job needs.
    pub limit: Option<Side>,
    /// What must hold besides the ratio, looked at when all repetitions are done.
    pub condition: Option<Box<dyn Fn() -> std::result::Result<(), String>>>,
}

impl Trial {
    pub fn new(
        ours: impl FnMut() -> Result<f64> + 'static,
        theirs: impl FnMut() -> Result<f64> + 'static,
    ) -> Trial {
        Trial { ours: Box::new(ours), theirs: Box::new(theirs), limit: None, condition: None }
    }

    pub fn limit(self, limit: impl FnMut() -> Result<f64> + 'static) -> Trial {
        Trial { limit: Some(Box::new(limit)), ..self }
    }

    pub fn condition(self, holds: impl Fn() -> std::result::Result<(), String> + 'static) -> Trial {
        Trial { condition: Some(Box::new(holds)), ..self }
    }
}

/// Why a row cannot be run here: its peer, or what it needs of the system, is not there.
#[derive(Debug)]
pub struct Missing(pub String);

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl std::error::Error for Missing {}
