//! Counting and walking what is in the heap.

use crate::actor::{Actor, HeapLock};
use crate::block::Block;
use crate::class::{COUNT, TABLE};
use crate::descriptor::{Descriptor, Kind, State};
use crate::index;
use crate::slab::block_offset;
use crate::territory::{chunks_from, descriptor, pages_of};
use aquifer_pool::layout::territory_of;
use aquifer_pool::layout::{PAGE, TERRITORY_FIRST};
use aquifer_pool::seat::SeatCtx;
use aquifer_pool::{Inner, Result};
use std::sync::atomic::Ordering;

/// Pages whose index is made anew by one change, or a few more.
const MOST_AT_ONCE: u64 = 1 << 14;

/// What the pages of a pool are used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Bytes of the pool.
    pub length: u64,
    /// Free pages, those of runs that seats keep for their next requests among them.
    pub pages_free: u64,
    /// Pages of slabs.
    pub pages_slab: u64,
    /// Pages of runs.
    pub pages_run: u64,
    /// Pages of the pool's own tables.
    pub pages_meta: u64,
    /// Allocated blocks.
    pub blocks: u64,
    /// Bytes of the allocated blocks (sizes of their classes, whole pages of runs).
    pub bytes_allocated: u64,
    /// The same for each size class.
    pub bytes_in_class: [u64; COUNT],
    /// Bytes of the longest run of free pages.
    pub largest_free_run: u64,
}

impl Default for Stats {
    fn default() -> Stats {
        Stats {
            length: 0,
            pages_free: 0,
            pages_slab: 0,
            pages_run: 0,
            pages_meta: 0,
            blocks: 0,
            bytes_allocated: 0,
            bytes_in_class: [0; COUNT],
            largest_free_run: 0,
        }
    }
}

/// An allocated block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockInfo {
    /// Where it begins.
    pub offset: u64,
    /// Bytes that it holds.
    pub size: u64,
    /// Number of the seat that owns its slab, `None` for a run.
    pub owner: Option<u32>,
    /// Token of a run, 0 for a block of a slab.
    pub token: u64,
    /// Whether it was allocated by hand ([`raw_alloc`](crate::raw_alloc)), so that nothing in the pool need refer to it.
    pub by_hand: bool,
}

/// Counts pages and blocks. Exact while nobody changes the heap, else near the truth. O(pages).
///
/// # Errors
/// `Damaged` when metadata lies outside of the pool.
pub fn stats(pool: &Inner) -> Result<Stats> {
    let mut s = Stats { length: pages_of(pool) * PAGE, ..Stats::default() };
    each_head(pool, |_, state, head| {
        match state.kind() {
            Kind::Slab => {
                s.pages_slab += state.pages();
                if let Some(class) = TABLE.get(state.class()) {
                    let blocks = head.in_use() as u64;
                    s.blocks += blocks;
                    s.bytes_in_class[state.class() % COUNT] += blocks * class.size as u64;
                    s.bytes_allocated += blocks * class.size as u64;
                }
            }
            Kind::Run => {
                s.pages_run += state.pages();
                s.blocks += 1;
                s.bytes_allocated += state.pages() * PAGE;
            }
            Kind::Meta => s.pages_meta += state.pages(),
            Kind::Spare => s.pages_free += state.pages(),
            Kind::Free | Kind::Tail => s.pages_free += 1,
        }
        Ok(())
    })?;
    s.largest_free_run = largest_free_run(pool)? * PAGE;
    Ok(s)
}

/// Calls `f` for each head and each free page.
fn each_head<'a>(pool: &'a Inner, mut f: impl FnMut(u64, State, &'a Descriptor) -> Result<()>) -> Result<()> {
    let mut page = 0;
    while page < pages_of(pool) && !awaits_metadata(pool, page) {
        let head = descriptor(pool, page)?;
        let state = head.state();
        f(page, state, head)?;
        page = page.saturating_add(state.covers().max(1));
    }
    Ok(())
}

/// Whether a page is of a territory that somebody has just published, or died of publishing, and that has no metadata yet: nothing is in it.
fn awaits_metadata(pool: &Inner, page: u64) -> bool {
    pool.header().territories.get(territory_of(page)).is_some_and(|block| block.load(Ordering::Acquire) == 0)
}

fn largest_free_run(pool: &Inner) -> Result<u64> {
    let (mut most, mut len, mut next) = (0, 0, 0);
    for chunk in chunks_from(pool, 0) {
        let chunk = chunk?;
        let sum = chunk.sum();
        len = if chunk.start == next { len + sum.start } else { sum.start };
        most = most.max(len).max(sum.longest);
        if sum.start < TERRITORY_FIRST {
            len = sum.end;
        }
        next = chunk.start + TERRITORY_FIRST;
    }
    Ok(most)
}

/// Calls `f` for every allocated block, in order of offset, until it fails. For a quiet pool: what is allocated or freed meanwhile may be
/// missing or there. O(pages).
///
/// # Errors
/// `Damaged`, and those of `f`.
pub fn for_each_block(pool: &Inner, mut f: impl FnMut(BlockInfo) -> Result<()>) -> Result<()> {
    each_head(pool, |page, state, head| {
        let block = Block { page, head, state, index: 0 };
        let (size, by_hand) = (block.size(), state.is_by_hand());
        match state.kind() {
            Kind::Run => {
                f(BlockInfo { offset: page * PAGE, size, owner: None, token: block.token(), by_hand })
            }
            Kind::Slab => {
                let owner = head.owner.load(Ordering::Relaxed).checked_sub(1);
                let blocks = TABLE.get(state.class()).map_or(0, |c| c.blocks as u64);
                for index in (0..blocks).filter(|i| head.block(*i) == (true, false)) {
                    let offset = block_offset(page, state.class(), index)?;
                    f(BlockInfo { offset, size, owner, token: 0, by_hand })?;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    })
}

/// The allocated block that begins at `offset`. O(1).
pub fn block_at(pool: &Inner, offset: u64) -> Option<BlockInfo> {
    let block = Block::live(pool, offset).ok()?;
    let owner = match block.state.kind() {
        Kind::Slab => block.head.owner.load(Ordering::Relaxed).checked_sub(1),
        _ => None,
    };
    let (size, token, by_hand) = (block.size(), block.token(), block.state.is_by_hand());
    Some(BlockInfo { offset, size, owner, token, by_hand })
}

/// Compares bitmap and summaries with the descriptors. For a quiet pool.
///
/// # Errors
/// `Damaged` where they differ.
pub fn check_index(pool: &Inner) -> Result<()> {
    index::check(pool)
}

/// The same while others may be at work: looked at once more under the heap lock if anything seems wrong.
///
/// # Errors
/// `Damaged` where they differ.
pub fn check_index_in_use(seat: &SeatCtx) -> Result<()> {
    if index::check(seat.pool()).is_ok() {
        return Ok(());
    }
    let _lock = HeapLock::acquire(Actor::of(seat))?;
    index::check(seat.pool())
}

/// Makes bitmap and summaries anew from the descriptors, if they differ; true if they did. O(pages), under the heap lock.
///
/// # Errors
/// `Damaged` when the descriptors themselves are.
pub fn repair_index(seat: &SeatCtx) -> Result<bool> {
    if check_index_in_use(seat).is_ok() {
        return Ok(false);
    }
    let pool = seat.pool();
    crate::verify(pool)?;
    let lock = HeapLock::acquire(Actor::of(seat))?;
    let pages = pages_of(pool);
    let mut from = 0;
    while from < pages {
        // As many whole runs as fit into one change.
        let mut to = from;
        while to < pages && to - from < MOST_AT_ONCE {
            to += descriptor(pool, to)?.state().covers().max(1);
        }
        lock.change(from, to - from, None, || Ok(()))?;
        from = to;
    }
    Ok(true)
}
