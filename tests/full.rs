//! A full file system is an error, and nothing is lost by it.

#![allow(unsafe_code, missing_docs, clippy::unwrap_used)]

mod support;

use aquifer::{Error, Named, Pool, ShMap, ShRwLock, ShString, ShVec};
use support::{Child, small_shared_folder};

type Words = ShRwLock<ShMap<ShString, ShVec<ShString>>>;

const LONG: &str = "a string far too long to be kept inside the value itself";

#[test]
fn a_full_file_system_is_an_error_and_nothing_is_lost() {
    let child = Child::fork(|steps| {
        if let Err(e) = small_shared_folder(8 << 20) {
            println!("not run: no file system of its own: {e}");
            return steps.reach(2);
        }
        fill_and_go_on();
        steps.reach(1);
    });
    let not_run = {
        support::until("the child", || child.has_reached(1) || child.has_ended());
        child.has_reached(2)
    };
    child.finish();
    if not_run {
        println!("not run: mounting a small file system is not allowed here");
    }
}

fn fill_and_go_on() {
    let pool = Pool::options().size(1 << 20).growth(64 << 10, 1 << 20).create("small").unwrap();
    let words: Named<Words> = pool.named("words").unwrap();
    let mut count = 0u64;
    let error = loop {
        match words.write().unwrap().insert(format_args!("{count}"), [LONG, LONG, LONG]) {
            Ok(_) => count += 1,
            Err(e) => break e,
        }
    };
    assert!(matches!(error, Error::OutOfMemory(_)), "{error}");
    assert!(count > 1000);
    check(&pool, &words, count);
    // In a transaction all is undone.
    let result = words.transaction(|w| {
        w.remove("0");
        w.insert("x", aquifer::from_iter((0..1000).map(|_| LONG)))?;
        w.insert("y", aquifer::from_iter((0..1_000_000).map(|_| LONG)))?;
        Ok(())
    });
    assert!(matches!(result, Err(Error::OutOfMemory(_))), "{result:?}");
    check(&pool, &words, count);
    // Another process finds the same, and all go on once something is removed. That it lives on, and does nothing, keeps no memory from others.
    let other = Child::fork_until_ready(|steps| {
        let pool = Pool::open("small").unwrap();
        let words: Named<Words> = pool.named("words").unwrap();
        check(&pool, &words, count);
        let mut guard = words.write().unwrap();
        (0..count / 4).for_each(|i| drop(guard.remove(i.to_string().as_str())));
        (0..count / 8).for_each(|i| drop(guard.insert(format_args!("{i}"), [LONG, LONG, LONG]).unwrap()));
        (0..count / 8).for_each(|i| drop(guard.remove(i.to_string().as_str())));
        drop(guard);
        steps.reach_and_stay(1);
    });
    let mut guard = words.write().unwrap();
    (0..count / 4).for_each(|i| drop(guard.insert(format_args!("{i}"), [LONG, LONG, LONG]).unwrap()));
    drop(guard);
    other.kill();
    check(&pool, &words, count);
    let report = pool.check().unwrap();
    assert!(report.is_clean(), "{report}");
}

fn check(pool: &Pool, words: &Named<Words>, count: u64) {
    let guard = words.read().unwrap();
    assert_eq!(guard.len() as u64, count);
    assert!((0..count).all(|i| guard[i.to_string().as_str()] == [LONG, LONG, LONG]));
    drop(guard);
    let report = pool.check().unwrap();
    assert!(report.is_clean(), "{report}");
}
