//! What threads of this process have moved, made or lent by changes that are not final, as far as locks stand in it.
//!
//! A thread whose log is held open may lend a lock that such changes concern to a scoped thread. What that one did under it would be final by itself, and
//! undoing the log would bring back what it has freed. It is refused: so it must learn of the changes, of which the log is another thread's. They are noted
//! here when an operation on locks ends while its log is held open, which happens before anybody can lend what it was about; and forgotten when the log is final or undone.

use crate::fork::{Side, free_lock};
use parking_lot::{Mutex, MutexGuard};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes that the undo of a log would write over or give back: where pieces begin and end, which neither overlap nor touch, since a long transaction
/// notes the same words again and again, and one slot after the other.
#[derive(Debug, Default)]
struct Extents(BTreeMap<u64, u64>);

impl Extents {
    fn add(&mut self, first: u64, len: u64) {
        let (mut first, mut end) = (first, first.saturating_add(len));
        while let Some((&begin, &until)) =
            self.0.range(..=end).next_back().filter(|(_, until)| **until >= first)
        {
            self.0.remove(&begin);
            (first, end) = (first.min(begin), end.max(until));
        }
        self.0.insert(first, end);
    }

    fn hold(&self, offset: u64) -> bool {
        self.0.range(..=offset).next_back().is_some_and(|(_, end)| offset < *end)
    }
}

/// A log: number of the pool's join, of the seat, of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) pool: u64,
    pub(crate) seat: u32,
    pub(crate) log: usize,
}

/// A few: logs that are held open, and about locks.
static TABLE: Mutex<Vec<(Owner, Extents)>> = Mutex::new(Vec::new());
/// How many there are. Whoever has a lock lent that one of them concerns has a reference from its thread, and so sees it counted.
static COUNT: AtomicU64 = AtomicU64::new(0);

/// How many there are: the fast paths of writers go on only if none.
#[inline(always)]
pub(crate) fn unsettled() -> u64 {
    COUNT.load(Ordering::Relaxed)
}

/// Notes what an operation on a log that is held open has done.
pub(crate) fn note(log: Owner, extents: impl Iterator<Item = (u64, u64)>) {
    // Before the table is locked: to look at records may lock windows, which a fork locks first.
    let noted: Vec<_> = extents.filter(|(_, len)| *len > 0).collect();
    let mut all = TABLE.lock();
    let at = all.iter().position(|(owner, _)| *owner == log).unwrap_or_else(|| {
        all.push((log, Extents::default()));
        all.len() - 1
    });
    noted.into_iter().for_each(|(first, len)| all[at].1.add(first, len));
    COUNT.store(all.len() as u64, Ordering::Relaxed);
}

/// The log is final, or undone.
pub(crate) fn forget(log: Owner) {
    forget_in(&mut TABLE.lock(), log);
}

fn forget_in(all: &mut Vec<(Owner, Extents)>, log: Owner) {
    all.retain(|(owner, _)| *owner != log);
    COUNT.store(all.len() as u64, Ordering::Relaxed);
}

/// Whether a log of another seat concerns the lock at `offset` that is not final. Others are forgotten: their locks were retired, perhaps by another process.
///
/// `is_final` is asked while nobody can note anything, nor forget: what is noted of a log that is final then is all of the past.
pub(crate) fn concern(pool: u64, seat: u32, offset: u64, is_final: impl Fn(Owner) -> bool) -> bool {
    let mut all = TABLE.lock();
    let concerns = |(owner, extents): &&(Owner, Extents)| {
        owner.pool == pool && owner.seat != seat && extents.hold(offset)
    };
    while let Some(log) = all.iter().find(concerns).map(|(owner, _)| *owner) {
        if !is_final(log) {
            return true;
        }
        forget_in(&mut all, log);
    }
    false
}

// ---- fork: the table is locked over it; no thread that has noted anything is in the child

pub(crate) fn fork_prepare() {
    MutexGuard::leak(TABLE.lock());
}

/// # Safety
/// After `fork_prepare` by the same thread, in the parent or in the child.
#[allow(unsafe_code)]
pub(crate) unsafe fn fork_done(side: Side) {
    if side == Side::Child {
        // SAFETY: locked by `fork_prepare`; nobody else is there. Not freed: memory is not, between a fork and its end.
        std::mem::forget(std::mem::take(unsafe { &mut *TABLE.data_ptr() }));
        COUNT.store(0, Ordering::Relaxed);
    }
    // SAFETY: locked by `fork_prepare` on this thread, or on the one it is the image of.
    unsafe { free_lock(TABLE.raw(), side) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_that_overlap_or_touch_become_one() {
        let mut extents = Extents::default();
        for (first, len) in [(100, 10), (130, 10), (110, 5), (90, 5), (125, 5), (100, 1), (200, 8), (95, 5)] {
            extents.add(first, len);
        }
        assert_eq!(extents.0.into_iter().collect::<Vec<_>>(), [(90, 115), (125, 140), (200, 208)]);
    }

    #[test]
    fn they_hold_what_was_added_and_nothing_else() {
        let (mut extents, mut bytes) = (Extents::default(), [false; 300]);
        let mut random = 1u64;
        for _ in 0..200 {
            random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let (first, len) = ((random >> 33) % 280, (random >> 50) % 12 + 1);
            extents.add(first, len);
            bytes[first as usize..(first + len) as usize].fill(true);
            assert!((0..300).all(|i| extents.hold(i) == bytes[i as usize]));
        }
    }
}
