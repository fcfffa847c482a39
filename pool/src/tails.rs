//! How far each page of a slab is behind the slab's first page, as this process has seen it: a byte for each page, where the descriptors that say so
//! take a cache line each. Private and derived: whoever uses a distance looks whether the slab that it leads to has the page.

use crate::layout::{TERRITORIES, territory_pages};
use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicPtr, AtomicU8, Ordering};

/// Larger territories have no table: it would take too much memory at once.
const MOST_PAGES: u64 = 1 << 24;

/// A table for each territory in which something is known, null: none.
///
/// Invariant: a table has as many bytes as its territory has pages, and stays until this is dropped. Whoever makes one publishes it whole, by one store: nobody
/// waits for another thread, which a child of a fork may not have.
#[derive(Debug)]
pub struct Tails([AtomicPtr<AtomicU8>; TERRITORIES]);

impl Tails {
    pub(crate) fn new() -> Tails {
        Tails([const { AtomicPtr::new(null_mut()) }; TERRITORIES])
    }

    /// Distance of a page of the territory; 0 if nothing is known.
    #[inline(always)]
    pub fn distance(&self, territory: usize, page: u64) -> u64 {
        let table = self.0.get(territory).map_or(null_mut(), |table| table.load(Ordering::Acquire));
        if table.is_null() {
            return 0;
        }
        // SAFETY: a table (invariant), and within it by `place`.
        let distance = unsafe { &*table.add(place(territory, page)) };
        distance.load(Ordering::Relaxed) as u64
    }

    /// Notes a distance for the next time. Without memory for a table it is forgotten.
    pub fn note(&self, territory: usize, page: u64, distance: u8) {
        let Some(slot) = self.0.get(territory).filter(|_| territory_pages(territory) <= MOST_PAGES) else {
            return;
        };
        let known = slot.load(Ordering::Acquire);
        let table = if known.is_null() { make(slot, territory) } else { known };
        if !table.is_null() {
            // SAFETY: as in `distance`.
            unsafe { &*table.add(place(territory, page)) }.store(distance, Ordering::Relaxed);
        }
    }
}

impl Drop for Tails {
    fn drop(&mut self) {
        for (territory, table) in self.0.iter_mut().enumerate() {
            let table = *table.get_mut();
            if !table.is_null() {
                // SAFETY: made by `make` with that layout; nobody else has it any more.
                unsafe { dealloc(table.cast(), layout(territory)) };
            }
        }
    }
}

/// Makes a table for a territory that has none yet, if memory can be had. Which one there is now; null: none.
#[cold]
fn make(slot: &AtomicPtr<AtomicU8>, territory: usize) -> *mut AtomicU8 {
    // SAFETY: every territory has pages.
    let new: *mut AtomicU8 = unsafe { alloc_zeroed(layout(territory)) }.cast();
    if new.is_null() {
        return new;
    }
    match slot.compare_exchange(null_mut(), new, Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => new,
        Err(others) => {
            // SAFETY: made just above, and nobody else knows it.
            unsafe { dealloc(new.cast(), layout(territory)) };
            others
        }
    }
}

fn layout(territory: usize) -> Layout {
    Layout::array::<AtomicU8>(territory_pages(territory) as usize).unwrap_or(Layout::new::<u8>())
}

/// Where a page stands in the table of its territory: both start and length of all but the first are the same power of two.
#[inline(always)]
fn place(territory: usize, page: u64) -> usize {
    (page & (territory_pages(territory) - 1)) as usize
}
