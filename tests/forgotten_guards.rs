//! Guards that were forgotten, of locks that are then moved or removed by who has them exclusively: the locks are free, what was done under them is
//! final, and no death touches what stands in their place.

#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use aquifer::{
    DefaultInPool, MutexGuard, Named, Place, Pool, Relocatable, ShBox, ShMap, ShMutex, ShRwLock, ShVec,
};
use std::sync::atomic::Ordering;
use support::{Child, assert_clean, small_pool as pool};

type Numbers = ShMutex<ShVec<u64>>;

#[derive(Relocatable, DefaultInPool)]
#[repr(C)]
struct Shelf {
    list: ShVec<Numbers>,
    other: ShVec<Numbers>,
    map: ShMap<u64, Numbers>,
    slot: Option<Numbers>,
}

const COUNT: u64 = 5;

fn shelf(pool: &Pool) -> Named<ShMutex<Shelf>> {
    let shelf: Named<ShMutex<Shelf>> = pool.named("shelf").unwrap();
    let mut guard = shelf.lock().unwrap();
    let ShelfFields { list, map, slot, .. } = guard.fields_mut();
    for i in 0..COUNT {
        list.push(ShMutex::new([i, i])).unwrap();
        map.insert(i, ShMutex::new([i, i])).unwrap();
    }
    list.shrink_to_fit().unwrap();
    slot.insert(ShMutex::new([9, 9])).unwrap();
    drop(guard);
    shelf
}

/// Changes what a lock guards, so that a block is freed and another made, lends a part of it, and forgets the guard.
fn change_and_forget(lock: &Numbers) {
    let mut guard = lock.lock().unwrap();
    guard.truncate(2);
    guard.as_mut_slice().unwrap()[0] = 77;
    guard.extend_from_slice(&[5; 30]).unwrap();
    guard.as_mut_slice().unwrap()[1] = 78;
    std::mem::forget(guard);
}

fn is_changed(lock: &Numbers) -> bool {
    let guard = lock.try_lock().unwrap();
    guard.len() == 32 && guard.as_slice()[..2] == [77, 78]
}

/// All that is in it, in an order of its own; fails if a lock is still taken.
fn contents(shelf: &ShMutex<Shelf>) -> Vec<Vec<u64>> {
    let guard = shelf.lock().unwrap();
    let locks =
        guard.list.iter().chain(guard.other.iter()).chain(guard.map.values()).chain(guard.slot.iter());
    let mut all: Vec<_> = locks.map(|l| l.try_lock().unwrap().to_vec()).collect();
    all.sort();
    all
}

type Work = fn(&mut Place<ShVec<Numbers>>, &mut Place<ShVec<Numbers>>, &mut Place<ShMap<u64, Numbers>>);

/// Each forgets guards of some locks, then moves or removes them. How many of the changed ones are still there.
const WORKS: [(&str, usize, Work); 12] = [
    ("pop", 0, |list, _, _| {
        change_and_forget(&list[COUNT as usize - 1]);
        drop(list.pop());
    }),
    ("remove", 0, |list, _, _| {
        change_and_forget(&list[1]);
        drop(list.remove(1));
    }),
    ("moved elsewhere", 1, |list, other, _| {
        change_and_forget(&list[1]);
        other.push(list.swap_remove(1)).unwrap();
        assert!(is_changed(&other[0]));
    }),
    ("shifted down", 2, |list, _, _| {
        change_and_forget(&list[1]);
        change_and_forget(&list[2]);
        drop(list.remove(0));
        assert!(is_changed(&list[0]) && is_changed(&list[1]));
    }),
    ("shifted up", 1, |list, _, _| {
        change_and_forget(&list[2]);
        list.insert(0, ShMutex::new([3])).unwrap();
        assert!(is_changed(&list[3]));
    }),
    ("moved by growth", 3, |list, _, _| {
        (0..3).for_each(|i| change_and_forget(&list[i]));
        (0..20).for_each(|_| list.push(ShMutex::new([3])).unwrap());
        assert!((0..3).all(|i| is_changed(&list[i])));
    }),
    ("exchanged", 1, |list, _, _| {
        change_and_forget(&list[0]);
        list.swap(0, 3);
        assert!(is_changed(&list[3]));
    }),
    ("turned round", 1, |list, _, _| {
        change_and_forget(&list[0]);
        list.reverse().unwrap();
        assert!(is_changed(&list[COUNT as usize - 1]));
    }),
    ("replaced", 0, |list, _, _| {
        change_and_forget(&list[0]);
        list[0].set(ShMutex::new([3])).unwrap();
    }),
    ("all removed", 0, |list, _, map| {
        change_and_forget(&list[0]);
        change_and_forget(&map[&1]);
        list.clear();
        map.clear();
    }),
    ("removed from a map", 0, |_, _, map| {
        change_and_forget(&map[&2]);
        drop(map.remove(&2));
    }),
    ("moved by a map's growth", 1, |_, _, map| {
        change_and_forget(&map[&2]);
        (10..80).for_each(|i| drop(map.insert(i, ShMutex::new([3])).unwrap()));
        assert!(is_changed(&map[&2]));
    }),
];

fn work_on(shelf: &ShMutex<Shelf>, work: Work) {
    let mut guard = shelf.lock().unwrap();
    let ShelfFields { list, other, map, .. } = guard.fields_mut();
    work(list, other, map);
}

/// Puts other blocks where freed ones were.
fn reuse(pool: &Pool) {
    let reuse: Named<ShMutex<ShVec<ShVec<u64>>>> = pool.named("reuse").unwrap();
    let mut guard = reuse.lock().unwrap();
    (0..100).for_each(|i| guard.push([i; 30]).unwrap());
    (0..100).for_each(|i| guard.push([i; 2]).unwrap());
}

#[test]
fn the_thread_that_forgot_them_goes_on_and_dies() {
    for (name, left, work) in WORKS {
        let pool = pool();
        let shelf = shelf(&pool);
        let child = Child::fork_until_ready(|steps| {
            work_on(&shelf, work);
            reuse(&pool);
            steps.reach_and_stay(1);
        });
        let before = contents(&shelf);
        assert_eq!(before.iter().filter(|l| l.len() == 32).count(), left, "{name}");
        child.kill();
        assert_eq!(contents(&shelf), before, "{name}");
        assert_clean(&pool);
        reuse(&pool);
        assert_eq!(contents(&shelf), before, "{name}");
    }
}

#[test]
fn another_process_moves_or_removes_them() {
    for (name, _, work) in WORKS {
        let pool = pool();
        let shelf = shelf(&pool);
        // Forgets guards of all, and gives the outer lock back.
        let child = Child::fork_until_ready(|steps| {
            let guard = shelf.lock().unwrap();
            guard.list.iter().take(3).chain(guard.map.values().take(2)).for_each(change_and_forget);
            drop(guard);
            steps.reach(1);
            steps.await_word(2);
            // Places of retired locks are free for others.
            for lock in shelf.lock().unwrap().map.values().take(8) {
                lock.lock().unwrap().push(4).unwrap();
            }
            steps.reach_and_stay(3);
        });
        let mut guard = shelf.lock().unwrap();
        let ShelfFields { list, other, map, .. } = guard.fields_mut();
        // All of them move, and are free.
        list.insert(0, ShMutex::new([4])).unwrap();
        (100..200).for_each(|i| drop(map.insert(i, ShMutex::new([3])).unwrap()));
        assert_eq!(list.iter().chain(map.values()).filter(|l| is_changed(l)).count(), 5, "{name}");
        for lock in list.iter().chain(map.values()).filter(|l| is_changed(l)) {
            lock.lock().unwrap().pop();
        }
        drop(list.remove(0));
        work(list, other, map);
        drop(guard);
        reuse(&pool);
        child.tell(2);
        child.await_step(3);
        let before = contents(&shelf);
        child.kill();
        assert_eq!(contents(&shelf), before, "{name}");
        assert_clean(&pool);
    }
}

#[test]
fn taken_out_of_an_option() {
    let pool = pool();
    let shelf = shelf(&pool);
    let child = Child::fork_until_ready(|steps| {
        let mut guard = shelf.lock().unwrap();
        let ShelfFields { other, slot, .. } = guard.fields_mut();
        change_and_forget(slot.as_ref().unwrap());
        other.push(slot.take().unwrap()).unwrap();
        assert!(is_changed(&other[0]));
        drop(guard);
        steps.reach_and_stay(1);
    });
    let before = contents(&shelf);
    child.kill();
    assert_eq!(contents(&shelf), before);
    assert_clean(&pool);
}

#[test]
fn a_thread_may_forget_more_guards_than_it_can_hold() {
    let pool = pool();
    let shelf = shelf(&pool);
    for i in 0..50 {
        let mut guard = shelf.lock().unwrap();
        let list = guard.list_mut();
        list.push(ShMutex::new([i, i])).unwrap();
        change_and_forget(&list[COUNT as usize]);
        drop(list.pop());
    }
    assert_clean(&pool);
}

#[test]
fn forgotten_readers() {
    let pool = pool();
    let locks: Named<ShMutex<ShVec<ShRwLock<u64>>>> = pool.named("locks").unwrap();
    let mut guard = locks.lock().unwrap();
    for i in 0..40 {
        guard.insert(0, ShRwLock::new(i)).unwrap();
        std::mem::forget(guard[0].read().unwrap());
        // Where the lock stood that is read for ever stands another one.
        guard.insert(0, ShRwLock::new(100 + i)).unwrap();
        *guard[0].try_write().unwrap() += 1;
        *guard[1].try_write().unwrap() += 1;
    }
    drop(guard);
    assert_clean(&pool);
}

#[test]
fn a_part_that_had_left_its_transaction() {
    let pool = pool();
    let outer: Named<ShRwLock<ShVec<Numbers>>> =
        pool.named_with("outer", || ShRwLock::new([ShMutex::new([1, 2])])).unwrap();
    let contents = || -> Vec<Vec<u64>> {
        outer.read().unwrap().iter().map(|l| l.try_lock().unwrap().to_vec()).collect()
    };
    let child = Child::fork_until_ready(|steps| {
        let reading = outer.read().unwrap();
        let mut part = pool.transaction(|_| Ok(MutexGuard::map(reading[0].lock()?, |list| list))).unwrap();
        part.as_mut_slice().unwrap()[0] = 77;
        std::mem::forget(part);
        drop(reading);
        let mut guard = outer.write().unwrap();
        guard.insert(0, ShMutex::new([3])).unwrap();
        guard[1].lock().unwrap().push(78).unwrap();
        drop(guard);
        reuse(&pool);
        pool.transaction(|_| outer.write()?.push(ShMutex::new([4]))).unwrap();
        steps.reach_and_stay(1);
    });
    let expected: [&[u64]; 3] = [&[3], &[77, 2, 78], &[4]];
    assert_eq!(contents(), expected);
    child.kill();
    assert_eq!(contents(), expected);
    assert_clean(&pool);
}

#[test]
fn a_reader_of_a_lock_that_a_failed_transaction_had_made() {
    let pool = pool();
    let locks: Named<ShRwLock<ShVec<ShRwLock<u64>>>> = pool.named("locks").unwrap();
    locks.write().unwrap().reserve(8).unwrap();
    let result = pool.transaction(|_| {
        let mut guard = locks.write()?;
        guard.push(ShRwLock::new(1))?;
        std::mem::forget(guard[0].read()?);
        Err::<(), _>(aquifer::Error::abort("no"))
    });
    assert!(result.is_err());
    // Another lock, where that one was.
    locks.write().unwrap().push(ShRwLock::new(2)).unwrap();
    let all = locks.read().unwrap();
    let reading = all[0].read().unwrap();
    std::thread::scope(|s| {
        let writes = s.spawn(|| all[0].try_write().is_ok());
        assert!(!writes.join().unwrap(), "a writer beside a reader");
    });
    drop(reading);
    drop(all[0].try_write().unwrap());
    std::thread::scope(|s| {
        let writes = s.spawn(|| all[0].try_write().is_ok());
        assert!(writes.join().unwrap(), "nobody reads it");
    });
}

#[test]
fn one_who_died_between_the_two_stores_of_an_unlock() {
    let pool = pool();
    let boxes: Named<ShMutex<ShVec<ShBox<ShMutex<u64>>>>> = pool.named("boxes").unwrap();
    let name: Named<ShMutex<u64>> = pool.named("name").unwrap();
    let others: Named<ShMutex<ShVec<ShVec<u64>>>> = pool.named("others").unwrap();
    for i in 0..100 {
        boxes.lock().unwrap().push(ShBox::new(ShMutex::new(i))).unwrap();
    }
    let child = Child::fork_until_ready(|steps| {
        let guard = boxes.lock().unwrap();
        let offset = pool.raw().offset_of(std::ptr::from_ref::<ShMutex<u64>>(&guard[50]).cast()).unwrap();
        drop(guard);
        let seat = pool.raw().seat().unwrap();
        *name.lock().unwrap() = seat.number() as u64 + 1;
        // The lock is free, and the seat names it still.
        seat.seat().held[7].store(offset, Ordering::SeqCst);
        steps.reach_and_stay(1);
    });
    boxes.lock().unwrap().clear();
    // What looks like the word of a lock that it holds.
    let name = *name.lock().unwrap();
    for _ in 0..300 {
        others.lock().unwrap().push([name, name]).unwrap();
    }
    child.kill();
    assert_eq!(pool.raw().bury_dead(), 1);
    assert!(others.lock().unwrap().iter().all(|list| list.as_slice() == [name, name]));
    assert_clean(&pool);
}
