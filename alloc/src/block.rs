//! From an offset to the block there, checked.

use crate::class::{TABLE, exact_index};
use crate::descriptor::{Descriptor, Kind, State};
use crate::place;
use crate::territory::{descriptor, pages_of};
use aquifer_pool::layout::{PAGE, PAGE_SHIFT};
use aquifer_pool::log::{Kind as Record, RecordView};
use aquifer_pool::{Error, Inner, Result};
use std::sync::atomic::Ordering;

/// A place where a block may begin: a block of a slab, or a run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Block<'a> {
    /// Page of the head.
    pub(crate) page: u64,
    pub(crate) head: &'a Descriptor,
    pub(crate) state: State,
    /// Number of the block in its slab.
    pub(crate) index: u64,
}

#[cold]
fn bad(offset: u64, why: &'static str) -> Error {
    Error::BadBlock { offset, why }
}

impl<'a> Block<'a> {
    /// The place at `offset`, whether or not it is allocated. O(1).
    #[inline]
    pub(crate) fn at(pool: &'a Inner, offset: u64) -> Result<Block<'a>> {
        let mut page = offset >> PAGE_SHIFT;
        if page >= pages_of(pool) {
            return Err(bad(offset, "outside of the pool"));
        }
        let mut head = descriptor(pool, page)?;
        let mut state = head.state();
        if state.kind() == Kind::Tail && state.pages() <= page {
            page -= state.pages();
            head = descriptor(pool, page)?;
            state = head.state();
        }
        let inside = offset - (page << PAGE_SHIFT);
        match state.kind() {
            Kind::Slab => {
                let shape = TABLE.get(state.class()).ok_or_else(|| bad(offset, "of no size class"))?;
                if inside >= shape.pages as u64 * PAGE {
                    return Err(bad(offset, "not allocated"));
                }
                match exact_index(inside, shape.magic) {
                    Some(index) if index < shape.blocks as u64 => Ok(Block { page, head, state, index }),
                    _ => Err(bad(offset, "not the start of a block")),
                }
            }
            Kind::Run if inside == 0 => Ok(Block { page, head, state, index: 0 }),
            Kind::Run => Err(bad(offset, "not the start of a block")),
            Kind::Meta => Err(bad(offset, "the pool's own table")),
            Kind::Free | Kind::Tail | Kind::Spare => Err(bad(offset, "not allocated")),
        }
    }

    /// The same, if it is allocated.
    #[inline]
    pub(crate) fn live(pool: &'a Inner, offset: u64) -> Result<Block<'a>> {
        let block = Block::at(pool, offset)?;
        if block.state.kind() == Kind::Slab {
            match block.head.block(block.index) {
                (true, false) => {}
                (true, true) => return Err(bad(offset, "freed already")),
                (false, _) => return Err(bad(offset, "not allocated")),
            }
        }
        Ok(block)
    }

    /// Bytes that it holds.
    pub(crate) fn size(&self) -> u64 {
        match self.state.kind() {
            Kind::Slab => TABLE.get(self.state.class()).map_or(0, |c| c.size as u64),
            _ => self.state.pages() * PAGE,
        }
    }

    /// Token of a run, 0 for a block of a slab.
    pub(crate) fn token(&self) -> u64 {
        if self.state.kind() == Kind::Run { self.head.token.load(Ordering::Relaxed) } else { 0 }
    }
}

/// Bytes of the allocated block that begins at `offset`, or `None` when none does. O(1).
///
/// The answer is true as long as nobody frees the block meanwhile.
#[inline]
pub fn block_size(pool: &Inner, offset: u64) -> Option<u64> {
    place::quick_size(pool, offset).or_else(|| any_size(pool, offset))
}

/// Offset and bytes of the block that an `Alloc` or `AllocRun` record speaks of, whether or not it is taken yet; `None` when there is no such slab or
/// run. O(1).
pub fn block_of(pool: &Inner, record: RecordView) -> Option<(u64, u64)> {
    let (page, head) = (record.offset, descriptor(pool, record.offset).ok()?);
    let (state, start) = (head.state(), page.checked_mul(PAGE)?);
    match (record.kind, state.kind()) {
        (Record::Alloc, Kind::Slab) => {
            let size = TABLE.get(state.class())?.size as u64;
            Some((start.checked_add(record.value.checked_mul(size)?)?, size))
        }
        (Record::AllocRun, Kind::Run) if head.token.load(Ordering::Relaxed) == record.value => {
            Some((start, state.pages() * PAGE))
        }
        _ => None,
    }
}

#[cold]
fn any_size(pool: &Inner, offset: u64) -> Option<u64> {
    Block::live(pool, offset).ok().map(|b| b.size())
}
