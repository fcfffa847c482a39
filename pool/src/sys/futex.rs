//! Sleeping on a word of shared memory. Not private to the process; the kernel knows the word by file and offset.

use std::sync::atomic::AtomicU32;
use std::time::Duration;

/// Sleeps until woken, `timeout` is over, or at once if the word is not `expected`. May return for no reason.
#[cfg(not(miri))]
pub fn wait(word: &AtomicU32, expected: u32, timeout: Duration) {
    use rustix::thread::futex;
    let timeout =
        rustix::time::Timespec { tv_sec: timeout.as_secs() as i64, tv_nsec: timeout.subsec_nanos() as _ };
    let _ = futex::wait(word, futex::Flags::empty(), expected, Some(&timeout));
}

/// Wakes all who sleep on the word.
#[cfg(not(miri))]
pub fn wake_all(word: &AtomicU32) {
    use rustix::thread::futex;
    let _ = futex::wake(word, futex::Flags::empty(), i32::MAX as u32);
}

/// Under Miri waiting is spinning.
#[cfg(miri)]
pub fn wait(_: &AtomicU32, _: u32, _: Duration) {
    std::thread::yield_now();
}

/// Under Miri nobody sleeps.
#[cfg(miri)]
pub fn wake_all(_: &AtomicU32) {}
