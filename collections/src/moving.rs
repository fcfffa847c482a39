//! Locks within values that are about to be moved or freed by who has them exclusively.

use crate::relocatable::Relocatable;
use crate::transaction::Running;
use aquifer_pool::log::LogCx;

/// To be called before values of type `T` in these bytes (offset and length) are moved, freed, or replaced.
///
/// Nobody else can reach the locks in them, so that who still holds one is this thread's transaction, which gives it back, or a guard that was
/// forgotten, whose thread forgets it. O(seats) if there are locks, else nothing.
#[inline(always)]
pub(crate) fn release_locks_in<T: Relocatable>(log: &LogCx, bytes: impl FnOnce() -> (u64, usize)) {
    if T::LOCKS {
        release(log, bytes());
    }
}

/// The same for one value at an address; nothing when that is not in the pool.
#[inline(always)]
pub(crate) fn release_locks_at<T: Relocatable>(log: &LogCx, at: *const T) {
    release_locks_in::<T>(log, || (log.pool().offset_of(at.cast()).unwrap_or(0), size_of::<T>()));
}

#[cold]
#[inline(never)]
fn release(log: &LogCx, (offset, len): (u64, usize)) {
    if offset == 0 {
        return;
    }
    if let Some(running) = Running::on(log.seat()) {
        running.unlock_within(offset, len as u64);
    }
    log.pool().retire_locks_in(log.seat(), offset, len as u64);
    log.note_locks();
}
