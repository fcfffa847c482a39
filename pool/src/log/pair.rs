//! A word, and a byte somewhere else, that change together: a map's counts, and the control byte of a slot.

use super::*;

/// A word and a byte as they are, and their offsets. The word's is a multiple of 8.
#[derive(Debug, Clone, Copy)]
pub struct Pair {
    /// Where the word stands.
    pub offset: u64,
    /// The word.
    pub word: u64,
    /// Where the byte stands.
    pub byte_offset: u64,
    /// The byte.
    pub byte: u8,
}

impl Pair {
    #[inline(always)]
    fn record(self) -> RecordView {
        let Pair { offset, word, byte_offset, byte } = self;
        RecordView { kind: Kind::OldPair, size: byte, aux: byte_offset, offset, value: word }
    }
}

impl LogCx {
    /// Whether nothing is in the log, and nothing holds it open.
    #[inline(always)]
    pub fn is_idle(&self) -> bool {
        self.head() | self.state.get() as u64 == 0
    }

    /// Saves an aligned word and a byte by one record.
    #[inline(always)]
    pub fn save_pair(&self, old: Pair) {
        self.push(old.record());
    }

    /// The same on an idle log, with the change that it is for: an operation of its own, of two stores to the head.
    #[inline(always)]
    pub fn change_pair(&self, old: Pair, change: impl FnOnce()) {
        debug_assert!(self.is_idle());
        let log = self.log();
        if !UNLOGGED {
            log.records[0].set(old.record());
        }
        if !planted("unlogged") {
            // Dead before this store: the record does not exist. After: it is undone, and its change was not made yet.
            log.set_head(1);
        }
        change();
        // Dead before this store: the change is undone. After: it is final.
        log.set_head(0);
        commit_store("log-cut");
    }
}
