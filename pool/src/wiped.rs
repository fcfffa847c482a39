//! Memory that a child of a fork, or of a raw `clone`, finds full of zeros (`MADV_WIPEONFORK`).
//!
//! What stands there belongs to the process that wrote it: a child need not compare anything to know that it is not its own. Slots
//! are given out one by one and used again; their memory stays mapped as long as the process, so that an address of one that was given
//! back may still be read. A thread may keep the address of a slot that it had, so no other thread gets that one as long as it lives: who closes a pool
//! gives the slots of other threads back for them. One of a thread that has ended with a guard it forgot, or that took a seat while it ended, is not used again.

use crate::quick::Quick;
use parking_lot::{Mutex, MutexGuard};
use std::collections::BTreeMap;

/// Slots made at a time.
const SLOTS: usize = 16;

#[derive(Debug)]
struct Slots {
    /// The blocks of [`SLOTS`] that the kernel does not wipe.
    unwiped: Vec<*mut Quick>,
    /// By the thread that had them; for all at [`ANYBODY`].
    free: BTreeMap<u64, Vec<*mut Quick>>,
}

/// No thread has this key.
const ANYBODY: u64 = 0;

// SAFETY: addresses of memory that belongs to the process; who takes a slot has it alone.
unsafe impl Send for Slots {}

static ALL: Mutex<Slots> = Mutex::new(Slots { unwiped: Vec::new(), free: BTreeMap::new() });

impl Slots {
    fn free_for(&mut self, thread: u64) -> Option<*mut Quick> {
        self.free.get_mut(&thread)?.pop()
    }
}

/// A slot for a thread, of which nobody sees what stands in it: zeros, or what its last owner left. `None` for want of memory; of a new one only what is used takes memory.
pub(crate) fn take(thread: u64) -> Option<*mut Quick> {
    let mut all = ALL.lock();
    if let Some(slot) = all.free_for(thread).or_else(|| all.free_for(ANYBODY)) {
        return Some(slot);
    }
    let (block, wiped) = make_block()?;
    if !wiped {
        all.unwiped.push(block);
    }
    all.free.entry(ANYBODY).or_default().extend((1..SLOTS).map(|i| block.wrapping_add(i)));
    Some(block)
}

/// Gives a slot back that a thread had. One that a parent had is left where it is: guards that were copied with the parent's memory may look at it.
pub(crate) fn give_back(slot: *mut Quick, thread: u64) {
    ALL.lock().free.entry(thread).or_default().push(slot);
}

/// The thread looks at none of the slots any more that it had and are given back.
pub(crate) fn leave(thread: u64) {
    let mut all = ALL.lock();
    if let Some(slots) = all.free.remove(&thread) {
        all.free.entry(ANYBODY).or_default().extend(slots);
    }
}

#[cfg(not(miri))]
fn make_block() -> Option<(*mut Quick, bool)> {
    use rustix::mm::{Advice, MapFlags, ProtFlags};
    let len = SLOTS * size_of::<Quick>();
    // SAFETY: a new private mapping, zeros, which is valid for `Quick`; advised as a whole and never unmapped.
    unsafe {
        let rw = ProtFlags::READ | ProtFlags::WRITE;
        let block = rustix::mm::mmap_anonymous(std::ptr::null_mut(), len, rw, MapFlags::PRIVATE).ok()?;
        // A kernel that cannot (before 4.14) leaves it to `fork_done`, which reaches the forks of libc only.
        let wiped = rustix::mm::madvise(block, len, Advice::LinuxWipeOnFork).is_ok();
        Some((block.cast(), wiped))
    }
}

#[cfg(miri)]
fn make_block() -> Option<(*mut Quick, bool)> {
    // SAFETY: the size is not 0; zeros are valid for `Quick`.
    Some((unsafe { std::alloc::alloc_zeroed(std::alloc::Layout::new::<[Quick; SLOTS]>()) }.cast(), false))
}

pub(crate) fn fork_prepare() {
    MutexGuard::leak(ALL.lock());
}

/// # Safety
/// After `fork_prepare` by the same thread, in the parent or in the child.
pub(crate) unsafe fn fork_done(side: crate::fork::Side) {
    if side == crate::fork::Side::Child {
        // SAFETY: locked by `fork_prepare` on the thread this one is the image of, so the list is whole and ours.
        let all = unsafe { &*ALL.data_ptr() };
        for block in &all.unwiped {
            // SAFETY: a block of that many slots; no other thread exists in this child.
            unsafe { block.write_bytes(0, SLOTS) };
        }
    }
    // SAFETY: locked by `fork_prepare` on this thread, or on the one it is the image of.
    unsafe { crate::fork::free_lock(ALL.raw(), side) };
}
