//! Who runs out of memory gets what others have and do not use, also when they live and do nothing.

#![allow(unsafe_code, clippy::unwrap_used)]

mod common;

use aquifer_alloc::{block_size, raw_alloc, raw_free, stats};
use aquifer_pool::{Error, Options, RawPool};
use common::{HEAP_ONLY, Random, check};
use std::alloc::Layout;
use std::sync::mpsc::{Receiver, Sender, channel};

const SIZE: usize = 200;
const LIMIT: u64 = 3 << 20;

fn full_pool() -> RawPool {
    RawPool::memfd(&Options::new().size(0).growth(4096, 64 << 10).hard_limit(LIMIT), &HEAP_ONLY).unwrap()
}

fn one(pool: &RawPool, size: usize) -> Option<u64> {
    match raw_alloc(pool.seat().unwrap(), Layout::from_size_align(size, 16).unwrap()) {
        Ok(offset) => Some(offset),
        Err(Error::HardLimit { .. } | Error::OutOfMemory(_)) => None,
        Err(e) => panic!("{e}"),
    }
}

fn all(pool: &RawPool, size: usize) -> Vec<u64> {
    std::iter::from_fn(|| one(pool, size)).collect()
}

fn free_all(pool: &RawPool, blocks: impl IntoIterator<Item = u64>) {
    blocks.into_iter().for_each(|b| raw_free(pool.seat().unwrap(), b).unwrap());
}

/// A thread that takes all there is, hands it out, and then does nothing until it is told to free some.
fn hoarder(pool: &RawPool) -> (Receiver<Vec<u64>>, Sender<Vec<u64>>, std::thread::JoinHandle<()>) {
    let (out, blocks) = channel();
    let (give_back, orders) = channel::<Vec<u64>>();
    let pool = pool.clone();
    let thread = std::thread::spawn(move || {
        out.send(all(&pool, SIZE)).unwrap();
        for order in orders {
            free_all(&pool, order);
            let more = all(&pool, SIZE);
            assert!(!more.is_empty());
            out.send(more).unwrap();
        }
    });
    (blocks, give_back, thread)
}

#[test]
fn slabs_of_an_idle_thread_that_others_have_emptied_are_given_back() {
    let pool = full_pool();
    let (blocks, give_back, thread) = hoarder(&pool);
    let blocks = blocks.recv().unwrap();
    let bytes: u64 = blocks.iter().map(|b| block_size(&pool, *b).unwrap()).sum();
    assert_eq!(one(&pool, 64 << 10), None);
    free_all(&pool, blocks);
    let runs = all(&pool, 64 << 10);
    assert!(runs.len() as u64 * (64 << 10) > bytes * 9 / 10, "{} runs of {bytes} bytes", runs.len());
    check(&pool);
    free_all(&pool, runs);
    drop(give_back);
    thread.join().unwrap();
    assert_eq!(stats(&pool).unwrap().blocks, 0);
}

#[test]
fn a_free_block_behind_many_full_slabs_is_found_when_nothing_else_is_left() {
    let pool = full_pool();
    let mut blocks = all(&pool, SIZE);
    let mut random = Random(3);
    for _ in 0..100 {
        let given = blocks.swap_remove(random.below(blocks.len() as u64) as usize);
        // By another seat, so that the owner has to come by to notice.
        std::thread::scope(|scope| scope.spawn(|| free_all(&pool, [given])).join().unwrap());
        assert_eq!(one(&pool, SIZE), Some(given));
        assert_eq!(one(&pool, SIZE), None);
        blocks.push(given);
    }
    check(&pool);
}

#[test]
fn room_in_slabs_of_an_idle_thread_is_taken_over() {
    let pool = full_pool();
    let (hoarded, give_back, thread) = hoarder(&pool);
    let blocks = hoarded.recv().unwrap();
    let (kept, freed): (Vec<_>, Vec<_>) = blocks.into_iter().enumerate().partition(|(i, _)| i % 2 == 0);
    let before = freed.len();
    free_all(&pool, freed.into_iter().map(|(_, b)| b));
    let mut ours = all(&pool, SIZE);
    assert!(ours.len() * 10 > before * 9, "{} of {before}", ours.len());
    check(&pool);
    // The other one goes on: it frees blocks that stand in slabs of ours now, and gets room back.
    let mut random = Random(7);
    for _ in 0..10 {
        let order: Vec<u64> =
            (0..50).map(|_| ours.swap_remove(random.below(ours.len() as u64) as usize)).collect();
        give_back.send(order).unwrap();
        ours.extend(hoarded.recv().unwrap());
        check(&pool);
    }
    let distinct: std::collections::BTreeSet<u64> =
        ours.iter().copied().chain(kept.iter().map(|(_, b)| *b)).collect();
    assert_eq!(distinct.len(), ours.len() + kept.len());
    assert_eq!(stats(&pool).unwrap().blocks, distinct.len() as u64);
    free_all(&pool, distinct);
    drop(give_back);
    thread.join().unwrap();
    assert_eq!(stats(&pool).unwrap().blocks, 0);
}

#[test]
fn all_at_once_in_need_take_from_each_other_and_nothing_is_lost() {
    let pool = full_pool();
    let held: Vec<Vec<u64>> = std::thread::scope(|scope| {
        let work = |seed: u64| {
            let (pool, mut random, mut own) = (&pool, Random(seed), Vec::new());
            move || {
                for _ in 0..20_000 {
                    if random.below(100) < 55 {
                        own.extend(one(pool, [40, 200, 1000, 3000][random.below(4) as usize]));
                    } else if !own.is_empty() {
                        let block = own.swap_remove(random.below(own.len() as u64) as usize);
                        raw_free(pool.seat().unwrap(), block).unwrap();
                    }
                }
                own
            }
        };
        let threads: Vec<_> = (1..4).map(|seed| scope.spawn(work(seed * 77))).collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    check(&pool);
    assert_eq!(stats(&pool).unwrap().blocks as usize, held.iter().flatten().count());
    free_all(&pool, held.into_iter().flatten());
    assert_eq!(stats(&pool).unwrap().blocks, 0);
}
