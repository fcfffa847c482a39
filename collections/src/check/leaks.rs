//! Blocks that nothing refers to, while others may be at work.
//!
//! What is unreachable stays so, and nobody can free it: so it is enough to prove it for one moment. That moment lies between the walk and the
//! end of this module's look at the heap. For all of that time
//!
//! - nobody has had one of the locks that the walk read for writing (see `Locks::are_unchanged`), so that what was reachable still is, and nothing
//!   else is; the directory is read-locked;
//! - no log has an operation under way whose blocks are not linked in yet, or not freed yet: each was seen empty before and after, and an
//!   operation in between needs a lock of those above, or counts as a build (`Seat::builds`). A build cannot end well meanwhile: that takes the
//!   directory's lock. What a seat allocated that is building is left alone.
//!
//! Where one of these does not hold, what was found is not called leaked but uncertain, and `repair` leaves it alone.

use super::claims::Claims;
use crate::report::Leak;
use aquifer_alloc::BlockInfo;
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
}

impl Seats {
    /// Looks at all seats but that of the caller, whose own work is none of the pool's objects.
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
        self.0.get(seat as usize).copied().unwrap_or(Activity { builds: 0, working: false })
    }
}

impl Activity {
    /// Whether it builds an object that nothing refers to yet, of blocks of its own.
    fn is_building(self) -> bool {
        self.builds & 1 != 0
    }

    /// Whether it does something else that is not over: blocks of any seat may be linked in, or freed.
    fn is_at_work(self) -> bool {
        self.working && !self.is_building()
    }
}

fn activity(pool: &Inner, number: u32, own: &SeatCtx) -> Activity {
    let Some(seat) = pool.seat_at(number).filter(|_| number != own.number()) else {
        return Activity { builds: 0, working: false };
    };
    let working = seat.logs.iter().any(|l| l.head.load(Ordering::SeqCst) != 0);
    Activity { builds: seat.builds.load(Ordering::SeqCst), working }
}

/// Blocks that nothing refers to.
pub(super) struct Unreferenced {
    /// These have leaked.
    pub(super) leaked: Vec<BlockInfo>,
    /// These may be on their way.
    pub(super) uncertain: Vec<BlockInfo>,
}

/// Looks for blocks that no claim names. The walk is over, and the directory read-locked since before it.
pub(super) fn find(pool: &Inner, own: &SeatCtx, claims: &mut Claims<'_>, calm: bool) -> Result<Unreferenced> {
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
    let calm = calm && all_known && claims.locks.are_unchanged(pool, own);
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
