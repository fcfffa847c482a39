//! Properties of the heap: blocks keep their bytes, lie apart, are aligned, come back whole; bad frees and absurd sizes are refused.

#![allow(unsafe_code, clippy::unwrap_used)]

mod common;

use aquifer_alloc::{
    alloc, alloc_to_grow, alloc_zeroed, block_size, for_each_block, free, quick_alloc, raw_alloc, raw_free,
    raw_free_checked, reclaim, resize_in_place, stats,
};
use aquifer_pool::layout::{OFFSET_BITS, PAGE, fresh};
use aquifer_pool::quick;
use aquifer_pool::{Error, Inner, Options, RawPool};
use common::{HEAP_ONLY, Random, check, private, small_steps};
use std::alloc::Layout;
use std::collections::BTreeMap;
use std::sync::mpsc;

fn layout(size: usize, align: usize) -> Layout {
    Layout::from_size_align(size, align).unwrap()
}

fn fill(pool: &Inner, offset: u64, len: usize, byte: u8) {
    let at = pool.at(offset, len as u64).unwrap();
    // SAFETY: in bounds by `at`; a block of this test.
    unsafe { at.write_bytes(byte, len) };
}

fn holds(pool: &Inner, offset: u64, len: usize, byte: u8) -> bool {
    let at = pool.at(offset, len as u64).unwrap();
    // SAFETY: in bounds by `at`; a block of this test, filled before.
    unsafe { std::slice::from_raw_parts(at, len) }.iter().all(|b| *b == byte)
}

/// Live blocks, and all that must be true of them.
#[derive(Default)]
struct Model {
    blocks: BTreeMap<u64, (usize, u8)>,
}

impl Model {
    fn alloc(&mut self, pool: &Inner, random: &mut Random) {
        let shifts = if random.below(20) == 0 { 17 } else { 7 };
        let (size, align) = (random.size(), 1 << random.below(shifts));
        let offset = raw_alloc(pool.seat().unwrap(), layout(size, align)).unwrap();
        let held = block_size(pool, offset).unwrap();
        assert!(held as usize >= size && offset.is_multiple_of(align.max(16) as u64));
        let before = self.blocks.range(..offset).next_back().map(|(o, _)| o + block_size(pool, *o).unwrap());
        assert!(before.is_none_or(|end| end <= offset), "overlaps the block before it");
        assert!(
            self.blocks.range(offset..).next().is_none_or(|(o, _)| offset + held <= *o),
            "overlaps the next block"
        );
        let byte = random.next() as u8;
        fill(pool, offset, size, byte);
        self.blocks.insert(offset, (size, byte));
    }

    fn pick(&self, random: &mut Random) -> Option<u64> {
        let from = random.below(stats_length(&self.blocks));
        self.blocks.range(from..).next().or(self.blocks.iter().next()).map(|(o, _)| *o)
    }

    fn free(&mut self, pool: &Inner, offset: u64) {
        let (size, byte) = self.blocks.remove(&offset).unwrap();
        assert!(holds(pool, offset, size, byte), "the block at {offset:#x} was changed");
        raw_free(pool.seat().unwrap(), offset).unwrap();
    }

    fn resize(&mut self, pool: &Inner, offset: u64, size: usize) {
        let (old, byte) = self.blocks[&offset];
        let op = pool.seat().unwrap().bare().begin();
        if resize_in_place(op.cx(), offset, size).unwrap() {
            assert!(block_size(pool, offset).unwrap() as usize >= size);
            assert!(holds(pool, offset, old.min(size), byte));
            fill(pool, offset, size, byte);
            self.blocks.insert(offset, (size, byte));
        }
        op.commit();
    }

    fn compare(&self, pool: &Inner) {
        let mut walked = Vec::new();
        for_each_block(pool, |b| {
            walked.push(b.offset);
            Ok(())
        })
        .unwrap();
        assert_eq!(walked, self.blocks.keys().copied().collect::<Vec<_>>());
        let s = stats(pool).unwrap();
        assert_eq!(s.blocks, walked.len() as u64);
        assert_eq!((s.pages_free + s.pages_slab + s.pages_run + s.pages_meta) * PAGE, s.length);
        check(pool);
    }
}

fn stats_length(blocks: &BTreeMap<u64, (usize, u8)>) -> u64 {
    blocks.keys().next_back().map_or(1, |o| o + 1)
}

#[test]
fn blocks_keep_their_bytes_and_lie_apart_while_the_pool_grows_in_small_steps() {
    let pool = private(&small_steps());
    let (mut model, mut random) = (Model::default(), Random(7));
    for round in 0..if cfg!(miri) { 60 } else { 20_000 } {
        let wanted = if round / 2500 % 2 == 0 { 7 } else { 3 };
        match random.below(11) {
            10 => {
                let size = random.size();
                model.pick(&mut random).into_iter().for_each(|o| model.resize(&pool, o, size));
            }
            n if n < wanted => model.alloc(&pool, &mut random),
            _ => model.pick(&mut random).into_iter().for_each(|o| model.free(&pool, o)),
        }
        if round % 2000 == 0 {
            model.compare(&pool);
        }
    }
    model.compare(&pool);
    while let Some(offset) = model.pick(&mut random) {
        model.free(&pool, offset);
    }
    reclaim(pool.seat().unwrap()).unwrap();
    model.compare(&pool);
    assert_eq!(stats(&pool).unwrap().pages_slab, 0);
}

#[test]
#[cfg_attr(miri, ignore = "slow there")]
fn what_is_freed_merges_to_what_it_was() {
    let pool = private(&Options::new().size(1 << 20).hard_limit(1 << 20));
    let before = stats(&pool).unwrap();
    let seat = pool.seat().unwrap();
    let mut blocks = Vec::new();
    let mut random = Random(3);
    while let Ok(offset) = raw_alloc(seat, layout(random.below(9000) as usize, 16)) {
        blocks.push(offset);
    }
    for i in (1..blocks.len()).rev() {
        blocks.swap(i, random.below(i as u64 + 1) as usize);
    }
    blocks.into_iter().for_each(|o| raw_free(seat, o).unwrap());
    reclaim(seat).unwrap();
    check(&pool);
    assert_eq!(stats(&pool).unwrap(), before);
    assert_eq!(before.largest_free_run, (1 << 20) - fresh::HEAP);
}

#[test]
#[cfg_attr(miri, ignore = "slow there")]
fn memory_of_other_classes_is_found_before_the_pool_is_out_of_memory() {
    let pool = private(&Options::new().size(1 << 20).hard_limit(1 << 20));
    let seat = pool.seat().unwrap();
    for size in [32, 100, 1000, 4096, 5000, 32] {
        let mut blocks = Vec::new();
        let error = loop {
            match raw_alloc(seat, layout(size, 1)) {
                Ok(offset) => blocks.push(offset),
                Err(e) => break e,
            }
        };
        assert!(matches!(error, Error::HardLimit { .. }), "{error}");
        assert!(blocks.len() * size.next_multiple_of(16) > 500_000, "only {} of {size}", blocks.len());
        blocks.into_iter().for_each(|o| raw_free(seat, o).unwrap());
        check(&pool);
    }
}

#[test]
fn alignments_are_kept_up_to_64_kib() {
    let pool = private(&small_steps());
    let seat = pool.seat().unwrap();
    for shift in 0..=16 {
        for size in [1, 40, 4000, 10_000] {
            let offset = raw_alloc(seat, layout(size, 1 << shift)).unwrap();
            assert_eq!(offset % (1 << shift), 0);
            assert!(block_size(&pool, offset).unwrap() as usize >= size);
        }
    }
    check(&pool);
}

#[test]
fn bad_frees_are_refused_and_change_nothing() {
    let pool = private(&Options::new());
    let seat = pool.seat().unwrap();
    let small = raw_alloc(seat, layout(100, 1)).unwrap();
    let large = raw_alloc(seat, layout(10_000, 1)).unwrap();
    let twice = raw_alloc(seat, layout(100, 1)).unwrap();
    raw_free(seat, twice).unwrap();
    let before = stats(&pool).unwrap();
    let far =
        [u64::MAX, u64::MAX / 2, 1 << 40, pool.header().length.load(std::sync::atomic::Ordering::Relaxed)];
    let near =
        [0, PAGE, fresh::TERRITORY, small + 1, small + 16, twice, large + 16, large + PAGE, large + 3 * PAGE];
    for offset in far.into_iter().chain(near) {
        assert!(matches!(raw_free(seat, offset), Err(Error::BadBlock { .. })), "{offset:#x}");
        assert_eq!(block_size(&pool, offset), None);
    }
    assert_eq!(stats(&pool).unwrap(), before);
    let op = seat.bare().begin();
    free(op.cx(), large).unwrap();
    free(op.cx(), large).unwrap();
    free(op.cx(), small).unwrap();
    free(op.cx(), small).unwrap();
    op.commit();
    check(&pool);
    assert_eq!(stats(&pool).unwrap().blocks, 0);
}

#[test]
fn absurd_sizes_are_errors() {
    let pool = private(&Options::new().hard_limit(64 << 20));
    let seat = pool.seat().unwrap();
    for size in [65 << 20, 1 << 36, 1 << 46, 1 << 60, isize::MAX as usize] {
        let error = raw_alloc(seat, layout(size, 1)).unwrap_err();
        assert!(
            matches!(error, Error::HardLimit { .. } | Error::TooLarge(..) | Error::OutOfMemory(_)),
            "{error}"
        );
    }
    assert!(raw_alloc(seat, layout(1, 1 << 50)).is_err());
    check(&pool);
    assert_eq!(stats(&pool).unwrap().blocks, 0);
}

#[test]
fn an_operation_that_is_dropped_gives_back_what_it_took_and_frees_nothing() {
    let pool = private(&Options::new());
    let seat = pool.seat().unwrap();
    let kept = [50, 5000].map(|size| raw_alloc(seat, layout(size, 1)).unwrap());
    let op = seat.bare().begin();
    // Longer than the log's first records, so that a chunk is added inside.
    for size in (0..400).map(|i| i * 30) {
        alloc(op.cx(), size, 16).unwrap();
    }
    kept.iter().for_each(|o| free(op.cx(), *o).unwrap());
    drop(op);
    for offset in kept {
        assert!(block_size(&pool, offset).is_some());
        raw_free(seat, offset).unwrap();
    }
    check(&pool);
    let mut left = Vec::new();
    for_each_block(&pool, |b| {
        left.push(b);
        Ok(())
    })
    .unwrap();
    // The two chunks of the log stay with the seat.
    assert_eq!(left.len(), 2, "{left:?}");
    assert!(left.iter().all(|b| b.owner.is_none()));
}

#[test]
fn zeroed_blocks_are_zero_also_where_others_were() {
    let pool = private(&Options::new());
    let seat = pool.seat().unwrap();
    for size in [100, 4000, 50_000] {
        let op = seat.bare().begin();
        let dirty = alloc_zeroed(op.cx(), size, 16).unwrap();
        op.commit();
        fill(&pool, dirty, size, 0xff);
        raw_free(seat, dirty).unwrap();
        let op = seat.bare().begin();
        let zeroed = alloc_zeroed(op.cx(), size, 16).unwrap();
        op.commit();
        assert_eq!(zeroed, dirty);
        assert!(holds(&pool, zeroed, size, 0));
    }
}

#[test]
fn runs_grow_in_place_where_there_is_room() {
    let pool = private(&Options::new());
    let seat = pool.seat().unwrap();
    let op = seat.bare().begin();
    let run = alloc(op.cx(), 8192, 16).unwrap();
    assert!(resize_in_place(op.cx(), run, 40_000).unwrap());
    assert_eq!(block_size(&pool, run), Some(40_960));
    let behind = alloc(op.cx(), 8192, 16).unwrap();
    assert_eq!(behind, run + 40_960);
    assert!(!resize_in_place(op.cx(), run, 41_000).unwrap());
    assert!(!resize_in_place(op.cx(), run, 10_000).unwrap());
    assert!(!resize_in_place(op.cx(), behind, usize::MAX).unwrap());
    op.commit();
    check(&pool);
}

#[test]
fn the_last_run_grows_with_the_pool_if_nothing_else_would_hold_it() {
    let pool = private(&Options::new().growth(64 << 10, 64 << 10).hard_limit(8 << 20));
    let seat = pool.seat().unwrap();
    let op = seat.bare().begin();
    let hole = alloc(op.cx(), 512 << 10, 16).unwrap();
    let last = alloc(op.cx(), 256 << 10, 16).unwrap();
    op.commit();
    raw_free_unlogged(&pool, hole);
    let op = seat.bare().begin();
    let length = || stats(&pool).unwrap().length;
    let before = length();
    assert!(!resize_in_place(op.cx(), last, 500 << 10).unwrap(), "there is room for it in the hole");
    assert_eq!(length(), before);
    let grown = 1 << 20;
    fill(&pool, last, 256 << 10, 7);
    assert!(resize_in_place(op.cx(), last, grown).unwrap());
    assert_eq!(block_size(&pool, last), Some(grown as u64));
    assert!(holds(&pool, last, 256 << 10, 7));
    fill(&pool, last, grown, 8);
    assert!(length() > before && length() <= before + (1 << 20));
    assert!(!resize_in_place(op.cx(), last, 9 << 20).unwrap(), "beyond the limit");
    op.commit();
    check(&pool);
}

fn raw_free_unlogged(pool: &Inner, offset: u64) {
    let op = pool.seat().unwrap().bare().begin();
    free(op.cx(), offset).unwrap();
    op.commit();
}

#[test]
fn what_is_to_grow_stands_where_there_is_room_behind_it() {
    let pool = private(&Options::new().size(32 << 20));
    let op = pool.seat().unwrap().bare().begin();
    let (small, stopper) = (alloc(op.cx(), 3 << 20, 16).unwrap(), alloc(op.cx(), 4096, 16).unwrap());
    op.commit();
    raw_free_unlogged(&pool, small);
    let op = pool.seat().unwrap().bare().begin();
    let run = alloc_to_grow(op.cx(), 2 << 20, 16).unwrap();
    assert!(run > stopper, "not in the hole that fits");
    assert!(resize_in_place(op.cx(), run, 16 << 20).unwrap());
    assert_eq!(alloc_to_grow(op.cx(), 64 << 10, 16).unwrap(), small, "small ones are put anywhere");
    op.commit();
    check(&pool);
}

#[test]
fn threads_free_what_others_allocated_and_the_memory_is_used_again() {
    let pool = private(&Options::new().hard_limit(8 << 20));
    let rounds = if cfg!(miri) { 20 } else { 30_000 };
    std::thread::scope(|scope| {
        let mut senders = Vec::new();
        let mut receivers = Vec::new();
        for _ in 0..3 {
            let (s, r) = mpsc::sync_channel::<(u64, usize, u8)>(200);
            senders.push(s);
            receivers.push(r);
        }
        senders.rotate_left(1);
        for (i, (sender, receiver)) in senders.into_iter().zip(receivers).enumerate() {
            let pool: RawPool = pool.clone();
            scope.spawn(move || {
                let mut random = Random(100 + i as u64);
                let seat = pool.seat().unwrap();
                let take = |(offset, size, byte): (u64, usize, u8)| {
                    assert!(holds(&pool, offset, size, byte));
                    raw_free(seat, offset).unwrap();
                };
                for _ in 0..rounds {
                    let most = if random.below(10) == 0 { 12_000 } else { 300 };
                    let size = random.below(most) as usize;
                    let offset = raw_alloc(seat, layout(size, 1)).unwrap();
                    let byte = random.next() as u8;
                    fill(&pool, offset, size, byte);
                    let mut parcel = Some((offset, size, byte));
                    while let Some(p) = parcel.take() {
                        receiver.try_iter().for_each(take);
                        match sender.try_send(p) {
                            Ok(()) => {}
                            Err(mpsc::TrySendError::Full(p)) => parcel = Some(p),
                            Err(mpsc::TrySendError::Disconnected(p)) => take(p),
                        }
                    }
                }
                drop(sender);
                receiver.iter().for_each(take);
            });
        }
    });
    check(&pool);
    assert_eq!(stats(&pool).unwrap().blocks, 0);
}

#[test]
fn who_sits_on_a_seat_next_has_its_slabs() {
    let pool = private(&Options::new());
    let own = pool.seat().unwrap();
    let on_a_thread = || {
        let pool = pool.clone();
        std::thread::spawn(move || {
            let seat = pool.seat().unwrap();
            let offset = raw_alloc(seat, layout(64, 1)).unwrap();
            let number = seat.number();
            pool.give_up_seat();
            (number, offset)
        })
        .join()
        .unwrap()
    };
    let (first, offset) = on_a_thread();
    let (second, other) = on_a_thread();
    assert_eq!(first, second);
    assert_eq!(other, offset + 64, "a new slab was made");
    // Freed by a third party, collected by the next on that seat.
    assert_ne!(own.number(), first);
    raw_free(own, offset).unwrap();
    raw_free(own, other).unwrap();
    assert!(matches!(raw_free(own, other), Err(Error::BadBlock { why: "freed already", .. })));
    check(&pool);
    assert_eq!(stats(&pool).unwrap().blocks, 0);
}

#[test]
#[cfg_attr(miri, ignore = "slow there")]
fn slabs_of_free_seats_serve_others_before_memory_is_out() {
    let pool = private(&Options::new().size(1 << 20).hard_limit(1 << 20));
    let seat = pool.seat().unwrap();
    let blocks = std::thread::spawn({
        let pool = pool.clone();
        move || {
            let seat = pool.seat().unwrap();
            let mut blocks = Vec::new();
            while let Ok(offset) = raw_alloc(seat, layout(200, 1)) {
                blocks.push(offset);
            }
            pool.give_up_seat();
            blocks
        }
    })
    .join()
    .unwrap();
    assert!(raw_alloc(seat, layout(100_000, 1)).is_err());
    blocks.into_iter().for_each(|o| raw_free(seat, o).unwrap());
    let offset = raw_alloc(seat, layout(700_000, 1)).unwrap();
    raw_free(seat, offset).unwrap();
    check(&pool);
    assert_eq!(stats(&pool).unwrap().pages_slab, 0);
}

#[test]
#[cfg_attr(miri, ignore = "it knows no memfd")]
fn territories_beyond_the_first_get_their_metadata() {
    for size in [0, 1 << 21, (1 << 21) + 4096, 5 << 20] {
        let pool = RawPool::memfd(&Options::new().size(size).growth(4096, 4096), &HEAP_ONLY).unwrap();
        check(&pool);
        let seat = pool.seat().unwrap();
        let run = raw_alloc(seat, layout(30 << 20, 1)).unwrap();
        fill(&pool, run, 30 << 20, 5);
        check(&pool);
        raw_free(seat, run).unwrap();
        check(&pool);
    }
}

#[test]
fn pages_that_become_part_of_other_slabs_give_the_blocks_of_those() {
    let pool = private(&Options::new().growth(64 << 10, 64 << 10));
    let seat = pool.seat().unwrap();
    let mut random = Random(11);
    // Slabs of one page to sixteen take each other's pages in turns; each block is looked up, as whoever frees it does.
    for size in [3000, 32, 1100, 200, 4000, 48, 700, 2300] {
        let blocks: Vec<u64> = (0..500).map(|_| raw_alloc(seat, layout(size, 1)).unwrap()).collect();
        let held = block_size(&pool, blocks[0]).unwrap();
        let inside = |block: u64| block + 16 * (1 + random.below(held / 16 - 1));
        let between: Vec<u64> = blocks.iter().copied().map(inside).collect();
        for (block, between) in blocks.into_iter().zip(between) {
            assert_eq!((block_size(&pool, block), block_size(&pool, between)), (Some(held), None));
            assert!(raw_free_checked(seat, between).is_err());
            raw_free_checked(seat, block).unwrap();
            assert!(raw_free_checked(seat, block).is_err() && block_size(&pool, block).is_none());
        }
        reclaim(seat).unwrap();
        check(&pool);
    }
}

#[test]
fn a_thread_that_gave_up_its_seat_has_nothing_of_it_in_hand() {
    let pool = private(&Options::new());
    let mine = raw_alloc(pool.seat().unwrap(), layout(64, 1)).unwrap();
    let offset = |handle: u64| handle & ((1 << OFFSET_BITS) - 1);
    let quick = || quick::in_pool(pool.id()).and_then(|quick| quick_alloc(quick, layout(64, 1))).map(offset);
    let mut blocks = vec![mine, quick().unwrap()];
    pool.give_up_seat();
    // Another thread sits there now, and has the slab.
    let (ready, sits) = mpsc::channel();
    let (done, goes) = mpsc::channel::<()>();
    std::thread::scope(|scope| {
        let pool = &pool;
        scope.spawn(move || {
            let theirs: Vec<u64> =
                (0..100).map(|_| raw_alloc(pool.seat().unwrap(), layout(64, 1)).unwrap()).collect();
            ready.send(theirs).unwrap();
            goes.recv().unwrap();
        });
        blocks.extend(sits.recv().unwrap());
        assert_eq!(quick(), None);
        blocks.extend((0..100).map(|_| raw_alloc(pool.seat().unwrap(), layout(64, 1)).unwrap()));
        blocks.push(quick().unwrap());
        done.send(()).unwrap();
    });
    let distinct: std::collections::BTreeSet<u64> = blocks.iter().copied().collect();
    assert_eq!(distinct.len(), blocks.len());
    assert_eq!(stats(&pool).unwrap().blocks as usize, blocks.len());
}

#[test]
#[cfg_attr(miri, ignore = "slow there")]
fn the_other_half_of_a_slab_is_used_before_another_slab_is_made() {
    let pool = private(&Options::new());
    let seat = pool.seat().unwrap();
    let one = || raw_alloc(seat, layout(32, 1)).unwrap();
    let free = |block| raw_free_checked(seat, block).unwrap();
    // Forty slabs, in the order of their ring: each a page of two halves.
    let blocks: Vec<u64> = (0..40 * 128).map(|_| one()).collect();
    let slab = |n: usize| &blocks[n * 128..][..128];
    let (first, second, elsewhere) = (slab(0)[5], slab(0)[100], slab(10)[5]);
    free(first);
    free(second);
    assert_eq!(one(), first);
    free(elsewhere);
    assert_eq!(one(), elsewhere);
    assert_eq!(one(), second);
    check(&pool);
}
