//! What a child does: opens the pool, and changes keys in all its threads until it is told to stop, leaves, or is killed.

use super::board::{Board, now};
use super::random::Random;
use super::subjects::World;
use super::who::Who;
use super::witness;
use aquifer::{Error, Pool, Result};
use std::os::fd::OwnedFd;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};

/// How a child ends that is not killed: in order, or with guards forgotten, or broken.
pub const LEFT: i32 = 0;
pub const LEAKED: i32 = 7;
pub const BROKEN: i32 = 101;

/// Whether this process is such a child; and one whose pool may not grow.
static CHILD: AtomicBool = AtomicBool::new(false);
static SCARCE: AtomicBool = AtomicBool::new(false);

/// What a child is to do.
pub struct Task<'a> {
    pub board: &'a Board,
    pub slot: usize,
    pub threads: usize,
    pub seed: u64,
    /// The director's handle, which the child inherits.
    pub inherited: &'a Pool,
    pub priority: i32,
    /// The pool's hard limit will be reached.
    pub scarce: bool,
    /// Opens the pool by itself, with a window of so many bytes.
    pub window: Option<u64>,
    /// Ends by itself after so many operations of each thread; with guards forgotten.
    pub operations: u64,
    pub leaks: bool,
}

/// Panics of children end them at once, and say so. To be called before the first fork: a hook cannot be set after it.
pub fn end_children_that_panic() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !CHILD.load(SeqCst) {
            return before(panic);
        }
        if SCARCE.load(SeqCst) && is_shortage(&panic.to_string()) {
            return; // caught where it is known what should be as it was
        }
        eprintln!("child {}: {panic}", std::process::id());
        end(BROKEN)
    }));
}

/// Whether an error, or a panic where there is no error to return, says that there was no memory.
fn is_shortage(text: &str) -> bool {
    ["hard limit", "no memory", "out of memory"].iter().any(|t| text.contains(t))
}

/// Ends this process at once: what is the director's must not be torn down here.
pub fn end(code: i32) -> ! {
    // SAFETY: takes an integer.
    unsafe { libc::_exit(code) }
}

/// The whole life of a child that has just been forked.
pub fn live(task: &Task<'_>, witness: OwnedFd) -> ! {
    CHILD.store(true, SeqCst);
    SCARCE.store(task.scarce, SeqCst);
    // SAFETY: numbers only; the child dies with the director.
    unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        libc::setpriority(libc::PRIO_PROCESS, 0, task.priority);
    }
    if let Err(e) = witness::keep(witness) {
        eprintln!("witness: {e}");
        end(BROKEN);
    }
    match task.run() {
        Ok(code) => end(code),
        Err(e) if task.scarce && is_shortage(&e.to_string()) => end(LEFT),
        Err(e) => {
            eprintln!("child {}: {e}", std::process::id());
            end(BROKEN)
        }
    }
}

impl Task<'_> {
    fn run(&self) -> Result<i32> {
        // Who joins buries; before the first thread begins, its desk is ours.
        let (pool, world) = Who::new(self.board, self.slot, 0).noted(|| self.open())?;
        let threads: Vec<Result<()>> = std::thread::scope(|s| {
            let run = |thread| {
                s.spawn({
                    let (pool, world) = (&pool, &world);
                    move || self.work(pool, world, thread)
                })
            };
            let threads: Vec<_> = (0..self.threads).map(run).collect();
            let join = |t: std::thread::ScopedJoinHandle<'_, Result<()>>| match t.join() {
                Ok(result) => result,
                Err(_) => end(BROKEN),
            };
            threads.into_iter().map(join).collect()
        });
        threads.into_iter().collect::<Result<()>>()?;
        self.board.slots[self.slot].moved.fetch_add(pool.info().moved, SeqCst);
        drop(world);
        drop(pool); // joined by this process alone: leaves
        Ok(LEFT)
    }

    fn open(&self) -> Result<(Pool, World)> {
        let pool = match self.window {
            None => self.inherited.clone(),
            Some(window) => {
                let path = self.inherited.info().name;
                Pool::options().second_mapping(true).window(window).open(path)?
            }
        };
        let world = World::of(&pool)?;
        Ok((pool, world))
    }

    fn work(&self, pool: &Pool, world: &World, thread: usize) -> Result<()> {
        let who = Who::new(self.board, self.slot, thread).at(pool);
        let mut random = Random::new(self.seed ^ (thread as u64) << 32);
        if let Some(wrong) = world.settle(&who)? {
            eprintln!("child {}: {wrong}", std::process::id());
            end(BROKEN);
        }
        who.desk.clear();
        let mut left = self.operations;
        let mut relief = false; // something large goes first, after a refusal
        while left > 0 && !self.board.stopped() {
            let key = if relief { world.largest() } else { random.below(world.keys() as u64) as usize };
            let from = who.states(key)[0];
            let to = if relief { from.removed() } else { world.next(key, from, &mut random) };
            relief = false;
            if to != from {
                who.begin(key, to);
                let done = self.change(world, &who, key, &mut random)?;
                who.end(key, if done { to } else { from });
                relief = !done && random.once_in(2);
                left -= 1;
            }
        }
        if self.leaks && !self.board.stopped() {
            world.leak(&who)?;
            // While the others are at whatever they do.
            end(LEAKED);
        }
        Ok(())
    }

    /// False when it was refused for want of memory: then all is as before.
    fn change(&self, world: &World, who: &Who<'_>, key: usize, random: &mut Random) -> Result<bool> {
        let [from, to] = who.states(key);
        loop {
            let change = AssertUnwindSafe(|| world.change(who, key, from, to, random));
            let changed = match std::panic::catch_unwind(change) {
                Ok(changed) => changed,
                Err(_) => return Ok(false), // of any other panic this process has ended
            };
            match changed {
                // Two transactions wanted the same locks in different order.
                Err(Error::WouldDeadlock(_) | Error::WouldBlock(_)) => who.let_go(),
                Err(e) if self.scarce && is_shortage(&e.to_string()) => return Ok(false),
                Err(e) => {
                    eprintln!("key {key} of owner {} from {from:?} to {to:?}", who.owner);
                    return Err(e);
                }
                Ok(()) => return Ok(true),
            }
        }
    }
}

impl Who<'_> {
    /// Notes what is to become of a key, before anything is done.
    fn begin(&self, key: usize, to: super::state::State) {
        self.set(key, 1, to);
        self.desk.since.store(now(), SeqCst);
        self.desk.key.store(key as u64 + 1, SeqCst);
    }

    /// Notes that it is so, or that it is as it was.
    fn end(&self, key: usize, now_is: super::state::State) {
        [0, 1].into_iter().for_each(|which| self.set(key, which, now_is));
        let took = now() - self.desk.since.load(SeqCst);
        let longest: &AtomicU64 = &self.desk.longest;
        longest.fetch_max(took, SeqCst);
        self.desk.clear();
        self.desk.done.fetch_add(1, SeqCst);
    }

    fn let_go(&self) {
        [&self.desk.wants, &self.desk.has].into_iter().for_each(|w| w.store(0, SeqCst));
    }
}
