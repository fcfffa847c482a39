//! What a thread remembers of the heap. Private to it and derived: never the truth, and dropped whenever it may have become wrong.
//!
//! It stands in a seat's [`Quick`](crate::quick::Quick), so that a child of a fork finds zeros, which are nothing in hand: whoever has something in hand
//! knows that the seat is its own.

use crate::layout::{BY_HAND, CLASSES};
use std::cell::Cell;
use std::ptr::null;
use std::sync::atomic::AtomicU64;

/// One half (64 blocks) of the slab from which a seat takes blocks of one kind.
///
/// Everything that an allocation needs stands in the first line, so that it looks nothing up; so does all that a free of one of these blocks needs.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct Hand {
    /// The half's words: of allocated blocks, and two further on of freed ones; null as long as there was none.
    pub words: Cell<*const AtomicU64>,
    /// Blocks that were free when the words were last looked at, and were not handed out since. So the next block does not depend on what was freed last, for
    /// which an allocation right after a free would have to wait.
    pub room: Cell<u64>,
    /// Bits that stand for blocks.
    pub mask: Cell<u64>,
    /// Offset of the half's first block; of blocks by hand, the pool's tag above it: a handle.
    pub first: Cell<u64>,
    /// Page of the slab, 0: none, times 2^16; below it the size of a block. Kept when the slab has no room any more: the next search goes on there.
    slab: Cell<u64>,
    /// Bytes of the half's blocks, 0: nothing in hand.
    pub bytes: Cell<u64>,
    /// `ceil(2^32 / size)`.
    pub magic: Cell<u32>,
    /// The page noted last.
    newest: Cell<u32>,
    /// Pages of slabs that a block was freed into lately, 0: none. Most likely they have room, and are in the cache. What is cut off, of a page of a very long
    /// pool, or has been overwritten, is looked for as any other.
    recent: [Cell<u32>; RECENT],
}

const RECENT: usize = 16;

const _: () = assert!(size_of::<Hand>() == 128);

impl Hand {
    const fn empty() -> Hand {
        Hand {
            words: Cell::new(null()),
            room: Cell::new(0),
            mask: Cell::new(0),
            first: Cell::new(0),
            slab: Cell::new(0),
            bytes: Cell::new(0),
            magic: Cell::new(0),
            newest: Cell::new(0),
            recent: [const { Cell::new(0) }; RECENT],
        }
    }

    /// Lets go of what is in hand.
    pub fn forget(&self) {
        self.room.set(0);
        self.mask.set(0);
        self.slab.set(0);
        self.bytes.set(0);
        self.recent.iter().for_each(|page| page.set(0));
    }

    /// Notes that a block was freed into the slab of a page.
    #[inline(always)]
    pub fn note_recent(&self, page: u64) {
        let newest = self.newest.get() as usize % RECENT;
        if self.recent[newest].get() != page as u32 {
            let next = (newest + 1) % RECENT;
            self.newest.set(next as u32);
            self.recent[next].set(page as u32);
        }
    }

    /// The page noted last, which is forgotten; 0: none.
    pub fn take_recent(&self) -> u64 {
        let newest = self.newest.get() as usize % RECENT;
        self.newest.set((newest + RECENT - 1) as u32 % RECENT as u32);
        self.recent[newest].replace(0) as u64
    }

    /// Notes which slab is in hand.
    pub fn set_slab(&self, page: u64, size: u32) {
        self.slab.set(page << 16 | size as u64);
    }

    /// Whether anything is noted.
    fn is_used(&self) -> bool {
        self.slab.get() != 0 || self.recent.iter().any(|page| page.get() != 0)
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

/// More than there are kinds: any number is brought below by cutting off bits.
const HANDS: usize = CLASSES.next_power_of_two();

/// One hand for each kind of slab. Zeros are empty hands.
#[derive(Debug)]
#[repr(C)]
pub struct Hands {
    /// Place of the hand from which a block was taken last by hand.
    last: Cell<u32>,
    /// What the pool's handles have above their offsets.
    tag: Cell<u64>,
    /// One for each kind, those of blocks by hand first.
    each: [Hand; HANDS],
}

impl Hands {
    /// Nothing in any of them.
    pub(crate) const fn empty() -> Hands {
        Hands { last: Cell::new(0), tag: Cell::new(0), each: [const { Hand::empty() }; HANDS] }
    }

    pub(crate) fn set_tag(&self, tag: u64) {
        self.tag.set(tag);
    }

    /// What stands above the offsets of blocks of a kind when they are given out.
    #[inline(always)]
    pub fn tag(&self, kind: usize) -> u64 {
        if kind >= BY_HAND { self.tag.get() } else { 0 }
    }

    /// Lets go of all that is in hand.
    pub fn forget(&self) {
        self.last.set(0);
        self.each.iter().filter(|hand| hand.is_used()).for_each(|hand| hand.forget());
    }

    /// The hand from which a block was taken last by hand.
    #[inline(always)]
    pub fn last(&self) -> &Hand {
        self.at(self.last.get())
    }

    /// A hand of which a block is about to be taken by hand.
    #[inline(always)]
    pub fn take_from(&self, place: HandPlace) -> &Hand {
        self.last.set(place.0 as u32);
        self.at(place.0 as u32)
    }

    #[inline(always)]
    #[allow(unsafe_code)]
    fn at(&self, place: u32) -> &Hand {
        // SAFETY: in bounds: what stood in a place (see its invariant), or 0.
        unsafe { &*self.each.as_ptr().byte_add(place as usize) }
    }
}

impl std::ops::Index<usize> for Hands {
    type Output = Hand;

    #[inline(always)]
    fn index(&self, kind: usize) -> &Hand {
        &self.each[place(kind)]
    }
}

#[inline(always)]
const fn place(kind: usize) -> usize {
    kind.wrapping_sub(BY_HAND) % HANDS
}

/// Where the hand of a kind stands among all: what needs no reckoning where it is looked up in a table.
///
/// Invariant: bytes from the first hand to one of them.
#[derive(Debug, Clone, Copy)]
pub struct HandPlace(u16);

impl HandPlace {
    /// That of a kind.
    #[inline(always)]
    pub const fn of(kind: usize) -> HandPlace {
        HandPlace((place(kind) * size_of::<Hand>()) as u16)
    }
}

const _: () = assert!(HANDS * size_of::<Hand>() <= 1 << 16);

const _: () = assert!(CLASSES <= HANDS);
