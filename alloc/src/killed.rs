//! States that a kill leaves behind, made by hand, and what settling makes of them. The seat settled is the test's own.

#[path = "../tests/common/mod.rs"]
mod common;

use crate::actor::Actor;
use crate::class::{COUNT, TABLE};
use crate::descriptor::{Descriptor, Kind, State};
use crate::territory::{descriptor, pages_of};
use crate::turn::STALE;
use crate::{check_index, raw_alloc, raw_free, settle, stats};
use aquifer_pool::layout::{PAGE, Seat};
use aquifer_pool::log::{Kind as Record, RecordView};
use aquifer_pool::seat::SeatCtx;
use aquifer_pool::{Error, Inner, Options, RawPool};
use common::{check, private};
use std::alloc::Layout;
use std::sync::atomic::Ordering::Relaxed;

const CLASS: usize = COUNT + 10; // 192 bytes, by hand
const SIZE: usize = 192;

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, 16).unwrap()
}

fn die_holding_the_heap_lock(seat: &SeatCtx, first: u64, pages: u64) {
    seat.pool().header().heap_lock.store(Actor::of(seat).name() as u64, Relaxed);
    seat.seat().heap.busy.store(first << 24 | pages, Relaxed);
}

/// Settles twice, since a burier may die as well, and looks at everything.
fn settle_and_check(seat: &SeatCtx) {
    settle(seat);
    let once = stats(seat.pool()).unwrap();
    settle(seat);
    assert_eq!(stats(seat.pool()).unwrap(), once);
    assert_eq!(seat.pool().header().heap_lock.load(Relaxed), 0);
    assert_eq!(seat.seat().heap.busy.load(Relaxed), 0);
    check(seat.pool());
}

fn free_pages(pool: &Inner) -> u64 {
    let used: u64 = stats(pool).map(|s| s.pages_slab + s.pages_run + s.pages_meta).unwrap();
    pages_of(pool) - used
}

fn at(pool: &Inner, page: u64) -> &Descriptor {
    descriptor(pool, page).unwrap()
}

/// First page of the free end of a pool.
fn free_end(pool: &RawPool) -> u64 {
    let (mut page, mut end) = (0, 0);
    while page < pages_of(pool) {
        let covers = at(pool, page).state().covers();
        page += covers.max(1);
        end = if covers > 0 { page } else { end };
    }
    end
}

fn half_made_slab(seat: &SeatCtx, page: u64) {
    let pages = TABLE[CLASS].pages as u64;
    (1..pages).for_each(|t| at(seat.pool(), page + t).set_state(State::new(Kind::Tail, t)));
    at(seat.pool(), page).owner.store(Actor::of(seat).name(), Relaxed);
    die_holding_the_heap_lock(seat, page, pages);
}

#[test]
fn a_slab_without_a_head_or_outside_of_its_ring_is_given_back() {
    for head in [State::FREE, State::new(Kind::Slab, TABLE[CLASS].pages as u64).with_class(CLASS)] {
        let pool = private(&Options::new());
        let (seat, before) = (pool.seat().unwrap(), free_pages(&pool));
        half_made_slab(seat, free_end(&pool));
        at(&pool, free_end(&pool)).set_state(head);
        settle_and_check(seat);
        assert_eq!(free_pages(&pool), before);
    }
}

#[test]
fn a_slab_in_its_ring_is_kept() {
    for others in [0, 2] {
        let pool = private(&Options::new());
        let seat = pool.seat().unwrap();
        let blocks = TABLE[CLASS].blocks * others;
        let held: Vec<u64> = (0..blocks).map(|_| raw_alloc(seat, layout(SIZE)).unwrap()).collect();
        let page = free_end(&pool);
        half_made_slab(seat, page);
        let entry = &seat.seat().heap.slabs[CLASS];
        if others == 0 {
            at(&pool, page).next.store(page, Relaxed);
            entry.store(page, Relaxed);
        } else {
            let before = at(&pool, entry.load(Relaxed));
            at(&pool, page).next.store(before.next.load(Relaxed), Relaxed);
            before.next.store(page, Relaxed);
        }
        at(&pool, page).set_state(State::new(Kind::Slab, TABLE[CLASS].pages as u64).with_class(CLASS));
        settle_and_check(seat);
        assert_eq!(at(&pool, page).state(), State(TABLE[CLASS].listed));
        held.into_iter().for_each(|o| raw_free(seat, o).unwrap());
        crate::reclaim(seat).unwrap();
        assert_eq!(stats(&pool).unwrap().pages_slab, 0);
    }
}

#[test]
fn a_slab_that_was_being_retired_goes() {
    // Killed: at once; after the entry has moved on; after it was unlinked; with some tails free.
    for step in 0..4 {
        let pool = private(&Options::new());
        let seat = pool.seat().unwrap();
        let blocks: Vec<u64> =
            (0..3 * TABLE[CLASS].blocks).map(|_| raw_alloc(seat, layout(SIZE)).unwrap()).collect();
        let entry = &seat.seat().heap.slabs[CLASS];
        let page = entry.load(Relaxed);
        let slab = at(&pool, page);
        slab.allocated.iter().for_each(|a| a.store(0, Relaxed));
        die_holding_the_heap_lock(seat, page, TABLE[CLASS].pages as u64);
        slab.set_state(slab.state().retiring());
        let mut before = page;
        while at(&pool, before).next.load(Relaxed) != page {
            before = at(&pool, before).next.load(Relaxed);
        }
        if step > 0 {
            entry.store(before, Relaxed);
        }
        if step > 1 {
            at(&pool, before).next.store(slab.next.load(Relaxed), Relaxed);
        }
        if step > 2 {
            at(&pool, page + 1).set_state(State::FREE);
        }
        let slabs = stats(&pool).unwrap().pages_slab;
        settle_and_check(seat);
        assert_eq!(stats(&pool).unwrap().pages_slab, slabs - TABLE[CLASS].pages as u64, "step {step}");
        let gone = page * PAGE..(page + TABLE[CLASS].pages as u64) * PAGE;
        blocks.into_iter().filter(|b| !gone.contains(b)).for_each(|b| raw_free(seat, b).unwrap());
        crate::reclaim(seat).unwrap();
        assert_eq!(stats(&pool).unwrap().pages_slab, 0);
    }
}

#[test]
fn the_index_follows_the_heads_of_runs() {
    let pool = private(&Options::new());
    let seat = pool.seat().unwrap();
    let page = free_end(&pool);
    die_holding_the_heap_lock(seat, page, 20);
    at(&pool, page).set_state(State::new(Kind::Run, 20));
    assert!(check_index(&pool).is_err());
    settle_and_check(seat);
    die_holding_the_heap_lock(seat, page, 20);
    at(&pool, page).set_state(State::FREE);
    assert!(check_index(&pool).is_err());
    settle_and_check(seat);
}

#[test]
fn growth_that_was_published_is_finished_and_other_growth_is_forgotten() {
    for (published, placed) in [(false, false), (true, false), (true, true)] {
        let pool = private(&Options::new().size(2 << 20));
        let seat = pool.seat().unwrap();
        let first = pages_of(&pool);
        let end = first + 2000; // territories 1 and 2 begin in it
        pool.extend_to(end * PAGE).unwrap();
        die_holding_the_heap_lock(seat, first, end - first);
        pool.header().growth_ticket.store(Actor::of(seat).name() as u64, Relaxed);
        if published {
            pool.header().length.store(end * PAGE, Relaxed);
        }
        if placed {
            let block = end - aquifer_pool::layout::territory_bytes(1) / PAGE;
            pool.header().territories[1].store(block * PAGE, Relaxed);
        }
        settle_and_check(seat);
        assert_eq!(pool.header().growth_ticket.load(Relaxed), 0);
        assert_eq!(pages_of(&pool), if published { end } else { first });
        let run = raw_alloc(seat, layout(6 << 20)).unwrap();
        raw_free(seat, run).unwrap();
        check(&pool);
    }
}

#[test]
fn a_collection_is_finished_whichever_word_it_had_reached() {
    for step in 0..4 {
        let pool = private(&Options::new());
        let seat = pool.seat().unwrap();
        let blocks: Vec<u64> = (0..100).map(|_| raw_alloc(seat, layout(32)).unwrap()).collect();
        let page = blocks[0] / PAGE;
        let head = at(&pool, page);
        head.freed[0].store(0b110, Relaxed);
        head.freed[1].store(1, Relaxed);
        head.page_lock.store(Actor::of(seat).name(), Relaxed);
        seat.seat().heap.page_lock.store(page + 1, Relaxed);
        for w in 0..step.min(2) {
            head.allocated[w].store(head.allocated[w].load(Relaxed) & !head.freed[w].load(Relaxed), Relaxed);
        }
        for w in 0..step.max(2) - 2 {
            head.freed[w].store(0, Relaxed);
        }
        settle_and_check(seat);
        assert_eq!((head.page_lock.load(Relaxed), seat.seat().heap.page_lock.load(Relaxed)), (0, 0));
        assert!(head.freed.iter().all(|f| f.load(Relaxed) == 0));
        assert_eq!(stats(&pool).unwrap().blocks, 97, "step {step}");
    }
}

#[test]
fn heads_are_counted_while_growth_is_published_but_not_yet_covered() {
    let pool = private(&Options::new().size(2 << 20));
    let seat = pool.seat().unwrap();
    let (first, before) = (pages_of(&pool), stats(&pool).unwrap());
    pool.extend_to((first + 2000) * PAGE).unwrap();
    die_holding_the_heap_lock(seat, first, 2000);
    pool.header().length.store((first + 2000) * PAGE, Relaxed);
    let meanwhile = stats(&pool).unwrap();
    assert_eq!((meanwhile.blocks, meanwhile.pages_meta), (before.blocks, before.pages_meta));
    crate::verify(&pool).unwrap();
    settle_and_check(seat);
}

#[test]
fn what_is_damaged_beyond_settling_gives_errors_and_keeps_nobody_waiting() {
    let pool = private(&Options::new().size(2 << 20));
    let seat = pool.seat().unwrap();
    let first = pages_of(&pool);
    pool.extend_to((first + 2000) * PAGE).unwrap();
    die_holding_the_heap_lock(seat, first, 2000);
    pool.header().growth_ticket.store(Actor::of(seat).name() as u64, Relaxed);
    let page = free_end(&pool) - 1;
    at(&pool, page).page_lock.store(Actor::of(seat).name(), Relaxed);
    seat.seat().heap.page_lock.store(page + 1, Relaxed);
    pool.header().length.store((first + 2000) * PAGE, Relaxed);
    pool.header().territories[1].store(PAGE + 1, Relaxed);
    settle(seat);
    assert_eq!(at(&pool, page).page_lock.load(Relaxed), 0);
    let header = pool.header();
    assert_eq!((header.heap_lock.load(Relaxed), header.growth_ticket.load(Relaxed)), (0, 0));
    assert!(matches!(raw_alloc(seat, layout(9000)), Err(Error::Damaged(_))));
    assert_eq!(header.heap_lock.load(Relaxed), 0);
}

#[test]
fn a_range_left_busy_is_not_touched_without_the_heap_lock() {
    let pool = private(&Options::new());
    let seat = pool.seat().unwrap();
    let page = free_end(&pool);
    seat.seat().heap.busy.store(page << 24 | 4, Relaxed);
    settle(seat);
    assert_eq!(seat.seat().heap.busy.load(Relaxed), page << 24 | 4);
    let run = raw_alloc(seat, layout(9000)).unwrap(); // under the lock
    assert_eq!(seat.seat().heap.busy.load(Relaxed), 0);
    raw_free(seat, run).unwrap();
    check(&pool);
}

#[test]
fn damaged_records_free_no_tables_and_nothing_beyond_the_pool() {
    let pool = private(&Options::new());
    let seat = pool.seat().unwrap();
    let run = raw_alloc(seat, layout(9000)).unwrap();
    let before = stats(&pool).unwrap();
    // Page 0 keeps a number in the place of its token.
    for value in [0, at(&pool, 0).token.load(Relaxed)] {
        crate::undo(seat.bare(), RecordView::new(Record::AllocRun, 0, value));
    }
    assert_eq!(stats(&pool).unwrap(), before);
    let head = at(&pool, run / PAGE);
    let state = head.state();
    head.set_state(State::new(Kind::Run, pages_of(&pool)).by_hand());
    raw_free(seat, run).unwrap();
    head.set_state(state);
    check(&pool);
}

#[test]
fn metadata_that_stands_in_free_pages_is_found_out_on_opening() {
    let pool = private(&Options::new().size(8 << 20));
    crate::verify(&pool).unwrap();
    pool.header().territories[1].store(free_end(&pool) * PAGE - 40 * PAGE, Relaxed);
    assert!(crate::verify(&pool).is_err());
}

/// The owner's and the killed freer's view of one block: freed exactly once, wherever the freer died, though the owner uses it again at once.
#[test]
fn a_free_by_another_seat_happens_once() {
    // Killed: before the lock; under it, before the bit; after the bit; after DONE; after the release.
    for step in 0..5 {
        let pool = private(&Options::new());
        let freer = pool.seat().unwrap();
        let owner = Owner::start(&pool);
        let block = owner.alloc();
        let head = at(&pool, block / PAGE);
        let name = Actor::of(freer).name();
        let cx = freer.bare();
        cx.push(RecordView::new(Record::Free, block, 0));
        let log = &freer.seat().logs[cx.index()];
        log.head.store(log.head.load(Relaxed) | 1 << 63, Relaxed);
        freer.seat().heap.page_lock.store(if step < 4 { block / PAGE + 1 } else { 0 }, Relaxed);
        head.page_lock.store(if (1..4).contains(&step) { name } else { 0 }, Relaxed);
        if step > 1 {
            head.freed[0].store(1 << (block % PAGE / 32), Relaxed);
        }
        if step > 2 {
            cx.set_value(0, u64::MAX);
        }
        settle_and_check(freer);
        // Between pass 1 and pass 2 of the burial the owner collects, and uses the block again if it is free.
        let reused = owner.fill();
        assert_eq!(reused.contains(&block), step > 0, "step {step}");
        let top = cx.read(0);
        assert_eq!(crate::carry_out_free(cx, top), aquifer_pool::upper::Progress::Done);
        let freed = head.block(block % PAGE / 32).1;
        assert_eq!(freed, step == 0, "step {step}");
        log.head.store(0, Relaxed);
        check(&pool);
    }
}

/// A slab of another seat, which the test's own seat has closed and is at work on.
fn closed_slab<'a>(pool: &'a RawPool, owner: &Owner) -> (&'a SeatCtx, &'a Seat, Vec<u64>, u64) {
    let seat = pool.seat().unwrap();
    let blocks = owner.fill();
    let page = blocks[0] / PAGE;
    let other = pool.seat_at(at(pool, page).owner.load(Relaxed) - 1).unwrap();
    seat.seat().heap.closing.store(at(pool, page).owner.load(Relaxed) as u64, Relaxed);
    other.heap.closed.store(Actor::of(seat).name() as u64, Relaxed);
    die_holding_the_heap_lock(seat, page, TABLE[COUNT].pages as u64);
    (seat, other, blocks, page)
}

#[test]
fn a_slab_that_was_being_taken_over_is_in_one_ring() {
    // Killed: at once; after the entry has moved on; after it was unlinked; after it has become ours; after it was linked in.
    for step in 0..5 {
        let pool = private(&Options::new());
        let owner = Owner::start(&pool);
        let (seat, other, blocks, page) = closed_slab(&pool, &owner);
        let (slab, ours) = (at(&pool, page), Actor::of(seat));
        let before = at(&pool, slab.token.load(Relaxed));
        slab.set_state(slab.state().moving());
        other.heap.slabs[COUNT].store(if step < 1 { page } else { slab.token.load(Relaxed) }, Relaxed);
        if step >= 2 {
            before.next.store(slab.next.load(Relaxed), Relaxed);
        }
        if step >= 3 {
            slab.owner.store(ours.name(), Relaxed);
        }
        if step >= 4 {
            slab.next.store(page, Relaxed);
            ours.heap().slabs[COUNT].store(page, Relaxed);
        }
        settle_and_check(seat);
        assert_eq!(slab.state(), State(TABLE[COUNT].listed), "step {step}");
        assert!(slab.belongs_to(ours.name()) && ours.heap().slabs[COUNT].load(Relaxed) == page);
        assert_eq!((seat.seat().heap.closing.load(Relaxed), other.heap.closed.load(Relaxed)), (0, STALE));
        // Both go on, and find all that is theirs.
        let more = owner.fill();
        assert_eq!(other.heap.closed.load(Relaxed), 0);
        blocks.into_iter().chain(more).for_each(|b| raw_free(seat, b).unwrap());
        drop(owner);
        crate::reclaim(seat).unwrap();
        check(&pool);
        assert_eq!(stats(&pool).unwrap().blocks, 0);
    }
}

#[test]
fn a_slab_of_another_seat_that_was_being_retired_goes() {
    for step in 0..3 {
        let pool = private(&Options::new());
        let owner = Owner::start(&pool);
        let (seat, other, blocks, page) = closed_slab(&pool, &owner);
        let slab = at(&pool, page);
        let in_slab = |b: &u64| *b / PAGE == page;
        slab.allocated.iter().for_each(|a| a.store(0, Relaxed));
        slab.set_state(slab.state().retiring());
        other.heap.slabs[COUNT].store(if step < 1 { page } else { slab.token.load(Relaxed) }, Relaxed);
        if step >= 2 {
            at(&pool, slab.token.load(Relaxed)).next.store(slab.next.load(Relaxed), Relaxed);
        }
        settle_and_check(seat);
        assert_eq!(slab.state(), State::FREE, "step {step}");
        assert_eq!(other.heap.closed.load(Relaxed), STALE);
        let more = owner.fill();
        blocks.into_iter().filter(|b| !in_slab(b)).chain(more).for_each(|b| raw_free(seat, b).unwrap());
        assert_eq!(stats(&pool).unwrap().blocks, 0);
        check(&pool);
    }
}

#[test]
fn a_seat_that_nobody_has_closed_is_not_waited_for() {
    let pool = private(&Options::new());
    let seat = pool.seat().unwrap();
    seat.seat().heap.closed.store(12, Relaxed); // damage: nobody sits there
    raw_alloc(seat, layout(32)).unwrap();
    assert_eq!(seat.seat().heap.closed.load(Relaxed), 0);
}

/// Another thread, on a seat of its own, that does what it is told.
struct Owner {
    orders: std::sync::mpsc::Sender<usize>,
    answers: std::sync::mpsc::Receiver<Vec<u64>>,
}

impl Owner {
    fn start(pool: &RawPool) -> Owner {
        let (orders, todo) = std::sync::mpsc::channel::<usize>();
        let (done, answers) = std::sync::mpsc::channel();
        let pool = pool.clone();
        std::thread::spawn(move || {
            for count in todo {
                let seat = pool.seat().unwrap();
                let blocks = (0..count).map(|_| raw_alloc(seat, layout(32)).unwrap()).collect();
                done.send(blocks).unwrap();
            }
        });
        Owner { orders, answers }
    }

    fn order(&self, count: usize) -> Vec<u64> {
        self.orders.send(count).unwrap();
        self.answers.recv().unwrap()
    }

    fn alloc(&self) -> u64 {
        self.order(1)[0]
    }

    /// More blocks than two slabs hold, so that the first is collected.
    fn fill(&self) -> Vec<u64> {
        self.order(300)
    }
}
