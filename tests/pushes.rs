//! What a log knows of the vector pushed to last must never outlive what it is about.

#![allow(unsafe_code, missing_docs, clippy::unwrap_used)]

mod support;

use aquifer::{Error, Named, Pool, ShMutex, ShRwLock, ShVec, from_iter};
use std::panic::{AssertUnwindSafe, catch_unwind};
use support::{Child, assert_clean};

type Numbers = Named<ShRwLock<ShVec<u64>>>;

fn numbers(pool: &Pool, name: &str) -> Numbers {
    pool.named(name).unwrap()
}

#[track_caller]
fn assert_counts(vec: &[u64], to: u64) {
    assert!(vec.iter().copied().eq(0..to), "{vec:?}");
}

#[track_caller]
/// Moves the elements to another block, which has as much room behind them as the first had.
fn move_block(vec: &mut aquifer::Place<ShVec<u64>>) {
    let (at, len) = (vec.as_ptr(), vec.len());
    vec.reserve(8).unwrap();
    while vec.as_ptr() == at {
        vec.reserve(2 * vec.capacity()).unwrap();
    }
    assert_eq!(vec.len(), len);
}

#[test]
fn a_vector_that_another_process_moved_between_two_guards_is_found_anew() {
    let pool = Pool::options().memfd().unwrap();
    let shared = numbers(&pool, "numbers");
    for round in 0..12 {
        push_next(&shared);
        Child::fork(|_| move_block(&mut shared.write().unwrap())).finish();
        assert_eq!(push_next(&shared), 2 * round + 1);
    }
    assert_clean(&pool);
}

/// Pushes how many there were, and returns that.
fn push_next(shared: &Numbers) -> u64 {
    let mut guard = shared.write().unwrap();
    let len = guard.len() as u64;
    guard.reserve(8).unwrap();
    guard.push(len).unwrap();
    assert_counts(&guard, len + 1);
    len
}

#[test]
fn a_vector_that_another_thread_moved_between_two_guards_is_found_anew() {
    let pool = Pool::options().memfd().unwrap();
    let shared = numbers(&pool, "numbers");
    for _ in 0..12 {
        push_next(&shared);
        std::thread::scope(|s| s.spawn(|| move_block(&mut shared.write().unwrap())).join().unwrap());
        push_next(&shared);
    }
    assert_clean(&pool);
}

#[test]
fn two_vectors_pushed_to_in_turns_keep_their_own() {
    let pool = Pool::options().memfd().unwrap();
    let pair: Named<ShMutex<ShVec<ShVec<u64>>>> = pool.named("pair").unwrap();
    let mut pair = pair.lock().unwrap();
    pair.push([0u64; 0]).unwrap();
    pair.push([0u64; 0]).unwrap();
    for i in 0..1000 {
        pair[0].push(i).unwrap();
        pair[1].push(i).unwrap();
        if i % 7 == 0 {
            pair.swap(0, 1);
        }
    }
    assert_counts(&pair[0], 1000);
    assert_counts(&pair[1], 1000);
}

#[test]
fn a_vector_whose_header_was_replaced_or_moved_is_found_anew() {
    let pool = Pool::options().memfd().unwrap();
    let lists: Named<ShMutex<ShVec<ShVec<u64>>>> = pool.named("lists").unwrap();
    let mut lists = lists.lock().unwrap();
    for i in 0..100 {
        lists.insert(0, [0u64]).unwrap();
        lists[0].push(1).unwrap();
        lists[0].set(from_iter(0..i)).unwrap();
        lists[0].push(i).unwrap();
        assert_counts(&lists[0], i + 1);
        let taken = lists[0].replace([0u64, 1]).unwrap();
        assert_counts(&taken, i + 1);
        drop(taken);
        lists[0].push(2).unwrap();
        lists[0].shrink_to_fit().unwrap();
        lists[0].push(3).unwrap();
        lists[0].clear();
        lists[0].shrink_to_fit().unwrap();
        lists[0].push(0).unwrap();
        lists[0].push(1).unwrap();
        lists[0].sort().unwrap();
        lists[0].push(2).unwrap();
        assert_counts(&lists[0], 3);
    }
    drop(lists);
    assert_clean(&pool);
}

#[test]
fn a_vector_reached_without_its_lock_is_not_the_one_that_was_left() {
    let pool = Pool::options().memfd().unwrap();
    let outer: Named<ShMutex<ShVec<ShMutex<ShVec<u64>>>>> = pool.named("outer").unwrap();
    let mut outer = outer.lock().unwrap();
    outer.push(ShMutex::new([0u64; 0])).unwrap();
    let place = &mut *outer;
    for _ in 0..12 {
        let inner = place[0].get_mut().unwrap();
        inner.reserve(8).unwrap();
        inner.push(inner.len() as u64).unwrap();
        move_block(&mut place[0].lock().unwrap());
        let inner = place[0].get_mut().unwrap();
        inner.push(inner.len() as u64).unwrap();
        let len = inner.len() as u64;
        assert_counts(inner, len);
    }
    drop(outer);
    assert_clean(&pool);
}

#[test]
fn what_a_transaction_takes_back_is_not_pushed_to() {
    let pool = Pool::options().memfd().unwrap();
    let shared = numbers(&pool, "numbers");
    for i in 0..200 {
        shared.write().unwrap().push(2 * i).unwrap();
        let given_up = shared.transaction(|v| {
            move_block(v);
            v.push(7)?;
            Err::<(), _>(Error::abort("given up"))
        });
        assert!(given_up.is_err());
        shared.write().unwrap().push(2 * i + 1).unwrap();
    }
    assert_counts(&shared.read().unwrap(), 400);
    assert_clean(&pool);
}

#[test]
fn a_loan_that_was_forgotten_with_its_guard_is_over_with_the_next() {
    let pool = Pool::options().memfd().unwrap();
    let outer: Named<ShMutex<ShVec<ShMutex<ShVec<u64>>>>> = pool.named("outer").unwrap();
    {
        let mut outer = outer.lock().unwrap();
        outer.push(ShMutex::new([0u64, 1])).unwrap();
        let mut inner = outer[0].lock().unwrap();
        inner.push(2).unwrap();
        inner.as_mut_slice().unwrap()[2] = 2;
        inner.push(3).unwrap();
        std::mem::forget(inner);
        assert!(outer[0].get_mut().is_err(), "its thread lives");
        // Freed under the forgotten guard; what comes next stands in the same places.
        outer.clear();
    }
    for _ in 0..3 {
        let mut outer = outer.lock().unwrap();
        outer.push(ShMutex::new([0u64])).unwrap();
        move_block(&mut outer[0].lock().unwrap());
        let inner = outer[0].lock().unwrap();
        assert_counts(&inner, inner.len() as u64);
        drop(inner);
        outer.clear();
    }
    assert_clean(&pool);
}

#[test]
fn pushes_go_on_while_the_window_moves() {
    let pool = Pool::options().window(1 << 20).growth(64 << 10, 64 << 10).memfd().unwrap();
    let (a, b) = (numbers(&pool, "a"), numbers(&pool, "b"));
    let (mut a, mut b) = (a.write().unwrap(), b.write().unwrap());
    for i in 0..300_000 {
        a.push(i).unwrap();
        if i % 3 == 0 {
            b.push(i / 3).unwrap();
        }
    }
    assert!(pool.info().moved > 0);
    assert_counts(&a, 300_000);
    assert_counts(&b, 100_000);
}

#[test]
fn a_guard_that_has_pushed_refuses_to_in_a_child() {
    let pool = Pool::options().memfd().unwrap();
    let shared = numbers(&pool, "numbers");
    let mut guard = shared.write().unwrap();
    guard.reserve(10).unwrap();
    guard.push(0).unwrap();
    Child::fork(|_| {
        let pushed = catch_unwind(AssertUnwindSafe(|| guard.push(7)));
        assert!(pushed.is_err());
    })
    .finish();
    guard.push(1).unwrap();
    assert_counts(&guard, 2);
}

#[test]
fn a_block_outside_of_the_pool_is_a_panic() {
    let pool = Pool::options().memfd().unwrap();
    let shared = numbers(&pool, "numbers");
    shared.write().unwrap().extend([0, 1]).unwrap();
    for damage in [u64::MAX - 7, 1 << 45, pool.stats().length - 8] {
        let mut guard = shared.write().unwrap();
        // SAFETY: the header's first word, which holds the block's offset; atomic, and nobody else looks.
        let word =
            unsafe { std::sync::atomic::AtomicU64::from_ptr((&raw const **guard).cast::<u64>().cast_mut()) };
        let good = word.swap(damage, std::sync::atomic::Ordering::Relaxed);
        assert!(catch_unwind(AssertUnwindSafe(|| guard.push(2))).is_err(), "{damage:#x}");
        word.store(good, std::sync::atomic::Ordering::Relaxed);
    }
    shared.write().unwrap().push(2).unwrap();
    assert_counts(&shared.read().unwrap(), 3);
    assert_clean(&pool);
}
