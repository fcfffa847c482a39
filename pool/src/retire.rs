//! Locks that are moved or freed by who has them exclusively, while seats still name them.
//!
//! Only by guards that were forgotten (`mem::forget`): their threads will never unlock. What such a guard has done is final from then on, since
//! its log speaks of memory that is about to be another value's: **a log whose place among the held locks names none, or a retired one, is final**. Its owner commits it
//! before the place is used again, its burier before anything is undone.
//!
//! A burier that has already read such an entry is waited for: it announced itself (`BURYING`) before it read, and waits for no retirement until it is done.

use crate::layout::HELD;
use crate::protocol;
use crate::raw::Inner;
use crate::seat::SeatCtx;
use std::sync::atomic::{AtomicU64, Ordering};

/// In a place of a seat's held locks, which are at multiples of 8: the lock is being retired, or who did it died.
const RETIRED: u64 = 2;

/// The lock that a place among the held ones names, retired or not; 0: none.
pub fn lock_of(place: u64) -> u64 {
    place & !RETIRED
}

/// Whether the lock of a place among the held ones is held, or wanted: not retired.
pub(crate) fn is_in_use(place: u64) -> bool {
    place != 0 && place & RETIRED == 0
}

impl Inner {
    /// Makes everybody forget the lock at `offset`, whose memory is about to be freed.
    pub fn retire_lock(&self, offset: u64) {
        self.retire_freed(offset, None);
    }

    /// The same for a seat that may be a burier's: it does not wait for the burial that it is itself.
    pub fn retire_lock_as(&self, seat: &SeatCtx, offset: u64) {
        let own = if seat.is_burying() { self.record_of_seat(seat.number()) } else { None };
        self.retire_freed(offset, own);
    }

    /// Whether a seat names the lock at `offset` for writing, be it held or not: who died while he took it, or gave it back, names a free one. O(seats).
    pub fn is_named(&self, offset: u64) -> bool {
        let seats = (0..self.seat_count()).filter_map(|number| self.seat_at(number));
        // Who gives a seat up names nothing.
        seats
            .filter(|seat| seat.record.load(Ordering::Relaxed) != 0)
            .any(|seat| seat.held.iter().any(|place| lock_of(place.load(Ordering::Relaxed)) == offset))
    }

    fn retire_freed(&self, offset: u64, own: Option<u32>) {
        for number in 0..self.seat_count() {
            let Some(seat) = self.seat_at(number) else { continue };
            let held = seat.held.iter().map(|place| (place, RETIRED));
            let named = held.chain(seat.marks.0.iter().map(|mark| (mark, 1)));
            if named.filter(|(word, flag)| forget(word, *flag, offset)).count() > 0
                && let Some(record) = self.record_of_seat(number)
                && Some(record) != own
            {
                self.await_burial(record);
            }
        }
    }

    /// Makes everybody forget the locks in `len` bytes from `first` on, which are about to be moved, or to be another value, and frees them.
    ///
    /// The calling thread, on `own`, has the bytes exclusively. O(seats).
    pub fn retire_locks_in(&self, own: &SeatCtx, first: u64, len: u64) {
        let is_within = |offset: u64| offset.wrapping_sub(first) < len;
        for number in 0..self.seat_count() {
            let Some(seat) = self.seat_at(number) else { continue };
            for (i, place) in seat.held.iter().enumerate() {
                let named = place.load(Ordering::SeqCst);
                match is_within(lock_of(named)) {
                    true if own.number() == number => retire_own(own, i),
                    true => self.retire_moved(place, named, number),
                    false => {}
                }
            }
        }
        self.retire_readers(is_within);
    }

    /// Makes everybody forget the locks read that `is_retired` says by their offsets. Nobody reads them any more: their guards were forgotten.
    pub fn retire_readers(&self, is_retired: impl Fn(u64) -> bool) {
        let seats = (0..self.seat_count()).filter_map(|number| self.seat_at(number));
        for mark in seats.flat_map(|seat| &seat.marks.0) {
            let m = mark.load(Ordering::SeqCst);
            if m != 0 && is_retired(m & !1) {
                // Refused: its burier was faster.
                let _ = mark.compare_exchange(m, 0, Ordering::SeqCst, Ordering::SeqCst);
            }
        }
    }

    /// `named` was read from `place` once, and is what is tagged: the seat may be buried, and taken by who holds other locks, at any time.
    fn retire_moved(&self, place: &AtomicU64, named: u64, seat: u32) {
        let tagged = lock_of(named) | RETIRED;
        // Dead before: the guard was forgotten, and its lock is held as long as its process lives. After: the same, and what it has done is final.
        // Refused: buried meanwhile.
        let _ = place.compare_exchange(named, tagged, Ordering::SeqCst, Ordering::SeqCst);
        if let Some(record) = self.record_of_seat(seat) {
            self.await_burial(record);
        }
        if place.load(Ordering::SeqCst) != tagged {
            return;
        }
        if let Some(word) = self.lock_word(lock_of(named)) {
            protocol::retire_word(word, seat);
        }
        // Dead before: the lock is free, and named by a seat that does not hold it, as that of a thread that dies while it unlocks. After: nobody names it.
        let _ = place.compare_exchange(tagged, 0, Ordering::SeqCst, Ordering::SeqCst);
        if let Some(record) = self.record_of_seat(seat) {
            self.await_burial(record); // that has read the entry
        }
    }
}

/// Whether a word of a seat names the lock at `offset`, but for a flag; then it does not any more, be it that its burier was faster.
fn forget(word: &AtomicU64, flag: u64, offset: u64) -> bool {
    let named = word.load(Ordering::SeqCst);
    let does = named & !flag == offset;
    if does {
        let _ = word.compare_exchange(named, 0, Ordering::SeqCst, Ordering::SeqCst);
    }
    does
}

/// Retires a lock whose guard the calling thread itself has forgotten: its work is brought to an end here.
fn retire_own(own: &SeatCtx, i: usize) {
    let place = &own.seat().held[i];
    // Killed before: what it lent is undone. After: all of it is final, and the lock is held by a seat whose log is empty.
    own.log(i).close();
    if own.transaction().is_null() && own.bare().holders() == 0 {
        own.bare().end_loans(); // of a part that had left the transaction in which the lock was taken
    }
    if let Some(word) = own.pool().lock_word(lock_of(place.load(Ordering::Relaxed))) {
        protocol::retire_word(word, own.number());
    }
    place.store(0, Ordering::Release);
    own.quick().note_further();
}

impl SeatCtx {
    /// Whether log `i` is that of a retired lock, and so is final.
    pub(crate) fn is_retired(&self, i: usize) -> bool {
        i < HELD && !is_in_use(self.seat().held[i].load(Ordering::SeqCst)) && self.log(i).was_undone()
    }
}
