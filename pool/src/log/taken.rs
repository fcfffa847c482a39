//! Values on their way from one place to another.
//!
//! A `Taken` holds its log open, in which stand: the removal, then the intents to free what the value owns. Whoever puts the value
//! elsewhere pushes a `Cancel` of those intents. When the operation that does so is final, so is the removal; when it is undone, the
//! `Cancel` goes with it, and the value is freed as if it had been dropped.

use super::*;

impl LogCx {
    /// Voids the intents that a record at `below` speaks of. Repeatable.
    pub(super) fn cancel(&self, r: RecordView, below: u32) {
        for i in r.offset..r.offset.saturating_add(r.value).min(below as u64) {
            self.write(i as u32, RecordView::new(Kind::Nothing, 0, 0));
        }
        compiler_fence(Ordering::SeqCst);
    }

    /// Puts the `Taken` of `other`, whose `count` intents begin at record `first`, into the operation that is open on this log: removal
    /// and insertion become final together. The hold of the `Taken` ends.
    ///
    /// # Errors
    /// `OtherPool`; `TakenElsewhere` when one of the logs is kept open by something else, so that they could not become final together;
    /// `OutOfMemory` when a log cannot be made longer. The hold is then still the caller's.
    pub fn take_over(&self, other: &LogCx, first: u32, count: u32) -> Result<()> {
        let cancel = RecordView::new(Kind::Cancel, first as u64, count as u64);
        if std::ptr::eq(self, other) {
            self.reserve(1)?;
            self.push(cancel);
            self.let_go();
            self.took.set(self.len());
            return Ok(());
        }
        if !std::ptr::eq(self.seat, other.seat) {
            return Err(Error::OtherPool);
        }
        // Of an operation that is under way there nothing may become final before its end.
        if !self.is_free_to_join() || other.state.get() != HOLD || other.within.get() > 0 {
            return Err(Error::TakenElsewhere(
                "another value or loan of one of the two guards is still in use; use a transaction",
            ));
        }
        self.reserve(1)?;
        other.reserve(1)?;
        // Dead from here on, before this operation's commit: both logs are undone, the value is back where it was.
        let join = RecordView::new(Kind::Join, other.index as u64, other.from.get() as u64);
        self.push(join.with_aux(other.len() as u64));
        other.push(cancel);
        self.took.set(self.len());
        Ok(())
    }

    /// Whether nothing keeps this log open but the operation that is open on it.
    fn is_free_to_join(&self) -> bool {
        !self.is_open() || (self.state.get() == LEFT && self.within.get() == 1)
    }

    /// Ends an operation from `base` on that put a `Taken` somewhere.
    #[cold]
    #[inline(never)]
    pub(super) fn commit_with_taken(&self, base: u32, before: u32, between: impl FnOnce()) {
        let taken = self.taken_from(base);
        if before != 0 {
            self.leave();
        }
        let held = self.state.get();
        if taken.others == 0 && held != 0 {
            // A transaction, another value, or an operation around this one, decides later about all of it.
            self.begin_at(base);
            self.note_done(base);
            return between();
        }
        // Still held open only by the value that this very operation has removed, of which nothing is in the log yet: its hold begins anew
        // behind the commit.
        self.set_state(0);
        let from = self.from.replace(u32::MAX).min(base);
        let pending = self.make_final(from);
        between();
        if pending {
            self.carry_out_all();
        }
        self.end_joined(taken.others, |_| ());
        self.set_state(held);
        self.settle();
        if held != 0 {
            self.begin_at(self.len());
        }
    }

    /// Undoes an operation from `base` on that put a `Taken` somewhere: the taken values are dropped.
    #[cold]
    #[inline(never)]
    pub(super) fn undo_with_taken(&self, base: u32) {
        let taken = self.taken_from(base);
        // The values will be freed; more may stand above what would have prevented that.
        for (_, r) in self.downwards(self.len()).take_while(|(i, _)| *i >= base) {
            if r.kind == Kind::Join
                && let Some(other) = self.seat().logs().get(r.offset as usize)
            {
                other.write(r.aux as u32, RecordView::new(Kind::Nothing, 0, 0));
            }
        }
        self.undo_to(base);
        // Dead here: the logs joined are undone, their values are back where they were.
        self.end_joined(taken.others, |other| other.commit_held(u32::MAX));
        if taken.own && !self.is_open() {
            self.commit_held(base);
        }
    }

    fn end_joined(&self, others: u32, end: impl Fn(&LogCx)) {
        for other in self.seat().logs().iter().filter(|l| others >> l.index & 1 != 0) {
            other.set_state(0);
            end(other);
            other.from.set(u32::MAX);
            other.settle();
        }
    }

    /// What the operation from `base` on has put somewhere; `took` is that of the operation around it afterwards.
    fn taken_from(&self, base: u32) -> TakenFrom {
        let mut taken = TakenFrom { own: false, others: 0 };
        for (_, r) in self.downwards(self.len()).take_while(|(i, _)| *i >= base) {
            match r.kind {
                Kind::Join => taken.others |= 1u32.checked_shl(r.offset as u32).unwrap_or(0),
                Kind::Cancel => taken.own = true,
                _ => {}
            }
        }
        let outer = self.downwards(base).find(|(_, r)| matches!(r.kind, Kind::Join | Kind::Cancel));
        self.took.set(outer.map_or(0, |(i, _)| i + 1));
        taken
    }
}

/// Where the values come from that an operation has put somewhere.
struct TakenFrom {
    /// From the log of the operation itself.
    own: bool,
    /// From other logs of the seat: bit i for log i.
    others: u32,
}
