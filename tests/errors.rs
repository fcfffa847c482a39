//! Every error that the typed face can give, and that nothing is lost by it.

#![allow(unsafe_code, missing_docs, clippy::unwrap_used)]

mod support;

use aquifer::{Error, Named, Pool, Result, ShMap, ShMutex, ShRwLock, ShString, ShVec};
use std::time::Duration;
use support::{Child, Scratch, assert_clean};

type Numbers = ShRwLock<ShVec<u64>>;

fn pool() -> Pool {
    Pool::options().memfd().unwrap()
}

/// The error of a call that must fail.
#[track_caller]
fn failure<T>(result: Result<T>) -> Error {
    match result {
        Ok(_) => panic!("it should have failed"),
        Err(e) => e,
    }
}

#[test]
fn a_name_asked_for_as_another_type_shows_both_types() {
    let pool = pool();
    let _numbers: Named<ShRwLock<ShVec<u64>>> = pool.named("stock").unwrap();
    let error = failure(pool.named::<ShRwLock<ShMap<ShString, ShVec<u32>>>>("stock"));
    let Error::SchemaMismatch { name, stored, wanted, .. } = &error else { panic!("{error}") };
    assert_eq!(name, "stock");
    assert_ne!(stored, wanted);
    let text = error.to_string();
    assert!(text.contains("u64") && text.contains("u32") && text.contains("stock"), "{text}");
    let error = failure(pool.look_up::<ShMutex<ShVec<u64>>>("stock"));
    assert!(matches!(error, Error::SchemaMismatch { .. }), "{error}");
    assert_clean(&pool);
}

#[test]
fn bad_names_are_refused_and_good_odd_ones_are_not() {
    let pool = pool();
    let long = "x".repeat(256);
    for bad in ["", "a\0b", long.as_str()] {
        let error = failure(pool.named::<Numbers>(bad));
        assert!(matches!(error, Error::BadName { .. }), "{bad:?}: {error}");
    }
    for odd in [" ", "..", "ünïcode ☃", &long[1..]] {
        pool.named::<Numbers>(odd).unwrap().write().unwrap().push(1).unwrap();
        assert!(pool.look_up::<Numbers>(odd).unwrap().is_some());
    }
    for bad in ["", "a/b/c\0", long.as_str()] {
        assert!(failure(Pool::create(bad)).to_string().contains("bad name"), "{bad:?}");
    }
    assert_clean(&pool);
}

#[test]
fn a_time_limit_names_the_holder() {
    let pool = pool();
    let numbers: Named<Numbers> = pool.named("numbers").unwrap();
    let count: Named<ShMutex<u64>> = pool.named("count").unwrap();
    let child = Child::fork_until_ready(|steps| {
        let _a = numbers.write().unwrap();
        let _b = count.lock().unwrap();
        steps.reach_and_stay(1);
    });
    let holder = child.pid() as u32;
    let limit = Duration::from_millis(20);
    for error in [
        failure(numbers.write_timeout(limit)),
        failure(numbers.read_timeout(limit)),
        failure(count.lock_timeout(limit)),
    ] {
        let Error::Timeout(by) = &error else { panic!("{error}") };
        assert_eq!((by.process, by.thread), (holder, holder));
        assert!(error.to_string().contains(&holder.to_string()), "{error}");
    }
    for error in [failure(numbers.try_write()), failure(numbers.try_read()), failure(count.try_lock())] {
        let Error::WouldBlock(by) = &error else { panic!("{error}") };
        assert_eq!(by.process, holder);
    }
    child.kill();
}

#[test]
fn a_writer_that_times_out_names_a_reader() {
    let pool = pool();
    let numbers: Named<Numbers> = pool.named("numbers").unwrap();
    let child = Child::fork_until_ready(|steps| {
        let _guard = numbers.read().unwrap();
        steps.reach_and_stay(1);
    });
    let error = failure(numbers.write_timeout(Duration::from_millis(20)));
    let Error::Timeout(by) = &error else { panic!("{error}") };
    assert_eq!(by.process, child.pid() as u32);
    drop(numbers.try_read().unwrap());
    child.kill();
}

#[test]
fn waiting_for_oneself_is_an_error() {
    let pool = pool();
    let numbers: Named<Numbers> = pool.named("numbers").unwrap();
    let guard = numbers.write().unwrap();
    assert!(matches!(failure(numbers.write()), Error::WouldDeadlock(_)));
    assert!(matches!(failure(numbers.read()), Error::WouldDeadlock(_)));
    drop(guard);
    let guard = numbers.read().unwrap();
    assert!(matches!(failure(numbers.write()), Error::WouldDeadlock(_)));
    let again = numbers.read().unwrap();
    drop((guard, again));
    numbers.write().unwrap().push(1).unwrap();
}

#[test]
fn more_locks_than_a_thread_can_hold_are_an_error() {
    let pool = pool();
    let locks: Vec<Named<Numbers>> = (0..9).map(|i| pool.named(&format!("{i}")).unwrap()).collect();
    let readers: Vec<_> = locks[..8].iter().map(|l| l.read().unwrap()).collect();
    assert!(matches!(failure(locks[8].read()), Error::TooManyReadLocks(8)));
    let again = locks[3].read().unwrap();
    drop((readers, again));
    let writers: Vec<_> = locks[..8].iter().map(|l| l.write().unwrap()).collect();
    assert!(matches!(failure(locks[8].write()), Error::TooManyWriteLocks(8)));
    drop(writers);
    locks[8].write().unwrap().push(1).unwrap();
    assert_clean(&pool);
}

#[test]
fn absurd_sizes_are_refused_and_change_nothing() {
    let pool = Pool::options().hard_limit(64 << 20).memfd().unwrap();
    let numbers: Named<Numbers> = pool.named("numbers").unwrap();
    let map: Named<ShRwLock<ShMap<u64, ShString>>> = pool.named("map").unwrap();
    let text: Named<ShRwLock<ShString>> = pool.named("text").unwrap();
    numbers.write().unwrap().extend(0..10u64).unwrap();
    let length = pool.info().length;
    for much in [usize::MAX, usize::MAX / 2, usize::MAX / 8 - 9, 1 << 60, 1 << 47, 1 << 40] {
        let errors = [
            failure(numbers.write().unwrap().reserve(much)),
            failure(map.write().unwrap().reserve(much)),
            failure(text.write().unwrap().reserve(much)),
        ];
        for error in errors {
            let expected =
                matches!(error, Error::TooLarge(..) | Error::OutOfMemory(_) | Error::HardLimit { .. });
            assert!(expected, "{much}: {error}");
        }
    }
    assert_eq!(pool.info().length, length);
    assert!(numbers.read().unwrap().iter().copied().eq(0..10));
    assert_clean(&pool);
}

#[test]
fn growth_beyond_the_hard_limit_is_an_error_and_what_is_there_stays() {
    let pool = Pool::options().size(0).hard_limit(2 << 20).growth(64 << 10, 256 << 10).memfd().unwrap();
    let lists: Named<ShRwLock<ShMap<u64, ShVec<u64>>>> = pool.named("lists").unwrap();
    let mut count = 0;
    let error = loop {
        match lists.write().unwrap().insert(count, [count; 64]) {
            Ok(_) => count += 1,
            Err(e) => break e,
        }
    };
    assert!(matches!(error, Error::HardLimit { .. } | Error::OutOfMemory(_)), "{error}");
    assert!(pool.info().length <= 2 << 20);
    let mut guard = lists.write().unwrap();
    assert_eq!(guard.len() as u64, count);
    assert!((0..count).all(|i| guard[&i] == [i; 64]));
    guard.clear();
    guard.shrink_to_fit().unwrap();
    for i in 0..count / 2 {
        guard.insert(i, [i; 64]).unwrap();
    }
    drop(guard);
    assert_clean(&pool);
}

#[test]
fn pools_that_are_there_or_not_there_are_told_apart() {
    let scratch = Scratch::new();
    assert!(matches!(failure(Pool::open(scratch.name())), Error::NoSuchPool(_)));
    let pool = Pool::create(scratch.name()).unwrap();
    assert!(matches!(failure(Pool::create(scratch.name())), Error::AlreadyExists(_)));
    assert!(Pool::list().iter().any(|n| n.contains(scratch.name())));
    assert!(pool.look_up::<Numbers>("nothing").unwrap().is_none());
    assert!(!pool.remove("nothing").unwrap());
    Pool::unlink(scratch.name()).unwrap();
    assert!(Pool::unlink(scratch.name()).is_err());
    drop(pool);
    let file = scratch.file("text");
    std::fs::write(&file, "this is not a pool, and longer than nothing at all".repeat(1000)).unwrap();
    assert!(matches!(failure(Pool::options().open(file.as_path())), Error::NotAPool { .. }));
}

#[test]
fn a_value_of_one_pool_cannot_be_put_into_another() {
    let (one, other) = (pool(), pool());
    let a: Named<ShRwLock<ShMap<u64, ShVec<ShString>>>> = one.named("a").unwrap();
    let b: Named<ShRwLock<ShMap<u64, ShVec<ShString>>>> = other.named("b").unwrap();
    a.write().unwrap().insert(1, ["x", "a string far too long to be kept inside the value itself"]).unwrap();
    let mut from = a.write().unwrap();
    let taken = from.remove(&1).unwrap();
    let result = b.write().unwrap().insert(1, taken).map(drop);
    match result {
        Ok(()) => assert_eq!(b.read().unwrap()[&1].len(), 2, "it was copied"),
        Err(e) => assert!(matches!(e, Error::OtherPool), "{e}"),
    }
    drop(from);
    assert_clean(&one);
    assert_clean(&other);
}
