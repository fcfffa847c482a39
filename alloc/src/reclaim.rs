//! Giving empty slabs back: one's own, and those of seats nobody sits on.

use crate::actor::Actor;
use crate::slab;
use aquifer_pool::Result;
use aquifer_pool::seat::SeatCtx;
use std::sync::atomic::Ordering;

/// Collects what others freed in the slabs of this seat and gives the empty ones back; returns how many. O(own slabs).
///
/// # Errors
/// `Damaged`.
pub fn reclaim(seat: &SeatCtx) -> Result<usize> {
    slab::sweep(Actor::of(seat))
}

/// The same for all seats that are this thread's or free.
pub(crate) fn everywhere(actor: Actor<'_>) -> Result<usize> {
    let mut retired = slab::sweep(actor)?;
    if actor.burying {
        return Ok(retired); // the record is a dead one: nothing must be taken in its name
    }
    let own = actor.seat.record.load(Ordering::Relaxed);
    for number in 0..actor.pool.seat_count() {
        let Some(seat) = actor.pool.seat_at(number) else { continue };
        if seat.heap.slabs.iter().all(|s| s.load(Ordering::Relaxed) == 0) {
            continue;
        }
        // Dead before: the seat is free. After: it is ours, and buried with us.
        if seat.record.compare_exchange(0, own, Ordering::Acquire, Ordering::Relaxed).is_ok() {
            let swept = slab::sweep(Actor { pool: actor.pool, seat, number, burying: false, hands: None });
            // Dead before: as above. After: free again.
            seat.record.store(0, Ordering::Release);
            retired += swept?;
        }
    }
    Ok(retired)
}
