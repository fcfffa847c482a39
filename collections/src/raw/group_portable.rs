//! A group in plain words, for processors without vector instructions that we know.

use super::{Bits, EMPTY};

const LOW: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

/// Sixteen control bytes, first byte lowest.
#[derive(Clone, Copy)]
pub(crate) struct Group(u64, u64);

impl Group {
    /// Reads sixteen control bytes.
    ///
    /// # Safety
    /// They are readable.
    #[inline(always)]
    pub(crate) unsafe fn load(at: *const u8) -> Group {
        // SAFETY: the caller's contract.
        let bytes = unsafe { at.cast::<[u64; 2]>().read_unaligned() };
        Group(u64::from_le(bytes[0]), u64::from_le(bytes[1]))
    }

    /// Slots with exactly this control byte.
    #[inline(always)]
    pub(crate) fn equal(self, byte: u8) -> Bits {
        let pattern = LOW * byte as u64;
        Bits(gather8(zero_bytes(self.0 ^ pattern)) | gather8(zero_bytes(self.1 ^ pattern)) << 8)
    }

    /// Slots that were never used.
    #[inline(always)]
    pub(crate) fn empty(self) -> Bits {
        self.equal(EMPTY)
    }

    /// Slots without an entry.
    #[inline(always)]
    pub(crate) fn free(self) -> Bits {
        Bits(gather8(self.0 & HIGH) | gather8(self.1 & HIGH) << 8)
    }

    /// Slots with an entry.
    #[inline(always)]
    pub(crate) fn full(self) -> Bits {
        Bits(!self.free().0)
    }
}

/// The top bit of each byte that is 0, exactly: no carry runs from one byte to the next.
#[inline(always)]
fn zero_bytes(word: u64) -> u64 {
    !(((word & !HIGH) + !HIGH) | word) & HIGH
}

/// Top bit of byte i to bit i.
#[inline(always)]
fn gather8(word: u64) -> u16 {
    ((word >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56) as u16
}
