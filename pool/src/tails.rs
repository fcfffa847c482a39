//! How far each page of a slab is behind the slab's first page, as this process has seen it: a byte for each page, where the descriptors that say so
//! take a cache line each. Private and derived: whoever uses a distance looks whether the slab that it leads to has the page.

use crate::layout::{TERRITORIES, territory_pages};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, Ordering};

/// Larger territories have no table: it would take too much memory at once.
const MOST_PAGES: u64 = 1 << 24;

/// A table for each territory in which something is known.
#[derive(Debug, Default)]
pub struct Tails([OnceLock<Box<[AtomicU8]>>; TERRITORIES]);

impl Tails {
    /// Distance of a page of the territory; 0 if nothing is known.
    #[inline(always)]
    pub fn distance(&self, territory: usize, page: u64) -> u64 {
        let table = self.0.get(territory).and_then(|table| table.get());
        let known = table.and_then(|table| table.get(place(page, table.len())));
        known.map_or(0, |distance| distance.load(Ordering::Relaxed) as u64)
    }

    /// Notes a distance for the next time.
    pub fn note(&self, territory: usize, page: u64, distance: u8) {
        let Some(table) = self.0.get(territory) else { return };
        let pages = territory_pages(territory);
        if pages <= MOST_PAGES {
            let table = table.get_or_init(|| (0..pages).map(|_| AtomicU8::new(0)).collect());
            table[place(page, table.len())].store(distance, Ordering::Relaxed);
        }
    }
}

/// Where a page stands in the table of its territory: both start and length of all but the first are the same power of two.
#[inline(always)]
fn place(page: u64, pages: usize) -> usize {
    page as usize & pages.wrapping_sub(1)
}
