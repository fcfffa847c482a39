//! Locks within what is undone: they are free afterwards, and what stands in their place is not taken for a lock.

#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use aquifer::{Error, Named, Place, Pool, Relocatable, ShMutex, ShVec};
use support::{Child, assert_clean, small_pool as pool};

type Numbers = ShMutex<ShVec<u64>>;

/// Where one variant has a number the other has a lock's word.
#[derive(Relocatable)]
#[repr(u64)]
enum Either {
    Number(u64),
    Numbers(Numbers),
}

#[derive(Relocatable)]
#[repr(C)]
struct Mixed {
    plain: [u64; 4],
    either: ShVec<Either>,
}

const COUNT: u64 = 7;

/// The numbers are those that words of locks have in which a seat is named.
fn mixed(pool: &Pool) -> Named<ShMutex<Mixed>> {
    let either = aquifer::from_iter((1..=COUNT).map(either_new::Number));
    pool.named_with("mixed", || ShMutex::new(MixedNew { plain: [0; 4], either })).unwrap()
}

fn assert_numbers(pool: &Pool, mixed: &ShMutex<Mixed>) {
    let guard = mixed.lock().unwrap();
    let number = |e: &Either| match e {
        Either::Number(n) => *n,
        Either::Numbers(_) => panic!("the variant was to be undone"),
    };
    let numbers: Vec<u64> = guard.either.iter().map(number).collect();
    assert!(numbers.iter().copied().eq(1..=COUNT), "{numbers:?}");
    drop(guard);
    assert_clean(pool);
}

/// Makes locks of numbers, and takes each of them.
fn take_all(either: &mut Place<ShVec<Either>>, keep: bool) {
    for i in 0..COUNT as usize {
        either[i].set(either_new::Numbers(ShMutex::new([i as u64]))).unwrap();
        let Either::Numbers(numbers) = &*either[i] else { panic!("just set") };
        let guard = numbers.lock().unwrap();
        if keep {
            std::mem::forget(guard);
        }
    }
}

#[test]
fn what_a_killed_transaction_brings_back_is_not_taken_for_a_lock() {
    for keep in [true, false] {
        let pool = pool();
        let mixed = mixed(&pool);
        let child = Child::fork_until_ready(|steps| {
            let _ = mixed.transaction(|m| -> Result<(), Error> {
                take_all(m.either_mut(), keep);
                steps.reach_and_stay(1)
            });
        });
        child.kill();
        assert_numbers(&pool, &mixed);
    }
}

#[test]
fn what_an_open_log_brings_back_is_not_taken_for_a_lock() {
    let pool = pool();
    let mixed = mixed(&pool);
    let child = Child::fork_until_ready(|steps| {
        let mut guard = mixed.lock().unwrap();
        let MixedFields { plain, either } = guard.fields_mut();
        plain[0] = 1;
        take_all(either, true);
        steps.reach_and_stay(1);
    });
    child.kill();
    assert_numbers(&pool, &mixed);
}

#[test]
fn what_a_failed_transaction_brings_back_is_not_unlocked() {
    let pool = pool();
    let mixed = mixed(&pool);
    let failed = mixed.transaction(|m| {
        take_all(m.either_mut(), false);
        Err::<(), _>(Error::abort("no"))
    });
    assert!(failed.is_err());
    assert_numbers(&pool, &mixed);
}

#[test]
fn locks_that_an_undone_shift_carries_along_are_free() {
    let pool = pool();
    let locks = pool.named_with("locks", || ShMutex::new([1, 2, 3].map(|n| ShMutex::new([n])))).unwrap();
    let locks: Named<ShMutex<ShVec<Numbers>>> = locks;
    let all_free = || locks.lock().unwrap().iter().all(|l| l.try_lock().is_ok());
    for i in 0..3 {
        let shift_and_lock = |all: &mut Place<ShVec<Numbers>>| {
            drop(all.remove(0));
            all.insert(1, ShMutex::new([9])).unwrap();
            all[i].lock().unwrap().push(4).unwrap();
        };
        let failed = locks.transaction(|all| {
            shift_and_lock(all);
            assert!(all[i].lock().is_ok(), "the transaction keeps it");
            Err::<(), _>(Error::abort("no"))
        });
        assert!(failed.is_err() && all_free(), "undone, lock {i}");
        let child = Child::fork_until_ready(|steps| {
            let _ = locks.transaction(|all| -> Result<(), Error> {
                shift_and_lock(all);
                std::mem::forget(all[i].try_lock());
                steps.reach_and_stay(1)
            });
        });
        child.kill();
        assert!(all_free(), "killed, lock {i}");
        assert_clean(&pool);
    }
}
