//! The page descriptor: the one truth about what is allocated.

use crate::class::COUNT;
use aquifer_pool::layout::DESCRIPTOR;
use aquifer_pool::plant::commit_store;
use std::mem::{align_of, offset_of, size_of};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// What a page is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// Free, or inside of a run.
    Free = 0,
    /// First page of a slab.
    Slab = 1,
    /// First page of a run that one block fills.
    Run = 2,
    /// First page of what is never given back: the pool's own tables.
    Meta = 3,
    /// Further page of a slab.
    Tail = 4,
    /// First page of a run that a seat has freed and keeps (see `spare`).
    Spare = 5,
}

/// `Descriptor::state`, taken apart.
///
/// | bits | meaning |
/// |---|---|
/// | 0..8 | kind |
/// | 8..16 | kind of slab (class, and whether by hand) |
/// | 16 `LISTED` | the slab is in the ring of its owner |
/// | 17 `RETIRING` | the slab is being given back |
/// | 19 `MOVING` | the slab is being taken over by another seat |
/// | 18 `BY_HAND` | a run whose block was allocated by hand |
/// | 24..64 | pages from this one on, or, for a tail, pages back to the head |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct State(pub(crate) u64);

const CLASS_SHIFT: u32 = 8;
const LISTED: u64 = 1 << 16;
const RETIRING: u64 = 1 << 17;
const BY_HAND: u64 = 1 << 18;
const MOVING: u64 = 1 << 19;
const PAGES_SHIFT: u32 = 24;

impl State {
    pub(crate) const FREE: State = State(0);

    pub(crate) const fn new(kind: Kind, pages: u64) -> State {
        State(kind as u64).with_pages(pages)
    }

    pub(crate) const fn with_class(self, class: usize) -> State {
        State(self.0 | (class as u64) << CLASS_SHIFT)
    }

    pub(crate) const fn with_pages(self, pages: u64) -> State {
        State(self.0 | pages << PAGES_SHIFT)
    }

    /// A run that has become longer.
    pub(crate) const fn with_more_pages(self, pages: u64) -> State {
        State(self.0 & ((1 << PAGES_SHIFT) - 1)).with_pages(pages)
    }

    pub(crate) const fn listed(self) -> State {
        State(self.0 | LISTED)
    }

    pub(crate) const fn retiring(self) -> State {
        State(self.0 | RETIRING)
    }

    #[inline(always)]
    pub(crate) fn kind(self) -> Kind {
        match self.0 as u8 {
            1 => Kind::Slab,
            2 => Kind::Run,
            3 => Kind::Meta,
            4 => Kind::Tail,
            5 => Kind::Spare,
            _ => Kind::Free,
        }
    }

    #[inline(always)]
    pub(crate) fn class(self) -> usize {
        (self.0 >> CLASS_SHIFT) as u8 as usize
    }

    #[inline(always)]
    pub(crate) fn pages(self) -> u64 {
        self.0 >> PAGES_SHIFT
    }

    pub(crate) fn is_listed(self) -> bool {
        self.0 & LISTED != 0
    }

    pub(crate) fn is_retiring(self) -> bool {
        self.0 & RETIRING != 0
    }

    pub(crate) fn moving(self) -> State {
        State(self.0 & !LISTED | MOVING)
    }

    pub(crate) fn is_moving(self) -> bool {
        self.0 & MOVING != 0
    }

    /// Whether a slab is the same one still, in whichever ring.
    pub(crate) fn is_same_slab(self, other: State) -> bool {
        (self.0 ^ other.0) & !(LISTED | RETIRING | MOVING) == 0
    }

    /// A run whose block nothing in the pool need refer to.
    pub(crate) const fn by_hand(self) -> State {
        State(self.0 | BY_HAND)
    }

    /// Whether its blocks were allocated by hand.
    pub(crate) fn is_by_hand(self) -> bool {
        match self.kind() {
            Kind::Slab => self.class() >= COUNT,
            _ => self.0 & BY_HAND != 0,
        }
    }

    /// Pages that this one is the head of; 0 when it is none.
    pub(crate) fn covers(self) -> u64 {
        match self.kind() {
            Kind::Slab | Kind::Run | Kind::Meta | Kind::Spare => self.pages(),
            Kind::Free | Kind::Tail => 0,
        }
    }
}

/// What is known of one page.
#[repr(C, align(64))]
#[derive(Debug)]
pub(crate) struct Descriptor {
    /// See [`State`]. The store to the head's state commits what becomes of all its pages; made under the heap lock.
    state: AtomicU64,
    /// Seat + 1 that a slab or a spare run belongs to.
    pub(crate) owner: AtomicU32,
    /// Seat + 1 that may change `freed`, 0: nobody. Kept, whatever becomes of the page.
    pub(crate) page_lock: AtomicU32,
    /// Blocks of a slab that are allocated. Changed by the owner only.
    pub(crate) allocated: [AtomicU64; 2],
    /// Blocks among them that other seats have freed. Changed under the page lock.
    pub(crate) freed: [AtomicU64; 2],
    /// Of a run: its token, unique for ever. Of a slab: the page before it in the ring, if nobody was killed: a hint.
    pub(crate) token: AtomicU64,
    /// Of a slab: the page of the next slab in the ring. (Page 0 keeps floors of the search here and in the fields above: see `index`.)
    pub(crate) next: AtomicU64,
}

const _: () = assert!(size_of::<Descriptor>() as u64 == DESCRIPTOR && align_of::<Descriptor>() == 64);
const _: () = assert!(offset_of!(Descriptor, owner) == 8 && offset_of!(Descriptor, page_lock) == 12);
const _: () = assert!(offset_of!(Descriptor, allocated) == 16 && offset_of!(Descriptor, freed) == 32);
const _: () = assert!(offset_of!(Descriptor, token) == 48 && offset_of!(Descriptor, next) == 56);

impl Descriptor {
    #[inline(always)]
    pub(crate) fn state(&self) -> State {
        State(self.state.load(Ordering::Acquire))
    }

    /// Release: what was stored in the other fields is seen by who sees the state.
    #[inline(always)]
    pub(crate) fn set_state(&self, state: State) {
        self.state.store(state.0, Ordering::Release);
        commit_store("page-state");
    }

    #[inline(always)]
    pub(crate) fn belongs_to(&self, name: u32) -> bool {
        self.owner.load(Ordering::Relaxed) == name
    }

    /// Whether block `index` is allocated, and whether another seat has freed it.
    #[inline(always)]
    pub(crate) fn block(&self, index: u64) -> (bool, bool) {
        let (word, bit) = ((index / 64) as usize & 1, 1u64 << (index % 64));
        let allocated = self.allocated[word].load(Ordering::Relaxed) & bit != 0;
        (allocated, self.freed[word].load(Ordering::Relaxed) & bit != 0)
    }

    /// Whether no block is allocated or waits to be collected.
    #[inline(always)]
    pub(crate) fn is_empty(&self) -> bool {
        (0..2).all(|w| self.allocated[w].load(Ordering::Relaxed) | self.freed[w].load(Ordering::Relaxed) == 0)
    }

    /// Number of blocks in use.
    pub(crate) fn in_use(&self) -> u32 {
        let used =
            |w: usize| self.allocated[w].load(Ordering::Relaxed) & !self.freed[w].load(Ordering::Relaxed);
        used(0).count_ones() + used(1).count_ones()
    }
}
