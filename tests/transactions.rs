//! Transactions: all or nothing, over several locks, also when the process dies.

#![allow(unsafe_code, missing_docs, clippy::unwrap_used)]

mod support;

use aquifer::{Error, Named, Pool, Result, ShMap, ShMutex, ShRwLock, ShString, ShVec};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use support::{Board, Child, Random, assert_clean, small_pool as pool, until};

type Accounts = ShRwLock<ShMap<ShString, u64>>;
type Lists = ShRwLock<ShMap<ShString, ShVec<ShString>>>;

const LONG: &str = "a string far too long to be kept inside the value itself";

fn lists(pool: &Pool) -> Named<Lists> {
    let lists: Named<Lists> = pool.named("lists").unwrap();
    let mut guard = lists.write().unwrap();
    guard.insert("a", ["one", LONG]).unwrap();
    guard.insert("b", [LONG]).unwrap();
    drop(guard);
    lists
}

/// Changes of every kind.
fn upset(lists: &mut aquifer::Place<ShMap<ShString, ShVec<ShString>>>) -> Result<()> {
    lists["a"].push("two")?;
    drop(lists["a"].remove(0));
    lists["a"].sort()?;
    drop(lists.remove("b"));
    lists.insert("c", [LONG, LONG, LONG])?;
    lists["c"].pop();
    for i in 0..100 {
        lists.insert(format_args!("{LONG} {i}"), [LONG])?;
    }
    lists["a"][0].push_str(LONG)?;
    lists["c"].clear();
    Ok(())
}

fn assert_as_before(lists: &Named<Lists>) {
    let guard = lists.read().unwrap();
    assert_eq!(guard.len(), 2);
    assert_eq!(guard["a"], ["one", LONG]);
    assert_eq!(guard["b"], [LONG]);
}

#[test]
fn an_error_rolls_everything_back() {
    let pool = pool();
    let lists = lists(&pool);
    for _ in 0..3 {
        let result: Result<()> = lists.transaction(|l| {
            upset(l)?;
            Err(Error::abort("no"))
        });
        assert!(matches!(result, Err(Error::Aborted(_))));
        assert_as_before(&lists);
        assert_clean(&pool);
    }
}

#[test]
fn a_panic_rolls_everything_back_and_the_lock_is_free() {
    let pool = pool();
    let lists = lists(&pool);
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        lists.transaction(|l| -> Result<()> {
            upset(l)?;
            panic!("meant");
        })
    }));
    assert!(panicked.is_err());
    assert!(!lists.try_write().unwrap().recovered());
    assert_as_before(&lists);
    assert_clean(&pool);
}

#[test]
fn success_keeps_everything() {
    let pool = pool();
    let lists = lists(&pool);
    lists.transaction(upset).unwrap();
    let guard = lists.read().unwrap();
    assert_eq!(guard.len(), 102);
    assert!(guard["c"].is_empty() && !guard.contains_key("b"));
    drop(guard);
    assert_clean(&pool);
}

#[test]
fn several_locks_change_together_or_not_at_all() {
    let pool = pool();
    let (a, b): (Named<Accounts>, Named<Accounts>) = (pool.named("a").unwrap(), pool.named("b").unwrap());
    a.write().unwrap().insert("x", 100).unwrap();
    let pay = |amount: u64| {
        pool.transaction(|tx| {
            let from = tx.write(&a)?;
            let to = tx.write(&b)?;
            let left = from["x"].checked_sub(amount);
            *to.entry("x").or_insert(0)? += amount;
            from["x"] = left.ok_or(Error::abort("not enough"))?;
            Ok(())
        })
    };
    pay(30).unwrap();
    pay(60).unwrap();
    assert!(matches!(pay(60), Err(Error::Aborted(_))));
    assert_eq!(a.read().unwrap()["x"], 10);
    assert_eq!(b.read().unwrap()["x"], 90);
    assert_clean(&pool);
}

#[test]
fn a_taken_value_moves_between_locks_and_comes_back_with_a_rollback() {
    let pool = pool();
    let from = lists(&pool);
    let to: Named<Lists> = pool.named("to").unwrap();
    let carry = |succeed: bool| {
        pool.transaction(|tx| {
            let from = tx.write(&from)?;
            let to = tx.write(&to)?;
            let taken = from.remove("a").unwrap();
            to.insert("moved", taken)?;
            if succeed { Ok(()) } else { Err(Error::abort("back")) }
        })
    };
    assert!(carry(false).is_err());
    assert_as_before(&from);
    assert!(to.read().unwrap().is_empty());
    assert_clean(&pool);
    carry(true).unwrap();
    assert_eq!(to.read().unwrap()["moved"], ["one", LONG]);
    assert!(!from.read().unwrap().contains_key("a"));
    assert_clean(&pool);
}

#[test]
fn a_transaction_killed_inside_is_undone_whole() {
    let pool = pool();
    let lists = lists(&pool);
    let other: Named<ShMutex<ShVec<u64>>> = pool.named("other").unwrap();
    let child = Child::fork_until_ready(|steps| {
        let _ = pool.transaction(|_tx| {
            other.lock()?.extend(0..100u64)?;
            lists.transaction(upset)?;
            steps.reach_and_stay(1);
            #[allow(unreachable_code)]
            Ok(())
        });
    });
    assert!(lists.try_read().is_err(), "a lock taken inside stays held to the end");
    assert!(other.try_lock().is_err(), "also when its guard was dropped");
    child.kill();
    assert!(lists.write().unwrap().recovered());
    assert!(other.lock().unwrap().recovered());
    assert_as_before(&lists);
    assert!(other.lock().unwrap().is_empty());
    assert_clean(&pool);
}

#[test]
fn a_nested_transaction_ends_with_the_outer_one() {
    let pool = pool();
    let lists = lists(&pool);
    let numbers: Named<ShRwLock<ShVec<u64>>> = pool.named("numbers").unwrap();
    let result: Result<()> = pool.transaction(|_tx| {
        lists.transaction(upset)?;
        numbers.transaction(|n| n.push(1))?;
        Err(Error::abort("outer"))
    });
    assert!(result.is_err());
    assert_as_before(&lists);
    assert!(numbers.read().unwrap().is_empty());
    pool.transaction(|_tx| {
        numbers.transaction(|n| n.push(1))?;
        numbers.transaction(|n| n.push(2))
    })
    .unwrap();
    assert_eq!(*numbers.read().unwrap(), [1, 2]);
    assert_clean(&pool);
}

#[test]
fn a_guard_dropped_inside_keeps_its_lock_until_the_end() {
    let pool = pool();
    let numbers: Named<ShRwLock<ShVec<u64>>> = pool.named("numbers").unwrap();
    pool.transaction(|_tx| {
        numbers.write()?.push(1)?;
        std::thread::scope(|s| {
            s.spawn(|| assert!(numbers.try_read().is_err(), "others see nothing before the end"))
                .join()
                .unwrap();
        });
        Ok(())
    })
    .unwrap();
    assert_eq!(*numbers.try_read().unwrap(), [1]);
}

#[test]
fn a_transaction_killed_anywhere_keeps_the_sum() {
    let pool = pool();
    let (a, b): (Named<Accounts>, Named<Accounts>) = (pool.named("a").unwrap(), pool.named("b").unwrap());
    for i in 0..10 {
        a.write().unwrap().insert(format_args!("{i}"), 100).unwrap();
    }
    let board = Board::new(1);
    let mut random = Random::from_environment(5);
    let pay = |random: &mut Random| {
        let (key, amount, back) = (random.below(10).to_string(), random.below(50), random.below(2) == 0);
        pool.transaction(|tx| {
            let one = tx.write(&a)?;
            let two = tx.write(&b)?;
            let (from, to) = if back { (two, one) } else { (one, two) };
            let Some(have) = from.get_mut(key.as_str()) else { return Err(Error::abort("nobody")) };
            *have = have.checked_sub(amount).ok_or(Error::abort("too little"))?;
            if *have == 0 {
                from.remove(key.as_str());
            }
            *to.entry(key.as_str()).or_insert(0)? += amount;
            Ok(())
        })
    };
    for round in 0..80 {
        board[0].store(0, Ordering::SeqCst);
        let children: Vec<Child> = (0..2)
            .map(|_| {
                let seed = random.next();
                let (pay, board) = (&pay, &board);
                Child::fork(move |_| {
                    let mut random = Random::new(seed);
                    loop {
                        match pay(&mut random) {
                            Ok(()) | Err(Error::Aborted(_) | Error::WouldDeadlock(_)) => {
                                board[0].fetch_add(1, Ordering::SeqCst)
                            }
                            Err(e) => panic!("{e}"),
                        };
                    }
                })
            })
            .collect();
        let some = random.below(60);
        until("payments", || {
            board[0].load(Ordering::SeqCst) >= some || children.iter().any(Child::has_ended)
        });
        children.into_iter().for_each(|c| {
            c.kill();
        });
        let total = |l: &Named<Accounts>| l.read().unwrap().values().sum::<u64>();
        assert_eq!(total(&a) + total(&b), 1000, "round {round}");
    }
    assert_clean(&pool);
}

#[test]
fn the_same_lock_twice_is_an_error_and_undoes_all() {
    let pool = pool();
    let numbers: Named<ShRwLock<ShVec<u64>>> = pool.named("numbers").unwrap();
    let result: Result<()> = pool.transaction(|tx| {
        tx.write(&numbers)?.push(1)?;
        tx.write(&numbers)?.push(2)
    });
    assert!(matches!(result, Err(Error::WouldDeadlock(_))), "{result:?}");
    assert!(numbers.read().unwrap().is_empty());
}

#[test]
fn a_caller_may_use_an_error_of_its_own() {
    #[derive(Debug)]
    enum Mine {
        Refused,
        Pool(#[allow(dead_code)] Error),
    }
    impl From<Error> for Mine {
        fn from(e: Error) -> Mine {
            Mine::Pool(e)
        }
    }
    let pool = pool();
    let numbers: Named<ShRwLock<ShVec<u64>>> = pool.named("numbers").unwrap();
    let result = pool.try_transaction(|tx| {
        tx.write(&numbers)?.push(1)?;
        Err::<(), _>(Mine::Refused)
    });
    assert!(matches!(result, Err(Mine::Refused)));
    assert!(numbers.read().unwrap().is_empty());
}
