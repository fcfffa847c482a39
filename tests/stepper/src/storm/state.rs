//! What a key should be, in one word.

use super::random::Random;

/// Where a key's value is, and which: elements `lo..hi` of an edition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State {
    /// 0: nowhere; else the number of its collection + 1.
    pub place: u8,
    pub edition: u32,
    pub lo: u16,
    pub hi: u16,
}

impl State {
    pub fn pack(self) -> u64 {
        (self.place as u64) << 60 | (self.edition as u64) << 32 | (self.lo as u64) << 16 | self.hi as u64
    }

    pub fn unpack(word: u64) -> State {
        State {
            place: (word >> 60) as u8,
            edition: (word >> 32) as u32 & 0xfff_ffff,
            lo: (word >> 16) as u16,
            hi: word as u16,
        }
    }

    /// A new edition, of up to `most` elements that begin in the middle of what can be counted.
    pub fn renewed(self, random: &mut Random, most: u64) -> State {
        let lo = 0x4000;
        State { edition: self.edition + 1, lo, hi: lo + random.below(most + 1) as u16, ..self }
    }

    /// The same nowhere: the edition counts on, so that nothing old passes for new.
    pub fn removed(self) -> State {
        State { place: 0, lo: 0, hi: 0, ..self }
    }

    pub fn at(self, place: u8) -> State {
        State { place, ..self }
    }

    pub fn len(self) -> usize {
        (self.hi - self.lo) as usize
    }
}
