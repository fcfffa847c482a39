//! Blocks allocated and freed by hand beside allocators of private memory.

use crate::keys::splitmix;
use crate::measure::{timed, tried};
use crate::peers::allocators::{Jemalloc, Malloc, Mimalloc, Snmalloc};
use crate::row::{Row, Side, Target::*, Trial};
use crate::{Result, ours};
use aquifer::{Handle, Pool};
use std::alloc::Layout;
use std::hint::black_box;

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
    Ok(Trial::new(ours_in_pairs(ours::pool()?, size), theirs))
}

/// Blocks alive at a time, and steps of a repetition: each frees one at random and allocates another of 16..1024 B, writing a word to it.
pub const LIVE: usize = 100_000;
pub const STEPS: usize = 200_000;

/// What step `i` frees, and how large a block it allocates.
fn step(i: usize) -> (usize, usize) {
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
        let live = (0..LIVE).map(|i| Self::allocate(malloc, step(i).1)).collect();
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

/// The least there is to do: a word written to a random one of blocks as large.
fn bare_churn() -> Side {
    let mut blocks = vec![[0u64; 65]; LIVE];
    let mut steps = 0;
    Box::new(move || {
        let ns = timed(STEPS, || {
            for i in steps..steps + STEPS {
                let (victim, size) = step(i);
                blocks[victim][0] = size as u64;
            }
        });
        steps += STEPS;
        Ok(ns)
    })
}
