//! Pools without a heap, and children that are killed.
#![allow(dead_code, unreachable_pub)]
#![allow(clippy::unwrap_used)] // a failure of what surrounds a test is a failure of the test

use aquifer_pool::layout::fresh;
use aquifer_pool::log::{LogCx, RecordView};
use aquifer_pool::seat::SeatCtx;
use aquifer_pool::upper::{Progress, Upper};
use aquifer_pool::{Inner, Options, RawPool, Result};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The tests' own area.
pub const HEAP: u64 = fresh::HEAP;

/// No heap: what must be had for good is taken from the end of the pool.
#[derive(Debug)]
pub struct NoHeap {
    taken: AtomicU64,
}

pub static NO_HEAP: NoHeap = NoHeap { taken: AtomicU64::new(0) };

impl Upper for NoHeap {
    fn lay_out(&self, _: &Inner) -> Result<()> {
        Ok(())
    }
    fn hash_probe(&self, seed: [u64; 2]) -> [u64; 4] {
        [seed[0], seed[1], 0, 0]
    }
    fn verify(&self, _: &Inner) -> Result<()> {
        Ok(())
    }
    fn settle(&self, _: &SeatCtx) {}
    fn undo(&self, _: &LogCx, _: RecordView) {}
    fn carry_out(&self, _: &LogCx, _: RecordView) -> Progress {
        Progress::Done
    }
    fn log_chunk(&self, cx: &LogCx, bytes: u64) -> Result<u64> {
        self.permanent(cx, bytes)
    }
    fn permanent(&self, cx: &LogCx, bytes: u64) -> Result<u64> {
        let length = cx.pool().header().length.load(Ordering::SeqCst);
        let taken = self.taken.fetch_add(bytes, Ordering::SeqCst) + bytes;
        Ok(length - taken % (length / 2))
    }
    fn rejoined(&self, _: &Inner) -> Result<()> {
        Ok(())
    }
}

/// A nameless pool of 8 MiB.
pub fn pool() -> RawPool {
    RawPool::memfd(&Options::new().size(8 << 20).window(64 << 20), &NO_HEAP).unwrap()
}

/// Waits for a condition; fails after a minute.
pub fn until(condition: impl Fn() -> bool) {
    let begin = Instant::now();
    while !condition() {
        assert!(begin.elapsed() < Duration::from_secs(60), "nothing happened for a minute");
        std::thread::yield_now();
    }
}

/// A child process; killed and reaped when dropped.
pub struct Child(i32);

impl Child {
    /// Forks; returns when the child has called `ready`. The child stays until it is killed.
    pub fn run(pool: &RawPool, f: impl FnOnce(&RawPool, &dyn Fn())) -> Child {
        let mut ends = [0; 2];
        // SAFETY: `pipe` writes two descriptors. The child uses only what the library supports after a fork, and never returns.
        unsafe {
            assert_eq!(libc::pipe(ends.as_mut_ptr()), 0);
            let pid = libc::fork();
            assert!(pid >= 0);
            if pid == 0 {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                let ready = move || assert_eq!(libc::write(ends[1], b"r".as_ptr().cast(), 1), 1);
                let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| f(pool, &ready)));
                if result.is_err() {
                    libc::_exit(1);
                }
                loop {
                    libc::pause();
                }
            }
            libc::close(ends[1]);
            let mut byte = 0u8;
            let got = libc::read(ends[0], (&raw mut byte).cast(), 1);
            libc::close(ends[0]);
            let child = Child(pid);
            assert_eq!(got, 1, "the child failed");
            child
        }
    }

    /// A process that somebody else has made.
    pub fn of(pid: i32) -> Child {
        Child(pid)
    }

    pub fn pid(&self) -> i32 {
        self.0
    }

    pub fn stop(&self) {
        let mut status = 0;
        // SAFETY: a signal to our child, and a wait for it.
        unsafe {
            libc::kill(self.0, libc::SIGSTOP);
            libc::waitpid(self.0, &mut status, libc::WUNTRACED);
        }
        assert!(libc::WIFSTOPPED(status));
    }

    /// Kills the child and waits until the kernel has taken it down.
    pub fn kill(self) {
        drop(self);
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // SAFETY: a signal to, and a wait for, our child.
        unsafe {
            libc::kill(self.0, libc::SIGKILL);
            libc::waitpid(self.0, std::ptr::null_mut(), 0);
        }
    }
}
