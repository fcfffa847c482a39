//! Which pages are free: a bitmap, and for each 512 pages one word that says how long the free runs in it are.
//!
//! Both are derived from the descriptors, and are changed and read under the heap lock only. The summaries are those of Go's page
//! allocator: free pages at the start, longest run, free pages at the end; so a run that spans chunks is found without looking at bits.

use crate::descriptor::State;
use crate::territory::{CHUNK_WORDS, Chunk, chunks_from, descriptor, pages_of};
use aquifer_pool::layout::TERRITORY_FIRST;
use aquifer_pool::{Error, Inner, Result};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

type Bits = [u64; CHUNK_WORDS];

/// Free runs of a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Summary {
    /// Free pages at the start.
    pub(crate) start: u64,
    /// Pages of the longest free run.
    pub(crate) longest: u64,
    /// Free pages at the end.
    pub(crate) end: u64,
}

const FIELD: u32 = 16;

impl Summary {
    fn of(bits: &Bits) -> Summary {
        let mut sum = Summary { start: 0, longest: 0, end: 0 };
        for (at, len) in runs(*bits) {
            if at == 0 {
                sum.start = len;
            }
            if at + len == TERRITORY_FIRST {
                sum.end = len;
            }
            sum.longest = sum.longest.max(len);
        }
        sum
    }

    fn pack(self) -> u64 {
        self.start | self.longest << FIELD | self.end << (2 * FIELD)
    }

    /// Values that no chunk can have are cut to what one can: a damaged word misleads the search, no more.
    fn unpack(word: u64) -> Summary {
        let field = |i: u32| (word >> (i * FIELD) & 0xffff).min(TERRITORY_FIRST);
        Summary { start: field(0), longest: field(1), end: field(2) }
    }
}

impl Chunk<'_> {
    pub(crate) fn load(&self) -> Bits {
        std::array::from_fn(|i| self.bits[i].load(Relaxed))
    }

    pub(crate) fn sum(&self) -> Summary {
        Summary::unpack(self.summary.load(Relaxed))
    }
}

/// Maximal runs of ones as (first, length).
pub(crate) fn runs(bits: Bits) -> impl Iterator<Item = (u64, u64)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let first = next(&bits, at, 0)?;
        at = next(&bits, first, u64::MAX).unwrap_or(TERRITORY_FIRST);
        Some((first, at - first))
    })
}

/// The first bit from `at` on that differs from those of `flip`.
fn next(bits: &Bits, at: u64, flip: u64) -> Option<u64> {
    let mut word = (at / 64) as usize;
    let mut left = (bits.get(word)? ^ flip) & u64::MAX << (at % 64);
    while left == 0 {
        word += 1;
        left = bits.get(word)? ^ flip;
    }
    Some(word as u64 * 64 + left.trailing_zeros() as u64)
}

/// A request of the search.
#[derive(Debug, Clone, Copy)]
struct Wanted {
    pages: u64,
    align: u64,
}

impl Wanted {
    /// First page of the request in the free run `[first, first + len)`.
    fn fit(self, first: u64, len: u64) -> Option<u64> {
        let at = first.checked_next_multiple_of(self.align)?;
        (at.checked_add(self.pages)? <= first + len).then_some(at)
    }
}

/// Lengths of runs, in pages, for each of which it is known how far down the pool there is none.
const LENGTHS: [u64; 6] = [1, 2, 4, 8, 16, 64];

/// For each of [`LENGTHS`] a chunk before which no run of that length begins. They stand in fields that page 0, no slab, has no use for.
fn floors(pool: &Inner) -> Result<[&AtomicU64; LENGTHS.len()]> {
    let d = descriptor(pool, 0)?;
    Ok([&d.next, &d.token, &d.allocated[0], &d.allocated[1], &d.freed[0], &d.freed[1]])
}

/// The lowest place for `pages` pages at a multiple of `align` pages. O(chunks from the lowest free run of about that length on).
pub(crate) fn find(pool: &Inner, pages: u64, align: u64) -> Result<Option<u64>> {
    let length = LENGTHS.iter().rposition(|l| *l <= pages).unwrap_or(0);
    let floor = floors(pool)?[length];
    let wanted = Wanted { pages, align };
    let known = match floor.load(Relaxed) {
        chunk if chunk <= pages_of(pool) / TERRITORY_FIRST => chunk,
        _ => 0, // damaged
    };
    let (found, lowest) = search(pool, known * TERRITORY_FIRST, wanted, LENGTHS[length])?;
    floor.store(lowest, Relaxed);
    match found {
        // The floor says nothing of runs that begin further down and were joined with what was freed since.
        None if known > 0 => Ok(search(pool, 0, wanted, LENGTHS[length])?.0),
        found => Ok(found),
    }
}

/// The same, where up to eight times as many pages are free, if there is such a place.
pub(crate) fn find_roomy(pool: &Inner, pages: u64, align: u64) -> Result<Option<u64>> {
    for times in [8, 4, 2] {
        if let Some(first) = find(pool, pages * times, align)? {
            return Ok(Some(first));
        }
    }
    find(pool, pages, align)
}

/// First fit from the chunk of page `from` on, and the chunk where the first run of at least `least` pages begins.
fn search(pool: &Inner, from: u64, wanted: Wanted, least: u64) -> Result<(Option<u64>, u64)> {
    let (mut first, mut len) = (from, 0);
    let mut lowest = None;
    for chunk in chunks_from(pool, from) {
        let chunk = chunk?;
        let sum = chunk.sum();
        if len == 0 {
            first = chunk.start;
        }
        if lowest.is_none() {
            let begins = if len + sum.start >= least {
                Some(first)
            } else {
                (sum.longest >= least).then_some(chunk.start)
            };
            lowest = begins.map(|page| page / TERRITORY_FIRST);
        }
        let floor = || lowest.unwrap_or(first / TERRITORY_FIRST);
        if let Some(at) = wanted.fit(first, len + sum.start) {
            return Ok((Some(at), floor()));
        }
        if sum.start == TERRITORY_FIRST {
            len += TERRITORY_FIRST;
            continue;
        }
        if sum.longest >= wanted.pages {
            let inside = runs(chunk.load()).find_map(|(at, n)| wanted.fit(chunk.start + at, n));
            if inside.is_some() {
                return Ok((inside, floor()));
            }
        }
        (first, len) = (chunk.start + TERRITORY_FIRST - sum.end, sum.end);
    }
    let end = pages_of(pool).min(first);
    Ok((None, lowest.unwrap_or(end / TERRITORY_FIRST)))
}

/// Whether all of the pages are free.
pub(crate) fn all_free(pool: &Inner, first: u64, pages: u64) -> Result<bool> {
    let mut all = true;
    each_word(pool, first, pages, |chunk, word, mask| all &= chunk.bits[word].load(Relaxed) & mask == mask)?;
    Ok(all)
}

/// Free pages right before page `end`.
pub(crate) fn free_before(pool: &Inner, end: u64) -> Result<u64> {
    let mut free = 0;
    while free < end {
        let page = end - free - 1;
        let Some(chunk) = chunks_from(pool, page).next().transpose()? else { break };
        let inside = page - chunk.start + 1;
        let bits = chunk.load();
        let here =
            (0..inside).rev().take_while(|i| bits[(i / 64) as usize] >> (i % 64) & 1 != 0).count() as u64;
        free += here;
        if here < inside {
            break;
        }
    }
    Ok(free)
}

/// Enters pages as free or as used. The caller has the heap lock, and the pages stand in its seat's busy word.
pub(crate) fn mark(pool: &Inner, first: u64, pages: u64, free: bool) -> Result<()> {
    if free {
        // Before the bits: no floor passes a free run. One chunk further down a run may begin that these pages make longer.
        let chunk = (first / TERRITORY_FIRST).saturating_sub(1);
        floors(pool)?.iter().for_each(|floor| floor.store(floor.load(Relaxed).min(chunk), Relaxed));
    }
    let mut touched: Option<Chunk> = None;
    let sum_up = |c: &Chunk| c.summary.store(Summary::of(&c.load()).pack(), Relaxed);
    each_word(pool, first, pages, |chunk, word, mask| {
        let old = chunk.bits[word].load(Relaxed);
        chunk.bits[word].store(if free { old | mask } else { old & !mask }, Relaxed);
        if touched.as_ref().is_some_and(|c| c.start != chunk.start) {
            touched.iter().for_each(&sum_up);
        }
        touched = Some(chunk);
    })?;
    touched.iter().for_each(sum_up);
    Ok(())
}

/// Calls `f` for each word of the bitmap with the bits of it that stand for the pages.
fn each_word<'a>(
    pool: &'a Inner,
    first: u64,
    pages: u64,
    mut f: impl FnMut(Chunk<'a>, usize, u64),
) -> Result<()> {
    let end = first + pages;
    let mut at = first;
    for chunk in chunks_from(pool, first) {
        let chunk = chunk?;
        while at < end && at - chunk.start < TERRITORY_FIRST {
            let (word, low) = (((at - chunk.start) / 64) as usize, at % 64);
            let n = (64 - low).min(end - at);
            let ones = if n == 64 { u64::MAX } else { (1 << n) - 1 };
            f(chunk, word, ones << low);
            at += n;
        }
        if at >= end {
            break;
        }
    }
    Ok(())
}

/// Enters pages as their descriptors say. Begins at the head of something or at a free page. Repeatable.
pub(crate) fn rederive(pool: &Inner, first: u64, pages: u64) -> Result<()> {
    let end = (first + pages).min(pages_of(pool));
    let mut at = first;
    while at < end {
        let used = descriptor(pool, at)?.state().covers().min(end - at);
        if used > 0 {
            mark(pool, at, used, false)?;
            at += used;
            continue;
        }
        let mut free = 0;
        while at + free < end {
            let d = descriptor(pool, at + free)?;
            if d.state().covers() > 0 {
                break;
            }
            // What is left of a slab that was never finished, or was given back.
            d.set_state(State::FREE);
            free += 1;
        }
        mark(pool, at, free, true)?;
        at += free;
    }
    Ok(())
}

/// Compares bitmap and summaries with the descriptors.
pub(crate) fn check(pool: &Inner) -> Result<()> {
    let pages = pages_of(pool);
    let mut used_to = 0;
    for chunk in chunks_from(pool, 0) {
        let chunk = chunk?;
        let mut truth: Bits = [0; CHUNK_WORDS];
        for i in 0..TERRITORY_FIRST.min(pages.saturating_sub(chunk.start)) {
            let page = chunk.start + i;
            if page >= used_to {
                used_to = page + descriptor(pool, page)?.state().covers();
            }
            if page >= used_to {
                truth[(i / 64) as usize] |= 1 << (i % 64);
            }
        }
        if chunk.load() != truth || chunk.sum() != Summary::of(&truth) {
            return Err(Error::Damaged(format!(
                "the list of free pages is wrong from page {} on",
                chunk.start
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_maximal_and_sums_describe_them() {
        let mut bits = [0u64; CHUNK_WORDS];
        assert_eq!(runs(bits).count(), 0);
        bits[0] = 0b1011;
        bits[1] = u64::MAX << 60;
        bits[2] = 1;
        bits[7] = 1 << 63;
        let found: Vec<_> = runs(bits).collect();
        assert_eq!(found, [(0, 2), (3, 1), (124, 5), (511, 1)]);
        let sum = Summary::of(&bits);
        assert_eq!(sum, Summary { start: 2, longest: 5, end: 1 });
        assert_eq!(Summary::unpack(sum.pack()), sum);
        let all = Summary::of(&[u64::MAX; CHUNK_WORDS]);
        assert_eq!(all, Summary { start: 512, longest: 512, end: 512 });
        assert_eq!(Summary::unpack(all.pack()), all);
    }

    #[test]
    fn a_request_fits_only_where_it_is_aligned() {
        let wanted = Wanted { pages: 3, align: 4 };
        assert_eq!(wanted.fit(1, 5), None);
        assert_eq!(wanted.fit(1, 6), Some(4));
        assert_eq!(wanted.fit(8, 3), Some(8));
    }
}
