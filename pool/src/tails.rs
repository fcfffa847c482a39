//! How far each page of a slab is behind the slab's first page, as this process has seen it: a byte for each page, where the descriptors that say so
//! take a cache line each. Private and derived: whoever uses a distance looks whether the slab that it leads to has the page.

use crate::layout::{territory_of, territory_pages, territory_start};
use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicPtr, AtomicU8, Ordering};

/// From this page on there is no table: that of a whole territory would take too much memory at once.
const MOST_PAGES: u64 = 1 << 25;

/// For each territory in which something is known where the byte of page 0 would stand, were it in its table; null: nothing is. More entries than there are
/// territories, so that no page has none.
///
/// Invariant: a table has as many bytes as its territory has pages, and stays until this is dropped. Whoever makes one publishes it whole, by one store: nobody
/// waits for another thread, which a child of a fork may not have.
#[derive(Debug)]
pub struct Tails([AtomicPtr<AtomicU8>; 64]);

impl Tails {
    pub(crate) fn new() -> Tails {
        Tails([const { AtomicPtr::new(null_mut()) }; 64])
    }

    /// Distance of a page; 0 if nothing is known.
    #[inline(always)]
    pub fn distance(&self, page: u64) -> u64 {
        let zero = self.0[territory_of(page)].load(Ordering::Acquire);
        if zero.is_null() {
            return 0;
        }
        // SAFETY: in the table of the page's territory (invariant).
        let distance = unsafe { &*zero.wrapping_add(page as usize) };
        distance.load(Ordering::Relaxed) as u64
    }

    /// Notes a distance for the next time. Without memory for a table it is forgotten.
    pub fn note(&self, page: u64, distance: u8) {
        if page >= MOST_PAGES {
            return;
        }
        let territory = territory_of(page);
        let slot = &self.0[territory];
        let known = slot.load(Ordering::Acquire);
        let zero = if known.is_null() { make(slot, territory) } else { known };
        if !zero.is_null() {
            // SAFETY: as in `distance`.
            unsafe { &*zero.wrapping_add(page as usize) }.store(distance, Ordering::Relaxed);
        }
    }
}

impl Drop for Tails {
    fn drop(&mut self) {
        for (territory, zero) in self.0.iter_mut().enumerate() {
            let zero = *zero.get_mut();
            if !zero.is_null() {
                let table = zero.wrapping_add(territory_start(territory) as usize);
                // SAFETY: made by `make` with that layout; nobody else has it any more.
                unsafe { dealloc(table.cast(), layout(territory)) };
            }
        }
    }
}

/// Makes a table for a territory that has none yet, if memory can be had. What stands in the slot now.
#[cold]
fn make(slot: &AtomicPtr<AtomicU8>, territory: usize) -> *mut AtomicU8 {
    // SAFETY: every territory has pages.
    let new: *mut AtomicU8 = unsafe { alloc_zeroed(layout(territory)) }.cast();
    if new.is_null() {
        return new;
    }
    let zero = new.wrapping_sub(territory_start(territory) as usize);
    match slot.compare_exchange(null_mut(), zero, Ordering::AcqRel, Ordering::Acquire) {
        // Null would be none.
        Ok(_) if !zero.is_null() => zero,
        Ok(others) | Err(others) => {
            // SAFETY: made just above, and nobody else knows it.
            unsafe { dealloc(new.cast(), layout(territory)) };
            others
        }
    }
}

fn layout(territory: usize) -> Layout {
    Layout::array::<AtomicU8>(territory_pages(territory) as usize).unwrap_or(Layout::new::<u8>())
}
