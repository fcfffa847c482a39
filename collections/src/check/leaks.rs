//! Blocks that nothing refers to, while others may be at work.
//!
//! What is unreachable stays so, and nobody can free it: so it is enough to prove it for one moment. That moment lies between the walk and the
//! end of this module's look at the heap. For all of that time
//!
//! - nobody has had one of the locks that the walk read for writing (see `Locks::are_unchanged`), so that what was reachable still is, and nothing
//!   else is; the directory is read-locked;
//! - no log has an operation under way whose blocks are not linked in yet, or not freed yet: each was seen empty before and after, and an
//!   operation in between needs a lock of those above, or counts as a build (`Seat::builds`). A build cannot end well meanwhile: that takes the
//!   directory's lock. What a seat allocated that is building is left alone. One that has ended well may still have others' blocks to free, which its
//!   committed log tells: the names' old table, for one.
//!
//! Where one of these does not hold, what was found is not called leaked but uncertain, and `repair` leaves it alone.

use super::claims::Claims;
use super::locks::Alone;
use crate::report::Leak;
use aquifer_alloc::BlockInfo;
use aquifer_pool::layout::Seat;
use aquifer_pool::log::is_committed;
use aquifer_pool::seat::SeatCtx;
use aquifer_pool::{Inner, Result};
use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// How long to wait for others to end what they have under way.
const PATIENCE: Duration = Duration::from_millis(200);

/// What the seats had under way at some moment.
pub(super) struct Seats(Vec<Activity>);

#[derive(Clone, Copy, PartialEq, Eq)]
struct Activity {
    builds: u32,
    /// Whether a log is not empty.
    working: bool,
    /// Whether what a log has committed is still to be carried out.
    freeing: bool,
}

const NOTHING: Activity = Activity { builds: 0, working: false, freeing: false };

impl Seats {
    /// Looks at all seats but that of the caller: nothing changes there meanwhile (see [`find`]).
    pub(super) fn look(pool: &Inner, own: &SeatCtx) -> Seats {
        Seats((0..pool.seat_count()).map(|number| activity(pool, number, own)).collect())
    }

    /// The same, having waited for a moment in which nobody works.
    pub(super) fn at_rest(pool: &Inner, own: &SeatCtx) -> Seats {
        let end = Instant::now() + PATIENCE;
        loop {
            let seats = Seats::look(pool, own);
            if !seats.0.iter().any(|a| a.is_at_work()) || Instant::now() > end {
                return seats;
            }
            std::thread::yield_now();
        }
    }

    fn is_same(&self, other: &Seats, seat: u32) -> bool {
        self.of(seat) == other.of(seat)
    }

    fn of(&self, seat: u32) -> Activity {
        self.0.get(seat as usize).copied().unwrap_or(NOTHING)
    }
}

impl Activity {
    /// Whether it builds an object that nothing refers to yet, of blocks of its own.
    fn is_building(self) -> bool {
        self.builds & 1 != 0
    }

    /// Whether it does something else that is not over: blocks of any seat may be linked in, or freed.
    fn is_at_work(self) -> bool {
        self.freeing || self.working && !self.is_building()
    }
}

fn activity(pool: &Inner, number: u32, own: &SeatCtx) -> Activity {
    pool.seat_at(number).filter(|_| number != own.number()).map_or(NOTHING, activity_on)
}

fn activity_on(seat: &Seat) -> Activity {
    let (mut working, mut freeing) = (false, false);
    for head in seat.logs.iter().map(|l| l.head.load(Ordering::SeqCst)) {
        working |= head != 0;
        freeing |= is_committed(head);
    }
    Activity { builds: seat.builds.load(Ordering::SeqCst), working, freeing }
}

/// Whether the caller itself is in the middle of something, which a check within a source is: what it builds is linked to by nothing.
fn is_within_a_call(own: &SeatCtx) -> bool {
    let activity = activity_on(own.seat());
    activity.working || activity.is_building()
}

/// Blocks that nothing refers to.
pub(super) struct Unreferenced {
    /// These have leaked.
    pub(super) leaked: Vec<BlockInfo>,
    /// These may be on their way.
    pub(super) uncertain: Vec<BlockInfo>,
}

/// Looks for blocks that no claim names. The walk is over, and the directory read-locked since before it.
pub(super) fn find(
    pool: &Inner,
    own: &SeatCtx,
    claims: &mut Claims<'_>,
    alone: Alone,
) -> Result<Unreferenced> {
    let before = Seats::at_rest(pool, own);
    // Logs grow by blocks of their own while their operations run.
    let chunks = log_chunks(pool);
    let mut found = Vec::new();
    aquifer_alloc::for_each_block(pool, |block| {
        if !block.by_hand && !claims.has(block.offset) && !chunks.contains(&block.offset) {
            found.push(block);
        }
        Ok(())
    })?;
    let chunks = log_chunks(pool);
    let after = Seats::look(pool, own);
    let all_known = (0..pool.seat_count()).all(|s| before.is_same(&after, s) && !after.of(s).is_at_work());
    let calm = all_known && !is_within_a_call(own) && claims.locks.are_unchanged(pool, own, alone);
    let is_there = |b: &BlockInfo| {
        b.offset != pool.header().directory.load(Ordering::SeqCst)
            && !chunks.contains(&b.offset)
            && aquifer_alloc::block_at(pool, b.offset).is_some_and(|now| now == *b)
    };
    let found = found.into_iter().filter(is_there);
    let (leaked, uncertain) = found.partition(|b| calm && !after.of(allocator(b)).is_building());
    Ok(Unreferenced { leaked, uncertain })
}

/// The seat that allocated a block.
fn allocator(block: &BlockInfo) -> u32 {
    // A run's token names it.
    block.owner.unwrap_or((block.token as u32 & 0xffff).wrapping_sub(1))
}

/// The blocks of all logs. A damaged one ends the list.
fn log_chunks(pool: &Inner) -> HashSet<u64> {
    let mut chunks = HashSet::new();
    for seat in (0..pool.seat_count()).filter_map(|s| pool.seat_at(s)) {
        for log in &seat.logs {
            let mut next = log.chunk.load(Ordering::SeqCst);
            while next != 0 && chunks.insert(next) {
                next = crate::memory_view::word(pool, next).unwrap_or(0);
            }
        }
    }
    chunks
}

impl From<&BlockInfo> for Leak {
    fn from(block: &BlockInfo) -> Leak {
        Leak { offset: block.offset, bytes: block.size }
    }
}

#[cfg(test)]
mod tests {
    use crate::{Pool, ShMutex, ShRwLock, ShVec, directory};
    use std::sync::mpsc::channel;

    /// Making a named object may free the old table of names, which another seat may have allocated, when the directory is unlocked already. Repair took
    /// the table for leaked since its freer was building, freed it, and it was freed once more later on: from whoever had got it since.
    #[test]
    fn what_a_builder_is_about_to_free_has_not_leaked() {
        let pool = Pool::options().private().expect("a pool");
        let numbers = pool.named::<ShMutex<ShVec<u64>>>("numbers").expect("an object");
        let lost = {
            let mut guard = numbers.lock().expect("the lock");
            guard.push(1).expect("room");
            let header = std::ptr::from_ref::<ShVec<u64>>(&guard).cast_mut().cast::<[u64; 3]>();
            // SAFETY: under its lock; three zero words are an empty vector.
            unsafe { header.replace([0; 3])[0] }
        };
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let seat = pool.inner().seat().expect("a seat");
                let _building = seat.build();
                let op = seat.bare().begin();
                aquifer_alloc::free(op.cx(), lost).expect("a block");
                op.commit_then(|| {
                    let repair = std::thread::scope(|s| s.spawn(|| pool.repair()).join());
                    let repair = repair.expect("no panic").expect("a repair");
                    assert!(repair.freed.is_empty(), "{repair}");
                });
            });
        });
        let report = pool.check().expect("a check");
        assert!(report.is_clean(), "{report}");
    }

    /// Repair freed the blocks of the very object that was being built, from safe code.
    #[test]
    fn what_the_caller_itself_is_building_has_not_leaked() {
        let pool = Pool::options().private().expect("a pool");
        let inner = pool.clone();
        let source = move || {
            ShMutex::new(crate::from_iter((0..100u64).inspect(move |i| {
                if *i == 50 {
                    let repair = inner.repair().expect("a repair");
                    assert!(repair.freed.is_empty(), "{repair}");
                }
            })))
        };
        let numbers = pool.named_with::<ShMutex<ShVec<u64>>, _>("numbers", source).expect("an object");
        assert!(numbers.lock().expect("the lock").iter().copied().eq(0..100));
        let report = pool.check().expect("a check");
        assert!(report.is_clean(), "{report}");
    }

    /// Somebody who sat down on the seat with the same bit in summaries, read a lock that was written meanwhile, and left again, made the
    /// block that the writer had put there look leaked.
    #[test]
    fn a_reader_with_the_same_bit_that_came_and_went_makes_nothing_look_leaked() {
        let pool = Pool::options().private().expect("a pool");
        let numbers = pool.named::<ShRwLock<ShVec<u64>>>("numbers").expect("an object");
        let sit = || pool.inner().seat().expect("a seat").number();
        let twin = sit() + 32;
        std::thread::scope(|scope| {
            let (mut last, mut others) = (0, Vec::new());
            while last + 1 < twin {
                let ((seated, seats), (write, orders)) = (channel(), channel::<()>());
                let numbers = numbers.clone();
                scope.spawn(move || {
                    seated.send(numbers.pool().inner().seat().expect("a seat").number()).expect("a listener");
                    for () in orders {
                        numbers.write().expect("the lock").push(1).expect("room");
                        seated.send(0).expect("a listener");
                    }
                });
                last = seats.recv().expect("a seat");
                others.push((write, seats));
            }
            let report = directory::check(pool.inner(), false, |check| {
                others[0].0.send(()).expect("a writer");
                others[0].1.recv().expect("a writer");
                let reader = scope.spawn(|| {
                    assert_eq!(sit(), twin);
                    assert_eq!(numbers.read().expect("the lock").len(), 1);
                    pool.inner().give_up_seat();
                });
                reader.join().expect("a reader");
                assert!(check.rest().is_empty());
            });
            assert!(report.expect("a check").leaks.is_empty());
        });
    }
}
