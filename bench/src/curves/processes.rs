//! 1 to 1,000 processes that have a pool open, and are killed at once.

use super::crowd::{fork, reap};
use super::{Curve, Extent, Order, Series};
use crate::measure::{median, processor_time};
use crate::partner::shared_memory;
use crate::scratch::Scratch;
use crate::{Result, machine};
use aquifer::{Named, Pool, ShRwLock};
use std::ptr;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

type Lock = Named<ShRwLock<u64>>;

const MOST: usize = 1000;
/// How often the last of all processes locks.
const LOCKS: u32 = 1000;

/// In memory of all.
#[repr(C)]
struct Board {
    /// How many have done what they were told.
    done: AtomicU32,
    /// What each is told: a futex.
    told: [AtomicU32; MOST],
    /// Nanoseconds that it took each.
    opened: [AtomicU64; MOST],
    locked: [AtomicU64; MOST],
}

const LOCK: u32 = 1;
const READ: u32 = 2;

pub fn curves(extent: Extent) -> Result<Vec<Curve>> {
    machine::unpin()?;
    let counts = [1, 4, 16, 64, 256, 1000].map(|n: usize| n.min(extent.processes));
    let mut counts = counts.to_vec();
    counts.dedup();
    // A few processes cost next to nothing: there the order does not show yet.
    let mut opening = Series::new("aquifer", Order::Between(-0.1, 1.0)).fit_from(4.0);
    let mut locking = Series::new("aquifer", Order::Between(-0.1, 0.25)).fit_from(4.0);
    let mut burying = Series::new("aquifer", Order::Between(0.3, 1.15)).fit_from(16.0);
    for count in counts {
        let (open, lock, bury) = measure(count)?;
        opening.points.push((count as f64, open));
        locking.points.push((count as f64, lock));
        burying.points.push((count as f64, bury));
    }
    let curve = |file, title, y, expected, line| Curve {
        file,
        title,
        x: "processes that have the pool open",
        y,
        expected,
        series: vec![line],
    };
    Ok(vec![
        curve(
            "processes-opening",
            "One more process opens a pool",
            "ns of an opening",
            "at most O(processes): who joins asks the kernel after each of the others, which shows from some hundred on",
            opening,
        ),
        curve(
            "processes-lock",
            "One write lock by each process",
            "ns of locking and unlocking",
            "O(1): a writer asks only after those that have read since",
            locking,
        ),
        curve(
            "processes-burying",
            "All processes are killed while they read; the survivor locks for writing and buries them",
            "us until all are buried",
            "O(processes)",
            burying,
        ),
    ])
}

/// Nanoseconds of the last openings and of a lock, and microseconds of burying all.
fn measure(count: usize) -> Result<(f64, f64, f64)> {
    // SAFETY: zeroed, aligned to a page, and never unmapped.
    let board: &'static Board = unsafe { &*shared_memory(size_of::<Board>())?.cast() };
    let name = Scratch::new("processes");
    // Closed again: the children must open it themselves.
    drop(Pool::create(name.name())?.named::<ShRwLock<u64>>("lock")?);
    let mut children = Vec::new();
    for i in 0..count {
        children.push(fork(|| {
            if let Err(e) = child(board, i, name.name()) {
                eprintln!("process {i}: {e}");
            }
        })?);
        until_done(board, i as u32 + 1)?;
    }
    let numbers =
        |of: &[AtomicU64]| -> Vec<f64> { of.iter().map(|n| n.load(Ordering::SeqCst) as f64).collect() };
    let openings = numbers(&board.opened[count - count.div_ceil(4)..count]);

    for (i, word) in board.told[..count].iter().enumerate() {
        tell(word, LOCK);
        until_done(board, (count + i) as u32 + 1)?;
    }
    let locks = numbers(&board.locked[..count]);
    board.told[..count].iter().for_each(|word| tell(word, READ));
    until_done(board, 3 * count as u32)?;

    let pool = Pool::open(name.name())?;
    let lock: Lock = pool.named("lock")?;
    for pid in &children {
        // SAFETY: a signal to a child that was not reaped yet.
        unsafe { libc::kill(*pid, libc::SIGKILL) };
    }
    children.into_iter().try_for_each(reap)?;
    let start = processor_time();
    drop(lock.write()?);
    pool.raw().bury_dead();
    let bury = (processor_time() - start).as_nanos() as f64 / 1e3;
    let left = pool.info().processes;
    if left != 1 {
        return Err(format!("{} processes were not buried", left - 1).into());
    }
    Ok((median(&openings), median(&locks), bury))
}

/// Opens, locks for writing when it is told to, then for reading, and stays so until it is killed.
fn child(board: &Board, i: usize, name: &str) -> Result<()> {
    let start = processor_time();
    let lock: Lock = Pool::open(name)?.named("lock")?;
    board.opened[i].store((processor_time() - start).as_nanos() as u64, Ordering::SeqCst);
    board.done.fetch_add(1, Ordering::SeqCst);

    await_word(&board.told[i], LOCK);
    drop(lock.write()?);
    let start = processor_time();
    for _ in 0..LOCKS {
        drop(lock.write()?);
    }
    board.locked[i].store((processor_time() - start).as_nanos() as u64 / u64::from(LOCKS), Ordering::SeqCst);
    board.done.fetch_add(1, Ordering::SeqCst);

    await_word(&board.told[i], READ);
    let guard = lock.read()?;
    board.done.fetch_add(1, Ordering::SeqCst);
    loop {
        await_word(&board.told[i], u32::MAX);
        // Keeps the guard alive: nobody ever says that word.
        std::hint::black_box(&guard);
    }
}

fn until_done(board: &Board, count: u32) -> Result<()> {
    let start = Instant::now();
    while board.done.load(Ordering::SeqCst) < count {
        if start.elapsed() > Duration::from_secs(30) {
            return Err("a process did not do what it was told".into());
        }
        thread::sleep(Duration::from_micros(50));
    }
    Ok(())
}

fn tell(word: &AtomicU32, what: u32) {
    word.store(what, Ordering::SeqCst);
    // SAFETY: wakes whoever waits on a word of shared memory.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE, 1) };
}

fn await_word(word: &AtomicU32, what: u32) {
    loop {
        let now = word.load(Ordering::SeqCst);
        if now >= what {
            return;
        }
        let forever: *const libc::timespec = ptr::null();
        // SAFETY: waits while the word is what it was.
        unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAIT, now, forever) };
    }
}
