//! What gives memory back needs none: in a pool that is full to the last block, removing works, whatever is removed.
//!
//! Each part runs on a seat of its own, whose logs have never been longer than a seat's.

#![allow(unsafe_code, missing_docs, clippy::unwrap_used)]

mod support;

use aquifer::{
    DefaultInPool, Error, Named, Plain, Pool, Relocatable, ShBox, ShMap, ShRwLock, ShString, ShVec,
};
use support::{Child, assert_clean, until};

const LONG: &str = "a string far too long to be kept inside the value itself";

#[derive(Plain, DefaultInPool, Clone, Copy, Debug, PartialEq)]
#[repr(C)]
struct Point {
    place: [f64; 8],
    count: u64,
}

#[derive(Relocatable, DefaultInPool)]
#[repr(C)]
struct Order {
    point: Point,
    lines: ShVec<ShVec<ShString>>,
    notes: ShMap<ShString, ShVec<ShString>>,
    name: Option<ShString>,
    remark: ShString,
}

/// Boxes, in boxes, in vectors.
#[derive(Relocatable, DefaultInPool)]
#[repr(C)]
struct Tree {
    name: ShString,
    kids: ShVec<Tree>,
    rest: Option<ShBox<Leaf>>,
}

#[derive(Relocatable, DefaultInPool)]
#[repr(C)]
struct Leaf {
    names: ShVec<ShString>,
}

type Ballast = ShRwLock<ShVec<ShString>>;

fn pool(limit: u64) -> Pool {
    Pool::options().growth(64 << 10, 1 << 20).hard_limit(limit).memfd().unwrap()
}

/// Fills a pool until not even the smallest block is left.
fn fill(pool: &Pool) {
    let ballast: Named<Ballast> = pool.named("ballast").unwrap();
    let mut ballast = ballast.write().unwrap();
    if ballast.is_empty() {
        ballast.reserve(100_000).unwrap();
    }
    let text = "x".repeat(1 << 20);
    let mut size = text.len();
    while size > 16 {
        match ballast.push(&text[..size.max(39)]) {
            Ok(()) => {}
            Err(Error::OutOfMemory(_) | Error::HardLimit { .. }) => size /= 2,
            Err(e) => panic!("{e}"),
        }
    }
    assert!(ballast.push(LONG).is_err());
}

fn is_full(pool: &Pool) {
    // Blocks of all small classes may lie in slabs of other seats; a page for a longer log must not be there.
    assert_eq!(pool.stats().free, 0, "a page is free: the pool is not full");
}

/// Runs `f` on a thread of its own, and so on a new seat.
fn on_a_new_seat(f: impl FnOnce() + Send) {
    std::thread::scope(|s| s.spawn(f).join().unwrap());
}

#[test]
fn removing_small_and_nested_values_and_overwriting_plain_ones_needs_no_memory() {
    let pool = pool(16 << 20);
    let orders: Named<ShRwLock<ShVec<Order>>> = pool.named("orders").unwrap();
    let words: Named<ShRwLock<ShMap<ShString, ShVec<ShString>>>> = pool.named("words").unwrap();
    let points: Named<ShRwLock<ShVec<Point>>> = pool.named("points").unwrap();
    let one: Named<ShRwLock<Point>> = pool.named("one").unwrap();
    let text: Named<ShRwLock<ShString>> = pool.named("text").unwrap();
    let empty = pool.stats().used;
    for i in 0..40 {
        let mut orders = orders.write().unwrap();
        orders.push(Order::empty()).unwrap();
        let order = orders.last_mut().unwrap().fields_mut();
        order.lines.push([LONG, LONG]).unwrap();
        order.lines.push([LONG, "short"]).unwrap();
        order.notes.insert(LONG, [LONG]).unwrap();
        order.name.set(Some(LONG)).unwrap();
        words.write().unwrap().insert(format_args!("{LONG} {i}"), [LONG, LONG, LONG]).unwrap();
        points.write().unwrap().push(Point { place: [0.5; 8], count: i }).unwrap();
    }
    text.write().unwrap().push_str(LONG).unwrap();
    fill(&pool);
    on_a_new_seat(|| {
        is_full(&pool);
        let mut points = points.write().unwrap();
        *points.get_mut(3).unwrap() = Point { place: [1.5; 8], count: 77 };
        assert_eq!(points.remove(0).count, 0);
        assert_eq!(points.swap_remove(1).count, 2);
        assert_eq!(points.pop().unwrap().count, 38);
        points.swap(0, 1);
        assert_eq!((points[0].count, points[1].count), (39, 1));
        points.truncate(30);
        *one.write().unwrap() = Point { place: [2.5; 8], count: 1 };
        is_full(&pool);
    });
    on_a_new_seat(|| {
        is_full(&pool);
        let mut text = text.write().unwrap();
        text.truncate(30);
        text.clear();
        let mut orders = orders.write().unwrap();
        assert_eq!(orders.remove(0).lines.len(), 2);
        drop(orders.swap_remove(3));
        drop(orders.pop());
        orders.truncate(30);
        orders.get_mut(0).unwrap().fields_mut().lines.clear();
        drop(orders.get_mut(1).unwrap().fields_mut().notes.remove(LONG));
        orders.clear();
    });
    fill(&pool);
    on_a_new_seat(|| {
        is_full(&pool);
        let mut words = words.write().unwrap();
        assert_eq!(words.remove(format!("{LONG} 3").as_str()).unwrap().len(), 3);
        words.get_mut(format!("{LONG} 4").as_str()).unwrap().clear();
        words.clear();
    });
    assert_clean(&pool);
    let ballast: Named<Ballast> = pool.named("ballast").unwrap();
    ballast.write().unwrap().clear();
    ballast.write().unwrap().shrink_to_fit().unwrap();
    points.write().unwrap().clear();
    points.write().unwrap().shrink_to_fit().unwrap();
    orders.write().unwrap().shrink_to_fit().unwrap();
    // What is left besides: the chunk of a log or two, and the entry of the ballast's name.
    assert!(pool.stats().used < empty + (64 << 10), "{:?}", pool.stats());
    assert_clean(&pool);
}

#[test]
fn a_transaction_that_gets_no_memory_is_rolled_back_and_small_ones_go_on() {
    let pool = pool(16 << 20);
    let names: Named<ShRwLock<ShVec<ShString>>> = pool.named("names").unwrap();
    names.write().unwrap().extend((0..1000).map(|i| format!("{i} {LONG}"))).unwrap();
    fill(&pool);
    on_a_new_seat(|| {
        is_full(&pool);
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            names.transaction(|names| {
                (0..500).for_each(|_| drop(names.remove(0)));
                Ok::<(), Error>(())
            })
        }));
        assert!(panicked.is_err(), "500 removals do not fit the log of a seat");
        let names = &names;
        assert_eq!(names.read().unwrap().len(), 1000);
        assert!(names.read().unwrap()[0].starts_with("0 "));
        names
            .transaction(|names| {
                drop(names.remove(0));
                drop(names.pop());
                names.clear();
                Ok::<(), Error>(())
            })
            .unwrap();
        assert!(names.read().unwrap().is_empty());
    });
    assert_clean(&pool);
}

#[test]
fn values_nested_deeper_than_the_log_is_long_are_freed_without_memory() {
    let pool = pool(24 << 20);
    let trees: Named<ShRwLock<ShVec<Tree>>> = pool.named("trees").unwrap();
    {
        let mut guard = trees.write().unwrap();
        let mut at = &mut *guard;
        for depth in 0..1200 {
            for _ in 0..1 + (depth % 7 == 0) as usize {
                at.push(Tree::empty()).unwrap();
            }
            let tree = at.last_mut().unwrap().fields_mut();
            if depth % 3 == 0 {
                tree.name.push_str(LONG).unwrap();
            }
            if depth % 300 == 299 {
                for _ in 0..300 {
                    tree.kids.push(Tree::empty()).unwrap();
                    tree.kids.last_mut().unwrap().fields_mut().name.push_str(LONG).unwrap();
                }
            }
            at = tree.kids;
        }
    }
    fill(&pool);
    let ballast: Named<Ballast> = pool.named("ballast").unwrap();
    let before = pool.stats().blocks;
    on_a_new_seat(|| {
        is_full(&pool);
        trees.write().unwrap().clear();
    });
    assert!(pool.stats().blocks < before - 2000, "{} of {before} blocks", pool.stats().blocks);
    assert_clean(&pool);
    assert!(ballast.read().unwrap().len() > 10);
}

#[test]
fn a_clear_of_a_million_nested_values_is_finished_by_whoever_buries_who_began_it() {
    const ROWS: u64 = if cfg!(debug_assertions) { 200 } else { 1000 };
    let pool = pool(ROWS * (512 << 10));
    let all: Named<ShRwLock<ShVec<ShVec<ShString>>>> = pool.named("all").unwrap();
    {
        let mut all = all.write().unwrap();
        let row = [LONG; 1000];
        (0..ROWS).for_each(|_| all.push(&row).unwrap());
    }
    fill(&pool);
    let before = pool.stats().blocks;
    let child = Child::fork(|steps| {
        let mut all = all.write().unwrap();
        steps.reach(1);
        all.clear();
        steps.reach(2);
    });
    until("the middle of the clear", || child.has_reached(2) || pool.stats().blocks < before - ROWS * 100);
    assert!(!child.has_reached(2), "the clear was over before it was seen to be under way");
    child.kill();
    let all = all.write().unwrap();
    assert!(all.recovered());
    assert!(all.is_empty());
    drop(all);
    assert!(pool.stats().blocks < before - ROWS * 1000);
    assert_clean(&pool);
}
