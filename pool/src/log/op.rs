//! One all-or-nothing operation.

use super::*;

/// One all-or-nothing operation on a log.
#[derive(Debug)]
#[must_use = "an operation that is not committed is undone"]
pub struct Op<'a> {
    pub(super) cx: &'a LogCx,
    pub(super) base: u32,
    /// What held the log open when it began.
    pub(super) before: u32,
    pub(super) thread: PhantomData<*mut ()>,
}

impl<'a> Op<'a> {
    /// The log.
    #[inline(always)]
    pub fn cx(&self) -> &'a LogCx {
        self.cx
    }

    /// Ends the operation: it is final, or, while the log is held open, becomes so with what holds it open.
    #[inline(always)]
    pub fn commit(self) {
        let (cx, base, before) = (self.cx, self.base, self.before);
        std::mem::forget(self);
        if cx.took.get() > base {
            cx.commit_with_taken(base, before, || ());
        } else if cx.is_open() {
            cx.note_done(base);
            cx.commit_open(base, before);
        } else {
            cx.commit_from(base);
        }
    }

    /// As [`commit`](Self::commit), with `between` called when the operation is final and nothing was freed yet: a lock that guards what was
    /// unlinked, and not what is freed, may be given back there.
    pub fn commit_then(self, between: impl FnOnce()) {
        let (cx, base, before) = (self.cx, self.base, self.before);
        std::mem::forget(self);
        if cx.took.get() > base {
            return cx.commit_with_taken(base, before, between);
        }
        if cx.is_open() {
            cx.note_done(base);
            cx.commit_open(base, before);
            return between();
        }
        if cx.intents.get() <= base {
            cx.commit_from(base);
            return between();
        }
        let pending = cx.make_final(base);
        between();
        if pending {
            cx.carry_out_all();
        }
    }
}

impl Op<'_> {
    /// Undoes it, with all that was finished within it: for who lends nothing of that beyond the operation's end.
    pub fn roll_back(self) {
        self.cx.done.set(self.cx.done.get().min(self.base));
    }

    /// Whether anything was done since it began.
    pub fn has_records(&self) -> bool {
        self.cx.len() > self.base
    }
}

impl Drop for Op<'_> {
    #[cold]
    fn drop(&mut self) {
        if !self.cx.seat().quick().is_alive() {
            return; // in a child of a fork: the parent goes on with it
        }
        let (cx, base) = (self.cx, self.base);
        if cx.holders() > self.before / HOLD {
            outlives("a value taken within a call has outlived the failure of that call");
        }
        if cx.done.get() > base {
            outlives(
                "a call has failed, within which its source had changed what becomes final no sooner than the call",
            );
        }
        match cx.took.get() > base {
            false => cx.undo_to(base),
            true => cx.undo_with_taken(base),
        }
        if cx.is_open() {
            cx.commit_open(base, self.before);
        }
    }
}

impl LogCx {
    /// Ends an operation from `base` on, done or undone, of a log that is held open: it becomes final with what holds it open, now if that was
    /// only waiting for its end.
    #[inline]
    pub(super) fn commit_open(&self, base: u32, before: u32) {
        self.begin_at(base);
        if before != 0 {
            self.leave();
            if self.state.get() == 0 {
                self.commit_held(base);
            }
        }
    }
}

/// A source that ran within the operation has, or may have, what is undone with it: a value taken out would be back in its collection too, and a
/// reference to what was put in would name a block that was given back.
#[cold]
fn outlives(what: &str) -> ! {
    eprintln!("aquifer: {what}; the process ends, so that the call is undone");
    std::process::abort();
}
