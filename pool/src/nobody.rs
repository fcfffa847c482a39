//! Words that name a seat on which nobody sits: only damage leaves them, and whoever waits for one would wait for ever.
//!
//! The proof that nobody is there: the seat does not exist; or it is free, and we sit down there for a moment, so that nobody else acts as it;
//! or it is our own, and we know what we hold.

use crate::layout::LIVE;
use crate::lock::{Floor, Patience};
use crate::protocol::{self, OWNER};
use crate::raw::Inner;
use crate::seat::SeatCtx;
use std::sync::atomic::{AtomicU64, Ordering};

/// What repairing a seat has found there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cleared {
    /// Whether it named locks or had operations under way.
    pub words: bool,
}

impl Inner {
    /// Whether no process sits on a seat: it is free, or there is none of that number, or its process has not joined.
    pub fn is_nobody(&self, seat: u32) -> bool {
        match self.record_of_seat(seat) {
            None => true,
            Some(record) => self.record_state(record) & LIVE == 0,
        }
    }

    /// Sits down on a free seat for a moment; nothing when it is not free, or there is no such seat.
    pub fn with_free_seat<R>(&self, number: u32, f: impl FnOnce(&SeatCtx) -> R) -> Option<R> {
        let own = self.own_record()? as u64 + 1;
        let ctx = SeatCtx::on(self, number, true).ok()?;
        let record = &ctx.seat().record;
        let free = record.load(Ordering::SeqCst);
        if free != 0 && (free > self.record_count() as u64 || self.record_state(free as u32 - 1) & LIVE != 0)
        {
            return None;
        }
        // Dead before: the seat is free. After: it is ours, and buried with us.
        record.compare_exchange(free, own, Ordering::SeqCst, Ordering::SeqCst).ok()?;
        let result = f(&ctx);
        // Dead before: as above. After: free again.
        record.store(0, Ordering::SeqCst);
        Some(result)
    }

    /// Frees a lock's word if it is proven that whom it names does not hold it; the summary of its readers stays. The next writer is told
    /// that its predecessor died.
    pub fn free_word_of_nobody(&self, word: &AtomicU64, offset: u64) -> bool {
        let Some(seat) = named(word) else { return false };
        let free = |ctx: &SeatCtx| protocol::bury_word(&floor(ctx), word, seat);
        // The word first, then the number of seats: no seat that is made later can have been named.
        if seat >= self.seat_count() {
            return self.seat().map(free).is_ok();
        }
        if let Ok(own) = self.seat()
            && own.number() == seat
        {
            let holds = own.seat().held.iter().any(|h| h.load(Ordering::Relaxed) == offset);
            // What we hold is ours; what names us else is damage.
            if !holds {
                free(own);
            }
            return !holds;
        }
        self.with_free_seat(seat, free).is_some()
    }

    /// Makes a free seat name no locks and have no operation under way. Nothing when it is not free.
    pub fn clear_free_seat(&self, number: u32) -> Option<Cleared> {
        self.with_free_seat(number, |ctx| {
            let seat = ctx.seat();
            let locks = seat.held.iter().chain(&seat.marks.0);
            let words =
                locks.chain(seat.logs.iter().map(|l| &l.head)).filter(|w| w.load(Ordering::SeqCst) != 0);
            let found = words.count() > 0;
            if found {
                seat.logs.iter().for_each(|l| l.head.store(0, Ordering::SeqCst));
                seat.held.iter().for_each(|h| h.store(0, Ordering::SeqCst));
                seat.marks.0.iter().for_each(|m| protocol::bury_mark(&floor(ctx), m));
            }
            self.upper.settle(ctx);
            Cleared { words: found }
        })
    }
}

fn floor(seat: &SeatCtx) -> Floor<'_> {
    Floor { seat, patience: Patience::Try }
}

/// The seat that a lock's word names.
fn named(word: &AtomicU64) -> Option<u32> {
    (word.load(Ordering::SeqCst) & OWNER).checked_sub(1).map(|s| s as u32)
}
