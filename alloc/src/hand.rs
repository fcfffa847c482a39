//! The slab in hand: what an allocation takes blocks of, and a free looks at first.
//!
//! Whoever has something in hand is its owner (see [`aquifer_pool::hand`]). It is used in a turn only.

use crate::class::{TABLE, exact_index};
use crate::descriptor::Descriptor;
use crate::slab::{Slab, free_bits, used_bits};
use crate::turn::Turn;
use aquifer_pool::hand::{Hand, Hands};
use aquifer_pool::layout::PAGE;
use aquifer_pool::plant::commit_store;
use aquifer_pool::quick::Quick;
use std::hint::cold_path;
use std::mem::offset_of;
use std::sync::atomic::{AtomicU64, Ordering};

/// Takes a slab in hand: its first half with room, else the first.
pub(crate) fn take_in_hand(hands: &Hands, class: usize, slab: Slab<'_>) {
    let shape = &TABLE[class];
    let half = free_bits(slab.head, shape, 0) == 0 && free_bits(slab.head, shape, 1) != 0;
    take_half_in_hand(hands, class, slab, half as usize);
}

#[inline(always)]
fn take_half_in_hand(hands: &Hands, class: usize, slab: Slab<'_>, half: usize) {
    let (hand, shape) = (&hands[class], &TABLE[class]);
    // Both words are used through this pointer: it must have come from the whole descriptor.
    hand.words.set(std::ptr::from_ref(slab.head).cast::<AtomicU64>().wrapping_add(FIRST_WORD + half));
    let (mask, used) = (shape.mask(half), used_bits(slab.head, half));
    hand.room.set(!used & mask);
    hand.mask.set(mask);
    hand.first.set(hands.tag(class) | (slab.page * PAGE + 64 * half as u64 * shape.size as u64));
    hand.set_slab(slab.page, shape.size);
    hand.bytes.set(shape.blocks_of(half) as u64 * shape.size as u64);
    hand.magic.set(shape.magic);
}

const FIRST_WORD: usize = offset_of!(Descriptor, allocated) / size_of::<u64>();
const _: () = assert!(offset_of!(Descriptor, freed) == offset_of!(Descriptor, allocated) + 16);

/// The words of allocated and of freed bits of what is in hand.
///
/// # Safety
/// Something is or was in hand: the mask is not 0.
#[inline(always)]
unsafe fn words(hand: &Hand) -> (&AtomicU64, &AtomicU64) {
    let at = hand.words.get();
    // SAFETY: set by `take_half_in_hand` to a word of `allocated` in a descriptor, with that of `freed` two words further on. Descriptors are never used
    // for anything else, and old windows stay mapped as long as the pool is joined, which outlives the hand.
    unsafe { (&*at, &*at.add(2)) }
}

/// Blocks of what is in hand that are free now.
#[inline(always)]
pub(crate) fn free_in_hand(hand: &Hand) -> u64 {
    let mask = hand.mask.get();
    if mask == 0 {
        return 0;
    }
    // SAFETY: just seen.
    let (allocated, freed) = unsafe { words(hand) };
    !(allocated.load(Ordering::Relaxed) | freed.load(Ordering::Relaxed)) & mask
}

/// A block was freed into half `half` of a slab: it comes to be in hand if there is no room in what is, else it is noted.
#[inline(always)]
pub(crate) fn note_freed(hands: &Hands, class: usize, slab: Slab<'_>, half: usize) {
    let hand = &hands[class];
    if hand.room.get() == 0 {
        let old = hand.page();
        // Of two halves the other one may have room.
        if old != slab.page && (TABLE[class].blocks > 64 || free_in_hand(hand) != 0) {
            hand.note_recent(old);
        }
        take_half_in_hand(hands, class, slab, half);
    } else if hand.page() != slab.page {
        hand.note_recent(slab.page);
    }
}

/// Whether blocks have become free in hand; they are in its room then.
#[inline(always)]
pub(crate) fn look_again(hand: &Hand) -> bool {
    hand.room.set(free_in_hand(hand));
    hand.room.get() != 0
}

/// Takes a free block of what is in hand, and tells `note` its number in the half before. `ready` begins a turn: it is asked only if there is room.
///
/// Gives what `Hand::first` makes of its offset. A slab in hand is one of the seat's: it leaves the ring only by `dissolve`, which lets go of it. A block in its room is free: only its owner takes blocks.
#[inline(always)]
pub(crate) fn take_block<'a>(
    hand: &Hand,
    ready: impl FnOnce() -> Option<Turn<'a>>,
    note: impl FnOnce(&Hand, u64),
) -> Option<u64> {
    let room = hand.room.get();
    if room == 0 {
        cold_path();
        return None;
    }
    let _turn = ready()?;
    let (index, rest) = (room.trailing_zeros() as u64, room & room.wrapping_sub(1));
    let bit = room ^ rest;
    hand.room.set(rest);
    note(hand, index);
    // SAFETY: there is room in hand.
    let (allocated, _) = unsafe { words(hand) };
    // Dead before: the block is free. After: it is allocated, and undo clears the bit if the operation was noted.
    allocated.store(allocated.load(Ordering::Relaxed) | bit, Ordering::Release);
    Some(hand.first.get() + index * hand.size())
}

/// Frees a block by hand for good, if it stands in the slab in hand from which one was taken last; clearing the bit is the commit. Everything else is left to
/// [`free_far`](crate::slab::free_far): `false`. The log for work under no lock is not held open. A handle of another pool, whose tag is greater or less by more
/// than any offset, is in no half.
#[inline(always)]
pub(crate) fn free_near(quick: &Quick, handle: u64) -> bool {
    let hand = quick.hands.last();
    let inside = handle.wrapping_sub(hand.first.get());
    // Something is in hand, so that the seat is our own.
    if inside >= hand.bytes.get() {
        return false;
    }
    let Some(_turn) = Turn::begin(quick.shared()) else { return false };
    let Some(index) = exact_index(inside, hand.magic.get()) else {
        cold_path();
        return false;
    };
    // SAFETY: bytes are in hand.
    let (allocated, freed) = unsafe { words(hand) };
    let (old, bit) = (allocated.load(Ordering::Relaxed), 1 << (index % 64));
    if old & bit == 0 || freed.load(Ordering::Relaxed) & bit != 0 {
        cold_path();
        return false;
    }
    // Dead before: allocated. After: free.
    allocated.store(old ^ bit, Ordering::Release);
    commit_store("bit-by-hand");
    true
}
