//! A group on aarch64: every processor of that kind has NEON, but no instruction that gathers the top bits; a multiplication does.

use super::{Bits, EMPTY};
use std::arch::aarch64::{
    uint8x16_t, vceqq_u8, vcltzq_s8, vdupq_n_u8, vgetq_lane_u64, vld1q_u8, vreinterpretq_s8_u8,
    vreinterpretq_u64_u8,
};

/// Sixteen control bytes.
#[derive(Clone, Copy)]
pub(crate) struct Group(uint8x16_t);

impl Group {
    /// Reads sixteen control bytes.
    ///
    /// # Safety
    /// They are readable.
    #[inline(always)]
    pub(crate) unsafe fn load(at: *const u8) -> Group {
        // SAFETY: the caller's contract; the load needs no alignment.
        Group(unsafe { vld1q_u8(at) })
    }

    /// Slots with exactly this control byte.
    #[inline(always)]
    pub(crate) fn equal(self, byte: u8) -> Bits {
        // SAFETY: NEON is part of the target.
        gather(unsafe { vceqq_u8(self.0, vdupq_n_u8(byte)) })
    }

    /// Slots that were never used.
    #[inline(always)]
    pub(crate) fn empty(self) -> Bits {
        self.equal(EMPTY)
    }

    /// Slots without an entry.
    #[inline(always)]
    pub(crate) fn free(self) -> Bits {
        // SAFETY: NEON is part of the target.
        gather(unsafe { vcltzq_s8(vreinterpretq_s8_u8(self.0)) })
    }

    /// Slots with an entry.
    #[inline(always)]
    pub(crate) fn full(self) -> Bits {
        Bits(!self.free().0)
    }
}

/// One bit for each byte, all of whose bits are equal.
#[inline(always)]
fn gather(bytes: uint8x16_t) -> Bits {
    // SAFETY: NEON is part of the target.
    let (low, high) = unsafe {
        let words = vreinterpretq_u64_u8(bytes);
        (vgetq_lane_u64::<0>(words), vgetq_lane_u64::<1>(words))
    };
    Bits(gather8(low) | gather8(high) << 8)
}

#[inline(always)]
fn gather8(word: u64) -> u16 {
    // Byte i keeps its lowest bit, and the product moves that bit to bit 56 + i.
    ((word & 0x0101_0101_0101_0101).wrapping_mul(0x0102_0408_1020_4080) >> 56) as u16
}
