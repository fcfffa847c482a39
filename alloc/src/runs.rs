//! Runs of pages: large blocks, one to a run.

use crate::actor::{Actor, BUSY_PAGES, HeapLock};
use crate::alloc::NOTE_AND_ROOM;
use crate::descriptor::{Descriptor, Kind, State};
use crate::spare::{self, Spare};
use crate::territory::{descriptor, pages_of};
use crate::turn::Turn;
use crate::{grow, index};
use aquifer_pool::layout::{PAGE, fresh};
use aquifer_pool::log::{Kind as Record, LogCx, RecordView};
use aquifer_pool::plant::commit_store;
use aquifer_pool::{Error, Inner, Result};
use std::sync::atomic::Ordering;

/// Where so many free pages begin, at a multiple of so many.
pub(crate) type Find = fn(&Inner, u64, u64) -> Result<Option<u64>>;

/// Finds free pages, makes room if there are none, and has `make` turn them into something by one commit store.
pub(crate) fn take(
    actor: Actor<'_>,
    pages: u64,
    align: u64,
    find: Find,
    mut make: impl FnMut(u64) -> Result<()>,
) -> Result<u64> {
    loop {
        let seen = pages_of(actor.pool);
        let turn = Turn::take(actor);
        let lock = HeapLock::acquire(actor)?;
        if let Some(first) = find(actor.pool, pages, align)? {
            check_free(actor, first, pages)?;
            lock.change(first, pages, Some(false), || make(first))?;
            return Ok(first);
        }
        drop(lock);
        drop(turn);
        grow::make_room(actor, pages, align, seen)?;
    }
}

/// The bitmap is derived data; that what it gives is free is checked against the descriptors.
fn check_free(actor: Actor<'_>, first: u64, pages: u64) -> Result<()> {
    for page in first..first + pages {
        if descriptor(actor.pool, page)?.state() != State::FREE {
            return Err(Error::Damaged(format!("page {page} is in use, but listed as free")));
        }
    }
    Ok(())
}

/// Allocates a run of the form given (a state of no pages) and notes it on the log, so that undo gives it back.
#[cold]
pub(crate) fn alloc(cx: &LogCx, pages: u64, align: u64, form: State, find: Find) -> Result<u64> {
    if pages > BUSY_PAGES || align > BUSY_PAGES {
        return Err(Error::TooLarge(1, (pages.max(align) as usize).saturating_mul(PAGE as usize)));
    }
    cx.reserve(NOTE_AND_ROOM)?;
    let actor = Actor::of(cx.seat());
    let token = actor.new_token();
    if let Some(page) = alloc_spare(cx, actor, pages, align, form, token) {
        return Ok(page * PAGE);
    }
    let first = take(actor, pages, align, find, |first| {
        let head = descriptor(actor.pool, first)?;
        // Dead after: undo finds no run of this token.
        cx.push(RecordView::new(Record::AllocRun, first, token));
        head.token.store(token, Ordering::Relaxed);
        // Dead before: the pages are free. After: a run, which undo gives back.
        head.set_state(form.with_pages(pages));
        Ok(())
    })?;
    Ok(first * PAGE)
}

fn alloc_spare(cx: &LogCx, actor: Actor<'_>, pages: u64, align: u64, form: State, token: u64) -> Option<u64> {
    let _turn = Turn::take(actor);
    let spare = Spare::find(actor, pages, align)?;
    // Dead after: undo finds no run of this token.
    cx.push(RecordView::new(Record::AllocRun, spare.page, token));
    spare.head.token.store(token, Ordering::Relaxed);
    // Dead before: spare. After: a run, which undo gives back.
    spare.head.set_state(form.with_pages(pages));
    commit_store("run-taken-again");
    spare.forget();
    Some(spare.page)
}

/// Frees the run at `page` if it still bears the token; else does nothing, so that it may be done again. The caller has begun a turn.
pub(crate) fn free(actor: Actor<'_>, page: u64, token: u64, kinds: &[Kind]) -> Result<()> {
    let head = descriptor(actor.pool, page)?;
    if is_run(actor, page, head, token, &[Kind::Run])? && spare::keep(actor, page, head)? {
        return Ok(());
    }
    let lock = HeapLock::acquire(actor)?;
    if !is_run(actor, page, head, token, kinds)? {
        return Ok(());
    }
    lock.change(page, head.state().pages(), Some(true), || {
        // Dead before: the run is still there, and is freed by who finishes our log. After: free; a new run has another token.
        head.set_state(State::FREE);
        Ok(())
    })
}

/// Whether a run of this token is there.
fn is_run(actor: Actor<'_>, page: u64, head: &Descriptor, token: u64, kinds: &[Kind]) -> Result<bool> {
    let state = head.state();
    if !kinds.contains(&state.kind()) || head.token.load(Ordering::Relaxed) != token {
        return Ok(false);
    }
    // Out of a damaged log or head: page 0 keeps other things in the place of a token, and no run ends outside of the pool.
    if token == 0 || page < fresh::HEAP / PAGE || page + state.pages() > pages_of(actor.pool) {
        return Err(Error::Damaged(format!("page {page} is no run that can be freed")));
    }
    Ok(true)
}

/// Makes a run longer without moving it, if the pages behind it are free; true if it has `pages` pages now.
///
/// Behind a run at the end of the pool they are added, if there is no other place for the longer run either.
pub(crate) fn extend(actor: Actor<'_>, page: u64, pages: u64) -> Result<bool> {
    if pages > BUSY_PAGES {
        return Ok(false);
    }
    let head = descriptor(actor.pool, page)?;
    loop {
        let seen = pages_of(actor.pool);
        let lock = HeapLock::acquire(actor)?;
        let old = head.state();
        let (from, end) = (page + old.pages(), page + pages);
        let there = end.min(seen);
        if old.kind() != Kind::Run
            || from > there
            || !index::all_free(actor.pool, from, there - from)?
            || (there < end && index::find(actor.pool, pages, 1)?.is_some())
        {
            return Ok(false);
        }
        if there == end {
            check_free(actor, from, end - from)?;
            lock.change(page, pages, Some(false), || {
                // Dead before: as long as it was. After: longer, which harms no operation that is undone.
                head.set_state(old.with_more_pages(pages));
                Ok(())
            })?;
            return Ok(true);
        }
        drop(lock);
        if grow::make_room(actor, end - from, 1, seen).is_err() {
            return Ok(false);
        }
    }
}
