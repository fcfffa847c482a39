//! Who changes the heap: a thread on its seat, a burier as the dead one, or a thread that has taken a free seat for a moment.

use crate::descriptor::Descriptor;
use crate::index;
use crate::settle;
use crate::word::{self, Held};
use aquifer_pool::hand::Hands;
use aquifer_pool::layout::{Seat, SeatHeap};
use aquifer_pool::seat::SeatCtx;
use aquifer_pool::{Error, Inner, Result};
use std::sync::atomic::{Ordering, compiler_fence};

/// Pages of one change at most: what fits in `SeatHeap::busy` beside the first page.
pub(crate) const BUSY_PAGES: u64 = (1 << 24) - 1;

/// A seat that acts on the heap.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Actor<'a> {
    pub(crate) pool: &'a Inner,
    pub(crate) seat: &'a Seat,
    pub(crate) number: u32,
    /// Whether the seat's own thread is dead.
    pub(crate) burying: bool,
    /// What the thread remembers of the seat's slabs; `None` when it acts for a seat that is not its own.
    pub(crate) hands: Option<&'a Hands>,
}

impl<'a> Actor<'a> {
    #[inline(always)]
    pub(crate) fn of(ctx: &'a SeatCtx) -> Actor<'a> {
        Actor {
            pool: ctx.pool(),
            seat: ctx.seat(),
            number: ctx.number(),
            burying: ctx.is_burying(),
            hands: Some(ctx.hands()),
        }
    }

    /// Whose slab it is: the actor itself, or a seat that it has closed.
    pub(crate) fn owner_of(actor: Actor<'a>, head: &Descriptor) -> Option<Actor<'a>> {
        if head.belongs_to(actor.name()) {
            return Some(actor);
        }
        let number = head.owner.load(Ordering::Relaxed).checked_sub(1)?;
        Some(Actor::for_owner(actor.pool, actor.pool.seat_at(number)?, number))
    }

    /// The owner of a seat that somebody else has closed: whose slabs they are, and nobody who acts.
    pub(crate) fn for_owner(pool: &'a Inner, seat: &'a Seat, number: u32) -> Actor<'a> {
        Actor { pool, seat, number, burying: false, hands: None }
    }

    /// What stands for this seat in shared words.
    #[inline(always)]
    pub(crate) fn name(&self) -> u32 {
        self.number + 1
    }

    #[inline(always)]
    pub(crate) fn heap(&self) -> &'a SeatHeap {
        &self.seat.heap
    }

    /// A token that no run ever had.
    pub(crate) fn new_token(&self) -> u64 {
        let count = self.heap().token.load(Ordering::Relaxed) + 1;
        // Dead after this store: the token is never used, and never again.
        self.heap().token.store(count, Ordering::Release);
        count << 16 | self.name() as u64
    }
}

/// The heap lock, held. Dropping it settles what was not brought to its end.
#[derive(Debug)]
pub(crate) struct HeapLock<'a> {
    actor: Actor<'a>,
    _held: Held<'a>,
}

impl<'a> HeapLock<'a> {
    /// Waits for the lock.
    ///
    /// # Errors
    /// When an earlier change of this seat could not be brought to its end, and still cannot.
    pub(crate) fn acquire(actor: Actor<'a>) -> Result<HeapLock<'a>> {
        let held = word::acquire(&actor.pool.header().heap_lock, actor);
        let lock = HeapLock { actor, _held: held };
        if actor.heap().busy.load(Ordering::Relaxed) != 0 {
            settle::range(actor)?;
        }
        Ok(lock)
    }

    /// Changes a range of pages: `change` makes the commit store of a head, then bitmap and summaries follow.
    ///
    /// # Errors
    /// Those of `change`, which must not have changed any head then; `Damaged`.
    pub(crate) fn change<R>(
        &self,
        first: u64,
        pages: u64,
        free: Option<bool>,
        change: impl FnOnce() -> Result<R>,
    ) -> Result<R> {
        if pages > BUSY_PAGES {
            return Err(Error::OutOfMemory(format!("{pages} pages at once are more than the heap can give")));
        }
        let busy = &self.actor.heap().busy;
        // Dead before this store: nothing has changed. After: whoever settles us derives the range from its heads again.
        busy.store(first << 24 | pages, Ordering::Release);
        compiler_fence(Ordering::SeqCst);
        let made = change()?;
        match free {
            Some(free) => index::mark(self.actor.pool, first, pages, free)?,
            None => index::rederive(self.actor.pool, first, pages)?,
        }
        // Dead before: as above, to the same effect. After: nothing is left to settle.
        busy.store(0, Ordering::Release);
        compiler_fence(Ordering::SeqCst);
        Ok(made)
    }
}

impl Drop for HeapLock<'_> {
    fn drop(&mut self) {
        if self.actor.heap().busy.load(Ordering::Relaxed) != 0 {
            // A change ended early, by an error or a panic. What cannot be settled now is tried again by the next to act on this seat.
            let _ = settle::range(self.actor);
        }
    }
}
