//! The locks that a check takes on its way: one object's at a time, never long waited for, and told afterwards whether anybody has written
//! under one of them since.

use super::path::Path;
use aquifer_pool::lock::{Patience, RawLock};
use aquifer_pool::seat::SeatCtx;
use aquifer_pool::{Error, Inner, Result};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How long to wait for one lock, and for all of them together.
pub(crate) const PATIENCE: Duration = Duration::from_secs(3);
const PATIENCE_FOR_ALL: Duration = Duration::from_secs(30);
/// Locks that a repair keeps until its end, so that it comes to one also while others write: it needs the other marks of its seat.
const KEPT: usize = 4;

/// What is known of the locks met.
pub(super) struct Locks {
    /// Whether the outermost locks are kept until the end.
    keep: bool,
    kept: Vec<usize>,
    /// How many are held now, but for those that are kept.
    depth: usize,
    /// Offsets of all that were read and given back.
    seen: Vec<u64>,
    /// Paths of those that are of interest.
    names: HashMap<u64, Option<Rc<Path>>>,
    /// Those whose words named nobody, and were freed.
    freed: Vec<u64>,
    waited: Duration,
}

impl Locks {
    /// `names`: offsets of locks whose paths are wanted.
    pub(super) fn new(keep: bool, names: impl Iterator<Item = u64>) -> Locks {
        Locks {
            keep,
            kept: Vec::new(),
            depth: 0,
            seen: Vec::new(),
            names: names.map(|offset| (offset, None)).collect(),
            freed: Vec::new(),
            waited: Duration::ZERO,
        }
    }

    pub(super) fn name(&mut self, offset: u64, path: &Rc<Path>) {
        if let Some(name) = self.names.get_mut(&offset) {
            *name = Some(path.clone());
        }
    }

    /// The path of a lock, if it was met.
    pub(super) fn name_of(&self, offset: u64) -> Option<&Rc<Path>> {
        self.names.get(&offset)?.as_ref()
    }

    /// Locks for reading; returns the mark to give back, or nothing when the lock is kept.
    pub(super) fn read(&mut self, seat: &SeatCtx, lock: &RawLock, offset: u64) -> Result<Option<usize>> {
        if self.keep && seat.pool().free_word_of_nobody(lock.word(), offset) {
            self.freed.push(offset);
        }
        refuse_nobody(seat.pool(), lock)?;
        let begin = Instant::now();
        let patience = PATIENCE.min(PATIENCE_FOR_ALL.saturating_sub(self.waited));
        let mark = lock.read(seat, offset, Patience::Until(begin + patience));
        self.waited += begin.elapsed();
        let mark = mark?;
        if self.keep && self.depth == 0 && self.kept.len() < KEPT {
            self.kept.push(mark);
            return Ok(None);
        }
        self.seen.push(offset);
        self.depth += 1;
        Ok(Some(mark))
    }

    pub(super) fn unlock(&mut self, seat: &SeatCtx, mark: Option<usize>) {
        if let Some(mark) = mark {
            self.depth -= 1;
            RawLock::unlock_read(seat, mark);
        }
    }

    /// The locks whose words named nobody.
    pub(super) fn freed(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.freed)
    }

    /// Gives back what was kept.
    pub(super) fn end(&mut self, seat: &SeatCtx) {
        self.kept.drain(..).for_each(|mark| RawLock::unlock_read(seat, mark));
    }

    /// Whether nobody has had any of the locks for writing since it was read here.
    ///
    /// A reader sets its bit of the word's summary, and a writer's release clears all of them. Nobody has set ours again if no other seat has had the
    /// same bit since `alone` was taken, before the first read. The words are looked at first: who sets a bit has counted before that it sat down.
    pub(super) fn are_unchanged(&self, pool: &Inner, seat: &SeatCtx, alone: Alone) -> bool {
        let bit = 1u64 << (32 + seat.number() % 32);
        self.seen.iter().all(|offset| {
            let Ok(at) = pool.at(*offset, 8) else { return false };
            // SAFETY: in bounds by `at`; read as a lock before, so aligned.
            let word = unsafe { &*at.cast::<AtomicU64>() }.load(Ordering::SeqCst);
            word & 0xffff == 0 && word & bit != 0
        }) && alone.still(pool, seat)
    }
}

/// Whether a seat was alone with its bit in summaries, and how often somebody had sat down on the others that have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Alone(Option<u32>);

impl Alone {
    pub(super) fn look(pool: &Inner, seat: &SeatCtx) -> Alone {
        let twins = (0..pool.seat_count()).filter(|s| s % 32 == seat.number() % 32 && *s != seat.number());
        let sat_down = twins.filter_map(|s| pool.seat_at(s)).try_fold(0u32, |sum, twin| {
            // The count first: who sits down behind this look changes it.
            let count = twin.builds.load(Ordering::SeqCst);
            (twin.record.load(Ordering::SeqCst) == 0).then_some(sum.wrapping_add(count))
        });
        Alone(sat_down)
    }

    fn still(self, pool: &Inner, seat: &SeatCtx) -> bool {
        self.0.is_some() && self == Alone::look(pool, seat)
    }
}

/// Waiting for a lock that names nobody is waiting for nothing. A thread that has just unlocked and left is seen so once.
fn refuse_nobody(pool: &Inner, lock: &RawLock) -> Result<()> {
    let named = || lock.writer().filter(|seat| pool.is_nobody(*seat));
    let Some(seat) = named() else { return Ok(()) };
    std::thread::sleep(Duration::from_millis(1));
    match named() == Some(seat) {
        true => Err(Error::Damaged(format!("the lock names seat {seat}, on which nobody sits"))),
        false => Ok(()),
    }
}
