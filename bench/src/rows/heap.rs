//! Blocks allocated and freed by hand beside allocators of private memory.

use crate::keys::splitmix;
use crate::machine::Cores;
use crate::measure::{timed, tried};
use crate::memory::{self, Job};
use crate::partner::{Mate, Partner, rate, rate_unless_asleep};
use crate::peers::allocators::{Jemalloc, Malloc, Mimalloc, Snmalloc};
use crate::row::{Row, Side, Target::*, Trial, Unit};
use crate::{Result, ours};
use aquifer::{Handle, Pool};
use std::alloc::Layout;
use std::collections::VecDeque;
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

pub const PAIRS: usize = 1 << 18;
const HANDLE: &str = "ours gives a handle, which a look-up turns into an address";

pub fn rows() -> Vec<Row> {
    let mut rows: Vec<Row> = [16, 64, 256, 1024]
        .map(|size| {
            Row::new("heap", format!("pair {size} B"), "mimalloc", AtMost(1.0), move || pairs(size, Mimalloc))
                .note(HANDLE)
        })
        .into();
    rows.extend([
        Row::new("heap", "pair 64 B", "jemalloc", Shown, || pairs(64, Jemalloc)).note(HANDLE),
        Row::new("heap", "pair 64 B", "snmalloc", Shown, || pairs(64, Snmalloc)).note(HANDLE),
        Row::new("heap", "churn of 100k blocks", "mimalloc", AtMost(0.9), || churns(Mimalloc)),
        Row::new("heap", "churn of 100k blocks", "jemalloc", Shown, || churns(Jemalloc)),
        Row::new("heap", "churn of 100k blocks", "snmalloc", Shown, || churns(Snmalloc)),
        Row::new("heap", "churn of 100k blocks, two workers", "mimalloc", AtMost(0.9), two_churns)
            .note("ours are two processes, theirs two threads"),
        Row::new("heap", "peak memory of a churn", "mimalloc", AtMost(1.0), || {
            taken(Job::OurChurn, Job::TheirChurn)
        })
        .unit(Unit::Bytes)
        .note("bytes taken for a byte that lives at the end; ours is the pool's whole length"),
        Row::new("heap", "64 KiB runs, two processes", "itself, alone", AtLeast(1.5), runs)
            .unit(Unit::Mops)
            .note("16 runs of each live at a time; processor time, unless a process has slept; the limit is two pools, which share nothing"),
        Row::new("heap", "1M blocks of 100 B", "mimalloc", AtMost(1.02), || {
            taken(Job::OurBlocks, Job::TheirBlocks)
        })
        .unit(Unit::Bytes)
        .note("ours is the length of a pool that grows by 1 MiB at a time"),
    ]);
    rows
}

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, 8).unwrap_or(Layout::new::<u64>())
}

pub fn ours_in_pairs(pool: Pool, size: usize) -> Side {
    let layout = layout(size);
    Box::new(move || {
        tried(PAIRS, || {
            (0..PAIRS).try_for_each(|_| {
                let block = pool.alloc(black_box(layout))?;
                // SAFETY: allocated just before, and nobody else has it.
                unsafe { pool.free(black_box(block)) }
            })
        })
    })
}

fn pairs<M: Malloc>(size: usize, malloc: M) -> Result<Trial> {
    let theirs = move || {
        Ok(timed(PAIRS, || {
            for _ in 0..PAIRS {
                let block = malloc.alloc(black_box(size));
                // SAFETY: allocated just before.
                unsafe { malloc.free(black_box(block)) };
            }
        }))
    };
    Ok(Trial::new(ours_in_pairs(ours::pool()?, size), theirs).limit(bare_pairs(size)))
}

/// The least there is to do: a free block's bit is set, the block handed out, and its bit found and cleared again.
fn bare_pairs(size: usize) -> Side {
    let (used, shift) = (Box::new(AtomicU64::new(0)), size.next_power_of_two().trailing_zeros());
    Box::new(move || {
        let used = black_box(&*used);
        Ok(timed(PAIRS, || {
            for _ in 0..PAIRS {
                black_box(size);
                let now = used.load(Ordering::Relaxed);
                used.store(now | now.wrapping_add(1), Ordering::Release);
                let block = black_box((now.trailing_ones() as u64) << shift);
                let bit = 1 << (block >> shift);
                used.store(used.load(Ordering::Relaxed) & !bit, Ordering::Release);
            }
        }))
    })
}

/// Blocks alive at a time, and steps of a repetition: each frees one at random and allocates another of 16..1024 B, writing a word to it.
pub const LIVE: usize = 100_000;
pub const STEPS: usize = 200_000;

/// What step `i` frees, and how large a block it allocates.
pub fn step(i: usize) -> (usize, usize) {
    let random = splitmix(i as u64);
    (random as usize % LIVE, 16 + (random >> 40) as usize % 1009)
}

/// The pool's side of a churn.
pub struct OurChurn {
    pool: Pool,
    live: Vec<Handle>,
    steps: usize,
}

impl OurChurn {
    pub fn new(pool: Pool) -> Result<OurChurn> {
        let live = (0..LIVE).map(|i| allocate(&pool, step(i).1)).collect::<Result<_>>()?;
        Ok(OurChurn { pool, live, steps: 0 })
    }

    #[inline]
    pub fn run(&mut self, steps: usize) -> Result<()> {
        for i in self.steps..self.steps + steps {
            let (victim, size) = step(i);
            // SAFETY: allocated here, freed once: another takes its place in the list.
            unsafe { self.pool.free(self.live[victim])? };
            self.live[victim] = allocate(&self.pool, size)?;
        }
        self.steps += steps;
        Ok(())
    }
}

#[inline]
fn allocate(pool: &Pool, size: usize) -> Result<Handle> {
    let block = pool.alloc(layout(size))?;
    let at = pool.resolve_handle(block)?;
    // SAFETY: a block of at least 16 bytes that nobody else has.
    unsafe { at.cast::<u64>().write(size as u64) };
    Ok(block)
}

/// The same beside it.
pub struct TheirChurn<M: Malloc> {
    malloc: M,
    live: Vec<*mut u8>,
    steps: usize,
}

impl<M: Malloc> TheirChurn<M> {
    pub fn new(malloc: M) -> TheirChurn<M> {
        Self::within(vec![std::ptr::null_mut(); LIVE], malloc)
    }

    /// The same in a list that is there.
    pub fn within(mut live: Vec<*mut u8>, malloc: M) -> TheirChurn<M> {
        for (i, block) in live.iter_mut().enumerate() {
            *block = Self::allocate(malloc, step(i).1);
        }
        TheirChurn { malloc, live, steps: 0 }
    }

    #[inline]
    fn allocate(malloc: M, size: usize) -> *mut u8 {
        let at = malloc.alloc(size);
        // SAFETY: a block of at least 16 bytes that nobody else has.
        unsafe { at.cast::<u64>().write(size as u64) };
        at
    }

    #[inline]
    pub fn run(&mut self, steps: usize) {
        for i in self.steps..self.steps + steps {
            let (victim, size) = step(i);
            // SAFETY: allocated here, freed once: another takes its place in the list.
            unsafe { self.malloc.free(self.live[victim]) };
            self.live[victim] = Self::allocate(self.malloc, size);
        }
        self.steps += steps;
    }
}

impl<M: Malloc> Drop for TheirChurn<M> {
    fn drop(&mut self) {
        for block in self.live.drain(..) {
            // SAFETY: allocated here, and not freed yet.
            unsafe { self.malloc.free(block) };
        }
    }
}

pub fn ours_churning(pool: Pool) -> Result<Side> {
    let mut churn = OurChurn::new(pool)?;
    Ok(Box::new(move || tried(STEPS, || churn.run(STEPS))))
}

fn churns<M: Malloc>(malloc: M) -> Result<Trial> {
    let mut theirs = TheirChurn::new(malloc);
    let theirs = move || Ok(timed(STEPS, || theirs.run(STEPS)));
    Ok(Trial::new(ours_churning(ours::pool()?)?, theirs).limit(bare_churn()))
}

fn bare_churn() -> Side {
    let mut churn = BareChurn::new();
    Box::new(move || Ok(timed(STEPS, || churn.run(STEPS))))
}

/// The least there is to do: a word written to a random one of blocks as large.
struct BareChurn {
    blocks: Vec<[u64; 65]>,
    steps: usize,
}

impl BareChurn {
    fn new() -> BareChurn {
        BareChurn { blocks: vec![[0; 65]; LIVE], steps: 0 }
    }

    fn run(&mut self, steps: usize) {
        for i in self.steps..self.steps + steps {
            let (victim, size) = step(i);
            self.blocks[victim][0] = size as u64;
        }
        self.steps += steps;
    }
}

fn two_bare_churns(cpu: usize) -> Result<impl FnMut() -> Result<f64>> {
    let work = || {
        let mut churn = BareChurn::new();
        move || {
            rate(TOGETHER, || {
                churn.run(BATCH);
                Ok(BATCH as u64)
            })
        }
    };
    let (mut mine, mut others) = (work(), None);
    let mut partner = Partner::fork(cpu, move || others.get_or_insert_with(work)())?;
    Ok(move || partner.together(|_| mine()).map(ns_each))
}

/// Nanoseconds of a step, from the steps per second of both.
fn ns_each((a, b): (f64, f64)) -> f64 {
    2e9 / (a + b)
}

/// How long two workers work at a time, and how many steps between two looks at the clock.
const TOGETHER: Duration = Duration::from_millis(100);
const BATCH: usize = 1000;

fn two_churns() -> Result<Trial> {
    let cpu = Cores::get()?.second;
    // Forks: before there are threads.
    let limit = two_bare_churns(cpu)?;
    let pool = ours::pool()?;
    let work = |mut churn: OurChurn| {
        move || {
            rate(TOGETHER, || {
                churn.run(BATCH)?;
                Ok(BATCH as u64)
            })
        }
    };
    let (shared, mut other) = (pool.clone(), None);
    let mut partner = Partner::fork(cpu, move || {
        if other.is_none() {
            other = Some(work(OurChurn::new(shared.clone())?));
        }
        other.as_mut().map_or(Ok(0.0), |work| work())
    })?;
    let mut mine = work(OurChurn::new(pool)?);

    let their_work = || {
        let mut churn = TheirChurn::new(Mimalloc);
        move || {
            rate(TOGETHER, || {
                churn.run(BATCH);
                Ok(BATCH as u64)
            })
        }
    };
    let mut mate = Mate::spawn(cpu, move || {
        let mut work = their_work();
        move || work().unwrap_or(f64::NAN)
    });
    let mut theirs = their_work();
    Ok(Trial::new(
        move || partner.together(|_| mine()).map(ns_each),
        move || mate.together(&mut theirs).map(ns_each),
    )
    .limit(limit))
}

fn taken(ours: Job, theirs: Job) -> Result<Trial> {
    Ok(Trial::new(memory::side(ours), memory::side(theirs)))
}

/// Frees the oldest of 16 runs and allocates another, for a while; millions per second.
fn run_after_run(pool: &Pool) -> Result<f64> {
    const RUN: usize = 64 << 10;
    const ALIVE: usize = 16;
    let mut live: VecDeque<Handle> =
        (0..ALIVE).map(|_| pool.alloc(layout(RUN))).collect::<aquifer::Result<_>>()?;
    let rate = rate_unless_asleep(TOGETHER, || {
        for _ in 0..ALIVE {
            if let Some(oldest) = live.pop_front() {
                // SAFETY: allocated here, and nobody else has it.
                unsafe { pool.free(oldest)? };
            }
            live.push_back(pool.alloc(black_box(layout(RUN)))?);
        }
        Ok(ALIVE as u64)
    })?;
    for block in live {
        // SAFETY: allocated here, and nobody else has it.
        unsafe { pool.free(block)? };
    }
    Ok(rate / 1e6)
}

fn runs() -> Result<Trial> {
    let (pool, apart) = (ours::pool()?, ours::pool()?);
    let alone = pool.clone();
    let two = |mine: Pool, other: Pool| -> Result<Side> {
        let mut partner = Partner::fork(Cores::get()?.second, move || run_after_run(&other))?;
        Ok(Box::new(move || partner.together(|_| run_after_run(&mine)).map(|(a, b)| a + b)))
    };
    let (together, limit) = (two(pool.clone(), pool.clone())?, two(pool, apart)?);
    Ok(Trial::new(together, move || run_after_run(&alone)).limit(limit))
}
