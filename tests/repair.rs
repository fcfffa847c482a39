//! Repairing pools that others work on, and telling what is going on in them.

#![allow(unsafe_code, missing_docs, clippy::unwrap_used)]

mod support;

use aquifer::report::{Hold, Problem};
use aquifer::{Named, Pool, Report, ShMap, ShMutex, ShRwLock, ShString, ShVec};
use std::alloc::Layout;
use std::sync::atomic::Ordering;
use std::time::Duration;
use support::{Board, Child, until};

type Lists = ShRwLock<ShMap<u64, ShVec<ShString>>>;
type Numbers = ShMutex<ShVec<u64>>;

const LONG: &str = "a text that is too long to stand in its value";

fn pool() -> Pool {
    Pool::options().memfd().unwrap()
}

fn assert_clean(report: &Report) {
    assert!(report.is_clean(), "{report}");
}

/// Takes the block of a vector away from it, as a lost update would; returns its offset.
fn lose_block(numbers: &Numbers) -> u64 {
    let guard = numbers.lock().unwrap();
    let header = std::ptr::from_ref::<ShVec<u64>>(&guard).cast_mut().cast::<[u64; 3]>();
    // SAFETY: under its lock; three zero words are an empty vector.
    unsafe { header.replace([0; 3])[0] }
}

#[test]
fn leaks_are_freed_while_others_write_and_nothing_of_theirs_is() {
    let pool = pool();
    let (lists, numbers): (Named<Lists>, Named<Numbers>) =
        (pool.named("lists").unwrap(), pool.named("n").unwrap());
    let board = Board::new(4);
    let children: Vec<Child> = (0..3u64)
        .map(|me| {
            Child::fork_until_ready(|steps| {
                steps.reach(1);
                for round in 0u64.. {
                    let key = me * 1000 + round % 50;
                    let mut guard = lists.write().unwrap();
                    guard.insert(key, [LONG, LONG]).unwrap();
                    guard.get_mut(&key).unwrap().push(LONG).unwrap();
                    if round % 3 == 0 {
                        guard.remove(&(key - round % 50));
                    }
                    drop(guard);
                    // Objects are built under no lock, and their names removed again.
                    if round % 8 == 0 {
                        let name = format!("own {me}");
                        let built = || ShMutex::new(aquifer::from_iter(0..300u64));
                        drop(pool.named_with::<Numbers, _>(&name, built).unwrap());
                        pool.remove(&name).unwrap();
                    }
                    board[me as usize].store(round + 1, Ordering::SeqCst);
                }
            })
        })
        .collect();
    for round in 0..30u64 {
        numbers.lock().unwrap().extend(0..100 + round).unwrap();
        let lost = lose_block(&numbers);
        until("the lost block", || {
            let before: Vec<u64> = (0..3).map(|i| board[i].load(Ordering::SeqCst)).collect();
            let repair = pool.repair().unwrap();
            assert!(repair.report.findings.is_empty(), "{repair}");
            assert!(repair.freed.iter().all(|f| f.offset == lost), "{lost:#x}: {:?}", repair.freed);
            // The others go on between two repairs.
            until("work", || (0..3).any(|i| board[i].load(Ordering::SeqCst) > before[i]));
            repair.freed_bytes > 0
        });
    }
    children.into_iter().for_each(|c| {
        c.kill();
    });
    let repair = pool.repair().unwrap();
    assert!(repair.buried <= 3 && repair.freed.is_empty(), "{repair}");
    assert_clean(&pool.check().unwrap());
    for (key, list) in lists.read().unwrap().iter() {
        assert!(key % 1000 < 50 && list.iter().all(|s| s == LONG), "{key}");
    }
}

#[test]
fn a_check_beside_writers_never_calls_a_block_of_theirs_leaked() {
    let pool = pool();
    let lists: Named<Lists> = pool.named("lists").unwrap();
    let children: Vec<Child> = (0..2u64)
        .map(|me| {
            Child::fork_until_ready(|steps| {
                steps.reach(1);
                for round in 0u64.. {
                    lists.write().unwrap().insert(me * 100 + round % 20, [LONG, LONG]).unwrap();
                    if round % 5 == 0 {
                        lists.write().unwrap().clear();
                    }
                }
            })
        })
        .collect();
    for _ in 0..60 {
        let report = pool.check().unwrap();
        assert!(report.findings.is_empty() && report.leaks.is_empty(), "{report}");
    }
    children.into_iter().for_each(|c| {
        c.kill();
    });
    assert_clean(&pool.check().unwrap());
    assert_eq!(pool.check().unwrap().uncertain_bytes, 0);
}

#[test]
fn blocks_by_hand_outlive_who_allocated_them_and_are_listed() {
    let pool = pool();
    let board = Board::new(2);
    let child = Child::fork_until_ready(|steps| {
        for (i, size) in [100, 100_000].into_iter().enumerate() {
            let handle = pool.alloc(Layout::from_size_align(size, 16).unwrap()).unwrap();
            board[i].store(handle.to_bits(), Ordering::SeqCst);
        }
        steps.reach_and_stay(1);
    });
    child.kill();
    let repair = pool.repair().unwrap();
    assert!(repair.freed.is_empty() && repair.report.is_clean(), "{repair}");
    let report = pool.check().unwrap();
    let mut handles: Vec<u64> = report.by_hand.iter().map(|b| b.handle.to_bits()).collect();
    let mut expected: Vec<u64> = (0..2).map(|i| board[i].load(Ordering::SeqCst)).collect();
    handles.sort_unstable();
    expected.sort_unstable();
    assert_eq!(handles, expected);
    assert!(report.by_hand_bytes >= 100_100 && report.is_clean(), "{report}");
    for block in report.by_hand {
        // SAFETY: their owner is dead, and nobody else knows them.
        unsafe { pool.free(block.handle) }.unwrap();
    }
    assert_eq!(pool.check().unwrap().by_hand_bytes, 0);
}

#[test]
fn a_check_tells_who_holds_and_who_waits_since_when() {
    let pool = pool();
    let (numbers, lists): (Named<Numbers>, Named<Lists>) =
        (pool.named("n").unwrap(), pool.named("lists").unwrap());
    let holder = Child::fork_until_ready(|steps| {
        let _writing = numbers.lock().unwrap();
        let _reading = lists.read().unwrap();
        steps.reach_and_stay(1);
    });
    let waiter = Child::fork_until_ready(|steps| {
        steps.reach(1);
        drop(numbers.lock());
    });
    let report = || pool.check().unwrap();
    let waits = |r: &Report| {
        r.locks.iter().any(|l| l.hold == Hold::Waits && l.waited_for > Some(Duration::from_millis(20)))
    };
    until("the waiter", || waits(&report()));
    let report = report();
    let writer = report.locks.iter().find(|l| l.hold == Hold::Writes).unwrap();
    assert_eq!((writer.by.process, writer.path.as_deref()), (holder.pid() as u32, Some("n")), "{report}");
    assert!(writer.waited_for >= Some(Duration::from_millis(20)));
    let reader =
        report.locks.iter().find(|l| l.hold == Hold::Reads && l.path.as_deref() == Some("lists")).unwrap();
    assert_eq!((reader.by.process, reader.waited_for), (holder.pid() as u32, None));
    let waiting = report.locks.iter().find(|l| l.hold == Hold::Waits).unwrap();
    assert_eq!(waiting.by.process, waiter.pid() as u32);
    assert!(
        report.findings.iter().any(|f| f.object == "n" && matches!(f.problem, Problem::Locked(_))),
        "{report}"
    );
    assert!(report.has_passed("lists") && !report.has_passed("n"));
    assert!(report.to_string().contains("the lock of n: written by process"), "{report}");
    holder.kill();
    waiter.finish();
    assert_clean(&pool.check().unwrap());
    assert!(pool.check().unwrap().locks.is_empty());
}

#[test]
fn a_lock_that_names_nobody_is_an_error_and_repair_frees_it() {
    let pool = pool();
    let (numbers, lists): (Named<Numbers>, Named<Lists>) =
        (pool.named("n").unwrap(), pool.named("lists").unwrap());
    lists.write().unwrap().insert(1, [LONG]).unwrap();
    let word = |object: *const u8| {
        let offset = pool.raw().offset_of(object).unwrap();
        let at = pool.raw().at(offset, 8).unwrap().cast::<std::sync::atomic::AtomicU64>();
        // SAFETY: the word of a lock of this pool.
        unsafe { &*at }
    };
    // A free seat, and one that does not exist.
    word(std::ptr::from_ref::<Numbers>(&numbers).cast()).store(9, Ordering::SeqCst);
    word(std::ptr::from_ref::<Lists>(&lists).cast()).store(0x7000, Ordering::SeqCst);
    assert!(matches!(numbers.lock(), Err(aquifer::Error::Damaged(_))));
    assert!(matches!(lists.read(), Err(aquifer::Error::Damaged(_))));
    let report = pool.check().unwrap();
    assert!(!report.has_passed("n") && !report.has_passed("lists") && report.leaks.is_empty(), "{report}");
    let repair = pool.repair().unwrap();
    assert_eq!(repair.locks.len(), 2, "{repair}");
    assert!(repair.report.is_clean(), "{repair}");
    assert!(numbers.lock().unwrap().is_empty());
    assert_eq!(lists.read().unwrap()[&1], [LONG]);
    assert_clean(&pool.check().unwrap());
}

#[test]
fn words_of_the_heap_that_name_nobody_keep_nobody_waiting() {
    let pool = pool();
    let numbers: Named<Numbers> = pool.named("n").unwrap();
    for name in [9, 0x7000] {
        let header = pool.raw().header();
        header.heap_lock.store(name, Ordering::SeqCst);
        header.growth_ticket.store(name, Ordering::SeqCst);
        numbers.lock().unwrap().extend(0..1_000_000u64).unwrap();
        numbers.lock().unwrap().clear();
        numbers.lock().unwrap().shrink_to_fit().unwrap();
    }
    assert_clean(&pool.check().unwrap());
}

#[test]
fn keys_that_no_look_up_finds_are_found_by_the_check() {
    let pool = pool();
    let map: Named<ShRwLock<ShMap<u64, u64>>> = pool.named("map").unwrap();
    map.write().unwrap().extend((0..50u64).map(|i| (i, i))).unwrap();
    assert_clean(&pool.check().unwrap());
    let guard = map.read().unwrap();
    let key = std::ptr::from_ref(guard.get_key_value(&7).unwrap().0).cast_mut();
    drop(guard);
    // SAFETY: a key of the pool, which nobody uses meanwhile; any bits are a number.
    unsafe { key.write(1007) };
    let report = pool.check().unwrap();
    let [finding] = &report.findings[..] else { panic!("{report}") };
    assert_eq!((finding.path.as_str(), &finding.problem), ("map[1007]", &Problem::Misplaced));
    // SAFETY: as above.
    unsafe { key.write(8) };
    assert_eq!(pool.check().unwrap().findings.len(), 1, "the same key twice");
}
