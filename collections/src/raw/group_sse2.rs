//! A group on x86-64: every processor of that kind has SSE2.

use super::{Bits, EMPTY};
use std::arch::x86_64::{__m128i, _mm_cmpeq_epi8, _mm_loadu_si128, _mm_movemask_epi8, _mm_set1_epi8};

/// Sixteen control bytes.
#[derive(Clone, Copy)]
pub(crate) struct Group(__m128i);

impl Group {
    /// Reads sixteen control bytes.
    ///
    /// # Safety
    /// They are readable.
    #[inline(always)]
    pub(crate) unsafe fn load(at: *const u8) -> Group {
        // SAFETY: the caller's contract; the load needs no alignment.
        Group(unsafe { _mm_loadu_si128(at.cast()) })
    }

    /// Slots with exactly this control byte.
    #[inline(always)]
    pub(crate) fn equal(self, byte: u8) -> Bits {
        // SAFETY: SSE2 is part of the target.
        Bits(unsafe { _mm_movemask_epi8(_mm_cmpeq_epi8(self.0, _mm_set1_epi8(byte as i8))) } as u16)
    }

    /// Slots that were never used.
    #[inline(always)]
    pub(crate) fn empty(self) -> Bits {
        self.equal(EMPTY)
    }

    /// Slots without an entry.
    #[inline(always)]
    pub(crate) fn free(self) -> Bits {
        // SAFETY: SSE2 is part of the target.
        Bits(unsafe { _mm_movemask_epi8(self.0) } as u16)
    }

    /// Slots with an entry.
    #[inline(always)]
    pub(crate) fn full(self) -> Bits {
        Bits(!self.free().0)
    }
}
