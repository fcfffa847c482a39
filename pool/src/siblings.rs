//! What threads of this process have moved, made or lent by changes that are not final, as far as locks stand in it.
//!
//! A thread whose log is held open may lend a lock that such changes concern to a scoped thread. What that one did under it would be final by itself, and
//! undoing the log would bring back what it has freed. It is refused: so it must learn of the changes, of which the log is another thread's. They are noted
//! here when an operation on locks ends while its log is held open, which happens before anybody can lend what it was about; and forgotten when the log is final or undone.

use crate::fork::{Side, free_lock};
use parking_lot::{Mutex, MutexGuard};
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes that the undo of a log would write over or give back.
#[derive(Debug, Clone, Copy)]
struct Extent {
    log: Owner,
    first: u64,
    len: u64,
}

/// A log: number of the pool's join, of the seat, of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) pool: u64,
    pub(crate) seat: u32,
    pub(crate) log: usize,
}

static EXTENTS: Mutex<Vec<Extent>> = Mutex::new(Vec::new());
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
    let noted: Vec<_> =
        extents.filter(|(_, len)| *len > 0).map(|(first, len)| Extent { log, first, len }).collect();
    let mut all = EXTENTS.lock();
    all.extend(noted);
    COUNT.store(all.len() as u64, Ordering::Relaxed);
}

/// The log is final, or undone.
pub(crate) fn forget(log: Owner) {
    let mut all = EXTENTS.lock();
    all.retain(|e| e.log != log);
    COUNT.store(all.len() as u64, Ordering::Relaxed);
}

/// Whether a log of another seat concerns the lock at `offset` that is not final. Others are forgotten: their locks were retired, perhaps by another process.
///
/// `is_final` is asked while nobody can note anything, nor forget: what is noted of a log that is final then is all of the past.
pub(crate) fn concern(pool: u64, seat: u32, offset: u64, is_final: impl Fn(Owner) -> bool) -> bool {
    let is_concerned =
        |e: &&Extent| e.log.pool == pool && e.log.seat != seat && offset.wrapping_sub(e.first) < e.len;
    let mut all = EXTENTS.lock();
    while let Some(log) = all.iter().find(is_concerned).map(|e| e.log) {
        if !is_final(log) {
            return true;
        }
        all.retain(|e| e.log != log);
        COUNT.store(all.len() as u64, Ordering::Relaxed);
    }
    false
}

// ---- fork: the table is locked over it; no thread that has noted anything is in the child

pub(crate) fn fork_prepare() {
    MutexGuard::leak(EXTENTS.lock());
}

/// # Safety
/// After `fork_prepare` by the same thread, in the parent or in the child.
#[allow(unsafe_code)]
pub(crate) unsafe fn fork_done(side: Side) {
    if side == Side::Child {
        // SAFETY: locked by `fork_prepare`; nobody else is there.
        unsafe { &mut *EXTENTS.data_ptr() }.clear();
        COUNT.store(0, Ordering::Relaxed);
    }
    // SAFETY: locked by `fork_prepare` on this thread, or on the one it is the image of.
    unsafe { free_lock(EXTENTS.raw(), side) };
}
