//! Memory that a child of a fork, or of a raw `clone`, finds full of zeros (`MADV_WIPEONFORK`).
//!
//! What stands there belongs to the process that wrote it: a child need not compare anything to know that it is not its own. Slots
//! are given out one by one and used again; their memory stays mapped as long as the process, so that an address of one that was given
//! back may still be read.

use crate::quick::Quick;
use parking_lot::{Mutex, MutexGuard};

/// Slots made at a time.
const SLOTS: usize = 16;

#[derive(Debug)]
struct Slots {
    /// The blocks of [`SLOTS`] that the kernel does not wipe.
    unwiped: Vec<*mut Quick>,
    free: Vec<*mut Quick>,
}

// SAFETY: addresses of memory that belongs to the process; who takes a slot has it alone.
unsafe impl Send for Slots {}

static ALL: Mutex<Slots> = Mutex::new(Slots { unwiped: Vec::new(), free: Vec::new() });

/// A slot of zeros (or of what its last owner left but for its `state`, which is 0); `None` for want of memory. Of a new one only what is used takes memory.
pub(crate) fn take() -> Option<*mut Quick> {
    let mut all = ALL.lock();
    if all.free.is_empty() {
        let (block, wiped) = make_block()?;
        if !wiped {
            all.unwiped.push(block);
        }
        all.free.extend((0..SLOTS).map(|i| block.wrapping_add(i)));
    }
    all.free.pop()
}

/// Gives a slot back. One that a parent had is left where it is: guards that were copied with the parent's memory may look at it.
pub(crate) fn give_back(slot: *mut Quick) {
    ALL.lock().free.push(slot);
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
