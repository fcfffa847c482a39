//! Undoing, and bringing to an end what a dead occupant left.

use super::*;

impl LogCx {
    pub(super) fn undo_to(&self, base: u32) {
        self.forget_resolved();
        loop {
            let n = self.len();
            if n <= base {
                break;
            }
            let r = self.read(n - 1);
            self.undo_one(n - 1, r);
            // Dead before this store: the record is undone again, to the same effect. After: it is gone.
            self.set_head(self.head() - r.records().min(n) as u64);
        }
        self.intents.set(self.intents.get().min(base));
    }

    pub(super) fn undo_one(&self, i: u32, r: RecordView) {
        match r.kind {
            Kind::Old => self.put_back(r.offset, r.value, r.size.min(8)),
            Kind::OldPair => {
                self.put_back(r.offset, r.value, 8);
                self.put_back(r.aux, r.size as u64, 1);
            }
            Kind::OldBytes => self.write_back(i, r),
            Kind::OldBlock => self.copy_back(r),
            Kind::Alloc => self.pool().upper.undo(self, r),
            Kind::AllocRun if !self.is_permanent(r.offset.saturating_mul(PAGE)) => {
                self.pool().upper.undo(self, r)
            }
            Kind::Shift => crate::shift::undo(self, i, r),
            _ => {}
        }
        compiler_fence(Ordering::SeqCst);
    }

    fn put_back(&self, offset: u64, value: u64, size: u8) {
        if let Ok(at) = self.pool().at(offset, size as u64) {
            // SAFETY: in bounds by `at`; under a lock that the seat holds, or not linked in (contract of `save`).
            unsafe { std::ptr::copy_nonoverlapping((&raw const value).cast::<u8>(), at, size as usize) };
        }
    }

    /// Writes back the bytes that stand below record `i`.
    fn write_back(&self, i: u32, r: RecordView) {
        let Ok(to) = self.pool().at(r.offset, r.value) else { return };
        let Some(first) = i.checked_sub(r.aux as u32) else { return };
        for (k, done) in (first..i).zip((0..r.value as usize).step_by(BYTES)) {
            let count = (r.value as usize - done).min(BYTES);
            // SAFETY: a record has BYTES bytes; the target is in bounds by `at`, and as for `Old`.
            unsafe { std::ptr::copy_nonoverlapping(self.record_bytes(k).cast_const(), to.add(done), count) };
        }
    }

    pub(super) fn copy_back(&self, r: RecordView) {
        if let (Ok(from), Ok(to)) = (self.pool().at(r.aux << 3, r.value), self.pool().at(r.offset, r.value)) {
            // SAFETY: both in bounds by `at`; the saved block belongs to this operation, the target is as for `Old`. Out of a damaged pool
            // they may overlap.
            unsafe { std::ptr::copy(from.cast_const(), to, r.value as usize) };
        }
    }

    /// Finishes or undoes what a dead occupant left, committed logs first (they may join others). Repeatable.
    ///
    /// Returns false when the log is damaged.
    pub(crate) fn recover(&self, committed: bool) -> bool {
        if !self.is_whole() {
            return false;
        }
        if self.head() & COMMITTED != 0 {
            // If base is not 0, a nested operation was committed inside one that was not.
            self.carry_out_all();
        }
        if !committed {
            self.undo_to(0);
        }
        true
    }

    /// Whether all records that the head speaks of are there. Notes how many there is room for: who buries a log has not made it longer itself, and
    /// carrying out needs the records that were kept for it.
    pub(crate) fn is_whole(&self) -> bool {
        let head = self.head();
        let (n, base) = ((head & N) as u32, (head >> BASE_SHIFT & N) as u32);
        let (mut first, mut link) = (LOG_INLINE as u32, &self.log().chunk);
        while first <= N as u32 / 4
            && let Some(chunk) = self.chunk_at(link, chunk_records(first))
        {
            first += chunk_records(first);
            // SAFETY: a chunk begins with the offset of the next.
            link = unsafe { &*chunk };
        }
        self.room.set(self.room.get().max(first - SPARE));
        n <= first && (head & COMMITTED == 0 || base <= n)
    }

    /// Forgets a damaged log: what it says of the operation cannot be trusted.
    pub(crate) fn give_up(&self) {
        self.set_head(0);
    }

    /// Whether a lock may use this log: nothing is in it but what a commit has still to carry out.
    #[inline(always)]
    pub(crate) fn is_vacant(&self) -> bool {
        let head = self.head();
        head == 0 || head & COMMITTED != 0
    }

    /// Makes all that stands in it final, to be carried out by [`recover`](Self::recover). Repeatable.
    pub(crate) fn declare_final(&self) {
        self.make_final(0);
    }

    /// The records below number `n`, from the top down.
    pub(super) fn downwards(&self, mut n: u32) -> impl Iterator<Item = (u32, RecordView)> {
        std::iter::from_fn(move || {
            let i = n.checked_sub(1)?;
            let r = self.read(i);
            n = n.saturating_sub(r.records());
            Some((i, r))
        })
    }

    /// Whether the dead occupant left an operation that will be undone.
    pub(crate) fn was_undone(&self) -> bool {
        let head = self.head();
        head & COMMITTED == 0 && head & N != 0
    }
}
