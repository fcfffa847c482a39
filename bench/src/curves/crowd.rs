//! Many threads or processes that work at the same time.

use crate::Result;
use crate::partner::shared_memory;
use std::io;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

/// In memory of all.
struct Board {
    ready: AtomicU32,
    phase: AtomicU32,
    operations: AtomicU64,
}

const GO: u32 = 1;
const STOP: u32 = 2;

/// Whether workers are threads of this process or processes of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Threads,
    Processes,
}

/// `count` workers do `batch` over and over, for that long; returns operations per second of all together. A batch tells how many it was.
pub fn rate(kind: Kind, count: usize, time: Duration, batch: impl Fn() -> Result<u64> + Sync) -> Result<f64> {
    // SAFETY: zeroed, aligned to a page, and never unmapped.
    let board: &'static Board = unsafe { &*shared_memory(size_of::<Board>())?.cast() };
    match kind {
        Kind::Threads => thread::scope(|scope| {
            for _ in 0..count {
                scope.spawn(|| work(board, &batch));
            }
            direct(board, count, time);
        }),
        Kind::Processes => {
            let mut children = Vec::new();
            for _ in 0..count {
                children.push(fork(|| work(board, &batch))?);
            }
            direct(board, count, time);
            children.into_iter().try_for_each(reap)?;
        }
    }
    match board.operations.load(Ordering::SeqCst) {
        0 => Err("no worker did anything".into()),
        operations => Ok(operations as f64 / time.as_secs_f64()),
    }
}

/// Begins when all are ready, and ends when the time is over.
fn direct(board: &Board, count: usize, time: Duration) {
    while board.ready.load(Ordering::SeqCst) < count as u32 {
        thread::sleep(Duration::from_micros(100));
    }
    board.phase.store(GO, Ordering::SeqCst);
    thread::sleep(time);
    board.phase.store(STOP, Ordering::SeqCst);
}

fn work(board: &Board, batch: &impl Fn() -> Result<u64>) {
    // The first is not counted: it makes what a worker needs.
    let able = batch().is_ok();
    board.ready.fetch_add(1, Ordering::SeqCst);
    while board.phase.load(Ordering::SeqCst) < GO {
        thread::sleep(Duration::from_micros(100));
    }
    let mut operations = 0;
    while able && board.phase.load(Ordering::Relaxed) < STOP {
        operations += batch().unwrap_or(0);
    }
    board.operations.fetch_add(operations, Ordering::SeqCst);
}

/// Runs `job` in a child process, which ends then.
pub fn fork(job: impl FnOnce()) -> Result<libc::pid_t> {
    // SAFETY: this process has one thread, so that the child may do whatever it could.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error().into()),
        0 => {
            // SAFETY: has the kernel kill this process when its parent ends.
            unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
            let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(job)).is_ok();
            // SAFETY: ends the process at once: the parent's destructors must not run here too.
            unsafe { libc::_exit(!done as i32) }
        }
        pid => Ok(pid),
    }
}

/// Waits for the end of a child.
pub fn reap(pid: libc::pid_t) -> Result<()> {
    // SAFETY: waits for a child that was not reaped yet.
    match unsafe { libc::waitpid(pid, std::ptr::null_mut(), 0) } {
        -1 => Err(io::Error::last_os_error().into()),
        _ => Ok(()),
    }
}
