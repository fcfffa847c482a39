//! The block of the vector that was appended to last, and that of the map that was changed last, so that changing it again need not resolve it anew.
//!
//! They are noted while the log is not held open, and forgotten with whatever may make them wrong: a record (nothing that names a block changes without one),
//! a hold, a loan, an undo, and another hold of a lock, under which others may have changed the container since. What was resolved stays mapped.
//! So who finds a container here knows besides that its log is not held open; who finds a map, which is noted when the log is idle, that it still is.

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

/// A map's table.
#[derive(Debug, Clone, Copy)]
pub struct ResolvedTable {
    /// Its first slot.
    pub first: NonNull<u8>,
    /// Its slots less one.
    pub mask: usize,
    /// Offset of the map's header.
    pub header: u64,
}

/// The table known last.
#[derive(Debug)]
pub(super) struct Table {
    /// Address of the map's header, 0: none.
    header: Cell<usize>,
    first: Cell<NonNull<u8>>,
    mask: Cell<usize>,
    offset: Cell<u64>,
}

impl Table {
    pub(super) const fn none() -> Table {
        Table {
            header: Cell::new(0),
            first: Cell::new(NonNull::dangling()),
            mask: Cell::new(0),
            offset: Cell::new(0),
        }
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

    /// The table of the map whose header is at `header`, if it is known and the log is idle.
    #[inline(always)]
    pub fn resolved_table(&self, header: usize) -> Option<ResolvedTable> {
        let known = &self.table;
        let found = known.header.get() == header;
        debug_assert!(!found || self.is_idle());
        found.then(|| ResolvedTable {
            first: known.first.get(),
            mask: known.mask.get(),
            header: known.offset.get(),
        })
    }

    /// Notes the table of the map at `header`, which was resolved just now, if the log is idle.
    #[inline]
    pub fn note_resolved_table(&self, header: usize, table: ResolvedTable) {
        if self.is_idle() {
            self.table.header.set(header);
            self.table.first.set(table.first);
            self.table.mask.set(table.mask);
            self.table.offset.set(table.header);
        }
    }

    /// Forgets both: the container may be reached through another log from now on, or was until now.
    #[inline(always)]
    pub fn forget_resolved(&self) {
        self.resolved.forget();
        self.table.header.set(0);
    }
}
