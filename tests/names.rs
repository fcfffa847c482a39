//! Names of pools and of objects in them: races to create, creators and holders that die, copies, other namespaces.

#![allow(unsafe_code, missing_docs, clippy::unwrap_used)]

mod support;

use aquifer::{Named, Pool, ShMap, ShRwLock, ShString, ShVec};
use std::sync::atomic::Ordering;
use support::{Board, Child, Random, Scratch, assert_clean, process_namespace_for_children, until};

type Numbers = ShRwLock<ShVec<u64>>;
type Lists = ShRwLock<ShMap<u64, ShVec<u64>>>;

#[test]
fn all_who_race_to_create_a_pool_and_an_object_get_the_same_ones() {
    for _ in 0..20 {
        let scratch = Scratch::new();
        let board = Board::new(1);
        let children: Vec<Child> = (0..4u64)
            .map(|i| {
                Child::fork(|steps| {
                    steps.reach(1);
                    until("the start", || board[0].load(Ordering::SeqCst) == 1);
                    let pool = Pool::open_or_create(scratch.name()).unwrap();
                    let numbers: Named<Numbers> = pool.named("numbers").unwrap();
                    numbers.write().unwrap().push(i).unwrap();
                })
            })
            .collect();
        children.iter().for_each(|c| c.await_step(1));
        board[0].store(1, Ordering::SeqCst);
        children.into_iter().for_each(Child::finish);
        let pool = Pool::open(scratch.name()).unwrap();
        let numbers: Named<Numbers> = pool.look_up("numbers").unwrap().unwrap();
        let mut all = numbers.read().unwrap().to_vec();
        all.sort_unstable();
        assert_eq!(all, [0, 1, 2, 3]);
        assert_clean(&pool);
    }
}

#[test]
fn a_creator_killed_anywhere_leaves_a_whole_pool_or_none() {
    let mut random = Random::from_environment(9);
    let (mut whole, mut none) = (0, 0);
    for _ in 0..60 {
        let scratch = Scratch::new();
        let child = Child::fork(|steps| {
            steps.reach(1);
            let pool = Pool::options().create(scratch.name()).unwrap();
            steps.reach(2);
            let numbers: Named<Numbers> = pool.named("numbers").unwrap();
            numbers.write().unwrap().push(1).unwrap();
            steps.reach_and_stay(3);
        });
        child.await_step(1);
        for _ in 0..random.below(60_000) {
            std::hint::spin_loop();
        }
        child.kill();
        match Pool::open(scratch.name()) {
            Ok(pool) => {
                whole += 1;
                let numbers: Named<Numbers> = pool.named("numbers").unwrap();
                assert!(numbers.read().unwrap().len() <= 1);
                numbers.write().unwrap().push(2).unwrap();
                assert_clean(&pool);
            }
            Err(e) => {
                none += 1;
                assert!(matches!(e, aquifer::Error::NoSuchPool(_)), "{e}");
                Pool::create(scratch.name()).unwrap();
            }
        }
    }
    println!("{whole} whole, {none} none");
}

#[test]
fn a_builder_of_a_named_object_killed_halfway_leaves_the_name_free() {
    let pool = Pool::options().memfd().unwrap();
    let child = Child::fork_until_ready(|steps| {
        let items = (0..1000u64).inspect(|i| {
            if *i == 500 {
                steps.reach_and_stay(1);
            }
        });
        let _ = pool.named_with::<Numbers, _>("numbers", || ShRwLock::new(aquifer::from_iter(items)));
    });
    child.kill();
    let numbers: Named<Numbers> = pool.named("numbers").unwrap();
    assert!(numbers.read().unwrap().is_empty());
    assert_clean(&pool);
}

#[test]
fn what_was_removed_while_a_process_held_it_comes_back_when_that_process_dies() {
    let pool = Pool::options().memfd().unwrap();
    let big = || ShRwLock::new(aquifer::from_iter((0..100u64).map(|i| (i, aquifer::from_iter(0..1000u64)))));
    // What the directory and the schema need for good is there before anything is measured.
    drop(pool.named_with::<Lists, _>("big", big).unwrap());
    assert!(pool.remove("big").unwrap());
    pool.check().unwrap();
    let empty = pool.stats().used;

    drop(pool.named_with::<Lists, _>("big", big).unwrap());
    let full = pool.stats().used;
    assert!(full > empty + 800_000);
    let child = Child::fork_until_ready(|steps| {
        let lists: Named<Lists> = pool.look_up("big").unwrap().unwrap();
        steps.reach(1);
        steps.await_word(1);
        assert!(lists.read().unwrap()[&99].iter().copied().eq(0..1000), "whoever holds it may go on");
        lists.write().unwrap().insert(1000, [1, 2, 3]).unwrap();
        steps.reach_and_stay(2);
    });
    assert!(pool.remove("big").unwrap());
    assert!(pool.look_up::<Lists>("big").unwrap().is_none());
    child.tell(1);
    child.await_step(2);
    assert!(pool.stats().used >= full);
    assert_clean(&pool);
    child.kill();
    until("the memory of the removed object", || {
        pool.check().unwrap();
        pool.stats().used < empty + 100_000
    });
    assert_clean(&pool);
    let again: Named<Numbers> = pool.named("big").unwrap();
    assert!(again.read().unwrap().is_empty(), "the name is free for another type");
}

#[test]
fn the_last_handle_frees_what_was_removed() {
    let pool = Pool::options().memfd().unwrap();
    let lists: Named<Lists> = pool.named("lists").unwrap();
    lists.write().unwrap().insert(1, aquifer::from_iter(0..100_000u64)).unwrap();
    let other = lists.clone();
    assert!(pool.remove("lists").unwrap());
    let full = pool.stats().used;
    drop(lists);
    assert_eq!(other.read().unwrap()[&1].len(), 100_000);
    drop(other);
    assert!(pool.stats().used + 700_000 < full);
    assert_clean(&pool);
}

#[test]
fn a_killed_remover_leaves_the_object_whole_or_gone() {
    let pool = Pool::options().memfd().unwrap();
    let board = Board::new(1);
    let mut random = Random::from_environment(4);
    for _ in 0..40 {
        board[0].store(0, Ordering::SeqCst);
        let child = Child::fork(|_| {
            for i in 0u64.. {
                let name = format!("object {}", i % 3);
                let make = || ShRwLock::new(aquifer::from_iter((0..20u64).map(|i| (i, [i; 20]))));
                let lists = pool.named_with::<Lists, _>(&name, make).unwrap();
                assert_eq!(lists.read().unwrap().len(), 20);
                drop(lists);
                assert!(pool.remove(&name).unwrap());
                board[0].fetch_add(1, Ordering::SeqCst);
            }
        });
        let some = 1 + random.below(30);
        until("removals", || board[0].load(Ordering::SeqCst) >= some || child.has_ended());
        child.kill();
        for i in 0..3 {
            if let Some(lists) = pool.look_up::<Lists>(&format!("object {i}")).unwrap() {
                let lists = lists.read().unwrap();
                assert!((0..20).all(|i| lists[&i] == [i; 20]));
            }
        }
        assert_clean(&pool);
    }
}

#[test]
fn a_copied_pool_opens_with_everyone_in_it_dead() {
    let scratch = Scratch::new();
    let copy = scratch.file("copy");
    let pool = Pool::options().create(scratch.name()).unwrap();
    let words: Named<ShRwLock<ShMap<ShString, u64>>> = pool.named("words").unwrap();
    let numbers: Named<Numbers> = pool.named("numbers").unwrap();
    words.write().unwrap().insert("one", 1).unwrap();
    let mut guard = numbers.write().unwrap();
    guard.push(1).unwrap();
    let child = Child::fork_until_ready(|steps| {
        let _guard = words.read().unwrap();
        steps.reach_and_stay(1);
    });
    std::fs::copy(scratch.shared_path(), &copy).unwrap();
    guard.push(2).unwrap();
    {
        let pool = Pool::options().open(copy.as_path()).unwrap();
        let words: Named<ShRwLock<ShMap<ShString, u64>>> = pool.named("words").unwrap();
        let numbers: Named<Numbers> = pool.named("numbers").unwrap();
        words.write().unwrap().insert("two", 2).unwrap();
        let guard = numbers.write().unwrap();
        assert!(guard.recovered(), "the writer of the original is dead here");
        assert_eq!(**guard, [1]);
        drop(guard);
        assert_eq!(pool.info().processes, 1);
        assert_clean(&pool);
    }
    drop(guard);
    child.kill();
    assert_eq!(*numbers.read().unwrap(), [1, 2]);
    assert_eq!(words.read().unwrap().len(), 1);
    assert_clean(&pool);
}

#[test]
fn twins_of_one_number_in_two_namespaces_are_two_processes() {
    let scratch = Scratch::new();
    let pool = Pool::options().create(scratch.name()).unwrap();
    let numbers: Named<Numbers> = pool.named("numbers").unwrap();
    let board = Board::new(4);
    // Each child makes a namespace, in which its own child is number 1.
    let twin = |i: usize| {
        let (scratch, board) = (&scratch, &board);
        Child::fork(move |steps| {
            if let Err(e) = process_namespace_for_children() {
                println!("not run: no process namespace: {e}");
                board[i].store(u64::MAX, Ordering::SeqCst);
                return;
            }
            let first = Child::fork(|steps| {
                assert_eq!(std::process::id(), 1);
                let pool = Pool::open(scratch.name()).unwrap();
                let numbers: Named<Numbers> = pool.named("numbers").unwrap();
                if i == 0 {
                    let mut guard = numbers.write().unwrap();
                    guard.push(1).unwrap();
                    board[i].store(1, Ordering::SeqCst);
                    steps.reach_and_stay(1);
                }
                board[i].store(1, Ordering::SeqCst);
                numbers.write().unwrap().push(2).unwrap();
                board[2].store(1, Ordering::SeqCst);
            });
            steps.await_word(1);
            first.kill();
            steps.reach(2);
        })
    };
    let holder = twin(0);
    until("the holder", || board[0].load(Ordering::SeqCst) != 0);
    if board[0].load(Ordering::SeqCst) == u64::MAX {
        println!("not run: no process namespace is allowed here");
        return;
    }
    let waiter = twin(1);
    until("the waiter", || board[1].load(Ordering::SeqCst) == 1);
    assert!(numbers.try_read().is_err(), "the holder's twin does not make it seem dead, nor does its number");
    assert_eq!(board[2].load(Ordering::SeqCst), 0);
    holder.tell(1);
    until("the waiter's turn", || board[2].load(Ordering::SeqCst) == 1);
    assert_eq!(*numbers.read().unwrap(), [1, 2]);
    holder.finish();
    drop(waiter);
    assert_clean(&pool);
}
