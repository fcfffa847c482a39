//! Allocating: the requests and where each of them goes.

use crate::actor::Actor;
use crate::block::Block;
use crate::class::{BY_HAND_OF_SIZE, COUNT, LARGEST, class_of};
use crate::descriptor::{Kind, State};
use crate::{free, hand, index, runs, slab};
use aquifer_pool::hand::HandPlace;
use aquifer_pool::layout::PAGE;
use aquifer_pool::log::LogCx;
use aquifer_pool::quick::Quick;
use aquifer_pool::seat::SeatCtx;
use aquifer_pool::{Error, Inner, Result};
use std::alloc::Layout;
use std::hint::cold_path;

/// Records that must fit before an allocation is noted: its own, and room for the words that an operation changes once all it needs is
/// allocated. So it is the allocation that fails when a log cannot be made longer, and not what follows it.
pub(crate) const NOTE_AND_ROOM: u32 = 8;
/// Below, moving costs little.
const LARGE: usize = 1 << 20;
/// Larger requests are refused without looking: no pool is as long.
const ABSURD: usize = 1 << 46;
/// The form of a run.
const RUN: State = State::new(Kind::Run, 0);

/// Allocates at least `size` bytes at a multiple of `align` (a power of two, at least 16 bytes are given) for the operation open on `cx`,
/// whose undo gives them back. The bytes are not initialised. O(1) from the slab in hand, else O(chunks of 512 pages) under the heap lock.
///
/// # Errors
/// `TooLarge` for sizes no pool can have, `OutOfMemory`, `HardLimit` and `FileSizeLimit` when the pool cannot grow.
#[inline]
pub fn alloc(cx: &LogCx, size: usize, align: usize) -> Result<u64> {
    alloc_for::<false>(cx, size, align)
}

/// [`alloc`], for what will be made longer: a large block is put where much is free behind it, if there is such a place, so that
/// [`resize_in_place`] need not move it.
///
/// # Errors
/// As [`alloc()`].
#[inline]
pub fn alloc_to_grow(cx: &LogCx, size: usize, align: usize) -> Result<u64> {
    if size < LARGE {
        return alloc(cx, size, align);
    }
    alloc_pages(cx, size, align, RUN, index::find_roomy)
}

/// `BY_HAND`: blocks that nothing in the pool need refer to stand in slabs and runs of their own.
#[inline(always)]
fn alloc_for<const BY_HAND: bool>(cx: &LogCx, size: usize, align: usize) -> Result<u64> {
    match class_of(size, align) {
        Some(class) => {
            cx.reserve(NOTE_AND_ROOM)?;
            slab::alloc(cx, if BY_HAND { COUNT + class } else { class })
        }
        None => alloc_pages(cx, size, align, if BY_HAND { RUN.by_hand() } else { RUN }, index::find),
    }
}

#[cold]
#[inline(never)]
fn alloc_pages(cx: &LogCx, size: usize, align: usize, form: State, find: runs::Find) -> Result<u64> {
    if size > ABSURD || align > ABSURD {
        return Err(Error::TooLarge(1, size.max(align)));
    }
    runs::alloc(cx, pages_for(size), (align as u64).div_ceil(PAGE).max(1), form, find)
}

/// Pages of a run of `size` bytes.
fn pages_for(size: usize) -> u64 {
    (size as u64).div_ceil(PAGE).max(1)
}

/// The same with all bytes 0. O(size).
///
/// # Errors
/// As [`alloc()`].
pub fn alloc_zeroed(cx: &LogCx, size: usize, align: usize) -> Result<u64> {
    let offset = alloc(cx, size, align)?;
    zero(cx.pool(), offset, size)?;
    Ok(offset)
}

#[allow(unsafe_code)]
fn zero(pool: &Inner, offset: u64, bytes: usize) -> Result<()> {
    let at = pool.at(offset, bytes as u64)?;
    // SAFETY: in bounds by `at`; the block was allocated by this operation, so that nobody else knows of it.
    unsafe { at.write_bytes(0, bytes) };
    Ok(())
}

/// Whether the block at `offset` serves for `size` bytes where it stands; a run is made longer if the pages behind it are free, or can be
/// added to the pool because it is the last.
///
/// Nothing is made shorter in place, since the operation may be undone: for less than the block's class or pages the answer is `false`, and the
/// caller allocates anew. A run that was made longer stays so if the operation is undone. O(pages) for runs, O(1) else.
///
/// # Errors
/// `BadBlock` when no allocated block begins there.
pub fn resize_in_place(cx: &LogCx, offset: u64, size: usize) -> Result<bool> {
    let block = Block::live(cx.pool(), offset)?;
    if block.state.kind() == Kind::Slab {
        let same = class_of(size, 1) == Some(block.state.class() % COUNT);
        // A class that was chosen for its alignment is larger than the size alone asks for.
        return Ok(same || (size as u64 <= block.size() && size as u64 * 2 > block.size()));
    }
    let pages = pages_for(size.min(ABSURD));
    match pages.cmp(&block.state.pages()) {
        std::cmp::Ordering::Less => Ok(false),
        std::cmp::Ordering::Equal => Ok(true),
        std::cmp::Ordering::Greater => runs::extend(Actor::of(cx.seat()), block.page, pages),
    }
}

/// A run of `bytes` for log records, noted on `cx`.
///
/// # Errors
/// As [`alloc()`].
pub fn log_chunk(cx: &LogCx, bytes: u64) -> Result<u64> {
    runs::alloc(cx, bytes.div_ceil(PAGE).max(1), 1, RUN, index::find)
}

/// A run of `bytes` zeros, whatever slabs there are for blocks of that size; noted on `cx`.
///
/// # Errors
/// As [`alloc()`].
pub fn run_zeroed(cx: &LogCx, bytes: u64) -> Result<u64> {
    let offset = log_chunk(cx, bytes)?;
    zero(cx.pool(), offset, bytes as usize)?;
    Ok(offset)
}

/// A run of `bytes` zeros that is never freed, for seats and process records; noted on `cx` until its operation is committed.
///
/// # Errors
/// As [`alloc()`].
pub fn permanent(cx: &LogCx, bytes: u64) -> Result<u64> {
    let offset = runs::alloc(cx, bytes.div_ceil(PAGE).max(1), 1, State::new(Kind::Meta, 0), index::find)?;
    zero(cx.pool(), offset, bytes as usize)?;
    Ok(offset)
}

/// Allocates a block by hand: for good at once, unless a transaction runs on the seat, of which it becomes a part then.
///
/// It lives until it is freed, whether or not anything in the pool refers to it and whoever dies: it stands in a slab or run of such blocks only,
/// so that it can be told from a leak.
///
/// # Errors
/// As [`alloc()`].
pub fn raw_alloc(seat: &SeatCtx, layout: Layout) -> Result<u64> {
    if let Some(class) = class_of(layout.size(), layout.align())
        && !seat.bare().is_open()
    {
        loop {
            match slab::alloc_for_good(seat.quick(), HandPlace::of(COUNT + class)) {
                Some(handle) => return Ok(slab::offset_of(handle)),
                None => slab::next_in_hand(seat, COUNT + class)?,
            }
        }
    }
    let op = seat.bare().begin();
    let offset = alloc_for::<true>(op.cx(), layout.size(), layout.align())?;
    op.commit();
    Ok(offset)
}

/// As [`raw_alloc`], if the slab in hand has a block and nothing is asked of its alignment; gives its handle. The log for work under no lock is not held open.
#[inline(always)]
pub fn quick_alloc(quick: &Quick, layout: Layout) -> Option<u64> {
    if layout.size() > LARGEST || layout.align() > 16 {
        cold_path();
        return None;
    }
    slab::alloc_for_good(quick, BY_HAND_OF_SIZE[layout.size().div_ceil(16)])
}

/// As [`raw_alloc`], if the slab in hand has room, or one that a block was freed into lately; gives its handle.
#[inline]
pub fn alloc_from_recent(seat: &SeatCtx, layout: Layout) -> Option<u64> {
    match class_of(layout.size(), layout.align()) {
        Some(class) if !seat.bare().is_open() => slab::alloc_from_recent(seat, COUNT + class),
        _ => None,
    }
}

/// Frees a block on its own.
///
/// # Errors
/// `BadBlock` when no allocated block begins there.
pub fn raw_free(seat: &SeatCtx, offset: u64) -> Result<()> {
    let op = seat.bare().begin();
    free::free(op.cx(), offset)?;
    op.commit();
    Ok(())
}

/// The same, for a block that was allocated by hand only.
///
/// # Errors
/// `BadBlock` when no such block begins there.
pub fn raw_free_checked(seat: &SeatCtx, offset: u64) -> Result<()> {
    if !seat.bare().is_open() && free_in_own_slab(seat, offset) {
        return Ok(());
    }
    let op = seat.bare().begin();
    free::free_by_hand(op.cx(), offset)?;
    op.commit();
    Ok(())
}

/// As [`raw_free_checked`], if the block with that handle is one of the slab from which one was taken last; else `false`, and nothing was done. The log for work
/// under no lock is not held open.
#[inline(always)]
pub fn quick_free(quick: &Quick, handle: u64) -> bool {
    hand::free_near(quick, handle)
}

/// As [`raw_free_checked`], if the block is one of a slab of the seat; else `false`, and nothing was done. The log for work under no lock is not held open.
#[inline]
pub fn free_in_own_slab(seat: &SeatCtx, offset: u64) -> bool {
    slab::free_far(seat, offset)
}
