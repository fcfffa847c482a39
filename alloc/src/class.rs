//! Size classes: which slab serves a request.
//!
//! 16-byte steps to 256 bytes, then eight classes for each doubling: at most a ninth of a block is slack above 128 bytes.
//! A slab has as many pages as waste little at its end. There is no class of 16 bytes: a slab has a bit for each of 128 blocks, so that one of 32
//! bytes fills its page, and one of 16 would take as much for as many.

use crate::descriptor::{Kind, State};
use aquifer_pool::hand::HandPlace;
use aquifer_pool::layout::{BY_HAND, CLASSES, PAGE};
use std::hint::cold_path;

/// Number of size classes.
pub const COUNT: usize = 47;
/// Kinds of slabs: kind `COUNT + c` is of class c too, and holds the blocks that were allocated by hand.
pub const KINDS: usize = 2 * COUNT;
/// Largest size that slabs serve; larger requests get page runs.
pub const LARGEST: usize = 4096;
/// Blocks of a slab at most: bits of a descriptor.
pub const BLOCKS: u64 = 128;
/// Pages of a slab at most.
pub const SLAB_PAGES: u64 = 16;
/// Longer slabs are made of classes only that would waste much otherwise.
const FEW_PAGES: u64 = 8;

const _: () = assert!(SLAB_PAGES.is_power_of_two());

/// All that is fixed for a size class.
#[derive(Debug, Clone, Copy)]
pub struct Class {
    /// State of the head of a slab that is in its ring.
    pub(crate) listed: u64,
    /// Bytes of a block.
    pub size: u32,
    /// `ceil(2^32 / size)`.
    pub(crate) magic: u32,
    /// Pages of a slab.
    pub pages: u32,
    /// Blocks of a slab.
    pub blocks: u32,
}

/// Found by shifts.
const _: () = assert!(size_of::<Class>() == 32 - 8);

/// The classes, smallest first; then once more, for blocks by hand.
pub static TABLE: [Class; KINDS] = classes();

const _: () = assert!(KINDS <= CLASSES && KINDS <= 256 && COUNT == BY_HAND);

impl Class {
    /// Blocks of half 0 or 1.
    #[inline(always)]
    pub(crate) fn blocks_of(&self, half: usize) -> u32 {
        self.blocks.saturating_sub(64 * half as u32).min(64)
    }

    /// Bits that stand for blocks, in half 0 or 1.
    #[inline(always)]
    pub(crate) fn mask(&self, half: usize) -> u64 {
        u64::MAX.checked_shr(64 - self.blocks_of(half)).unwrap_or(0)
    }
}

/// Number of the block that begins at byte `at` of a slab, if one does; exact for slabs of at most [`SLAB_PAGES`] pages.
///
/// For `at = q * size + r` the product is `q * 2^32 + (q * e + r * magic)` with `e = magic * size - 2^32 < size`. What is in brackets is less than `2^32`, and less
/// than `magic` just if `r` is 0.
#[inline(always)]
pub(crate) fn exact_index(at: u64, magic: u32) -> Option<u64> {
    let product = at.wrapping_mul(magic as u64);
    ((product as u32) < magic).then_some(product >> 32)
}

const fn size_of_class(class: usize) -> u64 {
    if class < 15 {
        return 32 + 16 * class as u64;
    }
    let doubling = (class - 15) / 8;
    let eighth = ((class - 15) % 8) as u64 + 1;
    (256 << doubling) + eighth * (32 << doubling)
}

const fn min(a: u64, b: u64) -> u64 {
    if a < b { a } else { b }
}

const fn blocks_in(pages: u64, size: u64) -> u64 {
    min(pages * PAGE / size, BLOCKS)
}

/// Unused bytes of a slab, in thousandths.
const fn waste(pages: u64, size: u64) -> u64 {
    (pages * PAGE - blocks_in(pages, size) * size) * 1000 / (pages * PAGE)
}

/// The smallest slab of at least 32 blocks, or of many pages, among those that waste little.
const fn slab_pages(size: u64) -> u64 {
    let mut least = 1000;
    let mut pages = 1;
    while pages <= SLAB_PAGES {
        least = min(least, waste(pages, size));
        pages += 1;
    }
    let mut best = 0;
    pages = 1;
    while pages <= SLAB_PAGES {
        if waste(pages, size) <= least + 20 {
            best = pages;
            if blocks_in(pages, size) >= 32 || pages >= FEW_PAGES {
                break;
            }
        }
        pages += 1;
    }
    best
}

const fn classes() -> [Class; KINDS] {
    let none = Class { listed: 0, size: 0, magic: 0, pages: 0, blocks: 0 };
    let mut table = [none; KINDS];
    let mut c = 0;
    while c < KINDS {
        let size = size_of_class(c % COUNT);
        let pages = slab_pages(size);
        let blocks = blocks_in(pages, size);
        table[c] = Class {
            size: size as u32,
            pages: pages as u32,
            blocks: blocks as u32,
            magic: (1u64 << 32).div_ceil(size) as u32,
            listed: State::new(Kind::Slab, pages).with_class(c).listed().0,
        };
        c += 1;
    }
    table
}

/// Class of each size, in units of 16 bytes rounded up.
static OF_SIZE: [u8; LARGEST / 16 + 1] = {
    let mut of = [0; LARGEST / 16 + 1];
    let (mut unit, mut class) = (0, 0);
    while unit < of.len() {
        while size_of_class(class) < unit as u64 * 16 {
            class += 1;
        }
        of[unit] = class as u8;
        unit += 1;
    }
    of
};

/// The hand of each size by hand, in the same units. No static: it is reached without looking up where it is.
pub(crate) const BY_HAND_OF_SIZE: [HandPlace; LARGEST / 16 + 1] = {
    let mut of = [HandPlace::of(COUNT); LARGEST / 16 + 1];
    let mut unit = 0;
    while unit < of.len() {
        of[unit] = HandPlace::of(COUNT + OF_SIZE[unit] as usize);
        unit += 1;
    }
    of
};

/// The class for a request, or `None` when a page run must serve it. `align` is a power of two.
#[inline(always)]
pub(crate) fn class_of(size: usize, align: usize) -> Option<usize> {
    if size > LARGEST {
        cold_path();
        return None;
    }
    let class = OF_SIZE[size.div_ceil(16)] as usize;
    if align <= 16 { Some(class) } else { aligned(class, align) }
}

/// The first class from `class` on whose blocks are all aligned: slabs begin on a page.
#[cold]
fn aligned(class: usize, align: usize) -> Option<usize> {
    (class..COUNT).find(|&c| align <= PAGE as usize && (TABLE[c].size as usize).is_multiple_of(align))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_size_gets_the_smallest_class_that_holds_it() {
        for size in 0..=LARGEST {
            let c = class_of(size, 1).unwrap();
            assert!(TABLE[c].size as usize >= size);
            assert!(c == 0 || (TABLE[c - 1].size as usize) < size.max(1));
        }
        assert_eq!(class_of(LARGEST + 1, 1), None);
        assert_eq!(TABLE[COUNT - 1].size as usize, LARGEST);
    }

    #[test]
    fn slack_within_blocks_and_slabs_is_small() {
        for size in 64..=LARGEST as u64 {
            let class = TABLE[class_of(size as usize, 1).unwrap()];
            let parts = if size > 128 { 9 } else { 5 };
            assert!((class.size as u64 - size) * parts <= class.size as u64, "{size}");
        }
        for class in TABLE {
            assert!(
                class.blocks >= 8 && class.blocks as u64 == class.pages as u64 * PAGE / class.size as u64
            );
            assert!(waste(class.pages as u64, class.size as u64) <= 60, "{class:?}");
            assert_eq!(class.mask(0).count_ones() + class.mask(1).count_ones(), class.blocks);
        }
    }

    #[test]
    fn multiplying_finds_where_blocks_begin() {
        for class in TABLE {
            for at in 0..SLAB_PAGES * PAGE {
                let size = class.size as u64;
                let exact = at.is_multiple_of(size).then_some(at / size);
                assert_eq!(exact_index(at, class.magic), exact);
            }
        }
    }

    #[test]
    fn alignments_up_to_a_page_come_from_slabs() {
        for align in [32, 64, 128, 512, 1024, 4096] {
            for size in [1, 32, 100, 1000, 4096] {
                let c = class_of(size, align).unwrap();
                assert_eq!(TABLE[c].size as usize % align, 0);
                assert!(TABLE[c].size as usize >= size);
            }
        }
        assert_eq!(class_of(64, 8192), None);
    }
}
