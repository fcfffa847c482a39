//! Slabs: runs of 1 to 16 pages cut into blocks of one size, owned by one seat.
//!
//! Only the owner sets and clears bits of `allocated`; others set bits of `freed` under the page lock, which the owner collects. The slabs of
//! one seat and class form a ring through `next`. Changes of the ring are made under the heap lock with the slab in the busy word, in this order:
//!
//! - new: tails, head (not `LISTED`), `next`, predecessor's `next` (or the seat's `slabs`), `LISTED`;
//! - retired: `RETIRING`, seat's `slabs`, predecessor's `next`, tails, head `FREE`;
//! - taken over: `MOVING`, out of the one ring as above, `owner`, into the other ring as above, `LISTED`.
//!
//! Whoever works on a seat's slabs is its owner in a turn, or has closed the seat (see `turn`): `actor` is who works, `owner` whose slabs they are.

use crate::actor::{Actor, HeapLock};
use crate::class::{COUNT, Class, TABLE};
use crate::descriptor::{Descriptor, Kind, State};
use crate::hand::{free_in_hand, look_again, note_freed, take_block, take_in_hand};
use crate::place::{Place, place};
use crate::territory::{descriptor, pages_of};
use crate::turn::Turn;
use crate::word::{acquire_page, release_page};
use crate::{index, reclaim, runs};
use aquifer_pool::hand::{Hand, HandPlace};
use aquifer_pool::layout::{OFFSET_BITS, PAGE};
use aquifer_pool::log::{Kind as Record, LogCx, RecordView};
use aquifer_pool::plant::commit_store;
use aquifer_pool::quick::Quick;
use aquifer_pool::seat::SeatCtx;
use aquifer_pool::{Error, Inner, Result};
use std::sync::atomic::{Ordering, compiler_fence};

/// Slabs that an allocation looks at before it makes a new one.
const LOOK: usize = 16;

/// A slab of a seat, checked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Slab<'a> {
    pub(crate) page: u64,
    pub(crate) head: &'a Descriptor,
}

impl<'a> Slab<'a> {
    /// The slab at `page` if it is one of this class in the actor's ring.
    fn own(actor: Actor<'a>, class: usize, page: u64) -> Option<Slab<'a>> {
        if page == 0 || page >= pages_of(actor.pool) {
            return None;
        }
        let head = descriptor(actor.pool, page).ok()?;
        is_own(head, class, actor.name()).then_some(Slab { page, head })
    }

    fn next(&self) -> u64 {
        self.head.next.load(Ordering::Relaxed)
    }
}

#[inline(always)]
fn is_own(head: &Descriptor, class: usize, name: u32) -> bool {
    head.state().0 == TABLE[class].listed && head.belongs_to(name)
}

#[inline(always)]
pub(crate) fn free_bits(head: &Descriptor, class: &Class, word: usize) -> u64 {
    !used_bits(head, word) & class.mask(word)
}

#[inline(always)]
pub(crate) fn used_bits(head: &Descriptor, word: usize) -> u64 {
    head.allocated[word].load(Ordering::Relaxed) | head.freed[word].load(Ordering::Relaxed)
}

fn has_room(head: &Descriptor, class: usize) -> bool {
    (0..2).any(|w| free_bits(head, &TABLE[class], w) != 0)
}

// ---- allocation

/// Allocates a block and notes it on the log. The log has room for one record.
#[inline]
pub(crate) fn alloc(cx: &LogCx, class: usize) -> Result<u64> {
    let ctx = cx.seat();
    let note = |hand: &Hand, index: u64| {
        let page = hand.page();
        let half = if offset_of(hand.first.get()) == page * PAGE { 0 } else { 64 };
        cx.push(RecordView::new(Record::Alloc, page, half + index));
    };
    loop {
        match take_block(&ctx.hands()[class], || Turn::begin(ctx.seat()), note) {
            Some(block) => return Ok(offset_of(block)),
            None => next_in_hand(ctx, class)?,
        }
    }
}

/// The offset of a block as it is given out, which may be a handle.
pub(crate) const fn offset_of(block: u64) -> u64 {
    block & ((1 << OFFSET_BITS) - 1)
}

/// Allocates a block of what is in hand for good, and gives its handle: the bit is the commit, so that there is nothing to note. The log for work under no lock,
/// whose part it would be, is not held open.
#[inline(always)]
pub(crate) fn alloc_for_good(quick: &Quick, place: HandPlace) -> Option<u64> {
    // There is room in hand, so that the seat is our own.
    let taken = take_block(quick.hands.take_from(place), || Turn::begin(quick.shared()), |_, _| ());
    commit_store("bit-by-hand");
    taken
}

/// Takes a slab with room in hand: the same, one of the ring, or a new one.
#[cold]
#[inline(never)]
pub(crate) fn next_in_hand(ctx: &SeatCtx, class: usize) -> Result<()> {
    let actor = Actor::of(ctx);
    let turn = Turn::take(actor);
    let slab = match Slab::own(actor, class, ctx.hands()[class].page()) {
        Some(slab) if has_room(slab.head, class) => Some(slab),
        _ => recent(ctx, actor, class).or_else(|| find_room(ctx, actor, class, LOOK)),
    };
    if let Some(slab) = slab {
        take_in_hand(ctx.hands(), class, slab);
        return Ok(());
    }
    drop(turn);
    // Whichever it is comes to be in hand under the turn in which it became ours.
    add(actor, class, ctx.hands()[class].page()).or_else(|e| {
        if look_everywhere(ctx, actor, class) {
            return Ok(());
        }
        match reclaim::take_over(actor, class) {
            Ok(true) => Ok(()),
            _ => Err(e),
        }
    })
}

/// Takes a slab of the whole ring in hand, if one has room; false if none has.
#[cold]
fn look_everywhere(ctx: &SeatCtx, actor: Actor<'_>, class: usize) -> bool {
    let _turn = Turn::take(actor);
    let found = find_room(ctx, actor, class, pages_of(actor.pool) as usize);
    found.map(|slab| take_in_hand(ctx.hands(), class, slab)).is_some()
}

/// A slab with room that a block was freed into lately.
fn recent<'a>(ctx: &'a SeatCtx, actor: Actor<'a>, class: usize) -> Option<Slab<'a>> {
    loop {
        let page = ctx.hands()[class].take_recent();
        if page == 0 {
            return None;
        }
        if let Some(slab) = Slab::own(actor, class, page).filter(|s| has_room(s.head, class)) {
            return Some(slab);
        }
    }
}

/// Allocates a block for good from the slab in hand, if it has room again, or from one that a block was freed into lately.
#[inline(never)]
pub(crate) fn alloc_from_recent(ctx: &SeatCtx, class: usize) -> Option<u64> {
    let turn = Turn::begin(ctx.seat())?;
    let (actor, hand) = (Actor::of(ctx), &ctx.hands()[class]);
    if hand.room.get() == 0 && !look_again(hand) {
        let same = Slab::own(actor, class, hand.page()).filter(|slab| has_room(slab.head, class));
        take_in_hand(ctx.hands(), class, same.or_else(|| recent(ctx, actor, class))?);
    }
    drop(turn);
    alloc_for_good(ctx.quick(), HandPlace::of(class))
}

/// Goes on along the ring from the slab in hand, over at most `most` slabs, collecting what others freed. What is in hand afterwards is where the next
/// search goes on.
fn find_room<'a>(ctx: &'a SeatCtx, actor: Actor<'a>, class: usize, most: usize) -> Option<Slab<'a>> {
    let ring = || Slab::own(actor, class, actor.heap().slabs[class].load(Ordering::Relaxed));
    let start = Slab::own(actor, class, ctx.hands()[class].page()).or_else(ring)?;
    let mut slab = start;
    for _ in 0..most {
        collect(actor, slab);
        if has_room(slab.head, class) {
            retire_next(actor, class, slab);
            return Some(slab);
        }
        take_in_hand(ctx.hands(), class, slab);
        slab = Slab::own(actor, class, slab.next())?;
        if slab.page == start.page {
            return None;
        }
    }
    None
}

/// Others may have emptied the next slab: nobody else would notice.
fn retire_next(actor: Actor<'_>, class: usize, slab: Slab<'_>) {
    if slab.next() == slab.page {
        return;
    }
    if let Some(next) = Slab::own(actor, class, slab.next()) {
        collect(actor, next);
        if next.head.is_empty() {
            let _ = retire(actor, actor, class, next); // stays in the ring: found again
        }
    }
}

/// Makes free what others have freed.
pub(crate) fn collect(actor: Actor<'_>, slab: Slab<'_>) {
    if slab.head.freed.iter().all(|f| f.load(Ordering::Relaxed) == 0) {
        return;
    }
    let named = &actor.heap().page_lock;
    // Before the lock: whoever settles us finds it.
    named.store(slab.page + 1, Ordering::Release);
    compiler_fence(Ordering::SeqCst);
    acquire_page(&slab.head.page_lock, actor);
    fold(slab.head);
    // Dead before: whoever settles us folds again. After: the lock is free.
    release_page(&slab.head.page_lock);
    compiler_fence(Ordering::SeqCst);
    named.store(0, Ordering::Release);
}

/// Moves freed bits over. Repeatable as long as the page lock is held.
pub(crate) fn fold(head: &Descriptor) {
    for w in 0..2 {
        let freed = head.freed[w].load(Ordering::Relaxed);
        let left = head.allocated[w].load(Ordering::Relaxed) & !freed;
        // Dead before: nothing. After: a block is in neither state until its freed bit goes, and is not handed out.
        head.allocated[w].store(left, Ordering::Release);
    }
    compiler_fence(Ordering::SeqCst);
    for w in 0..2 {
        head.freed[w].store(0, Ordering::Release);
    }
}

// ---- freeing

/// Frees a block of an own slab. Repeatable until `before_retiring` is called: nobody else sets bits of this seat, but the pages of an empty
/// slab may become somebody else's.
#[inline]
pub(crate) fn free_own(
    ctx: &SeatCtx,
    slab: Slab<'_>,
    class: usize,
    index: u64,
    before_retiring: impl FnOnce(),
) {
    let (word, bit) = ((index / 64) as usize & 1, 1u64 << (index % 64));
    let left = slab.head.allocated[word].load(Ordering::Relaxed) & !bit;
    // Dead before: freed by who finishes our log, if the free was noted. After: freed.
    slab.head.allocated[word].store(left, Ordering::Release);
    let hand = &ctx.hands()[class];
    if hand.mask.get() != 0 && std::ptr::eq(hand.words.get(), &slab.head.allocated[word]) {
        // The next one, as it is in the cache: what the log stores takes longer than to wait for it.
        hand.room.set(free_in_hand(hand));
    } else if left == 0 && slab.page != hand.page() && slab.head.is_empty() {
        before_retiring();
        became_empty(ctx, slab, class);
    } else {
        note_freed(ctx.hands(), class, slab, word);
    }
}

/// Frees the block at `offset` for good, if it was allocated by hand, stands in a slab of the seat, and leaves that in use or in hand; clearing
/// the bit is the commit. Everything else is left to others: `false`.
#[inline]
pub(crate) fn free_far(ctx: &SeatCtx, offset: u64) -> bool {
    let Some(_turn) = Turn::begin(ctx.seat()) else { return false };
    let Some(Place { page, head, kind, index }) = place(ctx.pool(), offset) else { return false };
    if kind < COUNT || !head.belongs_to(ctx.number() + 1) {
        return false;
    }
    let (word, bit) = ((index / 64) as usize & 1, 1u64 << (index % 64));
    let old = head.allocated[word].load(Ordering::Relaxed);
    if old & !head.freed[word].load(Ordering::Relaxed) & bit == 0 {
        return false;
    }
    let hand = &ctx.hands()[kind];
    if old == bit && hand.page() != page {
        return false;
    }
    // Dead before: allocated. After: free.
    head.allocated[word].store(old & !bit, Ordering::Release);
    commit_store("bit-by-hand");
    note_freed(ctx.hands(), kind, Slab { page, head }, word);
    true
}

/// Keeps one slab with room in hand; others go back to the heap as soon as they are empty.
#[cold]
#[inline(never)]
fn became_empty(ctx: &SeatCtx, slab: Slab<'_>, class: usize) {
    let actor = Actor::of(ctx);
    match Slab::own(actor, class, ctx.hands()[class].page()) {
        Some(hand) if has_room(hand.head, class) => {
            let _ = retire(actor, actor, class, slab); // stays in the ring: found again
        }
        _ => take_in_hand(ctx.hands(), class, slab),
    }
}

// ---- the ring

/// A new slab behind that of page `after`, or anywhere in the ring; it is in hand afterwards.
#[cold]
fn add(actor: Actor<'_>, class: usize, after: u64) -> Result<()> {
    let pages = TABLE[class].pages as u64;
    runs::take(actor, pages, 1, index::find, |page| {
        let head = descriptor(actor.pool, page)?;
        let ring = actor.heap().slabs[class].load(Ordering::Relaxed);
        let before = Slab::own(actor, class, after).or_else(|| Slab::own(actor, class, ring));
        for tail in 1..pages {
            descriptor(actor.pool, page + tail)?.set_state(State::new(Kind::Tail, tail));
        }
        head.owner.store(actor.name(), Ordering::Relaxed);
        (0..2).for_each(|w| head.allocated[w].store(0, Ordering::Relaxed));
        (0..2).for_each(|w| head.freed[w].store(0, Ordering::Relaxed));
        // Dead before: the pages are free. After: a slab in no ring, which whoever settles us gives back.
        head.set_state(State::new(Kind::Slab, pages).with_class(class));
        compiler_fence(Ordering::SeqCst);
        link(actor, class, Slab { page, head }, before)?;
        // Dead before: whoever settles us finds it in the ring, and does this store. After: the slab is there for good.
        head.set_state(State(TABLE[class].listed));
        actor.hands.iter().for_each(|hands| take_in_hand(hands, class, Slab { page, head }));
        Ok(())
    })
    .map(|_| ())
}

fn link(actor: Actor<'_>, class: usize, slab: Slab<'_>, before: Option<Slab<'_>>) -> Result<()> {
    let Some(before) = before else {
        slab.head.token.store(slab.page, Ordering::Relaxed);
        slab.head.next.store(slab.page, Ordering::Release);
        // Dead before: no ring. After: a ring of one.
        actor.heap().slabs[class].store(slab.page, Ordering::Release);
        return Ok(());
    };
    let next = descriptor(actor.pool, before.next())?;
    slab.head.token.store(before.page, Ordering::Relaxed);
    slab.head.next.store(before.next(), Ordering::Release);
    // Dead before: not in the ring. After: in it.
    before.head.next.store(slab.page, Ordering::Release);
    next.token.store(slab.page, Ordering::Relaxed); // a hint
    Ok(())
}

/// The slab before this one in the ring; `None` when it is alone in the ring, or in none.
fn predecessor<'a>(actor: Actor<'a>, class: usize, slab: Slab<'a>) -> Option<Slab<'a>> {
    let precedes = |s: &Slab<'a>| s.page != slab.page && s.next() == slab.page;
    let hint = Slab::own(actor, class, slab.head.token.load(Ordering::Relaxed)).filter(precedes);
    if hint.is_some() {
        return hint;
    }
    let start = actor.heap().slabs[class].load(Ordering::Relaxed);
    let mut page = start;
    for _ in 0..pages_of(actor.pool) {
        // The slab itself may bear RETIRING.
        let at = if page == slab.page { slab } else { Slab::own(actor, class, page)? };
        if precedes(&at) {
            return Some(at);
        }
        page = at.next();
        if page == start {
            return None;
        }
    }
    None
}

/// Gives an empty slab of the owner's ring back to the heap.
#[cold]
pub(crate) fn retire(actor: Actor<'_>, owner: Actor<'_>, class: usize, slab: Slab<'_>) -> Result<()> {
    let lock = HeapLock::acquire(actor)?;
    if !is_own(slab.head, class, owner.name()) || !slab.head.is_empty() {
        return Ok(());
    }
    lock.change(slab.page, TABLE[class].pages as u64, Some(true), || dissolve(owner, class, slab))
}

/// Takes a slab out of the ring and frees its pages. Repeatable from any point.
fn dissolve(actor: Actor<'_>, class: usize, slab: Slab<'_>) -> Result<()> {
    if let Some(hand) = actor.hands.map(|hands| &hands[class])
        && hand.page() == slab.page
    {
        hand.forget();
    }
    // Dead before: an empty slab. After: whoever settles us goes on here.
    slab.head.set_state(slab.head.state().retiring());
    compiler_fence(Ordering::SeqCst);
    unlink(actor, class, slab)?;
    give_pages_back(actor.pool, class, slab)
}

/// Takes a slab out of the actor's ring, if it is in it. Repeatable from any point.
fn unlink(actor: Actor<'_>, class: usize, slab: Slab<'_>) -> Result<()> {
    let entry = &actor.heap().slabs[class];
    let is_entry = entry.load(Ordering::Relaxed) == slab.page;
    match predecessor(actor, class, slab) {
        Some(before) => {
            let next = descriptor(actor.pool, slab.next())?;
            if is_entry {
                entry.store(before.page, Ordering::Release);
            }
            // Dead before: still in the ring. After: out of it; who looks again finds no predecessor.
            before.head.next.store(slab.next(), Ordering::Release);
            next.token.store(before.page, Ordering::Relaxed); // a hint
        }
        None if is_entry => entry.store(0, Ordering::Release),
        None => {}
    }
    compiler_fence(Ordering::SeqCst);
    Ok(())
}

/// Makes a slab of a seat that the actor has closed one of the actor's own, if it has one with room; it is in hand afterwards.
pub(crate) fn take_over(actor: Actor<'_>, owner: Actor<'_>, class: usize) -> Result<bool> {
    for slab in ring(owner, class) {
        collect(actor, slab);
        if has_room(slab.head, class) {
            let _turn = Turn::take(actor);
            let lock = HeapLock::acquire(actor)?;
            lock.change(slab.page, TABLE[class].pages as u64, Some(false), || {
                // Dead before: the owner's. After: whoever settles us goes on here.
                slab.head.set_state(slab.head.state().moving());
                compiler_fence(Ordering::SeqCst);
                change_rings(actor, owner, class, slab)
            })?;
            actor.hands.iter().for_each(|hands| take_in_hand(hands, class, slab));
            return Ok(true);
        }
    }
    Ok(false)
}

/// Moves a slab that is MOVING from the owner's ring to the actor's. Repeatable from any point.
fn change_rings(actor: Actor<'_>, owner: Actor<'_>, class: usize, slab: Slab<'_>) -> Result<()> {
    if owner.number != actor.number {
        unlink(owner, class, slab)?;
        // Dead before: the owner's, and in no ring. After: ours, and in no ring.
        slab.head.owner.store(actor.name(), Ordering::Release);
        commit_store("slab-owner");
        compiler_fence(Ordering::SeqCst);
    }
    if !is_in_ring(actor, class, slab) {
        let entry = actor.heap().slabs[class].load(Ordering::Relaxed);
        link(actor, class, slab, Slab::own(actor, class, entry))?;
    }
    compiler_fence(Ordering::SeqCst);
    // Dead before: in our ring, which whoever settles us finds. After: as any slab of ours.
    slab.head.set_state(State(TABLE[class].listed));
    Ok(())
}

fn is_in_ring(actor: Actor<'_>, class: usize, slab: Slab<'_>) -> bool {
    actor.heap().slabs[class].load(Ordering::Relaxed) == slab.page
        || predecessor(actor, class, slab).is_some()
}

/// The slabs of a ring, each once; ends early where the ring is damaged. The one seen last may be taken out meanwhile.
fn ring<'a>(owner: Actor<'a>, class: usize) -> impl Iterator<Item = Slab<'a>> {
    let start = owner.heap().slabs[class].load(Ordering::Relaxed);
    let mut next = Some(start);
    (0..pages_of(owner.pool)).map_while(move |_| {
        let slab = Slab::own(owner, class, next?)?;
        next = Some(slab.next()).filter(|n| *n != start);
        Some(slab)
    })
}

fn give_pages_back(pool: &Inner, class: usize, slab: Slab<'_>) -> Result<()> {
    for tail in 1..TABLE[class].pages as u64 {
        descriptor(pool, slab.page + tail)?.set_state(State::FREE);
    }
    // Dead before: RETIRING, or in no ring: done again. After: free pages.
    slab.head.set_state(State::FREE);
    Ok(())
}

/// Brings a slab to its end that a dead seat was adding, retiring or taking over at `page`.
pub(crate) fn settle(actor: Actor<'_>, page: u64) -> Result<()> {
    let head = descriptor(actor.pool, page)?;
    let (state, slab) = (head.state(), Slab { page, head });
    let class = state.class();
    let Some(owner) = Actor::owner_of(actor, head) else { return Ok(()) };
    if state.kind() != Kind::Slab || class >= TABLE.len() {
        return Ok(());
    }
    if state.is_retiring() {
        return dissolve(owner, class, slab);
    }
    if state.is_moving() {
        return change_rings(actor, owner, class, slab);
    }
    if state.is_listed() || owner.number != actor.number {
        return Ok(());
    }
    if is_in_ring(actor, class, slab) {
        head.set_state(State(TABLE[class].listed));
        return Ok(());
    }
    give_pages_back(actor.pool, class, slab)
}

/// Collects all slabs of the owner and gives the empty ones back; returns how many.
pub(crate) fn sweep(actor: Actor<'_>, owner: Actor<'_>) -> Result<usize> {
    let mut retired = 0;
    for class in 0..TABLE.len() {
        let start = owner.heap().slabs[class].load(Ordering::Relaxed);
        for slab in ring(owner, class) {
            collect(actor, slab);
            if slab.head.is_empty() && slab.page != start {
                retire(actor, owner, class, slab)?;
                retired += 1;
            }
        }
        if let Some(slab) = Slab::own(owner, class, start).filter(|s| s.head.is_empty()) {
            retire(actor, owner, class, slab)?;
            retired += 1;
        }
    }
    Ok(retired)
}

/// Offset of block `index` of a slab, if the class has such a block.
pub(crate) fn block_offset(page: u64, class: usize, index: u64) -> Result<u64> {
    let shape = TABLE.get(class).filter(|c| index < c.blocks as u64);
    let shape = shape.ok_or_else(|| Error::Damaged(format!("no block {index} in class {class}")))?;
    Ok(page * PAGE + index * shape.size as u64)
}
