//! Processes killed while they hold locks or are in the middle of an operation: the others go on, and nothing is half done.

#![allow(unsafe_code, missing_docs, clippy::unwrap_used)]

mod support;

use aquifer::{
    DefaultInPool, Error, MutexGuard, Named, Place, Pool, Relocatable, ShMap, ShMutex, ShRwLock, ShString,
    ShVec, Taken,
};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use support::{Board, Child, Random, Scratch, assert_clean, small_pool as pool, until};

type Numbers = ShRwLock<ShVec<u64>>;
type Words = ShRwLock<ShMap<ShString, ShVec<ShString>>>;

const LONG: &str = "a string far too long to be kept inside the value itself";

/// Kills the child, then does `next`, which waits for what the child held; prints the kernel's part and ours.
fn timed<R>(what: &str, child: Child, next: impl FnOnce() -> R) -> R {
    let kernel = child.kill();
    let begin = Instant::now();
    let result = next();
    println!(
        "{what}: the kernel took {kernel:?} from the signal to the end of the process, then we {:?}",
        begin.elapsed()
    );
    result
}

#[test]
fn a_killed_holder_of_a_write_lock_lets_the_others_go_on_and_its_finished_operations_stand() {
    let pool = pool();
    let numbers: Named<Numbers> = pool.named("numbers").unwrap();
    let child = Child::fork_until_ready(|steps| {
        let mut guard = numbers.write().unwrap();
        guard.push(1).unwrap();
        guard.push(2).unwrap();
        steps.reach_and_stay(1);
    });
    assert!(numbers.try_read().is_err());
    let mut guard = timed("write lock", child, || numbers.write().unwrap());
    assert!(guard.recovered(), "the guard tells of the death");
    assert_eq!(**guard, [1, 2]);
    guard.push(3).unwrap();
    drop(guard);
    assert!(!numbers.write().unwrap().recovered(), "the news is told once");
    assert_clean(&pool);
}

#[test]
fn a_killed_holder_of_a_mutex_lets_the_others_go_on() {
    let pool = pool();
    let count: Named<ShMutex<u64>> = pool.named("count").unwrap();
    let child = Child::fork_until_ready(|steps| {
        let mut guard = count.lock().unwrap();
        *guard += 1;
        guard.commit();
        steps.reach_and_stay(1);
    });
    let guard = timed("mutex", child, || count.lock().unwrap());
    assert!(guard.recovered());
    assert_eq!(*guard, 1);
    drop(guard);
    assert_clean(&pool);
}

#[test]
fn a_killed_reader_lets_a_writer_in() {
    let pool = pool();
    let numbers: Named<Numbers> = pool.named("numbers").unwrap();
    let child = Child::fork_until_ready(|steps| {
        let guard = numbers.read().unwrap();
        assert!(guard.is_empty());
        steps.reach_and_stay(1);
    });
    assert!(numbers.try_write().is_err());
    let guard = timed("read lock", child, || numbers.write().unwrap());
    assert!(!guard.recovered(), "a reader leaves nothing unfinished");
    drop(guard);
    assert_clean(&pool);
}

#[test]
fn those_that_already_wait_go_on_too() {
    let pool = pool();
    let numbers: Named<Numbers> = pool.named("numbers").unwrap();
    let holder = Child::fork_until_ready(|steps| {
        let mut guard = numbers.write().unwrap();
        guard.push(1).unwrap();
        steps.reach_and_stay(1);
    });
    let waiters: Vec<Child> = (0..4u64)
        .map(|i| {
            Child::fork_until_ready(|steps| {
                pool.info();
                steps.reach(1);
                if i % 2 == 0 {
                    numbers.write().unwrap().push(10).unwrap();
                } else {
                    assert_eq!(numbers.read().unwrap()[0], 1);
                }
            })
        })
        .collect();
    holder.kill();
    waiters.into_iter().for_each(Child::finish);
    assert_eq!(*numbers.read().unwrap(), [1, 10, 10]);
    assert_clean(&pool);
}

#[test]
fn a_waiter_that_is_killed_keeps_nobody_waiting() {
    let pool = pool();
    let numbers: Named<Numbers> = pool.named("numbers").unwrap();
    let guard = numbers.read().unwrap();
    let victims: Vec<Child> = (0..3)
        .map(|_| {
            Child::fork_until_ready(|steps| {
                steps.reach(1);
                drop(numbers.write());
                panic!("the lock was had beside a reader");
            })
        })
        .collect();
    until("a writer that waits", || {
        numbers.try_read().is_err() || victims.iter().any(|v| v.has_ended()) || waits(&victims)
    });
    victims.into_iter().for_each(|v| {
        v.kill();
    });
    drop(guard);
    numbers.write().unwrap().push(1).unwrap();
    assert_eq!(*numbers.read().unwrap(), [1]);
    assert_clean(&pool);
}

/// Whether the kernel shows a child asleep: it waits for the lock.
fn waits(children: &[Child]) -> bool {
    children.iter().any(|c| {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", c.pid())).unwrap();
        stat.rsplit(')').next().unwrap().trim_start().starts_with('S')
    })
}

#[test]
fn a_value_is_never_seen_half_built_wherever_its_builder_is_killed() {
    let pool = pool();
    let words: Named<Words> = pool.named("words").unwrap();
    let board = Board::new(1);
    let mut random = Random::from_environment(3);
    for round in 0..60 {
        board[0].store(0, Ordering::SeqCst);
        let child = Child::fork(|_| build_and_remove(&words, &board));
        let some = 1 + random.below(40);
        until("operations", || board[0].load(Ordering::SeqCst) >= some || child.has_ended());
        child.kill();
        let mut guard = words.write().unwrap();
        for (key, value) in guard.iter() {
            assert_eq!(value.len(), 3, "round {round}: `{key}` is half built");
            assert!(value.iter().all(|v| *v == LONG));
        }
        guard.clear();
    }
    assert!(words.read().unwrap().is_empty());
    assert_clean(&pool);
}

fn build_and_remove(words: &Named<Words>, board: &Board) {
    for i in 0u64.. {
        let mut guard = words.write().unwrap();
        guard.insert(format_args!("{LONG} {}", i % 7), [LONG, LONG, LONG]).unwrap();
        if i % 3 == 0 {
            guard.remove(format!("{LONG} {}", (i + 2) % 7).as_str());
        }
        drop(guard);
        board[0].fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn a_source_killed_halfway_leaves_no_block_behind() {
    let pool = pool();
    let words: Named<Words> = pool.named("words").unwrap();
    words.write().unwrap().insert("kept", [LONG]).unwrap();
    let before = pool.stats().used;
    let child = Child::fork_until_ready(|steps| {
        let mut guard = words.write().unwrap();
        // Half of the strings have blocks of their own when the source stops; none is linked.
        let items = (0..100).map(|i| {
            if i == 50 {
                steps.reach_and_stay(1);
            }
            format!("{LONG} {i}")
        });
        guard.insert("lost", aquifer::from_iter(items)).unwrap();
    });
    child.kill();
    let guard = words.write().unwrap();
    assert!(guard.recovered());
    assert!(!guard.contains_key("lost"));
    assert_eq!(guard["kept"], [LONG]);
    drop(guard);
    println!("{before} bytes used before, {} after", pool.stats().used);
    assert_clean(&pool);
}

#[test]
fn the_heaps_own_lock_is_freed_when_its_holder_is_killed() {
    // Large blocks are taken and given back under the heap's lock, most of the time that this child lives.
    let pool = pool();
    let board = Board::new(1);
    for _ in 0..40 {
        board[0].store(0, Ordering::SeqCst);
        let child = Child::fork(|_| {
            let own: Named<ShMutex<ShVec<ShVec<u64>>>> = pool.named("child's").unwrap();
            loop {
                let mut own = own.lock().unwrap();
                own.push(ShVec::new()).unwrap();
                own.last_mut().unwrap().reserve(2000).unwrap();
                if own.len() > 4 {
                    own.clear();
                }
                drop(own);
                board[0].fetch_add(1, Ordering::SeqCst);
            }
        });
        until("operations", || board[0].load(Ordering::SeqCst) > 20);
        child.kill();
        let mine: Named<ShMutex<ShVec<u64>>> = pool.named("parent's").unwrap();
        let mut mine = mine.lock().unwrap();
        mine.reserve(5000).unwrap();
        mine.clear();
        mine.shrink_to_fit().unwrap();
    }
    assert_clean(&pool);
}

#[test]
fn a_stopped_holder_is_alive_and_is_named() {
    let pool = pool();
    let numbers: Named<Numbers> = pool.named("numbers").unwrap();
    let child = Child::fork_until_ready(|steps| {
        let _guard = numbers.write().unwrap();
        steps.reach_and_stay(1);
    });
    // SAFETY: signals to, and a wait for, a child of ours.
    unsafe {
        let mut status = 0;
        libc::kill(child.pid(), libc::SIGSTOP);
        assert_eq!(libc::waitpid(child.pid(), &mut status, libc::WUNTRACED), child.pid());
        assert!(libc::WIFSTOPPED(status));
    }
    match numbers.write_timeout(Duration::from_millis(30)) {
        Err(Error::Timeout(holder)) => {
            assert_eq!(holder.process, child.pid() as u32);
            assert_eq!(holder.thread, child.pid() as u32, "a forked child's only thread has its number");
        }
        Err(e) => panic!("{e}"),
        Ok(_) => panic!("the lock of a stopped process was taken"),
    }
    child.kill();
    assert!(numbers.write().unwrap().recovered());
}

#[test]
fn a_lock_freed_while_a_forgotten_guard_holds_it_troubles_nobody() {
    type Inner = ShMap<u64, ShMutex<ShVec<ShString>>>;
    let pool = pool();
    let outer: Named<ShRwLock<Inner>> = pool.named("outer").unwrap();
    outer.write().unwrap().insert(1, ShMutex::new([LONG])).unwrap();
    let child = Child::fork_until_ready(|steps| {
        let outer = outer.read().unwrap();
        std::mem::forget(outer[&1].lock().unwrap());
        drop(outer);
        steps.reach_and_stay(1);
    });
    // Nobody borrows the inner lock any more, so its owner may remove it; the forgotten guard's process lives.
    drop(outer.write().unwrap().remove(&1));
    for i in 0..200 {
        outer.write().unwrap().insert(i, ShMutex::new([LONG, LONG])).unwrap();
    }
    child.kill();
    for i in 0..200 {
        let outer = outer.read().unwrap();
        let mut inner = outer[&i].lock().unwrap();
        assert_eq!(**inner, [LONG, LONG]);
        inner.clear();
    }
    assert_clean(&pool);
}

#[test]
fn a_file_pool_is_found_whole_after_all_its_processes_were_killed() {
    let scratch = Scratch::new();
    let path = scratch.file("pool");
    let child = Child::fork_until_ready(|steps| {
        let pool = Pool::options().create(path.as_path()).unwrap();
        let words: Named<Words> = pool.named("words").unwrap();
        let other: Named<Numbers> = pool.named("numbers").unwrap();
        words.write().unwrap().insert("kept", [LONG, "short"]).unwrap();
        let mut numbers = other.write().unwrap();
        numbers.extend(0..1000u64).unwrap();
        let items = (0..10).map(|i| {
            if i == 5 {
                steps.reach_and_stay(1);
            }
            LONG
        });
        words.write().unwrap().insert("lost", aquifer::from_iter(items)).unwrap();
    });
    child.kill();
    let pool = Pool::options().open(path.as_path()).unwrap();
    assert!(!pool.info().found_clean);
    let words: Named<Words> = pool.named("words").unwrap();
    let numbers: Named<Numbers> = pool.named("numbers").unwrap();
    assert_eq!(words.read().unwrap()["kept"], [LONG, "short"]);
    assert_eq!(words.read().unwrap().len(), 1);
    assert!(numbers.read().unwrap().iter().copied().eq(0..1000));
    assert_clean(&pool);
    drop((words, numbers, pool));
    assert!(Pool::options().open(path.as_path()).unwrap().info().found_clean);
}

#[test]
fn those_who_only_try_get_a_dead_holders_lock_too() {
    let pool = pool();
    let numbers: Named<Numbers> = pool.named("numbers").unwrap();
    let count: Named<ShMutex<u64>> = pool.named("count").unwrap();
    let letters: Named<Numbers> = pool.named("letters").unwrap();
    let child = Child::fork_until_ready(|steps| {
        let _numbers = numbers.write().unwrap();
        let _count = count.lock().unwrap();
        let _letters = letters.read().unwrap();
        steps.reach_and_stay(1);
    });
    child.kill();
    // The kernel may take a moment longer than the parent's wait to let go of a dead process's files.
    until("the reader's lock", || letters.try_write().is_ok());
    until("the mutex", || count.try_lock().is_ok());
    until("the writer's lock", || numbers.try_read().is_ok());
    assert_eq!(pool.info().processes, 1, "the dead one is buried");
}

#[test]
fn a_long_transaction_killed_while_it_frees_is_finished_by_whoever_comes() {
    let pool = pool();
    let numbers: Named<Numbers> = pool.named("numbers").unwrap();
    let lists: Named<ShRwLock<ShVec<ShString>>> = pool.named("lists").unwrap();
    for _ in 0..20 {
        numbers.write().unwrap().clear();
        lists.write().unwrap().extend((0..20_000).map(|_| LONG)).unwrap();
        let child = Child::fork_until_ready(|steps| {
            let _ = pool.transaction(|tx| {
                let numbers = tx.write(&numbers)?;
                // More records than stand in the seat.
                (0..40).try_for_each(|i| numbers.push(i))?;
                tx.write(&lists)?.clear();
                steps.reach(1);
                Ok(())
            });
            steps.reach_and_stay(2);
        });
        std::thread::sleep(Duration::from_micros(500));
        let was_at_work = !child.has_reached(2);
        child.kill();
        let guard = numbers.write().unwrap();
        assert!(matches!(guard.len(), 0 | 40), "{} of 40", guard.len());
        let was_final = guard.len() == 40;
        drop(guard);
        assert_eq!(lists.read().unwrap().is_empty(), was_final);
        assert_clean(&pool);
        if was_at_work && was_final {
            return;
        }
    }
    panic!("never killed while it freed");
}

#[derive(Relocatable, DefaultInPool)]
#[repr(C)]
struct Three {
    lists: ShVec<ShVec<u64>>,
    names: ShVec<ShString>,
    others: ShVec<ShString>,
}

type End = fn(Taken<'_, ShString>, &mut Place<ShVec<ShString>>);

fn push_and_end(three: &mut MutexGuard<'_, Three>, kill: bool, end: End) {
    let ThreeFields { lists, names, others } = three.fields_mut();
    let mut name = names.pop();
    let source = (0..1000u64).inspect(|&i| {
        if i == 100 {
            end(name.take().unwrap(), others);
        }
        assert!(kill || i < 500, "on purpose");
    });
    let _ = catch_unwind(AssertUnwindSafe(|| lists.push(aquifer::from_iter(source))));
}

/// Pushes a list, within whose making `end` is called with a name that was taken out before; then is killed, or the making fails.
fn a_push_within_which_a_hold_ends(kill: bool, end: End) -> (Pool, Named<ShMutex<Three>>) {
    let pool = pool();
    let three = pool.named::<ShMutex<Three>>("three").unwrap();
    three.lock().unwrap().names_mut().push(LONG).unwrap();
    let child = Child::fork_until_ready(|steps| {
        let mut guard = three.lock().unwrap();
        push_and_end(&mut guard, kill, end);
        // Blocks that were free are somebody's now.
        guard.others_mut().extend((0..100).map(|_| LONG)).unwrap();
        if kill {
            steps.reach_and_stay(1);
        }
        drop(guard);
        steps.reach(1);
    });
    match kill {
        true => drop(child.kill()),
        false => child.finish(),
    }
    (pool, three)
}

#[test]
fn a_value_dropped_within_an_operation_that_began_after_it_was_taken_out() {
    for kill in [true, false] {
        let (pool, three) = a_push_within_which_a_hold_ends(kill, |name, _| drop(name));
        let guard = three.lock().unwrap();
        assert_eq!(guard.lists.len(), kill as usize, "what has returned is final");
        assert!(guard.lists.iter().all(|l| l.iter().copied().eq(0..1000)));
        assert_eq!((guard.names.len(), guard.others.len()), (0, 100));
        drop(guard);
        assert_clean(&pool);
    }
}

#[test]
fn a_value_put_elsewhere_within_an_operation_that_began_after_it_was_taken_out() {
    let (pool, three) = a_push_within_which_a_hold_ends(true, |name, others| others.push(name).unwrap());
    let guard = three.lock().unwrap();
    assert_eq!(guard.lists.len(), 1, "what has returned is final");
    assert!(guard.lists[0].iter().copied().eq(0..1000));
    assert!(guard.names.is_empty());
    assert!(guard.others.iter().all(|o| o == LONG));
    drop(guard);
    assert_clean(&pool);
}

#[test]
fn a_value_put_elsewhere_by_a_source_whose_call_then_fails() {
    let pool = pool();
    let three = pool.named::<ShMutex<Three>>("three").unwrap();
    three.lock().unwrap().names_mut().push(LONG).unwrap();
    let put = |name: Taken<'_, ShString>, others: &mut Place<ShVec<ShString>>| others.push(name).unwrap();
    Child::fork(|_| push_and_end(&mut three.lock().unwrap(), false, put)).abort();
    // A reference to it may have been kept: so nothing has happened at all.
    let guard = three.lock().unwrap();
    assert_eq!((guard.lists.len(), guard.names.len(), guard.others.len()), (0, 1, 0));
    drop(guard);
    assert_clean(&pool);
}

#[test]
fn a_value_taken_out_and_dropped_within_an_operation_that_then_fails_or_is_killed() {
    let pool = pool();
    let three = pool.named::<ShMutex<Three>>("three").unwrap();
    let elsewhere = pool.named::<ShMutex<ShVec<ShString>>>("elsewhere").unwrap();
    three.lock().unwrap().names_mut().extend([LONG; 4]).unwrap();
    let child = Child::fork_until_ready(|steps| {
        for kill in [false, true] {
            let mut guard = three.lock().unwrap();
            let ThreeFields { lists, names, .. } = guard.fields_mut();
            let source = (0..1000u64).inspect(|&i| {
                match i {
                    100 => drop(names.pop()),
                    // Removal and insertion are final together, and nothing else with them.
                    200 => elsewhere.lock().unwrap().push(names.pop().unwrap()).unwrap(),
                    500 if kill => steps.reach_and_stay(1),
                    500 => panic!("on purpose"),
                    _ => {}
                }
            });
            assert!(catch_unwind(AssertUnwindSafe(|| lists.push(aquifer::from_iter(source)))).is_err());
        }
    });
    child.kill();
    let guard = three.lock().unwrap();
    assert_eq!((guard.lists.len(), guard.names.len()), (0, 0));
    assert!(elsewhere.lock().unwrap().iter().eq([LONG; 2]));
    drop(guard);
    assert_clean(&pool);
}

#[test]
fn a_value_cannot_be_put_under_another_guard_within_an_operation_that_began_after_it_was_taken_out() {
    let pool = pool();
    let three = pool.named::<ShMutex<Three>>("three").unwrap();
    let elsewhere = pool.named::<ShMutex<ShVec<ShString>>>("elsewhere").unwrap();
    three.lock().unwrap().names_mut().push(LONG).unwrap();
    let child = Child::fork_until_ready(|steps| {
        let mut guard = three.lock().unwrap();
        let ThreeFields { lists, names, .. } = guard.fields_mut();
        let mut name = names.pop();
        let source = (0..1000u64).inspect(|i| {
            if *i == 100 {
                let put = elsewhere.lock().unwrap().push(name.take().unwrap());
                assert!(matches!(put, Err(Error::TakenElsewhere(_))));
            }
        });
        lists.push(aquifer::from_iter(source)).unwrap();
        steps.reach_and_stay(1);
    });
    child.kill();
    let guard = three.lock().unwrap();
    assert_eq!((guard.lists.len(), guard.names.len()), (1, 0), "what has returned is final");
    assert!(elsewhere.lock().unwrap().is_empty());
    drop(guard);
    assert_clean(&pool);
}

#[test]
fn a_value_put_under_another_guard_by_a_call_that_fails_after_more_was_done_under_its_own() {
    let pool = pool();
    let three = pool.named::<ShMutex<Three>>("three").unwrap();
    let elsewhere = pool.named::<ShMutex<ShVec<ShVec<ShString>>>>("elsewhere").unwrap();
    let mut guard = three.lock().unwrap();
    guard.names_mut().push(LONG).unwrap();
    let ThreeFields { names, others, .. } = guard.fields_mut();
    let source = names.pop().into_iter().chain(std::iter::from_fn(|| {
        others.push(LONG).unwrap();
        panic!("on purpose");
    }));
    let mut target = elsewhere.lock().unwrap();
    assert!(catch_unwind(AssertUnwindSafe(|| target.push(aquifer::from_iter(source)))).is_err());
    assert!(target.is_empty());
    drop(target);
    assert!(guard.names.is_empty(), "dropped, as with `std`");
    assert!(guard.others.iter().eq([LONG]));
    drop(guard);
    assert_clean(&pool);
}
