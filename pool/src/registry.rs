//! The pools this process has joined, so that opening one again gives the same join.

use crate::fork::{Side, free_lock};
use crate::raw::{Inner, RawPool};
use crate::sys::file::Identity;
use parking_lot::{Mutex, MutexGuard};
use slab::Slab;
use std::sync::{Arc, Weak};

#[derive(Debug)]
struct Joined {
    id: u64,
    /// `None`: not to be found by file (private memory, second mappings).
    identity: Option<Identity>,
    pool: Weak<Inner>,
}

static JOINED: Mutex<Slab<Joined>> = Mutex::new(Slab::new());

/// The join of a file, if this process has one that is not ending.
pub(crate) fn find_file(identity: Identity) -> Option<RawPool> {
    let joined = JOINED.lock();
    let found = joined.iter().find(|(_, j)| j.identity == Some(identity) && j.pool.strong_count() > 0);
    found.and_then(|(_, j)| j.pool.upgrade()).map(RawPool)
}

/// The join of that number.
pub(crate) fn find(id: u64) -> Option<RawPool> {
    let joined = JOINED.lock();
    let found = joined.iter().find(|(_, j)| j.id == id);
    found.and_then(|(_, j)| j.pool.upgrade()).map(RawPool)
}

/// Enters a join, or returns the one that another thread has just entered for the same file.
pub(crate) fn enter(pool: &RawPool, identity: Option<Identity>) -> Option<RawPool> {
    let mut joined = JOINED.lock();
    if identity.is_some() {
        let found = joined.iter().find(|(_, j)| j.identity == identity).and_then(|(_, j)| j.pool.upgrade());
        if let Some(other) = found {
            return Some(RawPool(other));
        }
    }
    joined.insert(Joined { id: pool.0.id, identity, pool: Arc::downgrade(&pool.0) });
    None
}

/// Takes a join out.
pub(crate) fn leave(id: u64) {
    JOINED.lock().retain(|_, j| j.id != id);
}

static FORKING: Mutex<Vec<RawPool>> = Mutex::new(Vec::new());

/// Locks every private lock of the library, so that a child of a fork finds them free and their contents whole.
pub(crate) fn fork_prepare() {
    let forking = MutexGuard::leak(FORKING.lock());
    let joined = MutexGuard::leak(JOINED.lock());
    *forking = joined.iter().filter_map(|(_, j)| j.pool.upgrade()).map(RawPool).collect();
    forking.iter().for_each(|p| p.fork_prepare());
    // After the tables, whose owners may wait to get inside; before the windows, which those inside may need to come out.
    crate::fork::close_gate();
    forking.iter().for_each(|p| p.windows.fork_prepare());
    crate::siblings::fork_prepare();
    crate::wiped::fork_prepare();
}

/// # Safety
/// After `fork_prepare` by the same thread, in the parent or in the child.
#[allow(unsafe_code)]
pub(crate) unsafe fn fork_done(side: Side) {
    // SAFETY: after `fork_prepare`, on the same thread or its image.
    unsafe {
        crate::wiped::fork_done(side);
        crate::siblings::fork_done(side);
    }
    // SAFETY: locked by `fork_prepare` on this thread, or on the one it is the image of.
    unsafe { free_lock(JOINED.raw(), side) };
    // SAFETY: as above; nobody else can have the lock, so the list is ours.
    let pools = std::mem::take(unsafe { &mut *FORKING.data_ptr() });
    for p in &pools {
        // SAFETY: as above.
        unsafe {
            p.windows.fork_done(side);
            p.fork_done(side);
        }
    }
    crate::fork::open_gate();
    // SAFETY: as above.
    unsafe { free_lock(FORKING.raw(), side) };
    // Dropped last, with nothing locked: this may be the last handle.
    drop(pools);
}
