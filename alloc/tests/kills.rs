//! Storms of SIGKILL over processes that allocate and free in one pool, with a live adversary.
//!
//! Each child works on slots of its own in a table in the pool: an operation that fills a slot allocates a block and stores its offset there
//! under the same commit; one that empties a slot frees the block. So whenever a child is dead and buried, the blocks in the slots are the
//! allocated blocks: one more is a leak, one less was freed twice. The next child inherits the slots, whose blocks belong to other seats.
//!
//! In a second storm the pool may not grow, so that the children are in need all the time, and take from each other what they do not use.

#![allow(unsafe_code, clippy::unwrap_used)]

mod common;

use aquifer_alloc::{alloc, block_size, for_each_block, free, raw_alloc};
use aquifer_pool::layout::{LIVE, LOG_INNER};
use aquifer_pool::log::LogCx;
use aquifer_pool::{Error, Inner, Options, RawPool};
use common::{HEAP_ONLY, Random, check};
use std::alloc::Layout;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};

const CHILDREN: usize = 3;
const SLOTS: usize = 200;
/// Less than the slots would take.
const LIMIT: u64 = 1 << 20;

/// The table in the pool: for each child its slots and the count of its operations.
struct Table<'a> {
    words: &'a [AtomicU64],
}

impl<'a> Table<'a> {
    fn make(pool: &'a Inner) -> (Table<'a>, u64) {
        let bytes = CHILDREN * (SLOTS + 1) * 8;
        let offset = raw_alloc(pool.seat().unwrap(), Layout::from_size_align(bytes, 4096).unwrap()).unwrap();
        let at = pool.at(offset, bytes as u64).unwrap();
        // SAFETY: a block of that size, in bounds by `at`, which nobody frees.
        unsafe { at.write_bytes(0, bytes) };
        // SAFETY: as above; aligned to a page.
        (Table { words: unsafe { std::slice::from_raw_parts(at.cast(), bytes / 8) } }, offset)
    }

    fn slots(&self, child: usize) -> &'a [AtomicU64] {
        &self.words[child * (SLOTS + 1)..][..SLOTS]
    }

    fn count(&self, child: usize) -> &'a AtomicU64 {
        &self.words[child * (SLOTS + 1) + SLOTS]
    }
}

fn work(pool: &Inner, slots: &[AtomicU64], count: &AtomicU64, random: &mut Random) {
    let seat = pool.seat().unwrap();
    let cx = seat.bare();
    while count.load(Ordering::Relaxed) != u64::MAX {
        change(cx, &slots[random.below(SLOTS as u64) as usize], random);
        if random.below(8) == 0 {
            // Several in one operation, some of which are dropped half way.
            let op = cx.begin();
            for _ in 0..random.below(12) {
                change(cx, &slots[random.below(SLOTS as u64) as usize], random);
            }
            if random.below(3) > 0 {
                op.commit();
            }
        }
        count.fetch_add(1, Ordering::Relaxed);
    }
}

/// Fills an empty slot, empties a full one.
fn change(cx: &LogCx, slot: &AtomicU64, random: &mut Random) {
    let op = cx.begin();
    cx.save_word(slot);
    match slot.load(Ordering::Relaxed) {
        0 => {
            let size = random.size() / 4;
            let offset = match alloc(cx, size, 16) {
                Ok(offset) => offset,
                Err(Error::HardLimit { .. }) => return,
                Err(e) => panic!("{e}"),
            };
            assert!(block_size(cx.pool(), offset).unwrap() >= size as u64);
            slot.store(offset, Ordering::Relaxed);
        }
        offset => {
            match free(cx, offset) {
                Err(Error::HardLimit { .. }) => return, // no room for a longer log
                freed => freed.unwrap(),
            }
            slot.store(0, Ordering::Relaxed);
        }
    }
    op.commit();
}

fn spawn(pool: &RawPool, table: &Table<'_>, child: usize, seed: u64) -> libc::pid_t {
    // SAFETY: this process has one thread; the child uses the pool, which joins anew, and never returns.
    match unsafe { libc::fork() } {
        0 => {
            // SAFETY: takes two integers; the child dies with its parent.
            unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
            let run = || work(pool, table.slots(child), table.count(child), &mut Random(seed | 1));
            let failed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).is_err();
            // SAFETY: ends the child at once.
            unsafe { libc::_exit(if failed { 3 } else { 0 }) }
        }
        pid => {
            assert!(pid > 0, "fork failed");
            pid
        }
    }
}

/// Kills a child that must be running still.
fn kill(pid: libc::pid_t) {
    let mut status = 0;
    // SAFETY: a child of ours that nobody else waits for.
    unsafe {
        libc::kill(pid, libc::SIGKILL);
        libc::waitpid(pid, &mut status, 0);
    }
    assert!(libc::WIFSIGNALED(status), "a child failed: status {status:#x}");
}

/// Buries a dead child, or waits until a sibling that is at it has.
fn bury(pool: &Inner, pid: libc::pid_t) {
    let is_there = |r: u32| {
        pool.record_at(r).is_some_and(|r| r.pid.load(Ordering::SeqCst) == pid as u32)
            && pool.record_state(r) & LIVE != 0
    };
    while (0..pool.record_count()).any(is_there) {
        pool.bury_dead();
        std::thread::yield_now();
    }
}

fn await_progress(pid: libc::pid_t, count: &AtomicU64, from: u64, operations: u64) {
    while count.load(Ordering::Relaxed) < from + operations {
        // SAFETY: asks about a child of ours without waiting for it.
        let ended = unsafe {
            libc::waitid(
                libc::P_PID,
                pid as u32,
                &mut std::mem::zeroed(),
                libc::WEXITED | libc::WNOHANG | libc::WNOWAIT,
            )
        };
        assert_eq!(ended, 0);
        std::thread::yield_now();
    }
}

fn kill_all_but(pool: &Inner, pids: &[libc::pid_t], child: usize) {
    let others = || pids.iter().enumerate().filter(|(c, _)| *c != child).map(|(_, pid)| *pid);
    others().for_each(kill);
    others().for_each(|pid| bury(pool, pid));
}

/// All children are dead and buried: the blocks in the slots are those that are allocated.
fn compare(pool: &Inner, table: &Table<'_>, own: u64) {
    check(pool);
    let chunks = log_chunks(pool);
    let mut expected: BTreeSet<u64> =
        (0..CHILDREN).flat_map(|c| table.slots(c)).map(|s| s.load(Ordering::Relaxed)).collect();
    expected.remove(&0);
    expected.extend(&chunks);
    expected.insert(own);
    let mut found = BTreeSet::new();
    for_each_block(pool, |b| {
        found.insert(b.offset);
        Ok(())
    })
    .unwrap();
    assert_eq!(found.difference(&expected).collect::<Vec<_>>(), Vec::<&u64>::new(), "leaked");
    assert_eq!(expected.difference(&found).collect::<Vec<_>>(), Vec::<&u64>::new(), "lost");
}

/// Chunks that lengthen the logs of all seats.
fn log_chunks(pool: &Inner) -> BTreeSet<u64> {
    let mut chunks = BTreeSet::new();
    for log in (0..pool.seat_count()).filter_map(|s| pool.seat_at(s)).flat_map(|s| &s.logs[..LOG_INNER]) {
        let mut offset = log.chunk.load(Ordering::Relaxed);
        while offset != 0 && chunks.insert(offset) {
            let at = pool.at(offset, 8).unwrap();
            // SAFETY: in bounds by `at`, aligned: a chunk begins with the offset of the next.
            offset = unsafe { &*at.cast::<AtomicU64>() }.load(Ordering::Relaxed);
        }
    }
    chunks
}

fn kills_leave_neither_leaks_nor_losses(rounds: u64, limit: Option<u64>) {
    let mut options = Options::new().size(0).growth(4096, 64 << 10);
    if let Some(limit) = limit {
        options = options.hard_limit(limit);
    }
    let pool = RawPool::memfd(&options, &HEAP_ONLY).unwrap();
    let (table, own) = Table::make(&pool);
    let mut random = Random(std::env::var("STORM_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(11));
    let mut pids: Vec<libc::pid_t> = (0..CHILDREN).map(|c| spawn(&pool, &table, c, random.next())).collect();
    for round in 0..rounds {
        let child = random.below(CHILDREN as u64) as usize;
        let count = table.count(child);
        let from = count.load(Ordering::Relaxed);
        await_progress(pids[child], count, from, 1 + random.below(60));
        kill(pids[child]);
        if round % 20 == 19 {
            kill_all_but(&pool, &pids, child);
            bury(&pool, pids[child]);
            compare(&pool, &table, own);
            pids = (0..CHILDREN).map(|c| spawn(&pool, &table, c, random.next())).collect();
        } else {
            // It inherits the slots, so the dead one's operation must be over: what a lock would see to.
            bury(&pool, pids[child]);
            pids[child] = spawn(&pool, &table, child, random.next());
        }
    }
    kill_all_but(&pool, &pids, CHILDREN);
    compare(&pool, &table, own);
    let length = pool.header().length.load(Ordering::Relaxed);
    assert!(limit.is_none_or(|limit| length + (64 << 10) > limit), "nobody was in need");
    empty(&pool, &table);
    assert_eq!(aquifer_alloc::stats(&pool).unwrap().blocks, 1 + log_chunks(&pool).len() as u64);
}

fn empty(pool: &Inner, table: &Table<'_>) {
    for slot in (0..CHILDREN).flat_map(|c| table.slots(c)) {
        if slot.load(Ordering::Relaxed) != 0 {
            change(pool.seat().unwrap().bare(), slot, &mut Random(1));
        }
    }
    check(pool);
}

fn main() {
    let rounds = std::env::var("STORM_ROUNDS").ok().and_then(|r| r.parse().ok()).unwrap_or(400);
    kills_leave_neither_leaks_nor_losses(rounds, None);
    println!("kills_leave_neither_leaks_nor_losses ({rounds} kills) ... ok");
    kills_leave_neither_leaks_nor_losses(rounds, Some(LIMIT));
    println!("kills_leave_neither_leaks_nor_losses ({rounds} kills, in need) ... ok");
}
