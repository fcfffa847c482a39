//! Handles that a child of a fork inherits.

#![allow(unsafe_code, missing_docs, clippy::unwrap_used)]

mod support;

use aquifer::{Handle, Named, Pool, ShMutex, ShRwLock, ShString, ShVec, from_iter};
use std::alloc::Layout;
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use support::{Child, assert_clean, until};

type Numbers = ShRwLock<ShVec<u64>>;

fn pool() -> Pool {
    Pool::options().memfd().unwrap()
}

fn numbers(pool: &Pool, name: &str) -> Named<Numbers> {
    pool.named_with(name, || ShRwLock::new(from_iter(0..100_000u64))).unwrap()
}

#[test]
fn a_child_holds_what_its_parent_held_when_the_parent_lets_go() {
    let pool = pool();
    drop(numbers(&pool, "numbers"));
    assert!(pool.remove("numbers").unwrap());
    let empty = pool.stats().used;
    let held = numbers(&pool, "numbers");
    let child = Child::fork_until_ready(|steps| {
        assert_eq!(held.read().unwrap().len(), 100_000);
        steps.reach(1);
        steps.await_word(1);
        assert!(held.read().unwrap().iter().copied().eq(0..100_000));
        held.write().unwrap().push(1).unwrap();
    });
    assert!(pool.remove("numbers").unwrap());
    drop(held);
    assert!(pool.stats().used > empty + 700_000, "the child holds it");
    assert_clean(&pool);
    child.tell(1);
    child.finish();
    until("the end of the child's hold", || {
        assert_clean(&pool);
        pool.stats().used < empty + 100_000
    });
}

#[test]
fn an_object_that_went_before_the_child_joined_is_a_panic() {
    let pool = pool();
    let held = numbers(&pool, "numbers");
    let child = Child::fork_until_ready(|steps| {
        steps.reach(1);
        steps.await_word(1);
        let read = catch_unwind(AssertUnwindSafe(|| held.read().map(|n| n.len())));
        assert!(read.is_err(), "{:?}", read.ok());
        assert!(pool.look_up::<Numbers>("numbers").unwrap().is_none());
        numbers(&pool, "numbers").write().unwrap().push(1).unwrap();
    });
    assert!(pool.remove("numbers").unwrap());
    drop(held);
    child.tell(1);
    child.finish();
    assert_eq!(numbers(&pool, "numbers").read().unwrap().len(), 100_001);
    assert_clean(&pool);
}

#[test]
fn a_child_takes_no_blocks_that_its_parent_has_in_hand() {
    let pool = pool();
    let layout = Layout::new::<[u64; 8]>();
    let first = pool.alloc(layout).unwrap();
    let fill = |byte: u8, blocks: &[Handle]| {
        for block in blocks {
            // SAFETY: a block of that size, which is the caller's.
            unsafe { pool.resolve_handle(*block).unwrap().write_bytes(byte, layout.size()) };
        }
    };
    let holds = |byte: u8, blocks: &[Handle]| {
        blocks.iter().all(|block| {
            let at = pool.resolve_handle(*block).unwrap().cast::<[u8; 64]>();
            // SAFETY: as above, and filled.
            unsafe { at.read() }.iter().all(|b| *b == byte)
        })
    };
    let child = Child::fork_until_ready(|steps| {
        let theirs: Vec<Handle> = (0..200).map(|_| pool.alloc(layout).unwrap()).collect();
        fill(2, &theirs);
        // SAFETY: the parent's block, which it does not use any more.
        unsafe { pool.free(first) }.unwrap();
        steps.reach(1);
        steps.await_word(1);
        assert!(holds(2, &theirs));
        // SAFETY: blocks of this process, freed once.
        theirs.into_iter().for_each(|block| unsafe { pool.free(block) }.unwrap());
    });
    let ours: Vec<Handle> = (0..200).map(|_| pool.alloc(layout).unwrap()).collect();
    fill(1, &ours);
    child.tell(1);
    child.finish();
    assert!(holds(1, &ours));
    // SAFETY: as above.
    ours.into_iter().for_each(|block| unsafe { pool.free(block) }.unwrap());
    let report = pool.check().unwrap();
    assert!(report.is_clean() && report.by_hand.is_empty(), "{report}");
}

#[test]
fn handles_dropped_in_a_child_take_nothing_from_the_parent() {
    let pool = pool();
    let held = numbers(&pool, "numbers");
    for use_first in [false, true] {
        let clone = held.clone();
        let again = numbers(&pool, "numbers");
        // SAFETY: copies that only the child drops: it never returns to its parent's frames.
        let copy = unsafe { std::ptr::read(&held) };
        let copy = std::mem::ManuallyDrop::new(copy);
        Child::fork(move |_| {
            if use_first {
                assert_eq!(clone.read().unwrap().len(), 100_000);
            }
            drop((clone, again));
            drop(std::mem::ManuallyDrop::into_inner(copy));
        })
        .finish();
        assert_eq!(held.read().unwrap().len(), 100_000);
    }
    assert!(pool.remove("numbers").unwrap());
    assert_clean(&pool);
    assert_eq!(held.read().unwrap().len(), 100_000);
    let before = pool.stats().used;
    drop(held);
    assert!(pool.stats().used + 700_000 < before);
    assert_clean(&pool);
}

#[test]
fn many_handles_of_one_object_come_and_go_in_many_threads() {
    let pool = pool();
    std::thread::scope(|s| {
        for t in 0..4u64 {
            let pool = &pool;
            s.spawn(move || {
                for i in 0..300 {
                    let name = ["a", "b", "c"][(t + i) as usize % 3];
                    let one: Named<Numbers> = pool.named(name).unwrap();
                    let two: Named<Numbers> = pool.named(name).unwrap();
                    one.write().unwrap().push(i).unwrap();
                    if i % 7 == t {
                        pool.remove(name).unwrap();
                    }
                    drop(two); // of the same object, or of a later one of that name
                    assert!(one.read().unwrap().contains(&i));
                }
            });
        }
    });
    assert_clean(&pool);
    for name in ["a", "b", "c"] {
        pool.remove(name).unwrap();
    }
    assert!(pool.names().unwrap().is_empty());
    assert_clean(&pool);
}

/// The child's copy freed what the parent's still named: both stand on the parent's log.
#[test]
fn a_taken_value_that_a_child_drops_stays_the_parents() {
    const TEXT: &str = "a text that is too long to stand in its value";
    let pool = pool();
    let texts = pool.named::<ShMutex<ShVec<ShString>>>("texts").unwrap();
    let others = pool.named::<ShMutex<ShVec<ShString>>>("others").unwrap();
    let mut guard = texts.lock().unwrap();
    guard.push(TEXT).unwrap();
    let mut taken = ManuallyDrop::new(guard.pop().unwrap());
    Child::fork_until_ready(|steps| {
        // SAFETY: the only drop in this process.
        unsafe { ManuallyDrop::drop(&mut taken) };
        steps.reach(1);
    })
    .finish();
    for i in 0..9 {
        others.lock().unwrap().push(TEXT.replace('t', &i.to_string()).as_str()).unwrap();
    }
    assert_eq!(**taken, TEXT);
    drop(ManuallyDrop::into_inner(taken));
    drop(guard);
    assert_clean(&pool);
}

/// The child undid what the parent had begun, and the parent went on with blocks that were free.
#[test]
fn a_child_that_unwinds_out_of_a_call_of_the_parents_undoes_nothing() {
    let pool = pool();
    let parent = std::process::id();
    let source = || {
        ShRwLock::new(from_iter((0..1000u64).inspect(|i| {
            if *i == 900 {
                // SAFETY: the child unwinds and ends.
                let child = unsafe { libc::fork() };
                assert!(child != 0, "in the child");
                // SAFETY: waits for the child.
                unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) };
            }
        })))
    };
    let made = catch_unwind(AssertUnwindSafe(|| pool.named_with::<Numbers, _>("numbers", source)));
    if std::process::id() != parent {
        // SAFETY: ends this process, without the destructors of the parent's.
        unsafe { libc::_exit(made.is_ok() as i32) };
    }
    let numbers = made.unwrap().unwrap();
    let others = pool.named_with::<Numbers, _>("others", || ShRwLock::new(from_iter(5000..6000u64))).unwrap();
    assert!(numbers.read().unwrap().iter().copied().eq(0..1000));
    assert_eq!(others.read().unwrap().len(), 1000);
    assert_clean(&pool);
}
