//! Who holds which lock, and who waits for it since when.

use super::locks::Locks;
use crate::report::{Hold, LockHeld};
use aquifer_pool::layout::Seat;
use aquifer_pool::lock::RawLock;
use aquifer_pool::retire::lock_of;
use aquifer_pool::{Inner, clock};
use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Seats and locks, as they were when the check began.
pub(super) struct Holding(Vec<Seen>);

struct Seen {
    seat: u32,
    offset: u64,
    hold: Hold,
    since: Option<Duration>,
}

impl Holding {
    /// Looks at all seats. What changes meanwhile may be there or not.
    pub(super) fn look(pool: &Inner) -> Holding {
        let mut seen = Vec::new();
        for number in 0..pool.seat_count() {
            if let Some(seat) = pool.seat_at(number).filter(|s| s.record.load(Ordering::SeqCst) != 0) {
                look_at(pool, number, seat, &mut seen);
            }
        }
        Holding(seen)
    }

    pub(super) fn offsets(&self) -> impl Iterator<Item = u64> {
        self.0.iter().map(|s| s.offset).collect::<HashSet<_>>().into_iter()
    }

    /// The same with paths, for locks that the walk has met.
    pub(super) fn report(&self, pool: &Inner, locks: &Locks) -> Vec<LockHeld> {
        let longest = |offset| self.0.iter().filter(|s| s.offset == offset).filter_map(|s| s.since).max();
        let held = |s: &Seen| LockHeld {
            path: locks.name_of(s.offset).map(|p| p.show(pool)),
            offset: s.offset,
            by: pool.holder(s.seat),
            hold: s.hold,
            waited_for: match s.hold {
                Hold::Writes | Hold::Reads => longest(s.offset),
                Hold::Waits => s.since,
            },
        };
        self.0.iter().map(held).collect()
    }
}

fn look_at(pool: &Inner, number: u32, seat: &Seat, seen: &mut Vec<Seen>) {
    let mut add = |offset, hold, since| seen.push(Seen { seat: number, offset, hold, since });
    let waits_for = seat.waits_for.load(Ordering::SeqCst);
    let waits_since = seat.waits_since.load(Ordering::SeqCst);
    for offset in seat.held.iter().map(|h| lock_of(h.load(Ordering::SeqCst))).filter(|o| *o != 0) {
        if writer(pool, offset) == Some(number) && offset != waits_for {
            add(offset, Hold::Writes, None);
        }
    }
    for offset in
        seat.marks.0.iter().map(|m| m.load(Ordering::SeqCst) & !1).filter(|o| *o != 0 && *o != waits_for)
    {
        add(offset, Hold::Reads, None);
    }
    if waits_for != 0 {
        add(waits_for, Hold::Waits, Some(clock::since(waits_since)));
    }
}

/// The seat that has the lock for writing.
fn writer(pool: &Inner, offset: u64) -> Option<u32> {
    let at = pool.at(offset, 8).ok().filter(|_| offset.is_multiple_of(8))?;
    // SAFETY: in bounds by `at`, and aligned; looked at as one atomic word.
    unsafe { &*at.cast::<RawLock>() }.writer()
}
