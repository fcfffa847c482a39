//! Spare runs: what a seat freed last stays with it, for its next request of as many pages.
//!
//! Whoever frees and allocates runs of a few pages in turns needs neither the heap lock nor a line that other seats use. A spare run is a head of
//! kind `Spare` with the seat as owner: that is the truth. The seat's slots only tell where to look; one that names anything else counts as empty. To
//! the bitmap the pages are in use. Like slabs, spare runs are touched by the seat's owner in a turn, or by who has closed the seat, and stay with
//! the seat when it is given up.

use crate::actor::{Actor, HeapLock};
use crate::descriptor::{Descriptor, Kind, State};
use crate::territory::{descriptor, pages_of};
use aquifer_pool::Result;
use aquifer_pool::layout::SPARE;
use aquifer_pool::plant::commit_store;
use std::sync::atomic::{AtomicU64, Ordering, compiler_fence};

/// Longer runs are freed at once, so that a seat keeps half a megabyte at most.
const PAGES: u64 = 32;

const _: () = assert!(SPARE as u64 * PAGES * 4096 <= 512 << 10);

/// A spare run of a seat.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spare<'a> {
    slot: &'a AtomicU64,
    pub(crate) page: u64,
    pub(crate) head: &'a Descriptor,
}

impl<'a> Spare<'a> {
    fn at(owner: Actor<'a>, slot: &'a AtomicU64) -> Option<Spare<'a>> {
        let page = slot.load(Ordering::Relaxed);
        if page == 0 || page >= pages_of(owner.pool) {
            return None;
        }
        let head = descriptor(owner.pool, page).ok()?;
        (head.state().kind() == Kind::Spare && head.belongs_to(owner.name())).then_some(Spare {
            slot,
            page,
            head,
        })
    }

    /// A spare run of just as many pages. The caller has begun a turn, and makes it something else.
    pub(crate) fn find(actor: Actor<'a>, pages: u64, align: u64) -> Option<Spare<'a>> {
        let wanted = State::new(Kind::Spare, pages);
        let fits = |s: &Spare<'_>| s.head.state() == wanted && s.page.is_multiple_of(align);
        actor.heap().spare.iter().filter_map(|slot| Spare::at(actor, slot)).find(fits)
    }

    /// Empties its slot, when the run has become something else. Dead before: the slot counts as empty.
    pub(crate) fn forget(self) {
        compiler_fence(Ordering::SeqCst);
        self.slot.store(0, Ordering::Release);
    }

    fn give_back(self, actor: Actor<'_>) -> Result<()> {
        let lock = HeapLock::acquire(actor)?;
        lock.change(self.page, self.head.state().pages(), Some(true), || {
            // Dead before: spare. After: free pages, and the slot counts as empty.
            self.head.set_state(State::FREE);
            Ok(())
        })?;
        drop(lock);
        self.forget();
        Ok(())
    }
}

/// Keeps a run that is being freed; false if it must be freed another way. The caller has begun a turn, and has checked the run.
pub(crate) fn keep(actor: Actor<'_>, page: u64, head: &Descriptor) -> Result<bool> {
    let pages = head.state().pages();
    if pages > PAGES || actor.burying {
        return Ok(false);
    }
    let slots = &actor.heap().spare;
    let empty = slots.iter().find(|slot| Spare::at(actor, slot).is_none());
    // Another one each time, so that what is never asked for does not stay.
    let slot = empty.unwrap_or(&slots[page as usize % SPARE]);
    if let Some(old) = Spare::at(actor, slot) {
        old.give_back(actor)?;
    }
    slot.store(page, Ordering::Relaxed);
    head.owner.store(actor.name(), Ordering::Release);
    compiler_fence(Ordering::SeqCst);
    // Dead before: a run, which is freed by who finishes our log; the slot counts as empty. After: spare, and no run of that token.
    head.set_state(State::new(Kind::Spare, pages));
    commit_store("run-kept");
    Ok(true)
}

/// Whether a seat may have spare runs.
pub(crate) fn any(slots: &[AtomicU64]) -> bool {
    slots.iter().any(|slot| slot.load(Ordering::Relaxed) != 0)
}

/// Gives all spare runs of the owner back; returns how many.
pub(crate) fn sweep(actor: Actor<'_>, owner: Actor<'_>) -> Result<usize> {
    let mut count = 0;
    for spare in owner.heap().spare.iter().filter_map(|slot| Spare::at(owner, slot)) {
        spare.give_back(actor)?;
        count += 1;
    }
    Ok(count)
}
