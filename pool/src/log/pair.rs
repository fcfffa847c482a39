//! A word, and a byte somewhere else, that change together: a map's counts, and the control byte of a slot.

use super::*;

impl LogCx {
    /// Whether nothing is in the log, and nothing holds it open.
    #[inline(always)]
    pub fn is_idle(&self) -> bool {
        self.head() | self.state.get() as u64 == 0
    }

    /// Saves an aligned word at `offset`, and a byte that is `old` at `byte_offset`, by one record.
    #[inline(always)]
    pub fn save_pair(&self, word: &AtomicU64, offset: u64, byte_offset: u64, old: u8) {
        self.push(pair(word, offset, byte_offset, old));
    }

    /// The same on an idle log, with the change that it is for: an operation of its own, of two stores to the head.
    #[inline(always)]
    pub fn change_pair(
        &self,
        word: &AtomicU64,
        offset: u64,
        byte_offset: u64,
        old: u8,
        change: impl FnOnce(),
    ) {
        debug_assert!(self.is_idle());
        self.write(0, pair(word, offset, byte_offset, old));
        if !planted("unlogged") {
            // Dead before this store: the record does not exist. After: it is undone, and its change was not made yet.
            self.set_head(1);
        }
        change();
        // Dead before this store: the change is undone. After: it is final.
        self.set_head(0);
        commit_store("log-cut");
    }
}

#[inline(always)]
fn pair(word: &AtomicU64, offset: u64, byte_offset: u64, old: u8) -> RecordView {
    let value = word.load(Ordering::Relaxed);
    RecordView { kind: Kind::OldPair, size: old, aux: byte_offset, offset, value }
}
