//! From an offset to a place in a slab, quickly: what a free and a look-up need most of the time.

use crate::class::{SLAB_PAGES, TABLE, exact_index};
use crate::descriptor::{Descriptor, Kind};
use crate::territory::known;
use aquifer_pool::Inner;
use aquifer_pool::layout::PAGE_SHIFT;

/// Where in a slab a block begins.
pub(crate) struct Place<'a> {
    pub(crate) page: u64,
    pub(crate) head: &'a Descriptor,
    pub(crate) kind: usize,
    pub(crate) index: u64,
}

/// The place at `offset`, if it is one in a slab that is in its ring, and whose descriptors this process knows. `Block::at` does without these
/// conditions, and tells what is wrong.
#[inline(always)]
pub(crate) fn place(pool: &Inner, offset: u64) -> Option<Place<'_>> {
    let page = offset >> PAGE_SHIFT;
    place_in(pool, offset, page.wrapping_sub(pool.tails.distance(page))).or_else(|| place_anew(pool, offset))
}

/// The same, if the slab begins at another page than this process thought.
#[cold]
#[inline(never)]
fn place_anew(pool: &Inner, offset: u64) -> Option<Place<'_>> {
    place_in(pool, offset, learn(pool, offset >> PAGE_SHIFT)?)
}

/// The same, if it is in the slab that begins at `page`.
#[inline(always)]
fn place_in(pool: &Inner, offset: u64, page: u64) -> Option<Place<'_>> {
    let head = known(pool, page)?;
    let state = head.state();
    let kind = state.class();
    let shape = TABLE.get(kind)?;
    // What is listed is a slab, and what its class says of it is true.
    if state.0 != shape.listed {
        return None;
    }
    let index = exact_index(offset.wrapping_sub(page << PAGE_SHIFT), shape.magic)?;
    (index < shape.blocks as u64).then_some(Place { page, head, kind, index })
}

/// Finds the first page of a slab from another page of it, unless it is as far as is noted, and notes how far it is.
fn learn(pool: &Inner, page: u64) -> Option<u64> {
    let state = known(pool, page)?.state();
    let found = if state.kind() == Kind::Tail { state.pages() } else { 0 };
    let head = page.checked_sub(found)?;
    if found == pool.tails.distance(page) || found >= SLAB_PAGES {
        return None;
    }
    pool.tails.note(page, found as u8);
    Some(head)
}

/// Bytes of the allocated block at `offset`, if it stands at such a place.
#[inline(always)]
pub(crate) fn quick_size(pool: &Inner, offset: u64) -> Option<u64> {
    let Place { head, kind, index, .. } = place(pool, offset)?;
    (head.block(index) == (true, false)).then(|| TABLE[kind].size as u64)
}
