//! Sixteen control bytes at once: what a probe of a table looks at in one step.
//!
//! The algorithm is that of SwissTable (Abseil, and Rust's `hashbrown`). One control byte per slot: [`EMPTY`], [`DELETED`], or the top
//! seven bits of the hash of the key that stands there.

#[cfg(target_arch = "aarch64")]
#[path = "group_neon.rs"]
mod imp;
#[cfg(not(any(
    all(target_arch = "x86_64", target_feature = "sse2", not(miri)),
    all(target_arch = "aarch64", not(miri))
)))]
#[path = "group_portable.rs"]
mod imp;
#[cfg(all(target_arch = "x86_64", target_feature = "sse2", not(miri)))]
#[path = "group_sse2.rs"]
mod imp;

pub(crate) use imp::Group;

/// Control byte of a slot that was never used since the table was made: a probe ends here.
pub(crate) const EMPTY: u8 = 0xff;
/// Control byte of a slot whose entry was removed: a probe goes on.
pub(crate) const DELETED: u8 = 0x80;
/// Control bytes of one group.
pub(crate) const WIDTH: usize = 16;

/// One bit for each slot of a group, lowest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bits(pub(crate) u16);

impl Bits {
    /// Whether any slot is meant.
    #[inline(always)]
    pub(crate) fn any(self) -> bool {
        self.0 != 0
    }

    /// The first slot meant.
    #[inline(always)]
    pub(crate) fn first(self) -> Option<usize> {
        (self.0 != 0).then_some(self.0.trailing_zeros() as usize)
    }

    /// All but the first slot meant.
    #[inline(always)]
    pub(crate) fn without_first(self) -> Bits {
        Bits(self.0 & self.0.wrapping_sub(1))
    }

    /// Slots before the first one meant; 16 if none is.
    #[inline(always)]
    pub(crate) fn leading_clear(self) -> usize {
        self.0.trailing_zeros() as usize
    }

    /// Slots behind the last one meant; 16 if none is.
    #[inline(always)]
    pub(crate) fn trailing_clear(self) -> usize {
        self.0.leading_zeros() as usize
    }
}

impl Iterator for Bits {
    type Item = usize;

    #[inline(always)]
    fn next(&mut self) -> Option<usize> {
        let i = self.first()?;
        *self = self.without_first();
        Some(i)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_tells_keys_empty_and_deleted_slots_apart() {
        let mut bytes = [EMPTY; WIDTH];
        bytes[3] = 0x11;
        bytes[4] = DELETED;
        bytes[15] = 0x11;
        bytes[7] = 0x10;
        // SAFETY: sixteen bytes of a local array.
        let g = unsafe { Group::load(bytes.as_ptr()) };
        assert_eq!(g.equal(0x11).collect::<Vec<_>>(), [3, 15]);
        assert_eq!(g.full().collect::<Vec<_>>(), [3, 7, 15]);
        assert_eq!(g.empty().0.count_ones(), 12);
        assert_eq!(g.free().collect::<Vec<_>>(), [0, 1, 2, 4, 5, 6, 8, 9, 10, 11, 12, 13, 14]);
    }

    #[test]
    fn equal_may_be_asked_for_every_fingerprint_at_every_place() {
        for h in 0..128u8 {
            for at in 0..WIDTH {
                let mut bytes = [h ^ 1; WIDTH];
                bytes[at] = h;
                // SAFETY: sixteen bytes of a local array.
                let g = unsafe { Group::load(bytes.as_ptr()) };
                assert_eq!(g.equal(h), Bits(1 << at));
            }
        }
    }
}
