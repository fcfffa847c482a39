//! Locks that a transaction keeps while the values they stand in are moved, removed or replaced; and locks of what was taken out.

#![allow(missing_docs, clippy::unwrap_used)]

use aquifer::{Error, Named, Pool, Result, ShBox, ShMap, ShMutex, ShRwLock, ShVec};

type Locks = ShMutex<ShVec<ShMutex<ShVec<u64>>>>;
type Table = ShRwLock<ShMap<u64, ShMutex<u64>>>;
type Deep = ShMutex<ShVec<ShVec<ShBox<ShMutex<u64>>>>>;

fn pool() -> Pool {
    Pool::options().private().unwrap()
}

fn assert_clean(pool: &Pool) {
    let report = pool.check().unwrap();
    assert!(report.is_clean(), "{report}");
}

fn locks(pool: &Pool) -> Named<Locks> {
    let locks = pool
        .named_with::<Locks, _>("locks", || ShMutex::new([[1u64], [2], [3], [4]].map(ShMutex::new)))
        .unwrap();
    assert_eq!(contents(&locks), [[1], [2], [3], [4]]);
    locks
}

/// All inner values; fails if a lock is still taken.
fn contents(locks: &Locks) -> Vec<Vec<u64>> {
    let all = locks.lock().unwrap();
    all.iter().map(|l| l.try_lock().unwrap().to_vec()).collect()
}

#[test]
fn an_inner_lock_is_free_after_its_value_was_moved_by_growth() {
    let pool = pool();
    let locks = locks(&pool);
    let grow = |fails: bool| {
        locks.transaction(|all| {
            all[2].lock()?.push(30)?;
            for i in 0..100 {
                all.push(ShMutex::new([i]))?;
            }
            all[2].lock()?.push(31)?;
            if fails { Err(Error::abort("no")) } else { Ok(()) }
        })
    };
    assert!(grow(true).is_err());
    assert_eq!(contents(&locks), [[1], [2], [3], [4]]);
    grow(false).unwrap();
    assert_eq!(contents(&locks)[2], [3, 30, 31]);
    assert_clean(&pool);
}

#[test]
fn an_inner_lock_is_free_after_its_neighbour_was_removed() {
    let pool = pool();
    let locks = locks(&pool);
    let remove = |fails: bool| -> Result<()> {
        locks.transaction(|all| {
            all[1].lock()?.push(20)?;
            all[3].lock()?.push(40)?;
            drop(all.remove(0));
            all[0].lock()?.push(21)?;
            all.swap(0, 2);
            if fails { Err(Error::abort("no")) } else { Ok(()) }
        })
    };
    remove(true).unwrap_err();
    assert_eq!(contents(&locks), [[1], [2], [3], [4]]);
    remove(false).unwrap();
    assert_eq!(contents(&locks), [vec![4, 40], vec![3], vec![2, 20, 21]]);
    assert_clean(&pool);
}

#[test]
fn a_value_whose_lock_was_taken_moves_elsewhere_unlocked() {
    let pool = pool();
    let locks = locks(&pool);
    let other: Named<Locks> = pool.named("other").unwrap();
    pool.transaction(|tx| {
        let (from, to) = (tx.lock(&locks)?, tx.lock(&other)?);
        from[0].lock()?.push(10)?;
        let first = from.remove(0);
        to.push(first)?;
        to[0].lock()?.push(11)
    })
    .unwrap();
    assert_eq!(contents(&other), [[1, 10, 11]]);
    assert_eq!(contents(&locks), [[2], [3], [4]]);
    assert_clean(&pool);
}

#[test]
fn a_lock_that_was_taken_and_then_freed_is_not_touched_again() {
    let pool = pool();
    let deep = pool
        .named_with::<Deep, _>("deep", || {
            ShMutex::new([
                [1u64, 2].map(|n| ShBox::new(ShMutex::new(n))),
                [3, 4].map(|n| ShBox::new(ShMutex::new(n))),
            ])
        })
        .unwrap();
    let table: Named<Table> = pool.named("table").unwrap();
    for i in 0..10 {
        table.write().unwrap().insert(i, ShMutex::new(i)).unwrap();
    }
    for round in 0..4 {
        let result = deep.transaction(|deep| {
            *deep[0][1].lock()? += 1;
            *deep[1][0].lock()? += 1;
            drop(deep.remove(0));
            let mut table = table.write()?;
            for i in 0..3 {
                *table[&i].lock()? += 100;
            }
            table.retain(|k, _| k % 2 == 0);
            for i in 10..100 {
                table.insert(i, ShMutex::new(i))?;
            }
            table.insert(2, ShMutex::new(7))?;
            if round < 3 { Err(Error::abort("no")) } else { Ok(()) }
        });
        assert_eq!(result.is_err(), round < 3, "{result:?}");
    }
    let table = table.read().unwrap();
    let values: Vec<u64> = [0, 2, 4, 8, 99].iter().map(|i| *table[i].try_lock().unwrap()).collect();
    assert_eq!(values, [100, 7, 4, 8, 99]);
    assert_eq!(*deep.lock().unwrap()[0][0].try_lock().unwrap(), 4);
    drop(table);
    assert_clean(&pool);
}

#[test]
fn a_lock_that_was_taken_out_cannot_be_locked() {
    let pool = pool();
    let locks = locks(&pool);
    let mut all = locks.lock().unwrap();
    let last = all.pop().unwrap();
    assert!(matches!(last.lock().map(drop), Err(Error::Unsupported(_))));
    drop(last);
    drop(all);
    assert_eq!(contents(&locks), [[1], [2], [3]]);
    assert_clean(&pool);
}

#[test]
fn who_has_a_lock_exclusively_needs_no_lock() {
    let pool = pool();
    let locks = locks(&pool);
    locks.lock().unwrap()[0].get_mut().unwrap().push(10).unwrap();
    locks
        .transaction(|all| {
            all[1].lock()?.push(20)?;
            all[1].get_mut()?.push(21)
        })
        .unwrap();
    assert_eq!(contents(&locks)[..2], [vec![1, 10], vec![2, 20, 21]]);
    assert_clean(&pool);
}

#[test]
fn a_lock_of_a_transaction_is_had_again_and_read_through() {
    let pool = pool();
    let a: Named<ShRwLock<ShVec<u64>>> = pool.named("a").unwrap();
    let b: Named<ShRwLock<ShVec<u64>>> = pool.named("b").unwrap();
    pool.transaction(|tx| {
        a.write()?.push(1)?;
        assert_eq!(*a.read()?, [1]);
        a.write()?.push(2)?;
        let (one, two) = (a.read()?, a.read()?);
        assert!(matches!(a.write().map(drop), Err(Error::WouldDeadlock(_))));
        assert_eq!((one.len(), two.len()), (2, 2));
        drop((one, two));
        assert_eq!(tx.read(&a)?.len(), 2);
        assert!(matches!(a.write().map(drop), Err(Error::WouldDeadlock(_))));
        drop(b.read()?);
        assert!(
            matches!(b.write().map(drop), Err(Error::WouldDeadlock(_))),
            "no way from reading to writing"
        );
        Ok(())
    })
    .unwrap();
    a.try_write().unwrap().push(3).unwrap();
    b.try_write().unwrap().push(3).unwrap();
    assert_eq!(*a.read().unwrap(), [1, 2, 3]);
    assert_clean(&pool);
}

#[test]
fn a_guard_that_leaves_its_transaction_keeps_its_lock() {
    let pool = pool();
    let a: Named<ShRwLock<ShVec<u64>>> = pool.named("a").unwrap();
    let mut left = None;
    pool.transaction(|_| {
        let mut guard = a.write()?;
        guard.push(1)?;
        left = Some(guard);
        Ok(())
    })
    .unwrap();
    let mut guard = left.take().unwrap();
    std::thread::scope(|s| s.spawn(|| assert!(a.try_read().is_err())).join().unwrap());
    guard.push(2).unwrap();
    drop(guard);
    assert_eq!(*a.try_read().unwrap(), [1, 2]);
    let held = a.write().unwrap();
    assert!(
        matches!(pool.transaction(|_| Ok(())), Err(Error::Unsupported(_))),
        "a guard from before has a log of its own"
    );
    drop(held);
    pool.transaction(|_| {
        a.write()?.push(3)?;
        assert!(std::thread::scope(|s| s.spawn(|| a.try_read().is_err()).join().unwrap()), "kept to the end");
        a.write()?.push(4)
    })
    .unwrap();
    assert_eq!(*a.try_read().unwrap(), [1, 2, 3, 4]);
    assert_clean(&pool);
}

#[test]
fn a_failed_transaction_inside_dooms_the_outer_one() {
    let pool = pool();
    let a: Named<ShRwLock<ShVec<u64>>> = pool.named("a").unwrap();
    let result = pool.transaction(|_| {
        let _ = a.transaction(|a| {
            a.push(1)?;
            Err::<(), _>(Error::abort("swallowed"))
        });
        Ok(())
    });
    assert!(matches!(result, Err(Error::Aborted(_))));
    assert!(a.read().unwrap().is_empty());
    assert_clean(&pool);
}
