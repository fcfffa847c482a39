//! Copies of pools in use, files left behind by the dead, and when a pool is checked in full before its values are read.

#![allow(unsafe_code, missing_docs, clippy::unwrap_used)]

mod support;

use aquifer::{Error, Named, Pool, ShMap, ShMutex, ShRwLock, ShString, ShVec};
use std::os::unix::fs::FileExt;
use std::path::Path;
use support::{Child, Random, Scratch, assert_clean, until};

type Lists = ShRwLock<ShMap<u64, ShVec<ShString>>>;
type Sum = ShMutex<ShVec<u64>>;

const LONG: &str = "a text that is too long to stand in its value";

/// Changes both objects in one transaction, for ever: a list for each number below the vector's length, of that many texts.
fn work(pool: &Pool) {
    let (lists, sum): (Named<Lists>, Named<Sum>) = (pool.named("lists").unwrap(), pool.named("sum").unwrap());
    for round in 0u64.. {
        let changed = pool.transaction(|tx| {
            let (lists, sum) = (tx.write(&lists)?, tx.lock(&sum)?);
            if sum.len() == 40 {
                lists.clear();
                sum.clear();
            }
            let n = sum.len() as u64;
            lists.insert(n, aquifer::from_iter((0..n % 7).map(|_| LONG)))?;
            sum.push(n * 2)
        });
        assert!(
            changed.is_ok() || matches!(changed, Err(Error::WouldDeadlock(_))),
            "{changed:?} in round {round}"
        );
    }
}

/// Whether the objects are as after some transaction, and none of them half.
fn assert_whole(pool: &Pool) {
    let (lists, sum): (Named<Lists>, Named<Sum>) = (pool.named("lists").unwrap(), pool.named("sum").unwrap());
    let (lists, sum) = (lists.write().unwrap(), sum.lock().unwrap());
    assert!(sum.iter().enumerate().all(|(i, n)| *n == i as u64 * 2), "{:?}", sum.to_vec());
    assert_eq!(lists.len(), sum.len());
    for (n, list) in lists.iter() {
        assert!(list.len() as u64 == n % 7 && list.iter().all(|s| s == LONG), "{n}");
    }
}

fn stop(child: &Child) {
    // SAFETY: signals to a child of ours that is not reaped.
    unsafe { libc::kill(child.pid(), libc::SIGSTOP) };
    until("the stop", || {
        let status = std::fs::read_to_string(format!("/proc/{}/stat", child.pid())).unwrap();
        status.rsplit(") ").next().is_some_and(|rest| rest.starts_with('T'))
    });
}

fn go_on(child: &Child) {
    // SAFETY: as above.
    unsafe { libc::kill(child.pid(), libc::SIGCONT) };
}

#[test]
fn a_copy_of_a_pool_in_use_opens_with_what_was_finished() {
    let mut random = Random::from_environment(11);
    let scratch = Scratch::new();
    let pool = Pool::options().create(scratch.name()).unwrap();
    let children: Vec<Child> = (0..2)
        .map(|_| {
            Child::fork_until_ready(|steps| {
                steps.reach(1);
                work(&pool);
            })
        })
        .collect();
    let mut undone = 0;
    for i in 0..25 {
        for _ in 0..random.below(300_000) {
            std::hint::spin_loop();
        }
        // A copy takes its time: so that it is of one moment, everybody stands still, wherever they are.
        children.iter().for_each(stop);
        let copy = scratch.file(&format!("copy {i}"));
        std::fs::copy(scratch.shared_path(), &copy).unwrap();
        children.iter().for_each(go_on);
        // Whoever opens it finds everybody dead, and checks it in full, since it was not closed in order.
        let copied = Pool::options().open(copy.as_path()).unwrap();
        assert_eq!(copied.info().processes, 1);
        undone += copied.named::<Sum>("sum").unwrap().lock().unwrap().recovered() as u32;
        assert_whole(&copied);
        assert_clean(&copied);
        drop(copied);
        std::fs::remove_file(copy).unwrap();
    }
    children.into_iter().for_each(|c| {
        c.kill();
    });
    assert_whole(&pool);
    assert_clean(&pool);
    println!("{undone} copies were made within a transaction");
}

#[test]
fn a_copy_that_was_torn_is_refused_or_whole_and_never_crashes() {
    let scratch = Scratch::new();
    let pool = Pool::options().create(scratch.name()).unwrap();
    let child = Child::fork_until_ready(|steps| {
        steps.reach(1);
        work(&pool);
    });
    let (mut opened, mut refused) = (0, 0);
    for i in 0..15 {
        let copy = scratch.file(&format!("copy {i}"));
        std::fs::copy(scratch.shared_path(), &copy).unwrap();
        match Pool::options().open(copy.as_path()) {
            Ok(copied) => {
                opened += 1;
                assert!(copied.check().unwrap().findings.is_empty());
                let lists: Named<Lists> = copied.named("lists").unwrap();
                assert!(lists.read().unwrap().values().flat_map(|l| l.iter()).all(|s| s.len() <= LONG.len()));
            }
            Err(e) => {
                refused += 1;
                assert!(matches!(e, Error::Damaged(_)), "{e}");
            }
        }
        std::fs::remove_file(copy).unwrap();
    }
    child.kill();
    println!("{opened} opened, {refused} refused");
}

#[test]
fn a_file_whose_processes_were_all_killed_opens_with_what_was_finished() {
    let scratch = Scratch::new();
    for round in 0..8u64 {
        let path = scratch.file(&format!("pool {round}"));
        drop(Pool::options().create(path.as_path()).unwrap());
        let children: Vec<Child> = (0..3)
            .map(|_| {
                Child::fork(|steps| {
                    let pool = Pool::options().open(path.as_path()).unwrap();
                    steps.reach(1);
                    work(&pool);
                })
            })
            .collect();
        children.iter().for_each(|c| c.await_step(1));
        for _ in 0..round * 50_000 {
            std::hint::spin_loop();
        }
        children.iter().for_each(stop);
        children.into_iter().for_each(|c| {
            c.kill();
        });
        let pool = Pool::options().open(path.as_path()).unwrap();
        assert!(!pool.info().found_clean && pool.info().processes == 1);
        assert_whole(&pool);
        assert_clean(&pool);
        drop(pool);
        assert!(Pool::options().open(path.as_path()).unwrap().info().found_clean);
    }
}

/// A pool in a file whose object has a string that is none. `in_order`: its last process has left, else it was killed.
fn damaged_file(path: &Path, in_order: bool) {
    let child = Child::fork_until_ready(|steps| {
        let pool = Pool::options().create(path).unwrap();
        let text = pool.named_with::<ShMutex<ShString>, _>("text", || ShMutex::new(LONG)).unwrap();
        assert_eq!(text.lock().unwrap().as_str(), LONG);
        steps.reach(1);
        if !in_order {
            steps.await_word(u64::MAX);
        }
    });
    if in_order {
        child.finish();
    } else {
        child.kill();
    }
    let bytes = std::fs::read(path).unwrap();
    let at = bytes.windows(LONG.len()).position(|w| w == LONG.as_bytes()).unwrap();
    std::fs::OpenOptions::new().write(true).open(path).unwrap().write_at(&[0xff], at as u64).unwrap();
}

fn refusal(result: aquifer::Result<Pool>) -> String {
    match result {
        Err(Error::Damaged(what)) => what,
        Err(e) => panic!("{e}"),
        Ok(_) => panic!("it was opened"),
    }
}

#[test]
fn a_file_that_was_not_closed_in_order_is_checked_each_time_until_it_is_found_whole() {
    let scratch = Scratch::new();
    let path = scratch.file("pool");
    damaged_file(&path, false);
    for _ in 0..3 {
        // Once, the first failure closed the file, and the second opener took it for whole.
        let what = refusal(Pool::options().open(path.as_path()));
        assert!(what.contains("text at") && what.contains("is not UTF-8"), "{what}");
    }
    // Another process, at the same time as ours is refused, is refused too.
    Child::fork(|_| drop(refusal(Pool::options().open(path.as_path())))).finish();
    let at = std::fs::read(&path).unwrap().windows(8).position(|w| w == &LONG.as_bytes()[1..9]).unwrap() - 1;
    std::fs::OpenOptions::new().write(true).open(&path).unwrap().write_at(b"a", at as u64).unwrap();
    let pool = Pool::options().open(path.as_path()).unwrap();
    assert_eq!(pool.named::<ShMutex<ShString>>("text").unwrap().lock().unwrap().as_str(), LONG);
}

#[test]
fn a_file_closed_in_order_is_checked_where_that_is_asked_for() {
    let scratch = Scratch::new();
    let path = scratch.file("pool");
    damaged_file(&path, true);
    let what = refusal(Pool::options().verify(true).open(path.as_path()));
    assert!(what.contains("is not UTF-8"), "{what}");
    let pool = Pool::options().open(path.as_path()).unwrap();
    assert!(pool.info().found_clean);
    let report = pool.check().unwrap();
    assert!(report.findings.len() == 1 && !report.has_passed("text") && report.has_passed("(directory)"));
    // Beside a process that has it open, too.
    Child::fork(|_| drop(refusal(Pool::options().second_mapping(true).verify(true).open(path.as_path()))))
        .finish();
}

#[test]
fn truncated_files_are_refused_wherever_they_end() {
    let scratch = Scratch::new();
    let path = scratch.file("pool");
    let pool = Pool::options().create(path.as_path()).unwrap();
    pool.named_with::<ShMutex<ShString>, _>("text", || ShMutex::new(LONG)).unwrap();
    drop(pool);
    let whole = std::fs::read(&path).unwrap();
    for len in [0, 1, 7, 8, 11, 100, 4095, 4096, 8192, 100_000, whole.len() - 4096, whole.len() - 1] {
        std::fs::write(&path, &whole[..len]).unwrap();
        let refused = Pool::options().open(path.as_path());
        assert!(
            matches!(refused, Err(Error::Truncated { .. } | Error::NotAPool { .. })),
            "{len}: {refused:?}"
        );
    }
}
