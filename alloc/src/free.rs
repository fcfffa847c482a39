//! Freeing: noted on the log first, carried out once the operation is committed.
//!
//! # Frees by others happen once
//!
//! A slab's owner may collect a freed block and hand it out again at any moment after the page lock is released. So a burier that carries out
//! the same record once more must not set the bit again. Steps of seat S freeing a block of seat T; the record is the top of S's committed log:
//!
//! 1. `S.page_lock = page + 1`; 2. the page lock is taken; 3. the freed bit is set; 4. the record's value becomes [`DONE`];
//! 5. the page lock is released; 6. `S.page_lock = 0`; 7. the record is popped.
//!
//! Killed before 2 is done: nothing has changed, and the record is carried out again. Between 2 and 5: the page lock names S, so T cannot collect;
//! whoever settles S sets the bit (as it is, or for the first time) and DONE under that lock, then releases it. After 4, the record says DONE and is
//! only popped. At no point is the lock free while the bit is set and the record does not say DONE.
//!
//! # Frees of own blocks
//!
//! Clearing a bit again is harmless as long as the slab is ours. A slab that it leaves empty may be retired, and its pages may become somebody
//! else's: so the record says DONE before that.

use crate::actor::Actor;
use crate::block::Block;
use crate::class::TABLE;
use crate::descriptor::Kind;
use crate::runs;
use crate::slab::{self, Slab};
use crate::territory::descriptor;
use crate::turn::Turn;
use crate::word::{acquire_page, release_page};
use aquifer_pool::log::{Kind as Record, LogCx, RecordView};
use aquifer_pool::plant::{commit_store, planted};
use aquifer_pool::seat::SeatCtx;
use aquifer_pool::upper::Progress;
use aquifer_pool::{Error, Inner, Result};
use std::sync::atomic::{Ordering, compiler_fence};

/// Value of a `Free` record that was carried out. No run has this token.
pub(crate) const DONE: u64 = u64::MAX;

/// Frees the block at `offset` when the operation open on `cx` is committed. O(1).
///
/// # Errors
/// `BadBlock` when no allocated block begins there; `OutOfMemory` when the log cannot be made longer. Nothing is noted then.
#[inline]
pub fn free(cx: &LogCx, offset: u64) -> Result<()> {
    let intent = free_intent(cx.pool(), offset)?;
    cx.reserve(1)?;
    cx.push(intent);
    Ok(())
}

/// The same for a block that was allocated by hand.
#[inline]
pub(crate) fn free_by_hand(cx: &LogCx, offset: u64) -> Result<()> {
    let block = Block::live(cx.pool(), offset)?;
    if !block.state.is_by_hand() {
        return Err(Error::BadBlock { offset, why: "not allocated by hand" });
    }
    cx.reserve(1)?;
    cx.push(RecordView::new(Record::Free, offset, block.token()));
    Ok(())
}

/// The record that [`free`] would push: for those who publish several at once. O(1).
///
/// # Errors
/// `BadBlock` when no allocated block begins there.
#[inline]
pub fn free_intent(pool: &Inner, offset: u64) -> Result<RecordView> {
    Ok(RecordView::new(Record::Free, offset, Block::live(pool, offset)?.token()))
}

/// Carries out the `Free` record on top of a committed log. A run that is no longer there is left alone.
/// Of blocks in slabs nothing tells one use from the next: an operation that frees one twice may free what its owner has made of it since.
///
/// Frees blocks of own slabs in O(1); those of other seats under the page lock; runs under the heap lock.
pub fn carry_out_free(cx: &LogCx, record: RecordView) -> Progress {
    if record.value == DONE {
        return Progress::Done;
    }
    let ctx = cx.seat();
    // Whose slab it is does not change in a turn.
    let _turn = Turn::take(Actor::of(ctx));
    let Ok(block) = Block::at(ctx.pool(), record.offset) else { return Progress::Done };
    match block.state.kind() {
        Kind::Slab if record.value != 0 => {} // the run is gone, the pages have become a slab
        Kind::Slab if block.head.belongs_to(ctx.number() + 1) => free_own(cx, &block),
        Kind::Slab => free_of_other(cx, &block),
        // An error means that the pool is damaged, or cannot be mapped: the run stays.
        _ => {
            let _ = runs::free(Actor::of(ctx), block.page, record.value, &[Kind::Run]);
        }
    }
    Progress::Done
}

#[inline]
fn free_own(cx: &LogCx, block: &Block<'_>) {
    let slab = Slab { page: block.page, head: block.head };
    slab::free_own(cx.seat(), slab, block.state.class(), block.index, || {
        // Dead before: the bit is cleared again, in a slab that is ours. After: the record is only popped, whoever has the pages then.
        cx.set_value(cx.len() - 1, DONE);
    });
}

/// Steps 1 to 6 of the module's argument.
#[cold]
fn free_of_other(cx: &LogCx, block: &Block<'_>) {
    let actor = Actor::of(cx.seat());
    let named = &actor.heap().page_lock;
    named.store(block.page + 1, Ordering::Release);
    compiler_fence(Ordering::SeqCst);
    acquire_page(&block.head.page_lock, actor);
    set_freed(block);
    compiler_fence(Ordering::SeqCst);
    if !planted("free-redone") {
        cx.set_value(cx.len() - 1, DONE);
        commit_store("free-of-other");
    }
    // Dead before: whoever settles us does. After: the owner may collect.
    release_page(&block.head.page_lock);
    compiler_fence(Ordering::SeqCst);
    named.store(0, Ordering::Release);
}

/// Under the page lock. Repeatable as long as it is held.
fn set_freed(block: &Block<'_>) {
    if !block.head.state().is_same_slab(block.state) || block.head.block(block.index) != (true, false) {
        return;
    }
    let (word, bit) = ((block.index / 64) as usize & 1, 1u64 << (block.index % 64));
    let old = block.head.freed[word].load(Ordering::Relaxed);
    // Dead before or after: see the module.
    block.head.freed[word].store(old | bit, Ordering::Release);
}

/// Finishes a free by others that a dead seat was in, whose page lock the caller has as that seat.
pub(crate) fn settle_under_page_lock(dead: &SeatCtx, page: u64) {
    const COMMITTED: u64 = 1 << 63;
    for (log, cx) in dead.seat().logs.iter().zip(dead.logs()) {
        let n = cx.len();
        if log.head.load(Ordering::Acquire) & COMMITTED == 0 || n == 0 {
            continue;
        }
        let top = cx.read(n - 1);
        if top.kind != Record::Free || top.value == DONE {
            continue;
        }
        if let Ok(block) = Block::at(dead.pool(), top.offset)
            && block.page == page
            && block.state.kind() == Kind::Slab
        {
            set_freed(&block);
            compiler_fence(Ordering::SeqCst);
            if planted("free-redone") {
                continue;
            }
            // Dead before: the next burier does the same, the lock is still held. After: the record is only popped.
            cx.set_value(n - 1, DONE);
        }
    }
}

/// Undoes an `Alloc` or `AllocRun` record: gives the block back if it was taken. Repeatable until the record is popped.
pub fn undo(cx: &LogCx, record: RecordView) {
    // An error means that the pool is damaged, or cannot be mapped: the block stays.
    let _ = try_undo(cx, record);
}

fn try_undo(cx: &LogCx, record: RecordView) -> Result<()> {
    let ctx = cx.seat();
    let _turn = Turn::take(Actor::of(ctx));
    if record.kind == Record::AllocRun {
        return runs::free(Actor::of(ctx), record.offset, record.value, &[Kind::Run, Kind::Meta]);
    }
    let head = descriptor(ctx.pool(), record.offset)?;
    let state = head.state();
    let class = state.class();
    let ours = state.kind() == Kind::Slab && head.belongs_to(ctx.number() + 1);
    if !ours || TABLE.get(class).is_none_or(|c| record.value >= c.blocks as u64) {
        return Err(Error::Damaged(format!("page {} is no slab of seat {}", record.offset, ctx.number())));
    }
    // Undone again after the slab was retired, it is not ours any more, or free: nobody acts on this seat in between.
    slab::free_own(ctx, Slab { page: record.offset, head }, class, record.value, || {});
    Ok(())
}
