//! Growth under those who read, and pools seen through several windows.

#![allow(unsafe_code, missing_docs, clippy::unwrap_used)]

mod support;

use aquifer::{Named, Pool, ShMap, ShRwLock, ShString, ShVec};
use support::{Child, Scratch, execute, role, until};

type Numbers = ShRwLock<ShVec<u64>>;
type Blocks = ShRwLock<ShVec<ShVec<u64>>>;

const GIB: u64 = 1 << 30;

/// Appends vectors with room for 8 MiB each until the pool has `length` bytes.
fn grow_to(pool: &Pool, blocks: &Named<Blocks>, length: u64) {
    while pool.info().length < length {
        let mut blocks = blocks.write().unwrap();
        blocks.push(ShVec::new()).unwrap();
        blocks.last_mut().unwrap().reserve(1 << 20).unwrap();
    }
}

#[test]
fn a_reader_neither_waits_nor_moves_while_another_process_grows_the_pool_to_a_gibibyte() {
    let scratch = Scratch::new();
    let pool = Pool::options().create(scratch.name()).unwrap();
    let numbers: Named<Numbers> = pool.named("numbers").unwrap();
    numbers.write().unwrap().extend(0..10_000u64).unwrap();
    let blocks: Named<Blocks> = pool.named("blocks").unwrap();
    assert!(pool.info().length < GIB / 16);

    let grower = Child::fork(|steps| {
        let blocks: Named<Blocks> = pool.named("blocks").unwrap();
        steps.reach(1);
        steps.await_word(1);
        grow_to(&pool, &blocks, GIB);
        steps.reach(2);
    });
    grower.await_step(1);
    let guard = numbers.read().unwrap();
    let before_growth: &[u64] = &guard;
    let before = pool.info();
    grower.tell(1);
    let mut rounds = 0;
    let begin = std::time::Instant::now();
    while !grower.has_reached(2) {
        assert!(!grower.has_ended() || grower.has_reached(2));
        assert!(begin.elapsed() < support::PATIENCE);
        assert!(before_growth.iter().copied().eq(0..10_000));
        rounds += 1;
    }
    let after = pool.info();
    println!(
        "{rounds} readings while the pool grew from {} to {} bytes in {:?}",
        before.length,
        after.length,
        begin.elapsed()
    );
    assert!(after.length >= GIB);
    assert!(rounds > 0);
    assert_eq!((after.waited, after.moved, after.base), (before.waited, before.moved, before.base));
    drop(guard);
    grower.finish();
    let blocks = blocks.read().unwrap();
    assert!(blocks.len() >= 100 && blocks.iter().all(|b| b.is_empty() && b.capacity() >= 1 << 20));
    assert_eq!(pool.info().moved, 0);
}

#[test]
fn references_stay_valid_while_a_small_window_is_outgrown() {
    let pool = Pool::options().window(2 << 20).growth(64 << 10, 1 << 20).memfd().unwrap();
    let numbers: Named<Numbers> = pool.named("numbers").unwrap();
    numbers.write().unwrap().extend(0..10_000u64).unwrap();
    let blocks: Named<Blocks> = pool.named("blocks").unwrap();
    let guard = numbers.read().unwrap();
    let old: &[u64] = &guard;
    let base = pool.info().base;
    let grower = std::thread::spawn({
        let (pool, blocks) = (pool.clone(), blocks.clone());
        move || grow_to(&pool, &blocks, 64 << 20)
    });
    until("moves to larger windows", || {
        assert!(old.iter().copied().eq(0..10_000));
        pool.info().moved >= 2
    });
    grower.join().unwrap();
    assert_ne!(pool.info().base, base);
    assert!(old.iter().copied().eq(0..10_000), "references into the first window are good after the moves");
    drop(guard);
    let mut guard = numbers.write().unwrap();
    guard.push(7).unwrap();
    guard[0] = 9;
    drop(guard);
    assert_eq!(numbers.read().unwrap()[0], 9);
    assert!(pool.check().unwrap().is_clean());
}

#[test]
fn what_lies_beyond_ones_own_window_is_reached_through_a_larger_one() {
    let scratch = Scratch::new();
    let pool = Pool::options().create(scratch.name()).unwrap();
    let words: Named<ShRwLock<ShMap<ShString, ShVec<ShString>>>> = pool.named("words").unwrap();
    let blocks: Named<Blocks> = pool.named("blocks").unwrap();
    let child = Child::fork(|steps| {
        // The parent's pool and handles are inherited; this is another joining with a window of its own.
        let pool = Pool::options().window(2 << 20).second_mapping(true).open(scratch.name()).unwrap();
        let words: Named<ShRwLock<ShMap<ShString, ShVec<ShString>>>> = pool.named("words").unwrap();
        steps.reach(1);
        steps.await_word(1);
        let words = words.read().unwrap();
        assert_eq!(words["far"], ["a", "b", "a long string that does not fit into the value itself"]);
        assert!(pool.info().moved > 0);
        drop(words);
    });
    child.await_step(1);
    grow_to(&pool, &blocks, 64 << 20);
    {
        // Every free block of the first pages is taken, so that what follows lies far away.
        let mut words = words.write().unwrap();
        let mut i = 0;
        while words.len() < 20_000 {
            words.insert(format_args!("key {i}"), ShVec::new()).unwrap();
            i += 1;
        }
        words.insert("far", ["a", "b", "a long string that does not fit into the value itself"]).unwrap();
    }
    child.tell(1);
    child.finish();
}

#[test]
fn one_pool_seen_through_two_windows_is_one_pool() {
    let scratch = Scratch::new();
    let one = Pool::options().create(scratch.name()).unwrap();
    let other = Pool::options().second_mapping(true).open(scratch.name()).unwrap();
    assert_ne!(one.info().base, other.info().base);
    let a: Named<ShRwLock<ShMap<ShString, ShVec<u64>>>> = one.named("map").unwrap();
    let b: Named<ShRwLock<ShMap<ShString, ShVec<u64>>>> = other.named("map").unwrap();
    a.write().unwrap().insert("bolts", [500, 250]).unwrap();
    b.write().unwrap()["bolts"].push(125).unwrap();
    assert_eq!(a.read().unwrap()["bolts"], [500, 250, 125]);
    for i in 0..1000u64 {
        let (through, seen) = if i % 2 == 0 { (&a, &b) } else { (&b, &a) };
        through.write().unwrap().entry("many").or_default().unwrap().push(i).unwrap();
        assert_eq!(seen.read().unwrap()["many"].last(), Some(&i));
    }
    let reader = b.read().unwrap();
    assert!(reader["many"].iter().copied().eq(0..1000));
    assert!(a.try_write().is_err(), "the reader through the other window keeps the writer out");
    drop(reader);
    drop((a, b));
    assert!(one.check().unwrap().is_clean());
}

#[test]
fn two_processes_use_a_pool_at_different_addresses() {
    const NAME: &str = "two_processes_use_a_pool_at_different_addresses";
    type Map = ShRwLock<ShMap<u64, ShVec<ShString>>>;
    if let Some(argument) = role(NAME) {
        let (name, base) = argument.split_once(' ').unwrap();
        let taken = base.parse::<usize>().unwrap();
        // SAFETY: reserves addresses that nothing uses, or fails; so that the pool cannot be mapped there by chance.
        unsafe {
            libc::mmap(
                taken as *mut _,
                1 << 30,
                libc::PROT_NONE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE,
                -1,
                0,
            )
        };
        let pool = Pool::open(name).unwrap();
        assert_ne!(pool.info().base, taken);
        let map: Named<Map> = pool.named("map").unwrap();
        let mut map = map.write().unwrap();
        assert_eq!(map[&1], ["one"]);
        map[&1].push("uno").unwrap();
        map.insert(2, ["two", "dos"]).unwrap();
        return;
    }
    let scratch = Scratch::new();
    let pool = Pool::create(scratch.name()).unwrap();
    let map: Named<Map> = pool.named("map").unwrap();
    map.write().unwrap().insert(1, ["one"]).unwrap();
    execute(NAME, &format!("{} {}", scratch.name(), pool.info().base)).finish();
    let map = map.read().unwrap();
    assert_eq!(map[&1], ["one", "uno"]);
    assert_eq!(map[&2], ["two", "dos"]);
}

#[test]
fn an_entry_that_was_found_before_the_pool_moved_is_the_one_that_goes() {
    let pool = Pool::options().window(1 << 20).growth(64 << 10, 1 << 20).memfd().unwrap();
    let map: Named<ShRwLock<ShMap<u64, [u64; 2]>>> = pool.named("map").unwrap();
    let blocks: Named<Blocks> = pool.named("blocks").unwrap();
    let mut guard = map.write().unwrap();
    guard.extend((0..100).map(|i| (i, [i; 2]))).unwrap();
    let aquifer::entry::Entry::Occupied(entry) = guard.entry(7u64) else { panic!("it is there") };
    let before = pool.info().moved;
    grow_to(&pool, &blocks, 40 << 20);
    assert!(pool.info().moved > before);
    assert_eq!(entry.remove(), [7; 2]);
    assert!((0..100).all(|i| guard.get(&i).copied() == (i != 7).then_some([i; 2])));
    drop(guard);
    assert!(pool.check().unwrap().is_clean());
}
