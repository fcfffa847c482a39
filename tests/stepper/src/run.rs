//! The table: each scene in a process of its own, as many at a time as there are processors.

use crate::plants;
use crate::scene::Scene;
use crate::scenes;
use crate::step::{self, Depth, Tally};
use crate::trace::pin;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How to step.
#[derive(clap::Args, Clone)]
pub struct How {
    /// Switch on a planted fault (only in builds with `--cfg aquifer_plant`)
    #[arg(long)]
    plant: Option<String>,
    /// Bury only some states step by step, and kill only the shortest operations
    #[arg(long)]
    quick: bool,
}

/// All operations; with `--quick` only those that matter most.
#[derive(clap::Args)]
pub struct All {
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

/// One scene, for the process that prints the table.
#[derive(clap::Args)]
pub struct Worker {
    name: String,
    folder: PathBuf,
    processor: usize,
    #[arg(long)]
    quick: bool,
}

pub fn all(all: All) -> ExitCode {
    table(&all.how, |scene| scene.quick || !all.how.quick)
}

pub fn list() -> ExitCode {
    scenes::all().iter().for_each(|scene| println!("{}", scene.name));
    ExitCode::SUCCESS
}

pub fn one(one: One) -> ExitCode {
    table(&one.how, |scene| one.names.iter().any(|n| scene.name.contains(n.as_str())))
}

fn table(how: &How, wanted: impl Fn(&Scene) -> bool) -> ExitCode {
    if let Some(plant) = &how.plant
        && let Err(e) = plants::switch_on(plant)
    {
        eprintln!("{e}");
        return ExitCode::FAILURE;
    }
    let scenes: Vec<Scene> = scenes::all().into_iter().filter(wanted).collect();
    line("operation", ["instructions", "states", "kills", "broken"]);
    let total = Scratch::new().and_then(|scratch| run(how, &scenes, scratch.path()));
    let total = total.unwrap_or_else(|e| broken(e.to_string()));
    row("total", &total);
    if plants::COMPILED {
        println!("{}", plants::describe(total.reached));
    }
    if total.broken == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs the scenes, and prints their rows in order.
fn run(how: &How, scenes: &[Scene], folder: &Path) -> std::io::Result<Tally> {
    let program = std::env::current_exe()?;
    let processors = std::thread::available_parallelism()?.get();
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<Option<Tally>>> = Mutex::new(scenes.iter().map(|_| None).collect());
    let printed = Mutex::new((0, Tally::default()));
    std::thread::scope(|scope| {
        for processor in 0..processors {
            let (next, done, printed, program) = (&next, &done, &printed, &program);
            scope.spawn(move || {
                loop {
                    let i = next.fetch_add(1, Ordering::Relaxed);
                    let Some(scene) = scenes.get(i) else { break };
                    let tally = in_a_process(program, scene, &folder.join(i.to_string()), processor, how);
                    let (mut done, mut printed) = (lock(done), lock(printed));
                    done[i] = Some(tally);
                    while let Some(tally) = done.get_mut(printed.0).and_then(Option::take) {
                        row(scenes[printed.0].name, &tally);
                        printed.0 += 1;
                        add(&mut printed.1, &tally);
                    }
                }
            });
        }
    });
    Ok(printed.into_inner().unwrap_or_else(|e| e.into_inner()).1)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|e| e.into_inner())
}

fn add(total: &mut Tally, tally: &Tally) {
    total.instructions += tally.instructions;
    total.states += tally.states;
    total.kills += tally.kills;
    total.broken += tally.broken;
    total.reached |= tally.reached;
}

fn in_a_process(program: &Path, scene: &Scene, folder: &Path, processor: usize, how: &How) -> Tally {
    let mut command = Command::new(program);
    command.arg("worker").args([scene.name.as_ref(), folder]).arg(processor.to_string());
    command.args(how.quick.then_some("--quick"));
    let output = match std::fs::create_dir(folder).and_then(|()| command.output()) {
        Ok(output) => output,
        Err(e) => return broken(e.to_string()),
    };
    let _ = std::fs::remove_file(step::pool_beside(folder));
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let mut tally = read(&out).unwrap_or_else(|| match output.status.signal() {
        Some(libc::SIGALRM) => broken(format!("hung: {out}")),
        _ => broken(format!("{}: {out}", output.status)),
    });
    if let Some(first) = &mut tally.first
        && !err.is_empty()
    {
        first.push_str(&format!("\n    {}", err.trim().replace('\n', "\n    ")));
    }
    tally
}

fn broken(what: String) -> Tally {
    Tally { broken: 1, first: Some(what), ..Tally::default() }
}

/// In its process.
pub fn worker(worker: Worker) -> ExitCode {
    // SAFETY: asks to die with who started us, and to be told of the end of all descendants.
    unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1);
    }
    std::panic::set_hook(Box::new(|_| ())); // what it says is in the verdict
    let depth = if worker.quick { Depth::QUICK } else { Depth::ALL };
    let Some(scene) = scenes::all().into_iter().find(|s| s.name == worker.name) else {
        return ExitCode::FAILURE;
    };
    let tally = pin(worker.processor).map_err(Into::into).and_then(|()| {
        crate::patience::renew();
        step::through(&scene, &worker.folder, depth)
    });
    let t = tally.unwrap_or_else(|e| broken(e.to_string()));
    println!("{} {} {} {} {}", t.instructions, t.states, t.kills, t.broken, t.reached);
    print!("{}", t.first.unwrap_or_default());
    ExitCode::SUCCESS
}

/// What a worker has printed.
fn read(out: &str) -> Option<Tally> {
    let (numbers, first) = out.split_once('\n')?;
    let n: Vec<u64> = numbers.split(' ').map(str::parse).collect::<Result<_, _>>().ok()?;
    let [instructions, states, kills, broken, reached] = n[..] else { return None };
    let first = (!first.is_empty()).then(|| first.to_string());
    Some(Tally { instructions, states, kills, broken, reached, first })
}

fn row(name: &str, t: &Tally) {
    line(name, [t.instructions, t.states, t.kills, t.broken].map(|n| n.to_string()));
    if let Some(first) = &t.first {
        println!("    {first}");
    }
}

fn line(name: &str, [a, b, c, d]: [impl std::fmt::Display; 4]) {
    println!("{name:44} {a:>12} {b:>8} {c:>7} {d:>7}");
}

/// A folder in memory for the scenes' pools, removed when dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> std::io::Result<Scratch> {
        let path = PathBuf::from(format!("/dev/shm/aquifer-stepper-{}", std::process::id()));
        std::fs::create_dir(&path)?;
        Ok(Scratch(path))
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
