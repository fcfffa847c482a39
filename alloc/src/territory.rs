//! Where the metadata of a page stands.

use crate::descriptor::Descriptor;
use aquifer_pool::layout::{
    DESCRIPTOR, PAGE, PAGE_SHIFT, TERRITORIES, TERRITORY_FIRST, territory_bytes, territory_of,
    territory_pages, territory_start,
};
use aquifer_pool::{Error, Inner, Result};
use std::sync::atomic::{AtomicU64, Ordering};

/// Words of the bitmap that one summary word describes.
pub(crate) const CHUNK_WORDS: usize = (TERRITORY_FIRST / 64) as usize;

/// Pages of the pool that are published.
#[inline]
pub(crate) fn pages_of(pool: &Inner) -> u64 {
    pool.header().length.load(Ordering::Acquire) >> PAGE_SHIFT
}

/// The descriptor of a page.
///
/// # Errors
/// `Damaged` when the page is outside of the pool, or its territory's metadata is.
#[inline(always)]
pub(crate) fn descriptor(pool: &Inner, page: u64) -> Result<&Descriptor> {
    match known(pool, page) {
        Some(found) => Ok(found),
        None => look_up(pool, page),
    }
}

/// The same, if this process has looked up the territory before: metadata never moves, and old windows stay mapped.
#[inline(always)]
pub(crate) fn known(pool: &Inner, page: u64) -> Option<&Descriptor> {
    let zero = pool.descriptors[territory_of(page)].load(Ordering::Acquire);
    if zero.is_null() {
        return None;
    }
    let at = zero.wrapping_add(page.wrapping_mul(DESCRIPTOR) as usize);
    // SAFETY: points into a window (see below); said here because the compiler cannot see it through the addition.
    unsafe { std::hint::assert_unchecked(!at.is_null()) };
    // SAFETY: the page is one of its territory, all of whose descriptors `look_up` found in bounds; aligned: blocks stand at multiples of a
    // page, descriptors at multiples of 64 in them; all fields are atomics, and windows stay mapped as long as the pool is joined.
    Some(unsafe { &*at.cast::<Descriptor>() })
}

#[cold]
#[inline(never)]
fn look_up(pool: &Inner, page: u64) -> Result<&Descriptor> {
    let t = territory_of(page);
    let block = match pool.header().territories.get(t) {
        Some(offset) => offset.load(Ordering::Acquire),
        None => 0,
    };
    if block == 0 || block % PAGE != 0 {
        return Err(no_territory(page));
    }
    let first = pool.at(block, territory_bytes(t))?;
    // Address of the descriptor of page 0, were it in this territory.
    let zero = first.wrapping_sub((territory_start(t) * DESCRIPTOR) as usize);
    pool.descriptors[t].store(zero, Ordering::Release);
    known(pool, page).ok_or_else(|| no_territory(page))
}

#[cold]
fn no_territory(page: u64) -> Error {
    Error::Damaged(format!("page {page} has no metadata"))
}

/// Bitmap and summaries of a territory.
#[derive(Debug)]
pub(crate) struct Territory<'a> {
    start: u64,
    bitmap: &'a [AtomicU64],
    summaries: &'a [AtomicU64],
}

/// 512 pages and the word that sums them up.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Chunk<'a> {
    /// Page of the first bit.
    pub(crate) start: u64,
    /// 1: free.
    pub(crate) bits: &'a [AtomicU64],
    /// See `index`.
    pub(crate) summary: &'a AtomicU64,
}

impl<'a> Territory<'a> {
    /// Territory `t`, or `None` when the pool has none.
    pub(crate) fn find(pool: &'a Inner, t: usize) -> Result<Option<Territory<'a>>> {
        let block = match pool.header().territories.get(t) {
            Some(offset) => offset.load(Ordering::Acquire),
            None => 0,
        };
        if block == 0 {
            return Ok(None);
        }
        if block % PAGE != 0 {
            return Err(no_territory(territory_start(t)));
        }
        let pages = territory_pages(t);
        let at = pool
            .at(block, territory_bytes(t))?
            .wrapping_add((pages * DESCRIPTOR) as usize)
            .cast::<AtomicU64>();
        // SAFETY: the whole block is in bounds by `at`; behind the descriptors stand `pages / 64` words of bitmap, 8-aligned.
        let bitmap = unsafe { std::slice::from_raw_parts(at, (pages / 64) as usize) };
        let summaries = at.wrapping_add(bitmap.len());
        // SAFETY: as above; behind the bitmap stand `pages / 512` summary words.
        let summaries = unsafe { std::slice::from_raw_parts(summaries, (pages / TERRITORY_FIRST) as usize) };
        Ok(Some(Territory { start: territory_start(t), bitmap, summaries }))
    }

    /// The chunks from number `from` of this territory on.
    pub(crate) fn chunks(&self, from: usize) -> impl Iterator<Item = Chunk<'a>> + use<'a> {
        let (start, bitmap, summaries) = (self.start, self.bitmap, self.summaries);
        (from..summaries.len()).map(move |i| Chunk {
            start: start + i as u64 * TERRITORY_FIRST,
            bits: &bitmap[i * CHUNK_WORDS..(i + 1) * CHUNK_WORDS],
            summary: &summaries[i],
        })
    }
}

/// All chunks from the one that holds page `from` on.
pub(crate) fn chunks_from<'a>(pool: &'a Inner, from: u64) -> impl Iterator<Item = Result<Chunk<'a>>> {
    let first = territory_of(from);
    let mut broken = false;
    (first..TERRITORIES)
        .map_while(move |t| {
            let found = if broken { Ok(None) } else { Territory::find(pool, t) };
            broken |= found.is_err();
            found.transpose().map(|territory| (t, territory))
        })
        .flat_map(move |(t, territory)| {
            let skip = if t == first { ((from - territory_start(t)) / TERRITORY_FIRST) as usize } else { 0 };
            let (chunks, error) = match territory {
                Ok(territory) => (Some(territory.chunks(skip)), None),
                Err(e) => (None, Some(Err(e))),
            };
            chunks.into_iter().flatten().map(Ok).chain(error)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_fall_into_the_territories_that_the_layout_names() {
        for t in 0..TERRITORIES {
            let start = territory_start(t);
            assert_eq!(territory_of(start), t);
            assert_eq!(territory_of(start + territory_pages(t) - 1), t);
        }
        assert_eq!(territory_of(511), 0);
        assert_eq!(territory_of(512), 1);
    }
}
