//! Getting memory that nobody uses, when the pool cannot grow: from one's own slabs, from those of seats nobody sits on, and from those of
//! others that are not at work in the heap.

use crate::actor::Actor;
use crate::turn::{Closed, Turn};
use crate::{slab, spare, word};
use aquifer_pool::Result;
use aquifer_pool::layout::Seat;
use aquifer_pool::seat::SeatCtx;
use std::sync::atomic::Ordering;

/// Collects what others freed in the slabs of this seat, and gives the empty ones and spare runs back; returns how many. O(own slabs).
///
/// # Errors
/// `Damaged`.
pub fn reclaim(seat: &SeatCtx) -> Result<usize> {
    let actor = Actor::of(seat);
    let _turn = Turn::take(actor);
    sweep(actor, actor)
}

fn sweep(actor: Actor<'_>, owner: Actor<'_>) -> Result<usize> {
    Ok(spare::sweep(actor, owner)? + slab::sweep(actor, owner)?)
}

/// The same for all seats that can be closed.
pub(crate) fn everywhere(actor: Actor<'_>) -> Result<usize> {
    let turn = Turn::take(actor);
    let mut retired = sweep(actor, actor)?;
    drop(turn);
    let has_any = |seat: &Seat| spare::any(&seat.heap.spare) || spare::any(&seat.heap.slabs);
    each_closed(actor, has_any, |owner| {
        retired += sweep(actor, owner)?;
        Ok(false)
    })?;
    Ok(retired)
}

/// Takes a slab with room over from another seat; false if there is none.
pub(crate) fn take_over(actor: Actor<'_>, class: usize) -> Result<bool> {
    let has_slab = |seat: &Seat| seat.heap.slabs[class].load(Ordering::Relaxed) != 0;
    each_closed(actor, has_slab, |owner| slab::take_over(actor, owner, class))
}

/// Closes one seat after the other, of those that `wanted` is true of, until `f` says that it is enough; true if it did.
fn each_closed<'a>(
    actor: Actor<'a>,
    wanted: impl Fn(&Seat) -> bool,
    mut f: impl FnMut(Actor<'a>) -> Result<bool>,
) -> Result<bool> {
    if actor.burying {
        return Ok(false); // it may be that very seat that is waited for
    }
    let _ticket = word::acquire(&actor.pool.header().growth_ticket, actor);
    for number in 0..actor.pool.seat_count() {
        if actor.pool.seat_at(number).is_some_and(&wanted)
            && let Some(closed) = Closed::close(actor, number)
            && f(closed.owner)?
        {
            return Ok(true);
        }
    }
    Ok(false)
}
