//! The block of the container that was appended to last, so that appending to it again need not resolve it anew.
//!
//! It is noted while the log is not held open, and forgotten with whatever may make it wrong: a record (nothing that names a block changes without one),
//! a hold, a loan, an undo, and another hold of a lock, under which others may have changed the container since. What was resolved stays mapped.
//! So who finds a container here knows besides that its log is not held open.

use super::*;
use std::ptr::NonNull;

#[derive(Debug)]
pub(super) struct Resolved {
    /// Address of the container's header, 0: none.
    header: Cell<usize>,
    first: Cell<NonNull<u8>>,
    count: Cell<usize>,
}

impl Resolved {
    pub(super) const fn none() -> Resolved {
        Resolved { header: Cell::new(0), first: Cell::new(NonNull::dangling()), count: Cell::new(0) }
    }

    #[inline(always)]
    pub(super) fn forget(&self) {
        self.header.set(0);
    }
}

impl LogCx {
    /// Address of the first element of the container whose header is at `header`, and how many fit, if its block is known to have room for one at
    /// `index`.
    #[inline(always)]
    pub fn resolved(&self, header: usize, index: usize) -> Option<(NonNull<u8>, usize)> {
        let known = &self.resolved;
        let count = known.count.get();
        (known.header.get() == header && index < count).then(|| (known.first.get(), count))
    }

    /// Notes that the container at `header` has room for `count` elements from `first` on, which was resolved just now.
    #[inline]
    pub fn note_resolved(&self, header: usize, first: NonNull<u8>, count: usize) {
        if self.state.get() == 0 {
            self.resolved.header.set(header);
            self.resolved.first.set(first);
            self.resolved.count.set(count);
        }
    }

    /// Forgets it: the container may be reached through another log from now on, or was until now.
    #[inline(always)]
    pub fn forget_resolved(&self) {
        self.resolved.forget();
    }
}
