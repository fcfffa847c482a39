//! Forked and executed children, threads that end, guards that are leaked or inherited.

#![allow(unsafe_code, missing_docs, clippy::unwrap_used)]

mod support;

use aquifer::{Named, Pool, ShMap, ShRwLock, ShString, ShVec};
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use support::{Board, Child, Scratch, assert_clean, execute, role};

type Numbers = ShRwLock<ShVec<u64>>;

fn pool() -> Pool {
    Pool::options().memfd().unwrap()
}

#[test]
fn forked_children_and_theirs_use_the_pool_at_once() {
    let pool = pool();
    let numbers: Named<Numbers> = pool.named("numbers").unwrap();
    let children: Vec<Child> = (0..4u64)
        .map(|i| {
            Child::fork(|_| {
                numbers.write().unwrap().push(i).unwrap();
                let grandchild = Child::fork(|_| {
                    numbers.write().unwrap().push(100 + i).unwrap();
                    let mine: Named<ShRwLock<ShString>> = pool.named(&format!("made by {i}")).unwrap();
                    mine.write().unwrap().push_str("x").unwrap();
                });
                grandchild.finish();
            })
        })
        .collect();
    children.into_iter().for_each(Child::finish);
    let mut all = numbers.read().unwrap().to_vec();
    all.sort_unstable();
    assert_eq!(all, [0, 1, 2, 3, 100, 101, 102, 103]);
    for i in 0..4 {
        let made = pool.look_up::<ShRwLock<ShString>>(&format!("made by {i}")).unwrap().unwrap();
        assert_eq!(*made.read().unwrap(), "x");
    }
    drop(numbers);
    assert_clean(&pool);
}

#[test]
fn an_inherited_guard_dropped_in_the_child_does_nothing() {
    let pool = pool();
    let numbers: Named<Numbers> = pool.named("numbers").unwrap();
    let letters: Named<Numbers> = pool.named("letters").unwrap();
    let mut writer = numbers.write().unwrap();
    let reader = letters.read().unwrap();
    writer.push(1).unwrap();
    let mut inherited = Some((&mut writer, &reader));
    let child = Child::fork_until_ready(|steps| {
        // SAFETY: copies of the parent's guards, which this process has as its own and never uses otherwise.
        let (w, r) = unsafe {
            let (w, r) = inherited.take().unwrap();
            (std::ptr::read(w), std::ptr::read(r))
        };
        drop(w);
        drop(r);
        assert!(numbers.try_read().is_err(), "the parent's lock is held still");
        assert!(letters.try_write().is_err(), "the parent's mark is there still");
        steps.reach(1);
        steps.await_word(1);
        assert_eq!(*numbers.read().unwrap(), [1, 2]);
        letters.write().unwrap().push(1).unwrap();
    });
    writer.push(2).unwrap();
    drop(writer);
    drop(reader);
    child.tell(1);
    child.finish();
    assert_eq!(*letters.read().unwrap(), [1]);
}

#[test]
fn an_inherited_guard_cannot_be_written_through_in_the_child() {
    let pool = pool();
    let numbers: Named<Numbers> = pool.named("numbers").unwrap();
    let mut guard = numbers.write().unwrap();
    guard.push(1).unwrap();
    let child = Child::fork(|_| {
        // SAFETY: a copy of the parent's guard, which this process has as its own.
        let mut guard = unsafe { std::ptr::read(&guard) };
        std::panic::set_hook(Box::new(|_| {}));
        assert!(catch_unwind(AssertUnwindSafe(|| guard.push(2).is_ok())).is_err());
    });
    child.finish();
    guard.push(3).unwrap();
    drop(guard);
    assert_eq!(*numbers.read().unwrap(), [1, 3]);
}

#[test]
fn an_executed_child_opens_the_pool_by_name() {
    const NAME: &str = "an_executed_child_opens_the_pool_by_name";
    if let Some(name) = role(NAME) {
        let pool = Pool::open(&name).unwrap();
        let numbers: Named<Numbers> = pool.look_up("numbers").unwrap().unwrap();
        numbers.write().unwrap().push(2).unwrap();
        return;
    }
    let scratch = Scratch::new();
    let pool = Pool::create(scratch.name()).unwrap();
    let numbers: Named<Numbers> = pool.named("numbers").unwrap();
    numbers.write().unwrap().push(1).unwrap();
    execute(NAME, scratch.name()).finish();
    assert_eq!(*numbers.read().unwrap(), [1, 2]);
}

/// Uses the pool when its thread ends.
struct AtEnd(RefCell<Option<(Named<Numbers>, u64)>>);

impl Drop for AtEnd {
    fn drop(&mut self) {
        if let Some((numbers, n)) = self.0.borrow_mut().take() {
            numbers.write().unwrap().push(n).unwrap();
        }
    }
}

thread_local! {
    static EARLY: AtEnd = const { AtEnd(RefCell::new(None)) };
    static LATE: AtEnd = const { AtEnd(RefCell::new(None)) };
}

#[test]
fn destructors_of_a_threads_locals_may_use_the_pool_also_after_its_seat_is_gone() {
    let pool = pool();
    let numbers: Named<Numbers> = pool.named("numbers").unwrap();
    for _ in 0..200 {
        let numbers = numbers.clone();
        std::thread::spawn(move || {
            // Destructors run in one order or the other: one local is registered before the library's own, one after it.
            EARLY.with(|e| *e.0.borrow_mut() = Some((numbers.clone(), 1)));
            numbers.write().unwrap().push(0).unwrap();
            LATE.with(|l| *l.0.borrow_mut() = Some((numbers.clone(), 2)));
        })
        .join()
        .unwrap();
    }
    let mut all = numbers.read().unwrap().to_vec();
    all.sort_unstable();
    let expected: Vec<u64> = [0, 1, 2].into_iter().flat_map(|n| std::iter::repeat_n(n, 200)).collect();
    assert_eq!(all, expected);
    drop(numbers);
    assert_clean(&pool);
}

#[test]
fn threads_may_come_and_go_by_the_thousand() {
    let pool = pool();
    let numbers: Named<ShRwLock<ShMap<u64, ShVec<u64>>>> = pool.named("numbers").unwrap();
    for round in 0..100u64 {
        std::thread::scope(|s| {
            for i in 0..10 {
                let numbers = &numbers;
                s.spawn(move || numbers.write().unwrap().entry(i).or_default().unwrap().push(round).unwrap());
            }
        });
    }
    assert!(numbers.read().unwrap().values().all(|v| v.iter().copied().eq(0..100)));
    assert_clean(&pool);
}

#[test]
fn a_guard_leaked_by_a_thread_that_ended_lasts_as_long_as_its_process() {
    let pool = pool();
    let numbers: Named<Numbers> = pool.named("numbers").unwrap();
    let child = Child::fork_until_ready(|steps| {
        let other = numbers.clone();
        std::thread::spawn(move || {
            let mut guard = other.write().unwrap();
            guard.push(1).unwrap();
            std::mem::forget(guard);
            std::mem::forget(other);
        })
        .join()
        .unwrap();
        assert!(numbers.try_read().is_err());
        steps.reach_and_stay(1);
    });
    assert!(numbers.try_write().is_err());
    child.kill();
    let guard = numbers.write().unwrap();
    assert!(guard.recovered());
    assert_eq!(**guard, [1], "what was finished stands");
}

#[test]
fn a_parent_killed_before_its_child_leaves_the_child_at_work() {
    let pool = pool();
    let numbers: Named<Numbers> = pool.named("numbers").unwrap();
    let board = Board::new(2);
    let parent = Child::fork(|steps| {
        let mut guard = numbers.write().unwrap();
        guard.push(1).unwrap();
        // SAFETY: the grandchild uses only what a forked child may, and never returns.
        if unsafe { libc::fork() } == 0 {
            board[0].store(1, Ordering::SeqCst);
            // Waits until the holder, its parent, is dead and buried.
            let done = catch_unwind(AssertUnwindSafe(|| numbers.write().unwrap().push(2).unwrap())).is_ok();
            board[1].store(1 + done as u64, Ordering::SeqCst);
            // SAFETY: ends this process at once.
            unsafe { libc::_exit(0) };
        }
        steps.reach_and_stay(1);
    });
    parent.await_step(1);
    support::until("the grandchild", || board[0].load(Ordering::SeqCst) == 1);
    parent.kill();
    support::until("the grandchild's end", || board[1].load(Ordering::SeqCst) == 2);
    assert_eq!(*numbers.read().unwrap(), [1, 2]);
}

#[test]
fn a_pool_is_used_from_many_threads_while_the_process_forks() {
    let pool = pool();
    let numbers: Named<Numbers> = pool.named("numbers").unwrap();
    let stop = Board::new(1);
    std::thread::scope(|s| {
        for _ in 0..2 {
            s.spawn(|| {
                while stop[0].load(Ordering::SeqCst) == 0 {
                    let mut guard = numbers.write().unwrap();
                    guard.push(0).unwrap();
                    if guard.len() > 1000 {
                        guard.clear();
                        guard.shrink_to_fit().unwrap();
                    }
                }
            });
        }
        let forked = catch_unwind(AssertUnwindSafe(|| {
            for i in 0..50 {
                let child = Child::fork(|_| numbers.write().unwrap().push(i).unwrap());
                if i % 2 == 0 { child.finish() } else { drop(child) }
            }
        }));
        stop[0].store(1, Ordering::SeqCst);
        forked.unwrap();
    });
    drop(numbers);
    assert_clean(&pool);
}
