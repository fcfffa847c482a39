//! Stepping through scenes and judging what a kill leaves.

use crate::copy::Copy;
use crate::scenes::{self, Scene};
use crate::trace::{Step, Traced};
use aquifer::Pool;
use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

/// How to step.
#[derive(clap::Args)]
pub struct How {
    /// Switch on a planted fault (only in builds with `--cfg aquifer_plant`)
    #[arg(long)]
    plant: Option<String>,
}

/// All operations.
#[derive(clap::Args)]
pub struct All {
    /// Only those that matter most
    #[arg(long)]
    quick: bool,
    #[command(flatten)]
    how: How,
}

/// Some operations.
#[derive(clap::Args)]
pub struct One {
    /// Words that the names of the operations contain
    #[arg(required = true)]
    names: Vec<String>,
    #[command(flatten)]
    how: How,
}

/// What became of one operation's states.
#[derive(Default)]
struct Tally {
    instructions: u64,
    states: u64,
    broken: u64,
    first: Option<String>,
}

pub fn all(all: All) -> ExitCode {
    step_through_all(&all.how, |scene| scene.quick || !all.quick)
}

pub fn one(one: One) -> ExitCode {
    step_through_all(&one.how, |scene| one.names.iter().any(|n| scene.name.contains(n.as_str())))
}

fn step_through_all(how: &How, wanted: impl Fn(&Scene) -> bool) -> ExitCode {
    if let Some(plant) = &how.plant {
        // SAFETY: this program has one thread.
        unsafe { std::env::set_var("AQUIFER_PLANT", plant) };
    }
    println!("{:40} {:>12} {:>8} {:>7}", "operation", "instructions", "states", "broken");
    let mut total = Tally::default();
    for scene in scenes::all().into_iter().filter(wanted) {
        let tally = step_through(&scene).unwrap_or_else(|e| Tally {
            broken: 1,
            first: Some(e.to_string()),
            ..Tally::default()
        });
        println!("{:40} {:>12} {:>8} {:>7}", scene.name, tally.instructions, tally.states, tally.broken);
        if let Some(first) = &tally.first {
            println!("    {first}");
        }
        total.instructions += tally.instructions;
        total.states += tally.states;
        total.broken += tally.broken;
    }
    println!("{:40} {:>12} {:>8} {:>7}", "total", total.instructions, total.states, total.broken);
    if total.broken == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

struct Files {
    pool: PathBuf,
    copy: PathBuf,
}

impl Files {
    fn new() -> Files {
        let file =
            |what: &str| PathBuf::from(format!("/dev/shm/aquifer-stepper-{}-{what}", std::process::id()));
        Files { pool: file("pool"), copy: file("copy") }
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.pool);
        let _ = std::fs::remove_file(&self.copy);
    }
}

fn step_through(scene: &Scene) -> Result<Tally, Box<dyn Error>> {
    let files = Files::new();
    let pool =
        Pool::options().size(0).growth(64 << 10, 64 << 10).window(64 << 20).create(files.pool.as_path())?;
    (scene.setup)(&pool)?;
    let child = Traced::start(
        || {
            // Joining and sitting down are operations of their own: here they are over before the first step.
            if let Err(e) = (scene.prepare)(&pool) {
                eprintln!("{}: {e}", scene.name);
            }
        },
        || {
            if let Err(e) = (scene.operation)(&pool) {
                eprintln!("{}: {e}", scene.name);
            }
        },
    )?;
    let mut copy = Copy::of(&files.pool, files.copy.clone())?;
    let mut tally = Tally::default();
    let mut outcomes: Vec<(String, u64)> = Vec::new();
    loop {
        match judge(scene, &mut copy) {
            Ok(seen) => {
                if outcomes.last().is_none_or(|(last, _)| *last != seen) {
                    outcomes.push((seen, tally.instructions));
                }
            }
            Err(e) => tally.bad(format!("after instruction {}: {e}", tally.instructions)),
        }
        tally.states += 1;
        loop {
            match child.step()? {
                Step::Done => tally.instructions += 1,
                Step::Lost(why) => {
                    return Err(format!("the child {why} after instruction {}", tally.instructions).into());
                }
                Step::End => {
                    tally.judge_outcomes(&outcomes, scene.outcomes);
                    return Ok(tally);
                }
            }
            if copy.changed()? {
                break;
            }
        }
    }
}

impl Tally {
    fn bad(&mut self, what: String) {
        self.broken += 1;
        self.first.get_or_insert(what);
    }

    /// The operation happened or not: from one outcome to the next, and never back.
    fn judge_outcomes(&mut self, outcomes: &[(String, u64)], allowed: usize) {
        if outcomes.len() != allowed {
            let list: Vec<String> =
                outcomes.iter().map(|(s, i)| format!("from instruction {i}: {s}")).collect();
            self.bad(format!(
                "{} outcomes instead of {allowed}:\n    {}",
                outcomes.len(),
                list.join("\n    ")
            ));
        }
    }
}

/// Recovers the copy, checks it, and tells what is in it.
fn judge(scene: &Scene, copy: &mut Copy) -> Result<String, Box<dyn Error>> {
    let pool = copy.recover()?;
    let report = pool.check()?;
    if !report.is_clean() {
        return Err(format!("check: {report}").into());
    }
    Ok((scene.observe)(&pool)?)
}
