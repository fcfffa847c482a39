//! Old bytes: what is about to change, saved so that undo writes it back.

use super::*;

impl LogCx {
    /// Saves `len` bytes at `at`, an address in the pool, so that undo writes them back.
    ///
    /// # Safety
    /// The bytes are readable, under a lock held until the commit (or not linked in), and initialised or padding.
    #[inline]
    pub unsafe fn save(&self, at: *const u8, len: usize) {
        if len == 0 || UNLOGGED {
            return; // such as nothing appended to an empty vector, which has no address
        }
        let offset = self.pool().offset_of(at).unwrap_or_else(|| panic!("saved bytes are not in the pool"));
        if len > 8 {
            // SAFETY: the caller's contract.
            return unsafe { self.save_bytes(at, offset, len) };
        }
        let mut value = 0u64;
        // SAFETY: the caller's bytes; copied as bytes, so that padding stays what it is.
        unsafe { std::ptr::copy_nonoverlapping(at, (&raw mut value).cast::<u8>(), len) };
        self.push(RecordView { kind: Kind::Old, size: len as u8, aux: 0, offset, value });
    }

    /// Saves more than a word: the bytes first, then the record that says what they are, all published by one store.
    ///
    /// # Safety
    /// As for [`save`](Self::save); `at` is the address of `offset`.
    unsafe fn save_bytes(&self, at: *const u8, offset: u64, len: usize) {
        let count = bytes_records(len) - 1;
        self.forget_resolved();
        self.reserve_or_panic(count + 1);
        let head = self.head();
        let n = (head & N) as u32;
        for (k, done) in (n..n + count).zip((0..len).step_by(BYTES)) {
            // SAFETY: within the caller's bytes; a record has BYTES bytes, and is beyond the head.
            unsafe {
                std::ptr::copy_nonoverlapping(at.add(done), self.record_bytes(k), (len - done).min(BYTES));
            }
        }
        self.write(n + count, RecordView::new(Kind::OldBytes, offset, len as u64).with_aux(count as u64));
        // Dead before this store: nothing was saved, and nothing changed. After: undo writes the bytes back.
        self.set_head(head + count as u64 + 1);
    }

    /// The same for bytes that stand at `copy` too, as long as this record does.
    ///
    /// # Safety
    /// As for [`save`](Self::save); the `len` bytes at `copy`, in the pool too, are the same, and change only after they are saved themselves.
    pub unsafe fn save_copied(&self, at: *const u8, copy: *const u8, len: usize) {
        if UNLOGGED {
            return;
        }
        match (self.pool().offset_of(at), self.pool().offset_of(copy)) {
            (Some(offset), Some(copy)) if len > 8 && copy.is_multiple_of(8) => {
                self.push(RecordView::new(Kind::OldBlock, offset, len as u64).with_aux(copy >> 3));
            }
            // SAFETY: the caller's contract.
            _ => unsafe { self.save(at, len) },
        }
    }

    pub(super) fn record_bytes(&self, i: u32) -> *mut u8 {
        std::ptr::from_ref(self.record(i)).cast_mut().cast()
    }

    /// Saves one aligned word.
    #[inline(always)]
    pub fn save_word(&self, at: &AtomicU64) {
        if UNLOGGED {
            return;
        }
        let offset = self.offset_of_word(at);
        let value = at.load(Ordering::Relaxed);
        self.push(RecordView { kind: Kind::Old, size: 8, aux: 0, offset, value });
    }

    #[inline(always)]
    fn offset_of_word(&self, at: &AtomicU64) -> u64 {
        let address = std::ptr::from_ref(at).cast::<u8>();
        self.pool().offset_of(address).unwrap_or_else(|| panic!("saved word is not in the pool"))
    }
}
