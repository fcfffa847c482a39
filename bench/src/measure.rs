//! Repetition by repetition: ours, theirs, ours, theirs, so that both meet the same moods of the machine.

use crate::Result;
use crate::row::{Missing, Row, Side, Target, Trial, Unit};
use std::hint::black_box;
use std::time::{Duration, Instant};

/// How long to measure.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    /// For one row, after which no repetition is begun once there are enough.
    pub budget: Duration,
    pub least: usize,
    pub most: usize,
}

impl Effort {
    pub const FULL: Effort = Effort { budget: Duration::from_secs(6), least: 7, most: 41 };
    pub const QUICK: Effort = Effort { budget: Duration::from_millis(600), least: 3, most: 15 };
}

/// What came of a row.
pub struct Outcome {
    pub group: &'static str,
    pub name: String,
    pub beside: &'static str,
    pub target: Target,
    pub unit: Unit,
    pub note: &'static str,
    pub verdict: Verdict,
    pub numbers: Option<Numbers>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    Ok,
    /// The machine's limit misses the target, and ours is within 1.15 of that limit.
    OkAtLimit,
    Short,
    /// No target to meet.
    Shown,
    /// The peer is not there; why.
    Missing(String),
    /// The row could not be run; why.
    Failed(String),
}

/// Medians over the repetitions; the ratios are of pairs that ran one after the other.
pub struct Numbers {
    pub ours: f64,
    pub theirs: f64,
    pub limit: Option<f64>,
    pub ratio: Spread,
    pub limit_ratio: Option<f64>,
    pub repetitions: usize,
    /// What else was asked of the row, and does not hold.
    pub unmet: Option<String>,
    /// The median ratio of each whole run.
    pub runs: Vec<f64>,
}

#[derive(Debug, Clone, Copy)]
pub struct Spread {
    pub median: f64,
    pub least: f64,
    pub most: f64,
}

/// Times `operations` done by `work`, in nanoseconds of this thread's processor time each: what others do on the same processor meanwhile
/// is not counted. What `work` returns is used.
pub fn timed<R>(operations: usize, work: impl FnOnce() -> R) -> f64 {
    let start = processor_time();
    black_box(work());
    (processor_time() - start).as_nanos() as f64 / operations as f64
}

/// The same for work that may fail.
pub fn tried<E>(operations: usize, work: impl FnOnce() -> std::result::Result<(), E>) -> Result<f64>
where
    Box<dyn std::error::Error>: From<E>,
{
    let mut result = Ok(());
    let ns = timed(operations, || result = work());
    result?;
    Ok(ns)
}

/// The same by the clock on the wall: for work that waits for others, or has the kernel do something.
pub fn awaited<E>(operations: usize, work: impl FnOnce() -> std::result::Result<(), E>) -> Result<f64>
where
    Box<dyn std::error::Error>: From<E>,
{
    let start = Instant::now();
    work()?;
    Ok(start.elapsed().as_nanos() as f64 / operations as f64)
}

/// What this thread has used of a processor.
pub fn processor_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: writes to `time` alone; the clock is there on every Linux.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Prepares and runs a row.
pub fn run(row: Row, effort: Effort) -> Outcome {
    let (verdict, numbers) = match (row.prepare)().and_then(|trial| repeat(trial, effort)) {
        Ok(numbers) => (judge(row.target, &numbers), Some(numbers)),
        Err(e) if e.is::<Missing>() => (Verdict::Missing(e.to_string()), None),
        Err(e) => (Verdict::Failed(e.to_string()), None),
    };
    let Row { group, name, beside, target, unit, note, .. } = row;
    Outcome { group, name, beside, target, unit, note, verdict, numbers }
}

fn repeat(mut trial: Trial, effort: Effort) -> Result<Numbers> {
    let warm = |side: &mut Side| side().map(|_| ());
    warm(&mut trial.ours)?;
    warm(&mut trial.theirs)?;
    trial.limit.as_mut().map_or(Ok(()), warm)?;

    let (mut ours, mut theirs, mut limits) = (Vec::new(), Vec::new(), Vec::new());
    let start = Instant::now();
    while ours.len() < effort.least || (ours.len() < effort.most && start.elapsed() < effort.budget) {
        if ours.len() % 2 == 0 {
            ours.push((trial.ours)()?);
            theirs.push((trial.theirs)()?);
        } else {
            theirs.push((trial.theirs)()?);
            ours.push((trial.ours)()?);
        }
        if let Some(limit) = &mut trial.limit {
            limits.push(limit()?);
        }
    }
    let ratios: Vec<f64> = ours.iter().zip(&theirs).map(|(a, b)| a / b).collect();
    let limit_ratios: Vec<f64> = limits.iter().zip(&theirs).map(|(a, b)| a / b).collect();
    Ok(Numbers {
        repetitions: ours.len(),
        runs: vec![median(&ratios)],
        ratio: spread(&ratios),
        limit_ratio: (!limits.is_empty()).then(|| median(&limit_ratios)),
        limit: (!limits.is_empty()).then(|| median(&limits)),
        ours: median(&ours),
        theirs: median(&theirs),
        unmet: trial.condition.and_then(|condition| condition().err()),
    })
}

/// What numbers say of a target.
pub fn judge(target: Target, numbers: &Numbers) -> Verdict {
    let ratio = numbers.ratio.median;
    match (target, &numbers.unmet) {
        (Target::Shown, _) => Verdict::Shown,
        (_, Some(_)) => Verdict::Short,
        _ if target.holds(ratio) => Verdict::Ok,
        _ if numbers.limit_ratio.is_some_and(|limit| target.held_by_limit(ratio, limit)) => {
            Verdict::OkAtLimit
        }
        _ => Verdict::Short,
    }
}

fn spread(values: &[f64]) -> Spread {
    Spread {
        median: median(values),
        least: values.iter().copied().fold(f64::INFINITY, f64::min),
        most: values.iter().copied().fold(0.0, f64::max),
    }
}

/// The middle one; the mean of the two in the middle.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[n / 2],
        n => (sorted[n / 2 - 1] + sorted[n / 2]) / 2.0,
    }
}
