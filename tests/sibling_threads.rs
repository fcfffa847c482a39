//! A scoped thread and a lock that its parent has moved, made or lent by changes that are not final: it is refused, since what it did would be final by itself.

#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use aquifer::{
    DefaultInPool, Error, MutexGuard, Named, Pool, Relocatable, Result, ShMap, ShMutex, ShRwLock, ShString,
    ShVec,
};
use std::time::Duration;
use support::{Child, assert_clean, small_pool as pool};

type Numbers = ShMutex<ShVec<u64>>;

#[derive(Relocatable, DefaultInPool)]
#[repr(C)]
struct Shelf {
    list: ShVec<Numbers>,
    still: ShVec<Numbers>,
    map: ShMap<u64, Numbers>,
    shared: ShVec<ShRwLock<u64>>,
    names: ShVec<ShString>,
}

fn shelf(pool: &Pool) -> Named<ShMutex<Shelf>> {
    let shelf: Named<ShMutex<Shelf>> = pool.named("shelf").unwrap();
    let mut guard = shelf.lock().unwrap();
    let ShelfFields { list, still, map, shared, names } = guard.fields_mut();
    for i in 0..4 {
        list.push(ShMutex::new([i, i])).unwrap();
        still.push(ShMutex::new([i, i])).unwrap();
        map.insert(i, ShMutex::new([i, i])).unwrap();
        shared.push(ShRwLock::new(i)).unwrap();
        names.push("a string far too long to be kept inside the value itself").unwrap();
    }
    list.shrink_to_fit().unwrap();
    drop(guard);
    shelf
}

/// In a thread of its own; more than there is room for, so that a block is freed.
fn change(lock: &Numbers) -> Result<()> {
    let work = || -> Result<()> {
        let mut guard = lock.lock()?;
        guard.extend_from_slice(&[7; 50])?;
        guard.shrink_to_fit()
    };
    std::thread::scope(|s| s.spawn(work).join().unwrap())
}

fn is_refused(lock: &Numbers) -> bool {
    matches!(change(lock), Err(Error::WouldDeadlock(_)))
}

fn all(shelf: &ShMutex<Shelf>) -> Vec<Vec<u64>> {
    let guard = shelf.lock().unwrap();
    let locks = guard.list.iter().chain(guard.still.iter()).chain(guard.map.values());
    let mut all: Vec<_> = locks.map(|l| l.try_lock().unwrap().to_vec()).collect();
    all.sort();
    all
}

/// What `work` does in a transaction that then ends well, fails, or is killed.
fn in_transactions(work: fn(&mut ShelfFields<'_>)) {
    for end in ["well", "failed", "killed"] {
        let pool = pool();
        let shelf = shelf(&pool);
        let before = all(&shelf);
        match end {
            "killed" => {
                let child = Child::fork_until_ready(|steps| {
                    let _ = shelf.transaction(|s| -> Result<()> {
                        work(&mut s.fields_mut());
                        steps.reach_and_stay(1)
                    });
                });
                child.kill();
            }
            _ => {
                let result = shelf.transaction(|s| {
                    work(&mut s.fields_mut());
                    if end == "well" { Ok(()) } else { Err(Error::abort("no")) }
                });
                assert_eq!(result.is_ok(), end == "well");
            }
        }
        if end != "well" {
            assert_eq!(all(&shelf), before, "{end}");
        }
        assert_clean(&pool);
        // All locks may be had again, by any thread.
        let guard = shelf.lock().unwrap();
        guard
            .list
            .iter()
            .chain(guard.still.iter())
            .chain(guard.map.values())
            .for_each(|l| change(l).unwrap());
        drop(guard);
        assert_clean(&pool);
    }
}

#[test]
fn one_that_was_made() {
    in_transactions(|s| {
        s.still.reserve(8).unwrap();
        s.list.push(ShMutex::new([9])).unwrap();
        s.map.insert(7, ShMutex::new([9])).unwrap();
        assert!(is_refused(&s.list[4]) && is_refused(&s.map[&7]));
        assert!(s.list[4].lock().is_ok(), "the thread that made it");
    });
}

#[test]
fn one_that_was_moved() {
    in_transactions(|s| {
        s.list.push(ShMutex::new([9])).unwrap();
        assert!((0..4).all(|i| is_refused(&s.list[i])));
        (100..200).for_each(|i| drop(s.map.insert(i, ShMutex::new([9])).unwrap()));
        assert!(is_refused(&s.map[&1]));
        drop(s.still.remove(1));
        assert!(is_refused(&s.still[1]));
    });
}

#[test]
fn one_that_was_lent() {
    in_transactions(|s| {
        s.list[1].get_mut().unwrap().push(5).unwrap();
        assert!(is_refused(&s.list[1]));
        change(&s.list[3]).unwrap_or_else(|e| panic!("that was not: {e}"));
        // Final, whatever becomes of the transaction: so it is taken back in the same way.
        let other: &Numbers = &s.list[3];
        std::thread::scope(|s| s.spawn(|| other.lock().unwrap().truncate(2)).join().unwrap());
    });
}

#[test]
fn however_it_is_asked_for() {
    in_transactions(|s| {
        let (list, shared) = (&mut s.list, &mut s.shared);
        list.push(ShMutex::new([9])).unwrap();
        shared.push(ShRwLock::new(9)).unwrap();
        let (lock, other): (&Numbers, &ShRwLock<u64>) = (&list[4], &shared[4]);
        let refused = |r: Result<()>| assert!(matches!(r, Err(Error::WouldDeadlock(_))), "{r:?}");
        let ask = || {
            refused(lock.try_lock().map(drop));
            refused(lock.lock_timeout(Duration::from_secs(1)).map(drop));
            refused(lock.transaction(|l| l.push(1)));
            refused(other.write().map(drop));
            refused(other.try_write().map(drop));
            assert_eq!(*other.read().unwrap(), 9, "reading changes nothing");
        };
        std::thread::scope(|s| s.spawn(ask).join().unwrap());
    });
}

#[test]
fn without_a_transaction() {
    let pool = pool();
    let shelf = shelf(&pool);
    let mut guard: MutexGuard<'_, Shelf> = shelf.lock().unwrap();
    guard.list_mut().push(ShMutex::new([9])).unwrap();
    change(&guard.list[4]).unwrap_or_else(|e| panic!("what is final concerns nobody: {e}"));
    let ShelfFields { list, names, .. } = guard.fields_mut();
    let taken = names.pop();
    list.insert(0, ShMutex::new([9])).unwrap();
    assert!(is_refused(&list[0]) && is_refused(&list[1]));
    drop(taken);
    change(&list[0]).unwrap_or_else(|e| panic!("final now: {e}"));
    list[2].get_mut().unwrap().push(5).unwrap();
    assert!(is_refused(&list[2]));
    guard.commit();
    change(&guard.list[2]).unwrap_or_else(|e| panic!("final now: {e}"));
    drop(guard);
    assert_clean(&pool);
}

#[test]
fn a_child_of_a_fork_knows_of_none() {
    let pool = pool();
    let shelf = shelf(&pool);
    let other: Named<Numbers> = pool.named("other").unwrap();
    shelf
        .transaction(|s| {
            s.list_mut().push(ShMutex::new([9]))?;
            Child::fork(|_| other.lock().unwrap().push(1).unwrap()).finish();
            assert!(is_refused(&s.list[4]));
            Ok(())
        })
        .unwrap();
    assert_eq!(other.lock().unwrap().len(), 1);
}

#[test]
fn one_that_was_made_from_a_source_that_works_elsewhere() {
    in_transactions(|s| {
        let (map, names) = (&mut s.map, &mut s.names);
        let source = std::iter::from_fn(|| -> Option<u64> {
            drop(names.pop());
            (names.len() > 2).then_some(9)
        });
        map.insert(4, ShMutex::new(aquifer::from_iter(source))).unwrap();
        assert!(is_refused(&map[&4]));
    });
}

#[test]
fn one_that_was_changed_beside_others_that_go() {
    in_transactions(|s| {
        s.list[0].lock().unwrap().extend_from_slice(&[5; 50]).unwrap();
        drop(s.list.pop());
        assert!(is_refused(&s.list[0]));
        s.map[&1].lock().unwrap().extend_from_slice(&[5; 50]).unwrap();
        drop(s.map.remove(&2));
        assert!(is_refused(&s.map[&1]));
    });
}

#[test]
fn what_a_forgotten_guard_has_lent_is_free_once_its_lock_is_moved() {
    forgotten_and_moved_by(|work| work());
}

#[test]
fn what_a_forgotten_guard_has_lent_is_free_once_another_process_has_moved_its_lock() {
    forgotten_and_moved_by(|work| Child::fork(|_| work()).finish());
}

/// A thread lends what a lock guards, and forgets its guard; then the lock is moved by `by`, and another thread takes what was lent.
fn forgotten_and_moved_by(by: fn(&dyn Fn())) {
    let pool = pool();
    let outer: Named<ShMutex<ShVec<ShMutex<ShVec<Numbers>>>>> = pool.named("outer").unwrap();
    outer.lock().unwrap().push(ShMutex::new([ShMutex::new([1])])).unwrap();
    let (forgotten, go_on) = (std::sync::Barrier::new(2), std::sync::Barrier::new(2));
    std::thread::scope(|s| {
        s.spawn(|| {
            let guard = outer.lock().unwrap();
            let mut inner = guard[0].lock().unwrap();
            inner[0].get_mut().unwrap().push(2).unwrap();
            std::mem::forget(inner);
            drop(guard);
            forgotten.wait();
            go_on.wait();
        });
        forgotten.wait();
        by(&|| outer.lock().unwrap().insert(0, ShMutex::new([ShMutex::new([3])])).unwrap());
        let guard = outer.lock().unwrap();
        let inner = guard[1].lock().unwrap();
        let done = inner[0].lock().map(|list| assert_eq!(list.as_slice(), [1, 2]));
        go_on.wait();
        done.unwrap_or_else(|e| panic!("final since it was moved: {e}"));
    });
}

#[test]
fn naming_leaves_nothing_noted() {
    let pool = pool();
    let mut first = None;
    for i in 0..100 {
        let name = format!("object {i}");
        let made: Named<ShMutex<ShVec<Numbers>>> =
            pool.named_with(&name, || ShMutex::new([ShMutex::new([1])])).unwrap();
        first = first.or(Some(made));
    }
    let list: Named<ShMutex<ShVec<Numbers>>> = first.unwrap();
    let mut guard = list.lock().unwrap();
    // Where tables of names were that have become larger.
    (0..300).for_each(|_| guard.push(ShMutex::new([1])).unwrap());
    drop(guard);
    std::thread::scope(|s| {
        let all = s.spawn(|| {
            let guard = list.lock().unwrap();
            guard.iter().for_each(|l| change(l).unwrap_or_else(|e| panic!("{e}")));
        });
        all.join().unwrap();
    });
}
