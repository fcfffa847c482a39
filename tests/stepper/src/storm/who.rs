//! One thread of the storm: its desk, and how it takes locks so that stalls are seen.

use super::board::{Board, Desk, Wait, now, run_time};
use super::random::Random;
use super::state::State;
use aquifer::{Error, MutexGuard, Pool, Relocatable, Result, ShMutex, ShRwLock, WriteGuard};
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

/// A time in the run queue that is not worth a note, in nanoseconds.
const SHORT: u64 = 200_000;

/// The owner of a desk's keys, in whatever process and thread it is at work.
pub struct Who<'a> {
    pub board: &'a Board,
    pub desk: &'a Desk,
    /// Number of the desk.
    pub owner: u64,
    /// What this process is known to have buried.
    pool: Option<Pool>,
    buried: Cell<u64>,
}

impl<'a> Who<'a> {
    pub fn new(board: &'a Board, slot: usize, thread: usize) -> Who<'a> {
        Who {
            board,
            desk: &board.slots[slot].desks[thread],
            owner: (slot * super::board::THREADS + thread) as u64,
            pool: None,
            buried: Cell::new(0),
        }
    }

    /// The same at work in this pool.
    pub fn at(self, pool: &Pool) -> Who<'a> {
        Who { pool: Some(pool.clone()), ..self }
    }

    pub fn states(&self, key: usize) -> [State; 2] {
        self.desk.states[key].each_ref().map(|w| State::unpack(w.load(SeqCst)))
    }

    pub fn set(&self, key: usize, which: usize, state: State) {
        self.desk.states[key][which].store(state.pack(), SeqCst);
    }

    /// Number `i` of a key's edition: like no other's.
    pub fn number(&self, key: usize, edition: u32, i: u16) -> u64 {
        self.owner << 56 | (key as u64) << 48 | (edition as u64 & 0xffff_ffff) << 16 | i as u64
    }

    pub fn numbers(&self, key: usize, s: State) -> Vec<u64> {
        (s.lo..s.hi).map(|i| self.number(key, s.edition, i)).collect()
    }

    /// The same as text: some fits into a string's value, some has a block of its own.
    pub fn text(&self, key: usize, edition: u32, i: u16) -> String {
        format!("{:x}{}", self.number(key, edition, i), " and so much more".repeat(i as usize % 4))
    }

    pub fn texts(&self, key: usize, s: State) -> Vec<String> {
        (s.lo..s.hi).map(|i| self.text(key, s.edition, i)).collect()
    }

    /// A name of the key itself.
    pub fn name(&self, key: usize) -> String {
        format!("{:x}/{key}{}", self.owner, "/long".repeat(key * 2))
    }

    pub fn lock<'g, T: Relocatable>(&self, site: usize, lock: &'g ShMutex<T>) -> Result<MutexGuard<'g, T>> {
        self.timed(site, || lock.try_lock(), || lock.lock())
    }

    pub fn write<'g, T: Relocatable>(&self, site: usize, lock: &'g ShRwLock<T>) -> Result<WriteGuard<'g, T>> {
        self.timed(site, || lock.try_write(), || lock.write())
    }

    /// Says that the lock is wanted, before it is.
    pub fn want(&self, site: usize) {
        self.desk.wants.fetch_or(1 << site, SeqCst);
    }

    /// Says that it was granted.
    pub fn have(&self, site: usize) {
        self.desk.has.fetch_or(1 << site, SeqCst);
        self.granted(site);
    }

    fn granted(&self, site: usize) -> (u64, u64) {
        let granted = now();
        let before: &AtomicU64 = &self.board.granted[site];
        (before.swap(granted, SeqCst), granted)
    }

    /// Only who must wait asks the kernel how long it stood in the run queue: `/proc` is slow, and what is open there when a process dies makes
    /// its end slow too. An attempt does not sleep: whenever it did not run it was in the run queue.
    fn timed<'g, T: Relocatable>(
        &self,
        site: usize,
        attempt: impl FnOnce() -> Result<WriteGuard<'g, T>>,
        wait: impl FnOnce() -> Result<WriteGuard<'g, T>>,
    ) -> Result<WriteGuard<'g, T>> {
        self.want(site);
        let (since, ran) = (now(), run_time());
        let tried = attempt();
        let mut queued = (now() - since).saturating_sub(run_time() - ran);
        let guard = match tried {
            Err(Error::WouldBlock(_)) => {
                let before = own_run_delay();
                let guard = wait()?;
                queued += own_run_delay() - before;
                guard
            }
            other => other?,
        };
        self.desk.has.fetch_or(1 << site, SeqCst);
        let (before, granted) = self.granted(site);
        let recovered = guard.recovered();
        if recovered || queued > SHORT && self.has_buried() {
            self.desk.note(&Wait { site, recovered, before, since, granted, queued });
        }
        Ok(guard)
    }

    /// Notes how long this thread stood in the run queue during `f`, if it, or another of its process, has buried somebody meanwhile.
    pub fn noted<R>(&self, f: impl FnOnce() -> R) -> R {
        let (since, before) = (now(), own_run_delay());
        let result = f();
        let queued = own_run_delay() - before;
        if queued > SHORT && self.has_buried() {
            let granted = now();
            self.desk.note(&Wait { site: 0, recovered: false, before: 0, since, granted, queued });
        }
        result
    }

    /// Whether this process has buried somebody since it was last asked.
    fn has_buried(&self) -> bool {
        let buried = self.pool.as_ref().map_or(u64::MAX, |p| p.info().buried);
        self.buried.replace(buried) != buried
    }
}

/// Stays a while, so that many are killed while they have a lock.
pub fn linger(random: &mut Random) {
    if random.once_in(8) {
        let end = now() + random.below(200_000);
        while now() < end {
            std::hint::spin_loop();
        }
    }
}

/// Nanoseconds for which the calling thread was ready to run but did not.
pub fn own_run_delay() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ').nth(1).and_then(|n| n.parse().ok()).unwrap_or(0)
}
