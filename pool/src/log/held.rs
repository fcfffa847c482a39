//! What holds a log open, so that operations end without becoming final: transactions, values taken out, plain data on loan.
//!
//! Its records stay until nothing holds it open any more, and become final together then (`docs/design.md`, section 5).

use super::*;

impl LogCx {
    /// Notes what holds the log open from now on; of the one for work under no lock also where the heap's fast paths look.
    #[inline(always)]
    pub(super) fn set_state(&self, state: u32) {
        let was_open = self.state.replace(state) != 0;
        if was_open != (state != 0) && self.index == LOG_BARE {
            self.note_bare();
        }
    }

    #[cold]
    #[inline(never)]
    fn note_bare(&self) {
        self.seat().quick().note_bare(self.is_open());
    }

    /// Keeps the log open until [`release`](Self::release): a transaction begins, or a `Taken` is made.
    pub fn hold(&self) {
        self.begin_at(self.len());
        self.set_state(self.state.get() + HOLD);
    }

    /// Ends one [`hold`](Self::hold); what was done since it began becomes final when nothing else keeps the log open. Nothing in a child of a fork: the log
    /// is the parent's.
    pub fn release(&self) {
        if !self.seat().quick().is_alive() {
            return;
        }
        self.let_go();
        if self.state.get() == 0 {
            self.commit_held(u32::MAX);
        }
    }

    /// Ends one hold without a commit; within an operation that began under it, it lasts until that ends.
    pub(super) fn let_go(&self) {
        let s = self.state.get();
        debug_assert!(s >= HOLD);
        self.end_hold(s.saturating_sub(HOLD));
    }

    pub(super) fn end_hold(&self, rest: u32) {
        self.set_state(if rest == 0 && self.within.get() > 0 { LEFT } else { rest });
    }

    /// What is held open begins at record `first`, if not before.
    #[inline(always)]
    pub(super) fn begin_at(&self, first: u32) {
        self.forget_resolved();
        self.from.set(self.from.get().min(first));
    }

    /// What was held open is final, with all from `base` on.
    pub(super) fn commit_held(&self, base: u32) {
        self.commit_from(self.from.replace(u32::MAX).min(base));
        self.settle();
    }

    /// An operation from `base` on has been done while the log is held open.
    pub(super) fn note_done(&self, base: u32) {
        self.note_lasting();
        if self.locks.get() {
            self.note_extents(base);
        }
    }

    /// Something was done, or lent, on a log that is held open, other than by the operation under way: who undoes that one would undo it too.
    #[inline(always)]
    pub fn note_lasting(&self) {
        self.done.set(self.len());
    }

    /// An operation ends that began while the log was held open.
    pub(super) fn leave(&self) {
        self.within.set(self.within.get() - 1);
        if self.within.get() == 0 {
            self.set_state(self.state.get() & !LEFT);
        }
    }

    /// Notes that old bytes of plain data on loan stand in the log, or will: those from here on.
    #[inline(always)]
    pub fn loan(&self) {
        self.done.set(self.len() + 1);
        self.begin_at(self.len());
        self.set_state(self.state.get() | LOANED);
    }

    /// Ends loans: every `&mut` handed out before is over (the guard is dereferenced mutably again, committed or dropped).
    #[inline(always)]
    pub fn end_loans(&self) {
        if self.state.get() & LOANED != 0 {
            self.end_hold(self.state.get() & !LOANED);
            if self.state.get() == 0 {
                self.commit_held(u32::MAX);
            }
        }
    }

    /// Holds the log open from within an operation; [`restore`](Self::restore) brings the state before back, without a commit, so that the
    /// operation's own commit or undo decides about everything since it began.
    pub fn keep(&self) -> u32 {
        let before = self.state.get();
        self.hold();
        before
    }

    /// Ends [`keep`](Self::keep), and everything that has held the log open since.
    pub fn restore(&self, before: u32) {
        self.set_state(before);
        if before == 0 {
            self.from.set(u32::MAX);
        }
    }

    /// How many transactions and `Taken`s hold the log open.
    pub fn holders(&self) -> u32 {
        self.state.get() / HOLD
    }

    /// Whether nothing is in the log, and nothing holds it open.
    #[inline(always)]
    pub fn is_untouched(&self) -> bool {
        self.state.get() == 0 && self.is_empty()
    }

    /// Makes everything in the log final: the guard or transaction that held it open is over.
    #[inline]
    pub fn close(&self) {
        self.set_state(0);
        self.from.set(u32::MAX);
        self.commit_from(0);
        self.settle();
        self.forget_locks();
    }

    /// Undoes everything in the log: the transaction that held it open gives up.
    pub fn roll_back(&self) {
        self.set_state(0);
        self.from.set(u32::MAX);
        self.undo_to(0);
        self.settle();
    }
}
