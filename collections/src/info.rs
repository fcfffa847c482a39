//! What a pool's memory is used for.

use aquifer_pool::Inner;

/// What a pool's memory is used for: [`Pool::stats`](crate::Pool::stats). Exact while nobody changes the pool. All zero when its tables are damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Stats {
    /// Bytes of the pool.
    pub length: u64,
    /// Bytes of allocated blocks, as handed out: sizes of their classes, whole pages.
    pub used: u64,
    /// Bytes of pages that are free.
    pub free: u64,
    /// Bytes of the pool's own tables.
    pub tables: u64,
    /// Allocated blocks.
    pub blocks: u64,
    /// Bytes of the longest run of free pages.
    pub largest_free: u64,
}

impl Stats {
    pub(crate) fn of(pool: &Inner) -> Stats {
        const PAGE: u64 = aquifer_pool::layout::PAGE;
        let Ok(heap) = aquifer_alloc::stats(pool) else { return Stats::default() };
        Stats {
            length: heap.length,
            used: heap.bytes_allocated,
            free: heap.pages_free * PAGE,
            tables: heap.pages_meta * PAGE,
            blocks: heap.blocks,
            largest_free: heap.largest_free_run,
        }
    }
}
