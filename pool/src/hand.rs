//! What a thread remembers of the heap. Private to it and derived: never the truth, and dropped whenever it may have become wrong.

use crate::layout::CLASSES;
use std::cell::Cell;
use std::sync::atomic::AtomicU64;

/// One half (64 blocks) of the slab from which a seat takes blocks of one size class.
///
/// Everything that an allocation needs stands in one line, so that it looks nothing up.
#[derive(Debug)]
#[repr(align(64))]
pub struct Hand {
    /// The half's words: of allocated blocks, and two further on of freed ones.
    pub words: Cell<*const AtomicU64>,
    /// Bits that stand for blocks; 0: nothing in hand.
    pub mask: Cell<u64>,
    /// Offset of the half's first block.
    pub first: Cell<u64>,
    /// Page of the slab, 0: none, times 2^16; below it the size of a block. Kept when the slab has no room any more: the next search goes on there.
    slab: Cell<u64>,
    /// Pages of slabs that a block was freed into last, the last one first, 0: none. Most likely they have room, and are in the cache.
    recent: [Cell<u64>; 3],
}

/// Stands for the words of a slab while there is none in hand.
static NONE: [AtomicU64; 4] = [const { AtomicU64::new(0) }; 4];

impl Hand {
    const fn empty() -> Hand {
        Hand {
            words: Cell::new((&raw const NONE).cast()),
            mask: Cell::new(0),
            first: Cell::new(0),
            slab: Cell::new(0),
            recent: [const { Cell::new(0) }; 3],
        }
    }

    /// Lets go of what is in hand.
    pub fn forget(&self) {
        self.words.set((&raw const NONE).cast());
        self.mask.set(0);
        self.slab.set(0);
        self.recent.iter().for_each(|page| page.set(0));
    }

    /// Notes that a block was freed into the slab of a page.
    #[inline(always)]
    pub fn note_recent(&self, page: u64) {
        let [first, second, third] = &self.recent;
        if first.get() != page {
            third.set(second.get());
            second.set(first.get());
            first.set(page);
        }
    }

    /// The page noted last, which is forgotten; 0: none.
    pub fn take_recent(&self) -> u64 {
        let [first, second, third] = &self.recent;
        let page = first.get();
        first.set(second.get());
        second.set(third.get());
        third.set(0);
        page
    }

    /// Notes which slab is in hand.
    pub fn set_slab(&self, page: u64, size: u32) {
        self.slab.set(page << 16 | size as u64);
    }

    /// Page of the slab, 0: none.
    #[inline(always)]
    pub fn page(&self) -> u64 {
        self.slab.get() >> 16
    }

    /// Bytes of a block.
    #[inline(always)]
    pub fn size(&self) -> u64 {
        self.slab.get() & 0xffff
    }
}

/// One hand for each size class.
pub type Hands = [Hand; CLASSES];

pub(crate) const fn empty() -> Hands {
    [const { Hand::empty() }; CLASSES]
}
