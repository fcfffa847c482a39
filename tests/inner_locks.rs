//! Locks within what an open log has moved, made or lent: what is done under them is final with that log, and undone with it by a kill.

#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use aquifer::{
    DefaultInPool, Error, MutexGuard, Named, Place, Pool, Recovered, Relocatable, ShMap, ShMutex, ShRwLock,
    ShString, ShVec,
};
use support::{Child, Steps, assert_clean, small_pool as pool};

type Numbers = ShMutex<ShVec<u64>>;

#[derive(Relocatable, DefaultInPool)]
#[repr(C)]
struct Shelf {
    plain: [u64; 4],
    list: ShVec<Numbers>,
    map: ShMap<u64, Numbers>,
    names: ShVec<ShString>,
    others: ShVec<ShString>,
}

const LONG: &str = "a string far too long to be kept inside the value itself";

fn shelf(pool: &Pool) -> Named<ShMutex<Shelf>> {
    let shelf: Named<ShMutex<Shelf>> = pool.named("shelf").unwrap();
    let mut guard = shelf.lock().unwrap();
    let ShelfFields { list, map, names, .. } = guard.fields_mut();
    for i in 0..4 {
        list.push(ShMutex::new([i, i])).unwrap();
        map.insert(i, ShMutex::new([i, i])).unwrap();
        names.push(LONG).unwrap();
    }
    list.shrink_to_fit().unwrap();
    drop(guard);
    shelf
}

type Lists = Vec<Vec<u64>>;

/// All that is in it; fails if a lock is still taken.
fn contents(shelf: &ShMutex<Shelf>) -> ([u64; 4], Lists, Lists, usize, usize) {
    let guard = shelf.lock().unwrap();
    let list = guard.list.iter().map(|l| l.try_lock().unwrap().to_vec()).collect();
    let mut keys: Vec<u64> = guard.map.keys().copied().collect();
    keys.sort();
    let map = keys.iter().map(|k| guard.map[k].try_lock().unwrap().to_vec()).collect();
    (guard.plain, list, map, guard.names.len(), guard.others.len())
}

/// More than there is room for, so that a block is freed, and others that take its place.
fn change(numbers: &mut MutexGuard<'_, ShVec<u64>>) {
    numbers.extend(0..50).unwrap();
    numbers.shrink_to_fit().unwrap();
}

/// Runs `work` under the guard in a child that is killed when it has reached step 1: nothing of it must be seen.
fn undone(work: impl FnOnce(&mut MutexGuard<'_, Shelf>, &Steps<'_>)) {
    let pool = pool();
    let shelf = shelf(&pool);
    let reuse: Named<ShMutex<ShVec<ShVec<u64>>>> = pool.named("reuse").unwrap();
    let before = contents(&shelf);
    let child = Child::fork_until_ready(|steps| {
        let reused = reuse.lock().unwrap();
        let mut guard = shelf.lock().unwrap();
        work(&mut guard, steps);
        drop(reused);
        unreachable!("it stays until it is killed");
    });
    child.kill();
    assert_eq!(contents(&shelf), before);
    assert_clean(&pool);
    let mut guard = reuse.lock().unwrap();
    (0..100).for_each(|i| guard.push([i; 2]).unwrap());
    drop(guard);
    assert_eq!(contents(&shelf), before);
    assert_clean(&pool);
}

/// Runs `work` under the guard in a child that ends in order.
fn done(work: impl FnOnce(&mut MutexGuard<'_, Shelf>)) -> (Pool, Named<ShMutex<Shelf>>) {
    let pool = pool();
    let shelf = shelf(&pool);
    let child = Child::fork(|_| work(&mut shelf.lock().unwrap()));
    child.finish();
    assert_clean(&pool);
    (pool, shelf)
}

#[test]
fn in_a_vector_that_moved() {
    undone(|guard, steps| {
        let ShelfFields { plain, list, .. } = guard.fields_mut();
        plain[0] = 7;
        list.push(ShMutex::new([9])).unwrap();
        change(&mut list[1].lock().unwrap());
        plain[1] = 8;
        steps.reach_and_stay(1);
    });
}

#[test]
fn in_a_map_that_grew() {
    undone(|guard, steps| {
        let ShelfFields { plain, map, .. } = guard.fields_mut();
        plain[0] = 7;
        (10..30).for_each(|k| drop(map.insert(k, ShMutex::new([k])).unwrap()));
        change(&mut map[&1].lock().unwrap());
        change(&mut map[&20].lock().unwrap());
        steps.reach_and_stay(1);
    });
}

#[test]
fn made_where_there_was_room() {
    undone(|guard, steps| {
        guard.list_mut().reserve(4).unwrap();
        let ShelfFields { plain, list, .. } = guard.fields_mut();
        plain[0] = 7;
        list.push(ShMutex::new([9])).unwrap();
        change(&mut list[4].lock().unwrap());
        steps.reach_and_stay(1);
    });
}

#[derive(Relocatable, DefaultInPool)]
#[repr(C)]
struct NothingPlain {
    list: ShVec<Numbers>,
    map: ShMap<u64, Numbers>,
    names: ShVec<ShString>,
}

#[test]
fn made_by_a_source_that_opens_the_log() {
    let pool = pool();
    let shelf: Named<ShMutex<NothingPlain>> = pool.named("shelf").unwrap();
    let mut guard = shelf.lock().unwrap();
    guard.list_mut().reserve(4).unwrap();
    guard.map_mut().reserve(4).unwrap();
    guard.names_mut().extend([LONG, LONG]).unwrap();
    drop(guard);
    for in_map in [false, true] {
        let child = Child::fork_until_ready(|steps| {
            let mut guard = shelf.lock().unwrap();
            let NothingPlainFields { list, map, names } = guard.fields_mut();
            let mut taken = None;
            let source = aquifer::from_iter(std::iter::once_with(|| {
                taken = names.pop();
                9
            }));
            if in_map {
                map.insert(1, ShMutex::new(source)).unwrap();
                change(&mut map[&1].lock().unwrap());
            } else {
                list.push(ShMutex::new(source)).unwrap();
                change(&mut list[0].lock().unwrap());
            }
            steps.reach_and_stay(1);
        });
        child.kill();
        let guard = shelf.lock().unwrap();
        assert_eq!((guard.list.len(), guard.map.len(), guard.names.len()), (0, 0, 2));
        drop(guard);
        assert_clean(&pool);
    }
}

#[test]
fn lent_by_get_mut() {
    undone(|guard, steps| {
        let ShelfFields { plain, list, .. } = guard.fields_mut();
        plain[0] = 7;
        list[1].get_mut().unwrap().extend(0..20).unwrap();
        change(&mut list[1].lock().unwrap());
        steps.reach_and_stay(1);
    });
}

#[test]
fn lent_by_get_mut_before_the_log_was_open() {
    undone(|guard, steps| {
        let mut all = guard.list_mut().iter_mut();
        let (first, second) = (all.next().unwrap(), all.next().unwrap());
        let lent = first.get_mut().unwrap();
        second.get_mut().unwrap().push(1).unwrap();
        lent.extend(0..20).unwrap();
        change(&mut first.lock().unwrap());
        change(&mut second.lock().unwrap());
        steps.reach_and_stay(1);
    });
}

#[test]
fn while_a_value_is_taken_out() {
    undone(|guard, steps| {
        let ShelfFields { list, names, .. } = guard.fields_mut();
        let taken = names.pop().unwrap();
        list.push(ShMutex::new([9])).unwrap();
        change(&mut list[1].lock().unwrap());
        assert_eq!(taken, *LONG);
        steps.reach_and_stay(1);
    });
}

#[test]
fn behind_an_element_that_was_inserted() {
    undone(|guard, steps| {
        guard.list_mut().reserve(4).unwrap();
        let ShelfFields { plain, list, .. } = guard.fields_mut();
        plain[0] = 7;
        list.insert(1, ShMutex::new([9])).unwrap();
        for i in 1..5 {
            change(&mut list[i].lock().unwrap());
        }
        steps.reach_and_stay(1);
    });
}

#[test]
fn behind_an_element_that_was_removed_and_among_those_exchanged() {
    undone(|guard, steps| {
        let ShelfFields { list, .. } = guard.fields_mut();
        drop(list.remove(0));
        list.swap(0, 2);
        for i in 0..3 {
            change(&mut list[i].lock().unwrap());
        }
        steps.reach_and_stay(1);
    });
}

#[test]
fn a_value_replaced_and_a_vector_rearranged() {
    undone(|guard, steps| {
        let ShelfFields { plain, list, map, .. } = guard.fields_mut();
        plain[0] = 7;
        list[2].set(ShMutex::new([1, 2, 3])).unwrap();
        map.insert(1, ShMutex::new([5])).unwrap();
        change(&mut list[2].lock().unwrap());
        change(&mut map[&1].lock().unwrap());
        list.reverse().unwrap();
        (0..4).for_each(|i| change(&mut list[i].lock().unwrap()));
        steps.reach_and_stay(1);
    });
}

#[derive(Relocatable, DefaultInPool)]
#[repr(C)]
struct Record {
    plain: [u64; 4],
    inner: ShVec<ShMutex<[u64; 4]>>,
}

#[test]
fn plain_data_of_an_inner_lock_is_final_with_the_outer_guard_and_not_before() {
    for end in 0..3 {
        let pool = pool();
        let record: Named<ShMutex<Record>> = pool.named("record").unwrap();
        record.lock().unwrap().inner_mut().push(ShMutex::new([0; 4])).unwrap();
        let child = Child::fork_until_ready(|steps| {
            let mut guard = record.lock().unwrap();
            let RecordFields { plain, inner } = guard.fields_mut();
            plain[0] = 1;
            (0..9).for_each(|i| inner.push(ShMutex::new([i; 4])).unwrap());
            let mut first = inner[0].lock().unwrap();
            first[0] = 1;
            // Neither this use of the inner guard nor its `commit` may end the outer loan.
            first[1] = 1;
            first.commit();
            plain[1] = 1;
            if end == 0 {
                steps.reach_and_stay(1);
            }
            drop(first);
            if end == 1 {
                steps.reach_and_stay(1);
            }
            guard.commit();
            steps.reach_and_stay(1);
        });
        child.kill();
        let guard = record.lock().unwrap();
        let first = guard.inner[0].lock().unwrap();
        match end {
            2 => assert_eq!((guard.plain, guard.inner.len(), *first), ([1, 1, 0, 0], 10, [1, 1, 0, 0])),
            _ => assert_eq!((guard.plain, guard.inner.len(), *first), ([0; 4], 1, [0; 4])),
        }
        drop(first);
        drop(guard);
        assert_clean(&pool);
    }
}

#[test]
fn an_inner_lock_that_the_open_log_does_not_concern_is_final_by_itself() {
    let pool = pool();
    let shelf = shelf(&pool);
    let child = Child::fork_until_ready(|steps| {
        let mut guard = shelf.lock().unwrap();
        let ShelfFields { plain, list, .. } = guard.fields_mut();
        plain[0] = 7;
        change(&mut list[1].lock().unwrap());
        steps.reach_and_stay(1);
    });
    child.kill();
    let (plain, list, ..) = contents(&shelf);
    assert_eq!((plain, list[1].len()), ([0; 4], 52));
    assert_clean(&pool);
}

#[test]
fn in_order_everything_stands() {
    let (_pool, shelf) = done(|guard| {
        let ShelfFields { plain, list, names, others, .. } = guard.fields_mut();
        plain[0] = 7;
        let name = names.pop();
        list.insert(0, ShMutex::new([9])).unwrap();
        (0..5).for_each(|i| change(&mut list[i].lock().unwrap()));
        others.push(name.unwrap()).unwrap();
        plain[1] = 8;
    });
    let (plain, list, _, names, others) = contents(&shelf);
    assert_eq!((plain, names, others), ([7, 8, 0, 0], 3, 1));
    assert!(list.iter().enumerate().all(|(i, l)| l.len() == if i == 0 { 51 } else { 52 }));
}

#[test]
fn a_value_taken_out_of_an_inner_lock() {
    type Inner = ShMutex<ShVec<ShString>>;
    type Outer = ShMutex<ShVec<Inner>>;
    let pool = pool();
    let outer: Named<Outer> = pool.named("outer").unwrap();
    let elsewhere: Named<ShMutex<ShVec<ShString>>> = pool.named("elsewhere").unwrap();
    outer.lock().unwrap().push(ShMutex::new([LONG; 5])).unwrap();
    for kill in [true, false] {
        let child = Child::fork_until_ready(|steps| {
            let mut guard = outer.lock().unwrap();
            let list: &mut Place<ShVec<Inner>> = &mut guard;
            list[0].get_mut().unwrap().push("made under the outer log, and with a block of its own").unwrap();
            let mut inner = list[0].lock().unwrap();
            let refused = elsewhere.lock().unwrap().push(inner.pop().unwrap());
            assert!(matches!(refused, Err(Error::TakenElsewhere(_))), "{refused:?}");
            let dropped = inner.pop().unwrap();
            drop(dropped);
            if kill {
                steps.reach_and_stay(1);
            }
            drop(inner);
            guard.commit();
            let mut inner = guard[0].lock().unwrap();
            elsewhere.lock().unwrap().push(inner.pop().unwrap()).unwrap();
            steps.reach_and_stay(1);
        });
        child.kill();
        let len = outer.lock().unwrap()[0].lock().unwrap().len();
        let expected = if kill { (5, 0) } else { (3, 1) };
        assert_eq!((len, elsewhere.lock().unwrap().len()), expected);
        assert_clean(&pool);
    }
}

#[test]
fn a_guard_of_an_inner_lock_that_was_forgotten() {
    for kill in [true, false] {
        let pool = pool();
        let shelf = shelf(&pool);
        let before = contents(&shelf);
        let child = Child::fork_until_ready(|steps| {
            let mut guard = shelf.lock().unwrap();
            let ShelfFields { plain, list, .. } = guard.fields_mut();
            plain[0] = 7;
            list.push(ShMutex::new([9])).unwrap();
            let mut inner = list[1].lock().unwrap();
            change(&mut inner);
            std::mem::forget(inner);
            assert!(matches!(list[1].lock(), Err(Error::WouldDeadlock(_))));
            if !kill {
                drop(guard);
            }
            steps.reach_and_stay(1);
        });
        child.kill();
        match kill {
            true => assert_eq!(contents(&shelf), before),
            false => assert_eq!(contents(&shelf).1[1].len(), 52),
        }
        assert_clean(&pool);
    }
}

#[test]
fn a_mapped_guard_of_an_inner_lock() {
    undone(|guard, steps| {
        let ShelfFields { plain, list, .. } = guard.fields_mut();
        plain[0] = 7;
        list.push(ShMutex::new([9])).unwrap();
        let mut mapped = MutexGuard::map(list[4].lock().unwrap(), |numbers| numbers);
        mapped.extend(0..50).unwrap();
        drop(mapped);
        change(&mut list[4].lock().unwrap());
        steps.reach_and_stay(1);
    });
}

#[test]
fn a_mapped_guard_that_has_left_its_transaction() {
    // Its log is not that of the place that it holds.
    let pool = pool();
    let shelf = shelf(&pool);
    let before = contents(&shelf);
    let child = Child::fork_until_ready(|steps| {
        let left = pool.transaction(|_| Ok(MutexGuard::map(shelf.lock()?, |shelf| shelf)));
        let mut left = left.unwrap();
        let ShelfFields { plain, list, .. } = left.fields_mut();
        plain[0] = 7;
        list.insert(0, ShMutex::new([9])).unwrap();
        change(&mut list[1].lock().unwrap());
        steps.reach_and_stay(1);
    });
    child.kill();
    assert_eq!(contents(&shelf), before);
    assert_clean(&pool);
}

#[test]
fn a_guard_that_has_left_its_transaction_ends_nothing_of_another() {
    let pool = pool();
    let shelf = shelf(&pool);
    let names: Named<ShMutex<ShVec<ShString>>> = pool.named("names").unwrap();
    names.lock().unwrap().push(LONG).unwrap();
    let reuse: Named<ShMutex<ShVec<ShString>>> = pool.named("reuse").unwrap();
    let child = Child::fork(|_| {
        let left = pool.transaction(|_| Ok((shelf.lock()?, MutexGuard::map(names.lock()?, |names| names))));
        let (guard, mut mapped) = left.unwrap();
        let name = mapped.pop().unwrap();
        drop(guard);
        // Were the log closed, the text's block would be another's now.
        let mut reuse = reuse.lock().unwrap();
        (0..100).for_each(|_| reuse.push("another text that does not fit into the value either").unwrap());
        assert_eq!(name, LONG);
        drop(name);
        assert!(mapped.is_empty());
    });
    child.finish();
    assert_clean(&pool);
}

#[test]
fn locks_within_locks() {
    type Inner = ShMutex<ShVec<ShMutex<ShVec<u64>>>>;
    type Outer = ShMutex<ShVec<Inner>>;
    let pool = pool();
    let outer: Named<Outer> = pool.named("outer").unwrap();
    outer.lock().unwrap().push(ShMutex::new([ShMutex::new([1, 2])])).unwrap();
    let child = Child::fork_until_ready(|steps| {
        let mut guard = outer.lock().unwrap();
        let middle = guard[0].get_mut().unwrap();
        middle.push(ShMutex::new([3])).unwrap();
        (0..9).for_each(|_| guard_free_push(middle));
        let list: &mut Place<ShVec<Inner>> = &mut guard;
        list[0].get_mut().unwrap().push(ShMutex::new([4])).unwrap();
        let mut middle = list[0].lock().unwrap();
        middle.push(ShMutex::new([5])).unwrap();
        let last = middle.len() - 1;
        change(&mut middle[last].lock().unwrap());
        steps.reach_and_stay(1);
    });
    child.kill();
    let guard = outer.lock().unwrap();
    let middle = guard[0].lock().unwrap();
    assert_eq!(middle.len(), 11, "what was final when the outer guard was used again");
    assert_eq!(*middle[0].lock().unwrap(), [1, 2]);
    drop(middle);
    drop(guard);
    assert_clean(&pool);
}

fn guard_free_push(list: &mut Place<ShVec<ShMutex<ShVec<u64>>>>) {
    list.push(ShMutex::new([0])).unwrap();
}

#[test]
fn in_a_vector_of_many_pages_that_moved() {
    let pool = pool();
    let shelf = shelf(&pool);
    shelf.lock().unwrap().list_mut().extend((4..400).map(|i| ShMutex::new([i, i]))).unwrap();
    shelf.lock().unwrap().list_mut().shrink_to_fit().unwrap();
    let before = contents(&shelf);
    let child = Child::fork_until_ready(|steps| {
        let mut guard = shelf.lock().unwrap();
        let ShelfFields { plain, list, .. } = guard.fields_mut();
        plain[0] = 7;
        list.reserve(1000).unwrap();
        for i in [0, 200, 399] {
            change(&mut list[i].lock().unwrap());
        }
        steps.reach_and_stay(1);
    });
    child.kill();
    assert_eq!(contents(&shelf), before);
    assert_clean(&pool);
}

#[test]
fn however_the_lock_is_asked_for() {
    type Outer = ShMutex<ShVec<ShRwLock<ShVec<u64>>>>;
    let pool = pool();
    let outer: Named<Outer> = pool.named("outer").unwrap();
    outer.lock().unwrap().extend((0..3).map(|i| ShRwLock::new([i; 3]))).unwrap();
    let child = Child::fork_until_ready(|steps| {
        let mut guard = outer.lock().unwrap();
        let list: &mut Place<ShVec<ShRwLock<ShVec<u64>>>> = &mut guard;
        (0..3).for_each(|i| list[i].get_mut().unwrap().push(8).unwrap());
        list[0].write().unwrap().extend(0..50).unwrap();
        list[1].try_write().unwrap().extend(0..50).unwrap();
        list[2].write_timeout(std::time::Duration::from_secs(9)).unwrap().extend(0..50).unwrap();
        assert_eq!(list[2].read().unwrap().len(), 54);
        steps.reach_and_stay(1);
    });
    child.kill();
    let guard = outer.lock().unwrap();
    assert!(guard.iter().enumerate().all(|(i, l)| *l.try_write().unwrap() == [i as u64; 3]));
    assert!(guard.iter().all(|l| !l.write().unwrap().recovered()), "the news is told once");
    drop(guard);
    assert_clean(&pool);
}

#[test]
fn a_guest_is_told_that_its_last_writer_died_and_what_it_did_was_undone() {
    let pool = pool();
    let shelf = shelf(&pool);
    let child = Child::fork_until_ready(|steps| {
        let mut guard = shelf.lock().unwrap();
        let list = guard.list_mut();
        list[1].get_mut().unwrap().push(1).unwrap();
        let mut inner = list[1].lock().unwrap();
        inner.push(2).unwrap();
        steps.reach_and_stay(1);
    });
    child.kill();
    let guard = shelf.lock().unwrap();
    let inner = guard.list[1].lock().unwrap();
    assert_eq!((inner.recovery(), inner.len()), (Recovered::Undone, 2));
}
