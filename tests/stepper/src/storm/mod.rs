//! A storm of kills over processes that work on nested collections.
//!
//! The *director* has one thread. It starts children, kills and stops them at random and starts others in their place. Each thread of a child has
//! a *desk* on a *board* that is no part of the pool: its ledger of what each of its keys should be, before and after the operation under way.
//! Whoever follows it at the desk, and the verdict at the end of a round, finds each key in one of the two states. A *watcher* process sees when the
//! kernel has dropped the locks of the dead, and whether anybody still gets on.

mod board;
mod director;
mod picture;
mod random;
mod stalls;
mod state;
mod subjects;
mod verdict;
mod watch;
mod who;
mod witness;
mod worker;

use aquifer::Pool;
use board::{Board, PROCESSES, THREADS, now};
use director::Director;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;
use subjects::World;
use witness::Witness;

/// What a storm is like.
#[derive(clap::Args)]
pub struct Arguments {
    /// Processes that work at a time
    #[arg(long, default_value_t = 8, value_parser = among::<PROCESSES>)]
    pub processes: usize,
    /// Threads of each process
    #[arg(long, default_value_t = 3, value_parser = among::<THREADS>)]
    pub threads: usize,
    /// How long it lasts
    #[arg(long, default_value_t = 60)]
    pub seconds: u64,
    /// How long a round lasts: each has a pool of its own, which is compared with all ledgers at its end
    #[arg(long, default_value_t = 6)]
    pub round: u64,
    /// What makes the choices [default: another one each time]
    #[arg(long)]
    pub seed: Option<u64>,
    /// Keep the pool in this folder when something is wrong
    #[arg(long)]
    pub keep: Option<PathBuf>,
    /// Seconds without any progress that count as hanging
    #[arg(long, default_value_t = 60)]
    pub patience: u64,
}

/// Runs a storm.
pub fn run(arguments: Arguments) -> ExitCode {
    let seed = arguments.seed.unwrap_or_else(|| now() >> 10 & 0xff_ffff);
    println!(
        "seed {seed}, {} processes of {} threads, {} s",
        arguments.processes, arguments.threads, arguments.seconds
    );
    match storm(&arguments, seed) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(e) => {
            eprintln!("storm: {e}");
            ExitCode::FAILURE
        }
    }
}

/// The pool's name, which goes when this is dropped. Children end without dropping anything.
struct Name(String);

impl Name {
    fn path(&self) -> PathBuf {
        Path::new("/dev/shm").join(&self.0)
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(self.path());
    }
}

fn storm(arguments: &Arguments, seed: u64) -> Result<bool, Box<dyn Error>> {
    worker::end_children_that_panic();
    let name = Name(format!("aquifer-storm-{}", std::process::id()));
    let (board, witness) = (Board::new()?, Witness::new()?);
    let watcher = watch::start(board, &witness, arguments, &name.path())?;
    let mut director = Director::new(arguments, board, &witness, seed);
    let mut total = Total::default();
    let begin = now();
    let end = begin + arguments.seconds * 1_000_000_000;
    while now() < end && total.broken == 0 {
        let outcome = round(&mut director, &name, end, total.rounds % 3 != 1, &mut total);
        director.stalls.settle(subjects::SHARED);
        if let Err(wrong) = outcome {
            println!("round {}: {wrong}", total.rounds);
            total.broken += 1;
            director.kill_all();
            keep(arguments, &name);
        }
        total.rounds += 1;
        let _ = std::fs::remove_file(name.path());
    }
    watch::end(watcher);
    total.print(&director, (now() - begin) as f64 / 1e9);
    Ok(total.broken == 0 && total.leaked == 0)
}

/// Bytes that a pool has at most in rounds in which memory is scarce.
const SCARCE: u64 = 2 << 20;

/// One pool's life.
fn round(
    director: &mut Director<'_>,
    name: &Name,
    end: u64,
    in_order: bool,
    total: &mut Total,
) -> Result<(), String> {
    let said = |e: aquifer::Error| e.to_string();
    let board = director.board;
    board.stop.store(0, SeqCst);
    board.slots.iter().flat_map(|s| &s.desks).for_each(|d| d.reset());
    let mut options = Pool::options().size(0).growth(64 << 10, 256 << 10).window(1 << 20);
    // In some rounds the pool may not grow as it should, and what is refused must not have happened.
    let scarce = total.rounds % 4 == 1;
    if scarce {
        options = options.hard_limit(SCARCE);
    }
    let pool = options.create(&name.0).map_err(said)?;
    // Once in vain, so that the directory's own tables are there when it is measured what everything begins with.
    drop(World::of(&pool).map_err(said)?);
    verdict::remove_all(&pool).map_err(said)?;
    let used = verdict::allocated(&pool);
    let world = World::of(&pool).map_err(said)?;
    let reserve = verdict::Reserve::of(&pool).map_err(said)?;
    director.round(&pool, end.min(now() + director.arguments.round * 1_000_000_000), in_order)?;
    reserve.give_back(&pool).map_err(said)?;
    drop(world);
    total.grown += pool.info().grown;
    verdict::judge(director, &pool, used, total)
}

fn keep(arguments: &Arguments, name: &Name) {
    let Some(folder) = &arguments.keep else { return };
    let kept = folder.join(&name.0);
    match std::fs::create_dir_all(folder).and_then(|()| std::fs::copy(name.path(), &kept)) {
        Ok(_) => println!("kept: {}", kept.display()),
        Err(e) => println!("not kept: {e}"),
    }
}

/// What all rounds came to.
#[derive(Default)]
struct Total {
    rounds: u64,
    grown: u64,
    broken: u64,
    leaked: u64,
    blocks: u64,
}

impl Total {
    fn print(&self, director: &Director<'_>, seconds: f64) {
        let (board, tally) = (director.board, &director.tally);
        let desks = || board.slots.iter().flat_map(|s| &s.desks);
        let operations: u64 = desks().map(|d| d.done.load(SeqCst)).sum();
        let longest = desks().map(|d| d.longest.load(SeqCst)).max().unwrap_or(0);
        let moved: u64 = board.slots.iter().map(|s| s.moved.load(SeqCst)).sum();
        println!("{seconds:.1} s in {} rounds, {} processes started", self.rounds, tally.children);
        println!(
            "kills: {} ({} of stopped processes; {:.1} a second), stops: {}, ended in order: {}, with guards forgotten: {}",
            tally.kills,
            tally.stopped,
            tally.kills as f64 / seconds,
            tally.stops,
            tally.left,
            tally.leaked
        );
        println!(
            "operations: {operations}, the longest {:.1} ms; steps of growth: {}, moves of those that ended in order: {moved}",
            longest as f64 / 1e6,
            self.grown
        );
        println!("take-overs: {}", tally.takeovers);
        director.stalls.print();
        println!(
            "compared: {} ledgers, {} blocks",
            self.rounds * director.owners().len() as u64,
            self.blocks
        );
        println!("leaked bytes: {}", self.leaked);
        println!("broken: {}", self.broken);
    }
}

impl Arguments {
    fn patience(&self) -> Duration {
        Duration::from_secs(self.patience)
    }
}

/// A number of at least 1 and at most `MOST`.
fn among<const MOST: usize>(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(n) if (1..=MOST).contains(&n) => Ok(n),
        _ => Err(format!("not a number from 1 to {MOST}")),
    }
}
