//! Whether an open log concerns a lock: what the lock guards was moved, made or lent by operations of that log, and is not as it was before them.
//!
//! Undo would bring other bytes back to where the lock is, or give its memory back. So what is done under it must be final with that log, and not
//! before (see `docs/design.md`, section 5).

use super::*;
use crate::layout::HELD;
use crate::siblings::{self, Owner};

/// Bytes of a lock's word.
const WORD: u64 = 8;

impl LogCx {
    /// Notes that what the lock at `offset` guards is lent to who has the lock exclusively, and so changed on this log; the loan lasts as that of plain data.
    ///
    /// # Errors
    /// `OutOfMemory` when the log cannot be made longer: nothing is noted then.
    pub fn lend(&self, offset: u64) -> Result<()> {
        self.reserve(1)?;
        self.loan();
        self.push(RecordView::new(Kind::Lent, offset, WORD));
        self.note_lent(offset);
        Ok(())
    }

    /// Notes that the operation under way is about locks, or values with locks in their own bytes: moves, makes, frees or replaces them.
    ///
    /// Until nothing is under way on this log ([`forget_locks`](Self::forget_locks)): operations that its source makes within it end before it does.
    pub fn note_locks(&self) {
        self.locks.set(true);
    }

    /// No operation is under way on this log.
    pub fn forget_locks(&self) {
        self.locks.set(false);
    }

    /// Notes that what the lock at `offset` guards is lent by changes of this log, which is held open: see `siblings`.
    pub fn note_lent(&self, offset: u64) {
        self.noted.set(true);
        siblings::note(self.owner(), [(offset, WORD)].into_iter());
    }

    /// The same for what the operation from record `base` on has done, which ends now while the log is held open.
    #[cold]
    #[inline(never)]
    pub(super) fn note_extents(&self, base: u32) {
        self.noted.set(true);
        let records = self.downwards(self.len()).take_while(|(i, _)| *i >= base);
        siblings::note(self.owner(), records.flat_map(|(_, r)| self.extents(r)));
    }

    /// The log is not held open any more, and all in it is final or undone.
    #[inline]
    pub fn settle(&self) {
        self.done.set(0);
        self.forget_noted();
    }

    /// What this log has noted is final, or undone.
    #[inline]
    pub(super) fn forget_noted(&self) {
        if self.noted.get() {
            self.forget_all();
        }
    }

    #[cold]
    #[inline(never)]
    fn forget_all(&self) {
        self.noted.set(false);
        if self.seat().quick().is_alive() {
            siblings::forget(self.owner());
        }
    }

    fn owner(&self) -> Owner {
        Owner { pool: self.pool().id(), seat: self.seat().number(), log: self.index }
    }

    /// Whether a record speaks of the lock at `offset`, or of memory that it lies in. O(records).
    pub fn concerns(&self, offset: u64) -> bool {
        self.takes_back(offset) || self.records(|r| r.kind == Kind::Lent && r.offset == offset)
    }

    /// Whether undo writes over the lock at `offset`, or gives its memory back. O(records).
    pub fn takes_back(&self, offset: u64) -> bool {
        self.records(|r| self.extents(r).iter().any(|bytes| holds(*bytes, offset)))
    }

    /// Whether undo gives the memory of the lock at `offset` back, so that it may be anybody's. O(records).
    pub(crate) fn frees(&self, offset: u64) -> bool {
        self.records(|r| matches!(r.kind, Kind::Alloc | Kind::AllocRun) && holds(self.block_of(r), offset))
    }

    fn records(&self, is: impl Fn(RecordView) -> bool) -> bool {
        self.downwards(self.len()).any(|(_, r)| is(r))
    }

    /// Offsets and lengths of what the undo of a record writes or gives back.
    fn extents(&self, r: RecordView) -> [(u64, u64); 2] {
        let one = |offset, len| [(offset, len), (0, 0)];
        match r.kind {
            Kind::Old => one(r.offset, r.size as u64),
            Kind::OldPair => [(r.offset, 8), (r.aux, 1)],
            Kind::OldBytes | Kind::OldBlock => one(r.offset, r.value),
            Kind::Shift => one(r.offset, crate::shift::bytes(r)),
            Kind::Alloc | Kind::AllocRun => [self.block_of(r), (0, 0)],
            _ => one(0, 0),
        }
    }

    fn block_of(&self, r: RecordView) -> (u64, u64) {
        self.pool().upper.block_of(self.pool(), r).unwrap_or_default()
    }
}

/// Whether so many bytes from an offset on hold another offset.
fn holds((first, len): (u64, u64), offset: u64) -> bool {
    offset.wrapping_sub(first) < len
}

impl SeatCtx {
    /// Refuses a lock that changes of another thread of this process concern which are not final.
    ///
    /// # Errors
    /// `WouldDeadlock` then: that thread may wait for this one to end, and these changes for both.
    pub fn refuse_unsettled(&self, offset: u64) -> Result<()> {
        // A log is noted only while its lock is held.
        let is_final = |log: Owner| {
            let place = self.pool().seat_at(log.seat).and_then(|seat| seat.held.get(log.log));
            place.is_some_and(|place| !crate::retire::is_in_use(place.load(Ordering::SeqCst)))
        };
        let concern = || siblings::concern(self.pool().id(), self.number(), offset, is_final);
        match siblings::unsettled() != 0 && concern() {
            true => Err(Error::WouldDeadlock(
                "another thread of this process has moved, made or lent the lock by changes that are not final",
            )),
            false => Ok(()),
        }
    }

    /// The log of this seat that is held open and concerns the lock at `offset`, if there is one. O(records of logs that are held open).
    ///
    /// There is one at most: of what one log concerns another learns only through a lock, and that is taken as a guest of the first.
    pub fn host(&self, offset: u64) -> Option<usize> {
        // The log of a guard that was forgotten speaks of memory that is not its own any more once its lock is gone.
        let lives =
            |i: usize| i >= HELD || crate::retire::is_in_use(self.seat().held[i].load(Ordering::Relaxed));
        self.logs().iter().position(|l| l.is_open() && lives(l.index) && l.concerns(offset))
    }
}
