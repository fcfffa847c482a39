//! Locks beside other locks of the same thread, through whatever mark or place is free, and in pools that others close.
#![allow(missing_docs, clippy::unwrap_used)]

use aquifer::{Error, Named, Pool, ShMutex, ShRwLock};
use std::thread;

fn pool() -> Pool {
    Pool::options().size(4 << 20).memfd().unwrap()
}

fn lock(pool: &Pool, name: &str) -> Named<ShRwLock<u64>> {
    pool.named(name).unwrap()
}

/// Whether another thread could write.
fn is_free(lock: &Named<ShRwLock<u64>>) -> bool {
    thread::scope(|s| s.spawn(|| lock.try_write().is_ok()).join().unwrap())
}

#[test]
fn a_lock_read_through_two_marks_is_free_when_both_are_given_back() {
    let pool = pool();
    let (first, lock) = (lock(&pool, "first"), lock(&pool, "lock"));
    for first_is_dropped_last in [false, true] {
        let beside = first.read().unwrap();
        let a = lock.read().unwrap();
        drop(beside);
        let b = lock.read().unwrap();
        let c = lock.read().unwrap();
        assert!(matches!(lock.try_write(), Err(Error::WouldDeadlock(_))));
        let mut guards = vec![a, b, c];
        if first_is_dropped_last {
            guards.reverse();
        }
        while guards.pop().is_some() {
            assert_eq!(is_free(&lock), guards.is_empty());
        }
        assert!(is_free(&first));
        *lock.write().unwrap() += 1;
    }
    assert_eq!(*lock.read().unwrap(), 2);
}

#[test]
fn locks_are_given_back_in_any_order() {
    let pool = pool();
    let locks: Vec<_> = (0..8).map(|i| lock(&pool, &i.to_string())).collect();
    for turn in 0..8 {
        let mut written: Vec<_> = locks[..4].iter().map(|l| Some(l.write().unwrap())).collect();
        let mut read: Vec<_> = locks[4..].iter().map(|l| Some(l.read().unwrap())).collect();
        assert!(matches!(locks[turn % 4].read(), Err(Error::WouldDeadlock(_))));
        for i in (0..4).map(|i| (i * 3 + turn) % 4) {
            **written[i].as_mut().unwrap() += 1;
            (written[i], read[i]) = (None, None);
            // The place and the mark that are free now are used again.
            *locks[i].write().unwrap() += 1;
            assert!(is_free(&locks[i]) && is_free(&locks[4 + i]));
        }
    }
    assert!(locks[..4].iter().all(|l| *l.read().unwrap() == 16));
    assert!(pool.check().unwrap().is_clean());
}

#[test]
fn a_guard_from_before_a_transaction_stays_until_its_end() {
    let pool = pool();
    let (read, other) = (lock(&pool, "read"), lock(&pool, "other"));
    let counter: Named<ShMutex<u64>> = pool.named("counter").unwrap();
    let (beside, guard) = (other.read().unwrap(), read.read().unwrap());
    counter
        .transaction(|n| {
            *n += *guard;
            drop(guard);
            drop(beside);
            assert!(!is_free(&read) && !is_free(&other));
            Ok(())
        })
        .unwrap();
    assert!(is_free(&read) && is_free(&other));
}

#[test]
fn a_pool_that_another_thread_has_closed_is_not_taken_for_the_next_one() {
    let old = pool();
    let kept = lock(&old, "kept");
    for i in 0..100 {
        let closed = pool();
        let lock = lock(&closed, "lock");
        *lock.write().unwrap() += 1;
        assert_eq!(*lock.read().unwrap(), 1);
        if i % 2 == 0 {
            *kept.write().unwrap() += 1; // and what was used last is not what is closed
        }
        thread::spawn(move || drop((lock, closed))).join().unwrap();
        let next = pool();
        let lock = self::lock(&next, "lock");
        assert_eq!(*lock.read().unwrap(), 0);
        *lock.write().unwrap() += 1;
        assert!(is_free(&lock));
    }
    assert_eq!(*kept.read().unwrap(), 50);
}

#[test]
fn threads_that_come_and_go_leave_no_lock_taken() {
    let pool = pool();
    let (lock, other) = (lock(&pool, "lock"), lock(&pool, "other"));
    for _ in 0..50 {
        thread::scope(|s| {
            for _ in 0..4 {
                s.spawn(|| {
                    let beside = other.read().unwrap();
                    *lock.write().unwrap() += *beside + 1;
                });
            }
        });
    }
    assert_eq!(*lock.read().unwrap(), 200);
    assert!(is_free(&lock) && is_free(&other));
}
