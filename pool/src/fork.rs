//! Noticing that this process is the child of a fork or of a raw `clone`.
//!
//! The epoch stands in a page that the kernel wipes in children (`MADV_WIPEONFORK`). Reading 0 there means: a child, in its first moment. It
//! takes a new epoch, by which everything that belongs to the parent (seats, guards) is told apart.

use parking_lot::RawMutex;
use parking_lot::lock_api::RawMutex as _;
use std::sync::atomic::{AtomicU64, Ordering};

/// Where a fork's handlers run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// In the process that forked.
    #[cfg_attr(miri, allow(dead_code))]
    Parent,
    /// In the new one.
    Child,
}

/// Frees a lock that was taken before the fork. In the child it is made anew: unlocking might hand it over to a thread that waited for
/// it, and is not there.
///
/// # Safety
/// The calling thread, or the one it is the image of, has the lock; in a child no other thread knows it yet.
pub(crate) unsafe fn free_lock(lock: &RawMutex, side: Side) {
    match side {
        // SAFETY: the caller's contract.
        Side::Parent => unsafe { lock.unlock() },
        // SAFETY: the lock is one atomic, which may be changed through a shared reference; nobody else uses it, by the contract.
        Side::Child => unsafe { std::ptr::from_ref(lock).cast_mut().write(RawMutex::INIT) },
    }
}

#[cfg(not(miri))]
mod page {
    use super::*;
    use rustix::mm::{Advice, MapFlags, ProtFlags};
    use std::sync::Once;
    use std::sync::atomic::AtomicPtr;

    static UNSET: AtomicU64 = AtomicU64::new(0);
    static PAGE: AtomicPtr<AtomicU64> = AtomicPtr::new((&raw const UNSET).cast_mut());
    /// Last epoch taken, in ordinary memory: children inherit it.
    static LAST: AtomicU64 = AtomicU64::new(0);

    /// The current epoch, never 0.
    #[inline(always)]
    pub fn epoch() -> u64 {
        let epoch = known_epoch();
        if epoch == 0 { begin() } else { epoch }
    }

    /// The same, or 0 when nobody has asked for it in this process.
    #[inline(always)]
    pub fn known_epoch() -> u64 {
        // SAFETY: points to `UNSET` or to the page made in `begin`, which is never unmapped.
        unsafe { &*PAGE.load(Ordering::Relaxed) }.load(Ordering::Relaxed)
    }

    #[cold]
    fn begin() -> u64 {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| {
            let page = make_page();
            PAGE.store(page.unwrap_or((&raw const UNSET).cast_mut()), Ordering::SeqCst);
            // SAFETY: the handlers are safe to call at any time and live as long as the process.
            unsafe { libc::pthread_atfork(Some(prepare), Some(parent), Some(child)) };
        });
        // SAFETY: as in `epoch`.
        let word = unsafe { &*PAGE.load(Ordering::SeqCst) };
        let next = LAST.load(Ordering::SeqCst) + 1;
        // Before the epoch is in force: a child that another thread forks right after must not take it again.
        LAST.fetch_max(next, Ordering::SeqCst);
        word.compare_exchange(0, next, Ordering::SeqCst, Ordering::SeqCst).map_or_else(|now| now, |_| next)
    }

    fn make_page() -> Option<*mut AtomicU64> {
        // SAFETY: a new private page, advised as a whole, then used as one word; never unmapped.
        unsafe {
            let rw = ProtFlags::READ | ProtFlags::WRITE;
            let page = rustix::mm::mmap_anonymous(std::ptr::null_mut(), 4096, rw, MapFlags::PRIVATE).ok()?;
            rustix::mm::madvise(page, 4096, Advice::LinuxWipeOnFork).ok()?;
            Some(page.cast())
        }
    }

    extern "C" fn prepare() {
        crate::registry::fork_prepare();
    }

    extern "C" fn parent() {
        // SAFETY: after `prepare`, on the same thread.
        unsafe { crate::registry::fork_done(Side::Parent) };
    }

    extern "C" fn child() {
        // Kernels without WIPEONFORK (before 4.14) get here for forks by libc at least.
        // SAFETY: as in `epoch`.
        unsafe { &*PAGE.load(Ordering::SeqCst) }.store(0, Ordering::SeqCst);
        epoch();
        // SAFETY: after `prepare`, on the image of the same thread.
        unsafe { crate::registry::fork_done(Side::Child) };
    }
}

#[cfg(not(miri))]
pub use page::{epoch, known_epoch};

/// Who has a descriptor that locks a record's byte, or is about to: low 31 bits how many, bit 31 whether somebody forks, above it the epoch.
/// Counts of another epoch are those of a parent's threads, which are not here.
static GATE: AtomicU64 = AtomicU64::new(0);
const FORKING: u64 = 1 << 31;

fn gate(epoch: u64) -> (u64, u64) {
    let word = GATE.load(Ordering::SeqCst);
    (word, if word >> 32 == epoch & 0xffff_ffff { word & 0xffff_ffff } else { 0 })
}

/// While this lives, nobody in this process forks: the child would inherit the descriptor, and with it the lock, beyond our death.
#[derive(Debug)]
pub struct NoFork(u64);

/// Waits for a fork under way. May be nested, but not within a sleep that only a fork could end.
pub fn no_fork() -> NoFork {
    let epoch = epoch();
    loop {
        let (word, state) = gate(epoch);
        let entered = epoch << 32 | (state + 1);
        if state & FORKING == 0
            && GATE.compare_exchange(word, entered, Ordering::SeqCst, Ordering::SeqCst).is_ok()
        {
            return NoFork(epoch);
        }
        crate::sys::yield_now();
    }
}

impl Drop for NoFork {
    fn drop(&mut self) {
        if self.0 == epoch() {
            GATE.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

/// Waits until nobody is inside, and keeps everybody out until `open_gate`.
pub(crate) fn close_gate() {
    let epoch = epoch();
    loop {
        let (word, state) = gate(epoch);
        if state == 0
            && GATE.compare_exchange(word, epoch << 32 | FORKING, Ordering::SeqCst, Ordering::SeqCst).is_ok()
        {
            return;
        }
        crate::sys::yield_now();
    }
}

/// Ends `close_gate`; in the child the new epoch has done so already.
pub(crate) fn open_gate() {
    GATE.store(epoch() << 32, Ordering::SeqCst);
}

/// Under Miri nothing forks.
#[cfg(miri)]
pub fn epoch() -> u64 {
    static EPOCH: AtomicU64 = AtomicU64::new(1);
    EPOCH.load(Ordering::Relaxed)
}

/// The same.
#[cfg(miri)]
pub use epoch as known_epoch;
