//! What a dead seat was changing in the heap is brought to its end. Waits for nothing, and can be done again from the start.

use crate::actor::{Actor, BUSY_PAGES};
use crate::descriptor::Kind;
use crate::territory::{descriptor, pages_of};
use crate::word::{free_of_dead, names, release_page};
use crate::{free, grow, index, slab, turn};
use aquifer_pool::seat::SeatCtx;
use aquifer_pool::{Error, Result};
use std::sync::atomic::{Ordering, compiler_fence};

/// Settles a dead seat (`Upper::settle`): pages it was changing, its page lock, the heap lock and the growth ticket if they name it.
pub fn settle(dead: &SeatCtx) {
    let actor = Actor::of(dead);
    let header = actor.pool.header();
    page_lock(dead, actor);
    // A range that stays busy without the lock could not be settled before. It may be touched under the lock only, by who sits here next.
    if names(&header.heap_lock, actor) {
        match range(actor) {
            // Nobody can settle what is damaged: who sits here next is told so, and nobody waits. What else is given out is checked
            // against the heads.
            Ok(()) | Err(Error::Damaged(_)) => free_of_dead(&header.heap_lock, actor),
            // The heap cannot be read from here (no address space): the lock stays, so that nobody uses what is half changed.
            Err(_) => return,
        }
    }
    free_of_dead(&header.growth_ticket, actor);
    turn::settle(dead);
}

/// Derives the pages of the busy word from their heads again. The caller has the heap lock, or acts as a dead seat that had it.
pub(crate) fn range(actor: Actor<'_>) -> Result<()> {
    let busy = actor.heap().busy.load(Ordering::Acquire);
    let (first, pages) = (busy >> 24, busy & BUSY_PAGES);
    if busy != 0 && first + pages <= pages_of(actor.pool) {
        grow::cover(actor.pool, first, pages)?;
        slab::settle(actor, first)?;
        index::rederive(actor.pool, first, pages)?;
    }
    // Dead before: all of it again, to the same effect. After: settled.
    actor.heap().busy.store(0, Ordering::Release);
    compiler_fence(Ordering::SeqCst);
    Ok(())
}

fn page_lock(dead: &SeatCtx, actor: Actor<'_>) {
    let named = &actor.heap().page_lock;
    let Some(page) = named.load(Ordering::Acquire).checked_sub(1) else { return };
    if page < pages_of(actor.pool)
        && let Ok(head) = descriptor(actor.pool, page)
        && head.page_lock.load(Ordering::Acquire) == actor.name()
    {
        if head.state().kind() == Kind::Slab && head.belongs_to(actor.name()) {
            slab::fold(head);
        } else {
            free::settle_under_page_lock(dead, page);
        }
        // Dead before: the same again. After: the lock is free, and what was done under it is whole.
        release_page(&head.page_lock);
        compiler_fence(Ordering::SeqCst);
    }
    named.store(0, Ordering::Release);
}
