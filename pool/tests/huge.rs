//! Huge pages: what is said to be in them is, and nothing else changes.
#![allow(clippy::unwrap_used)] // a failure of what surrounds a test is a failure of the test

mod support;

use aquifer_pool::{Options, RawPool};
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use support::{Child, HEAP, NO_HEAP};

const MIB: u64 = 1 << 20;

/// Bytes of huge pages that the window at `base` has in this process's page tables, by what the kernel says.
fn huge_bytes(base: usize) -> u64 {
    let maps = format!("\n{}", std::fs::read_to_string("/proc/self/smaps").unwrap());
    let ours = maps.split("VmFlags").find(|m| m.contains(&format!("\n{base:x}-"))).unwrap();
    let size = |name: &str| {
        let line = ours.lines().find(|l| l.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
    };
    size("AnonHugePages:") + size("ShmemPmdMapped:") + size("FilePmdMapped:")
}

/// The tests' own area.
fn bytes(pool: &RawPool) -> &[AtomicU8] {
    let len = pool.info().length - HEAP;
    // SAFETY: within the pool, and used as atomics only.
    unsafe { std::slice::from_raw_parts(pool.at(HEAP, len).unwrap().cast(), len as usize) }
}

fn value(i: usize) -> u8 {
    (i * 31 + i / 4096) as u8
}

fn check(options: &Options, make: fn(&Options) -> RawPool) {
    let pool = make(options);
    bytes(&pool).iter().enumerate().for_each(|(i, b)| b.store(value(i), Relaxed));
    let result = pool.collapse().unwrap();
    println!("{result}");
    assert_eq!(result.asked, 16 * MIB);
    assert!(result.got == result.asked || result.refused.is_some(), "what is missing has a reason");
    let whole = |pool: &RawPool| bytes(pool).iter().enumerate().all(|(i, b)| b.load(Relaxed) == value(i));
    assert!(whole(&pool), "the contents stay");
    assert!(huge_bytes(pool.info().base) >= result.got, "the kernel has as many");
    let child = Child::run(&pool, |pool, ready| {
        assert!(whole(pool), "for other processes too");
        ready();
    });
    child.kill();
    pool.extend_to(21 * MIB).unwrap();
}

#[test]
fn a_shared_pool_is_collapsed_as_far_as_the_system_allows() {
    let options = Options::new().size(17 * MIB).window(64 * MIB);
    let memfd = |o: &Options| RawPool::memfd(o, &NO_HEAP).unwrap();
    check(&options, memfd);
    check(&options.huge_pages(true), memfd);
}

#[test]
fn private_memory_is_collapsed_too() {
    let options = Options::new().size(17 * MIB).window(64 * MIB).huge_pages(true);
    let pool = RawPool::private(&options, &NO_HEAP).unwrap();
    bytes(&pool).iter().for_each(|b| b.store(7, Relaxed));
    let result = pool.collapse().unwrap();
    assert!(result.got == result.asked || result.refused.is_some());
    assert!(huge_bytes(pool.info().base) >= result.got);
    assert!(bytes(&pool).iter().all(|b| b.load(Relaxed) == 7));
}
