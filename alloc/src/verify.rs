//! The heap of a new pool, and the check of the heap of one that is being opened.

use crate::class::{Class, TABLE};
use crate::descriptor::{Descriptor, Kind, State};
use crate::grow;
use crate::index;
use crate::territory::{descriptor, pages_of};
use aquifer_pool::layout::{PAGE, TERRITORIES, fresh, territory_bytes, territory_start};
use aquifer_pool::{Error, Inner, Result};
use std::sync::atomic::Ordering;

/// Lays out the heap of a pool that nobody else has (`Upper::lay_out`).
///
/// # Errors
/// `Damaged` when the pool is too small.
pub fn lay_out(pool: &Inner) -> Result<()> {
    let (first, end) = (fresh::HEAP / PAGE, pages_of(pool));
    if end <= first {
        return Err(Error::Damaged("too small for a heap".into()));
    }
    pool.header().territories[0].store(fresh::TERRITORY, Ordering::Release);
    descriptor(pool, 0)?.set_state(State::new(Kind::Meta, first));
    grow::cover(pool, first, end - first)?;
    index::rederive(pool, first, end - first)
}

/// Checks the heap's tables (`Upper::verify`): territories lie in the pool and apart, heads are what only this crate writes, and each covers
/// pages of the pool. Takes no lock, and does not mind others at work. O(pages).
///
/// # Errors
/// `Damaged`, naming what is wrong.
pub fn verify(pool: &Inner) -> Result<()> {
    // In this order: whoever published these pages and has not placed their metadata is seen busy.
    let pages = pages_of(pool);
    let growing = (0..pool.seat_count())
        .filter_map(|s| pool.seat_at(s))
        .any(|s| s.heap.busy.load(Ordering::Acquire) != 0);
    territories(pool, pages, growing)?;
    let mut page = 0;
    while page < pages {
        let head = match descriptor(pool, page) {
            Ok(head) => head,
            // Somebody is, or was killed, between publishing and placing: joining settles it.
            Err(_) if growing || pages_of(pool) > pages => break,
            Err(e) => return Err(e),
        };
        page += check_head(pool, page, head)?.max(1);
    }
    Ok(())
}

fn territories(pool: &Inner, pages: u64, growing: bool) -> Result<()> {
    let header = pool.header();
    let mut blocks: Vec<(u64, u64)> = Vec::new();
    for t in 0..TERRITORIES {
        let offset = header.territories[t].load(Ordering::Acquire);
        if offset == 0 {
            if territory_start(t) < pages && !growing && header.territories[t].load(Ordering::Acquire) == 0 {
                return Err(Error::Damaged(format!("territory {t} has no metadata")));
            }
            continue;
        }
        let (first, end) = (offset / PAGE, (offset / PAGE).saturating_add(territory_bytes(t) / PAGE));
        let out = !offset.is_multiple_of(PAGE) || first < fresh::TERRITORY / PAGE || end > pages_of(pool);
        if out || blocks.iter().any(|(f, e)| first < *e && *f < end) {
            return Err(Error::Damaged(format!("metadata of territory {t} cannot be at {offset:#x}")));
        }
        let settled = t > 0 && territory_start(t) < pages && !growing;
        if settled && descriptor(pool, first)?.state() != State::new(Kind::Meta, end - first) {
            return Err(Error::Damaged(format!("metadata of territory {t} stands in pages of others")));
        }
        blocks.push((first, end));
    }
    Ok(())
}

/// Pages that the head covers, 0 if it is none.
fn check_head(pool: &Inner, page: u64, head: &Descriptor) -> Result<u64> {
    let state = head.state();
    let damaged = |what: &str| Err(Error::Damaged(format!("descriptor of page {page}: {what}")));
    let covers = state.covers();
    if covers == 0 {
        return match state.kind() {
            Kind::Free if state != State::FREE => damaged("of unknown kind"),
            Kind::Free | Kind::Tail => Ok(0),
            _ => damaged("covers no page"),
        };
    }
    if page.checked_add(covers).is_none_or(|end| end > pages_of(pool)) {
        return damaged("reaches beyond the pool");
    }
    if state.kind() != Kind::Slab {
        return Ok(covers);
    }
    let owner = head.owner.load(Ordering::Acquire);
    match TABLE.get(state.class()) {
        Some(class) if class.pages as u64 != covers => damaged("a slab of another size than its class"),
        Some(_) if owner == 0 || owner > pool.seat_count() => damaged("a slab of no seat"),
        Some(class) if has_strange_bits(head, class) => damaged("bits of blocks that it has not"),
        Some(_) => Ok(covers),
        None => damaged("a slab of no class"),
    }
}

fn has_strange_bits(head: &Descriptor, class: &Class) -> bool {
    // Whoever makes a slab clears the bits before the state says so; a slab that just became one of another class is looked at twice.
    let strange = || {
        (0..2).any(|w| {
            (head.allocated[w].load(Ordering::Acquire) | head.freed[w].load(Ordering::Acquire))
                & !class.mask(w)
                != 0
        })
    };
    let state = head.state();
    strange() && head.state() == state && strange()
}
