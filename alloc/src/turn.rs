//! Who may touch the slabs of a seat: its owner in a *turn*, or somebody in need of memory who has *closed* it.
//!
//! Both sides store, then load what the other stores: the owner `turn`, then `closed`; who is in need `closed`, then `turn`. So at least one of
//! them sees the other. The owner, who does this for every block, pays for no atomic operation: it keeps compiler order only, and who is in need has
//! the kernel make a full barrier in every process (`membarrier`) between its own store and load.
//!
//! `closed` while a seat is closed: seat + 1 of who closed it, as in the words of `word`. [`STALE`] afterwards, until the owner has seen it
//! and let go of what it had in hand. One at a time is in need: it has the growth ticket. It never waits for an owner: a seat that is in a turn for long,
//! or has anything on its logs (records name slabs as its own), is left alone.
//!
//! Order: growth ticket, `closed`, a turn of one's own, heap lock, page lock.

use crate::actor::Actor;
use crate::word::{self, OWNER};
use aquifer_pool::layout::{Seat, SeatHeap};
use aquifer_pool::seat::SeatCtx;
use std::hint::cold_path;
use std::sync::atomic::{Ordering, compiler_fence};
use std::time::Duration;

/// The seat was closed: what its owner remembers of its slabs may have become wrong.
pub(crate) const STALE: u64 = 1 << 30;
/// How often, and for how long each time, who is in need waits for the end of a turn.
const TRIES: usize = 20;
const PAUSE: Duration = Duration::from_micros(100);

/// A turn of the seat's owner, or of who buries it.
#[derive(Debug)]
#[must_use = "the turn ends at once"]
pub(crate) struct Turn<'a> {
    heap: &'a SeatHeap,
}

impl<'a> Turn<'a> {
    /// A turn, unless the seat is closed, or was since its last turn.
    #[inline(always)]
    pub(crate) fn begin(seat: &'a Seat) -> Option<Turn<'a>> {
        let heap = &seat.heap;
        // Dead after: whoever settles us ends the turn.
        heap.turn.store(1, Ordering::Relaxed);
        // Compiler order is enough: see the module. Acquire: what who closed the seat did is seen by who finds it open.
        compiler_fence(Ordering::SeqCst);
        if heap.closed.load(Ordering::Acquire) != 0 {
            cold_path();
            heap.turn.store(0, Ordering::Release);
            return None;
        }
        Some(Turn { heap })
    }

    /// The same; waits until whoever has closed the seat is done.
    #[inline]
    pub(crate) fn take(actor: Actor<'a>) -> Turn<'a> {
        loop {
            match Turn::begin(actor.seat) {
                Some(turn) => return turn,
                None => reopen(actor),
            }
        }
    }
}

impl Drop for Turn<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        // Release: who closes the seat sees all that was done in the turn.
        self.heap.turn.store(0, Ordering::Release);
    }
}

#[cold]
fn reopen(actor: Actor<'_>) {
    let closed = &actor.heap().closed;
    while let Some(by) = (closed.load(Ordering::Acquire) & OWNER).checked_sub(1) {
        let sits = |seat: &Seat| seat.record.load(Ordering::SeqCst) != 0;
        match actor.pool.seat_at(by as u32) {
            Some(seat) if sits(seat) => word::wait_for_change(closed, actor.pool),
            // Damage: who closes a seat opens it before it leaves its own.
            _ => word::leave(closed, by as u32 + 1, STALE),
        }
    }
    actor.hands.iter().for_each(|hands| hands.forget());
    // Dead after: nobody remembers anything of this seat's slabs. A failure means that it was closed once more.
    let _ = closed.compare_exchange(STALE, 0, Ordering::AcqRel, Ordering::Relaxed);
}

/// A seat that is closed to its owner. Dropping it opens it.
#[derive(Debug)]
pub(crate) struct Closed<'a> {
    needy: Actor<'a>,
    /// The seat's owner, as whom its slabs are looked at.
    pub(crate) owner: Actor<'a>,
}

impl<'a> Closed<'a> {
    /// Closes a seat, if its owner is not at work in the heap. The caller has the growth ticket and is in no turn.
    pub(crate) fn close(needy: Actor<'a>, number: u32) -> Option<Closed<'a>> {
        let seat = needy.pool.seat_at(number)?;
        let seen = seat.heap.closed.load(Ordering::Relaxed);
        if number == needy.number || seen & OWNER != 0 {
            return None;
        }
        // Before the word: whoever settles us finds it.
        needy.heap().closing.store(number as u64 + 1, Ordering::Release);
        compiler_fence(Ordering::SeqCst);
        let owner = Actor::for_owner(needy.pool, seat, number);
        let closed = Closed { needy, owner };
        // Dead before: nothing has changed. After: whoever settles us opens the seat.
        let taken =
            seat.heap.closed.compare_exchange(seen, needy.name() as u64, Ordering::SeqCst, Ordering::Relaxed);
        (taken.is_ok() && closed.is_quiet()).then_some(closed)
    }

    /// Whether the owner is in no turn, and will be in none, and its logs name no slab.
    fn is_quiet(&self) -> bool {
        let Actor { pool, seat, .. } = self.owner;
        // A seat that is free here is taken by an atomic operation, after which its taker sees it closed.
        let record = seat.record.load(Ordering::SeqCst);
        if record != 0 && !pool.barrier_reaches(record - 1) {
            return false;
        }
        let ended = (0..TRIES).any(|i| {
            if i > 0 {
                std::thread::sleep(PAUSE);
            }
            seat.heap.turn.load(Ordering::Acquire) == 0
        });
        ended && seat.logs.iter().all(|log| log.head.load(Ordering::Acquire) == 0)
    }
}

impl Drop for Closed<'_> {
    fn drop(&mut self) {
        word::leave(&self.owner.heap().closed, self.needy.name(), STALE);
        compiler_fence(Ordering::SeqCst);
        self.needy.heap().closing.store(0, Ordering::Release);
    }
}

/// Opens the seat that a dead seat had closed, and ends its turn. What it was changing has been settled. Repeatable.
pub(crate) fn settle(dead: &SeatCtx) {
    let actor = Actor::of(dead);
    let closing = &actor.heap().closing;
    if let Some(number) = closing.load(Ordering::Acquire).checked_sub(1)
        && let Some(seat) = u32::try_from(number).ok().and_then(|n| actor.pool.seat_at(n))
    {
        word::leave(&seat.heap.closed, actor.name(), STALE);
    }
    compiler_fence(Ordering::SeqCst);
    closing.store(0, Ordering::Release);
    actor.heap().turn.store(0, Ordering::Release);
}
