//! Room when there is none: bury the dead, grow the pool, and at last give back empty slabs.
//!
//! Growth is made under a ticket of its own, so that others go on in the pool as it is while the system finds pages. Only publishing takes the
//! heap lock. The metadata of a territory that begins in the new pages stands at their end, where it splits nothing.

use crate::actor::{Actor, BUSY_PAGES, HeapLock};
use crate::descriptor::{Kind, State};
use crate::territory::{descriptor, pages_of};
use crate::{index, reclaim, word};
use aquifer_pool::layout::{PAGE, TERRITORIES, territory_bytes, territory_pages, territory_start};
use aquifer_pool::plant::commit_store;
use aquifer_pool::{Error, Inner, Result};
use std::sync::atomic::Ordering;

const MOST_PAGES: u64 = territory_start(TERRITORIES - 1) + territory_pages(TERRITORIES - 1);

/// Makes room for a run that was not found when the pool had `seen` pages; the caller searches again.
///
/// # Errors
/// `OutOfMemory`, `HardLimit` or `FileSizeLimit` when nothing helps, those of mapping a larger window.
#[cold]
pub(crate) fn make_room(actor: Actor<'_>, pages: u64, align: u64, seen: u64) -> Result<()> {
    // Who buries does not bury on: it may be that very process that is out of memory.
    if !actor.burying && actor.pool.bury_dead() > 0 {
        return Ok(());
    }
    match grow(actor, pages, align, seen) {
        Err(e) if is_shortage(&e) => match reclaim::everywhere(actor)? {
            0 => Err(e),
            _ => Ok(()),
        },
        other => other,
    }
}

fn is_shortage(e: &Error) -> bool {
    matches!(
        e,
        Error::OutOfMemory(_)
            | Error::HardLimit { .. }
            | Error::FileSizeLimit { .. }
            | Error::AddressSpace(_)
    )
}

fn grow(actor: Actor<'_>, pages: u64, align: u64, seen: u64) -> Result<()> {
    let pool = actor.pool;
    let _ticket = word::acquire(&pool.header().growth_ticket, actor);
    let first = pages_of(pool);
    if first != seen {
        return Ok(()); // somebody else has grown it: look there
    }
    let need = missing(actor, first, pages, align)?;
    let (wanted, least) = (end_for(first, need.max(step(pool, first))), end_for(first, need));
    let fits = |end: u64| end <= MOST_PAGES && end - first <= BUSY_PAGES;
    if !fits(least) {
        return Err(Error::OutOfMemory(format!("the heap cannot grow by {need} pages at once")));
    }
    let wanted = if fits(wanted) { wanted } else { least };
    let end = match pool.extend_to(wanted * PAGE) {
        Ok(()) => wanted,
        Err(e) if is_shortage(&e) && least < wanted => {
            pool.extend_to(least * PAGE)?;
            least
        }
        Err(e) => return Err(e),
    };
    publish(actor, first, end)
}

/// Pages to add so that the run fits behind what is free at the end.
fn missing(actor: Actor<'_>, first: u64, pages: u64, align: u64) -> Result<u64> {
    let lock = HeapLock::acquire(actor)?;
    let free = index::free_before(actor.pool, first)?;
    drop(lock);
    Ok(((first - free).next_multiple_of(align) + pages).saturating_sub(first).max(1))
}

/// Pages by which the pool would like to grow.
fn step(pool: &Inner, pages: u64) -> u64 {
    let (least, most) = (pool.header().grow_step / PAGE, pool.header().grow_ceiling / PAGE);
    (pages / 32).max(least).min(most.max(least)).min(BUSY_PAGES / 2)
}

/// Territories that begin in the pages `[first, end)`.
fn begun(first: u64, end: u64) -> impl Iterator<Item = usize> {
    (0..TERRITORIES).filter(move |t| (first..end).contains(&territory_start(*t)))
}

/// End of the pool when `pages` pages are added to `first`, and the metadata that this needs.
fn end_for(first: u64, pages: u64) -> u64 {
    let mut end = first.saturating_add(pages);
    loop {
        let metadata: u64 = begun(first, end).map(|t| territory_bytes(t) / PAGE).sum();
        let with = first.saturating_add(pages).saturating_add(metadata);
        if with == end {
            return end;
        }
        end = with;
    }
}

fn publish(actor: Actor<'_>, first: u64, end: u64) -> Result<()> {
    let header = actor.pool.header();
    let lock = HeapLock::acquire(actor)?;
    lock.change(first, end - first, None, || {
        // Dead before: the file is longer than the pool, which the next growth uses. After: the pool is longer, and whoever settles us enters
        // the new pages from the busy word.
        header.length.store(end * PAGE, Ordering::Release);
        commit_store("pool-length");
        cover(actor.pool, first, end - first)
    })?;
    header.grown.fetch_add(1, Ordering::Relaxed);
    Ok(())
}

/// Places the metadata of new pages. Repeatable: where it stands follows from the range alone. Does nothing for ranges that have theirs.
pub(crate) fn cover(pool: &Inner, first: u64, pages: u64) -> Result<()> {
    let end = first + pages;
    if pages_of(pool) < end {
        return Ok(());
    }
    let territories = &pool.header().territories;
    if begun(first, end).any(|t| territories[t].load(Ordering::Acquire) == 0) {
        let mut at = end;
        for t in begun(first, end) {
            at = at.checked_sub(territory_bytes(t) / PAGE).filter(|at| *at >= first).ok_or_else(no_room)?;
            if territories[t].load(Ordering::Acquire) == 0 {
                // Dead before: placed there by who settles us. After: its descriptors are all zero, which is free and not in the bitmap.
                territories[t].store(at * PAGE, Ordering::Release);
                commit_store("territory");
            }
        }
    }
    for (t, block) in territories.iter().enumerate() {
        let page = block.load(Ordering::Acquire) / PAGE;
        if (first..end).contains(&page) {
            descriptor(pool, page)?.set_state(State::new(Kind::Meta, territory_bytes(t) / PAGE));
        }
    }
    Ok(())
}

#[cold]
fn no_room() -> Error {
    Error::Damaged("no room for the metadata of new pages".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_has_room_for_its_own_metadata() {
        for first in [256, 511, 512, 513, 1000, 1024, 4000, 1 << 20] {
            for pages in [1, 2, 255, 256, 512, 1024, 5000, 100_000] {
                let end = end_for(first, pages);
                let metadata: u64 = begun(first, end).map(|t| territory_bytes(t) / PAGE).sum();
                assert_eq!(end, first + pages + metadata);
            }
        }
    }
}
