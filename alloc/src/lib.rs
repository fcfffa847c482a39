//! The heap in an aquifer pool: small blocks from slabs, large ones from runs of pages, room by growing the pool.
//!
//! Blocks are named by their offset from the pool's start. An allocation is noted on a log before it is made, and is given back if the
//! operation open on that log is not committed; a free is noted, and carried out after the commit. So a process may be killed at any
//! instruction: nothing leaks, and nothing is freed twice.
//!
//! # Who may be killed where
//!
//! The descriptor of a block's first page is the one truth. One store to it makes or ends a run or a slab, and one bit is a block. Bitmap and
//! summaries are derived from the descriptors: under the heap lock a seat names the pages it is about to change in its `busy` word, and whoever
//! finds it dead derives these pages again ([`settle()`]).
//!
//! # Costs
//!
//! A block of up to [`class::LARGEST`] bytes comes from the slab in hand: the lowest bit of one word, no lock, no line shared with other
//! seats. Its own seat frees it by clearing a bit; other seats under a lock of that page. Larger blocks are whole pages under the heap lock, first
//! fit by address, merged with both neighbours when freed; of those of up to 128 KiB a seat keeps the four it freed last (see `spare`). The metadata is 64 bytes and a bit for each page.
//!
//! # What stays behind
//!
//! What others freed in a seat's slabs is collected by that seat when it allocates, and by whoever would run out of memory: it gives back the empty slabs of all
//! seats that are not at work in the heap, and takes over what room they have (see `turn`).
#![deny(unsafe_code)]

#[cfg(test)]
extern crate self as aquifer_alloc;

mod actor;
mod alloc;
mod block;
pub mod class;
#[allow(unsafe_code)]
mod descriptor;
mod free;
mod grow;
#[allow(unsafe_code)]
mod hand;
mod index;
#[cfg(test)]
mod killed;
mod place;
mod reclaim;
mod runs;
mod settle;
mod slab;
mod spare;
mod stats;
#[allow(unsafe_code)]
mod territory;
mod turn;
mod verify;
mod word;

pub use alloc::{
    alloc, alloc_from_recent, alloc_to_grow, alloc_zeroed, free_in_own_slab, log_chunk, permanent,
    quick_alloc, quick_free, raw_alloc, raw_free, raw_free_checked, resize_in_place, run_zeroed,
};
pub use block::{block_of, block_size};
pub use free::{carry_out_free, free, free_intent, undo};
pub use reclaim::reclaim;
pub use settle::settle;
pub use stats::{
    BlockInfo, Stats, block_at, check_index, check_index_in_use, for_each_block, repair_index, stats,
};
pub use verify::{lay_out, verify};
