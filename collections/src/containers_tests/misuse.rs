//! Sources and closures that fail in the middle, and limits.

use super::World;
use crate::{ShBox, ShMap, ShSet, ShString, ShVec, from_iter};
use std::panic::{AssertUnwindSafe, catch_unwind};

fn panicking(after: usize) -> impl Iterator<Item = String> {
    (0..=after).map(move |i| {
        if i < after { format!("a text that needs a block of its own, {i}") } else { panic!("enough") }
    })
}

#[test]
fn a_source_that_panics_leaves_the_collection_as_it_was() {
    let mut world = World::<ShMap<ShString, ShVec<ShString>>>::new(true);
    world.place().insert("kept and much longer than twenty-two bytes", ["x"]).unwrap();
    for after in [0, 1, 5, 40] {
        let map = world.place();
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            map.insert("new and much longer than twenty-two bytes", from_iter(panicking(after))).is_ok()
        }));
        assert!(outcome.is_err());
        assert_eq!(world.place().len(), 1);
        world.check();
    }
}

#[test]
fn a_comparison_that_panics_leaves_the_order_as_it_was() {
    let mut world = World::<ShVec<ShString>>::new(true);
    world.place().extend(["c", "a", "b"]).unwrap();
    let v = world.place();
    assert!(catch_unwind(AssertUnwindSafe(|| v.sort_by(|_, _| panic!("no order")).is_ok())).is_err());
    assert_eq!(*world.place(), ["c", "a", "b"]);
    world.check();
}

#[test]
fn a_predicate_that_panics_keeps_what_was_not_decided() {
    let mut world = World::<ShVec<ShString>>::new(true);
    world.place().extend(["a", "b", "c"]).unwrap();
    let v = world.place();
    assert!(
        catch_unwind(AssertUnwindSafe(|| v
            .retain(|t| if t == "c" { panic!("undecided") } else { false })
            .is_ok()))
        .is_err()
    );
    assert_eq!(*world.place(), ["a", "b", "c"]);
    world.check();
}

#[test]
fn equal_keys_of_one_source_leave_the_last_value_and_leak_nothing() {
    let mut world = World::<ShMap<ShString, ShMap<u64, ShString>>>::new(true);
    let long = |i: u64| format!("a text that needs a block of its own, {i}");
    world.place().insert("a", from_iter((0..100).map(|i| (i % 7, long(i))))).unwrap();
    assert_eq!(world.place()["a"].len(), 7);
    assert_eq!(world.place()["a"].get(&1).unwrap(), &long(99));
    world.check();
}

#[test]
fn what_was_removed_can_be_read_until_it_is_dropped() {
    let mut world = World::<ShMap<ShString, ShVec<ShString>>>::new(true);
    let text = "a text that is so long that it needs a block of its own";
    world.place().insert("a", [text; 3]).unwrap();
    let taken = world.place().remove("a").unwrap();
    assert_eq!(*taken, [text; 3]);
    drop(taken);
    world.place().insert("b", [text; 3]).unwrap();
    let taken = world.place().insert("b", ["other"]).unwrap().unwrap();
    assert_eq!(*taken, [text; 3]);
    drop(taken);
    assert_eq!(world.place()["b"], ["other"]);
    world.check();
}

#[test]
fn what_was_replaced_can_be_read_until_it_is_dropped() {
    let mut world = World::<ShVec<ShString>>::new(true);
    let text = "a text that is so long that it needs a block of its own";
    world.place().push(text).unwrap();
    let old = world.place().replace(["new"]).unwrap();
    assert_eq!(*old, [text]);
    drop(old);
    assert_eq!(*world.place(), ["new"]);
    world.check();
}

#[test]
fn what_was_removed_can_be_put_elsewhere_and_both_become_final_together() {
    let text = "a text that is so long that it needs a block of its own";
    for stay in [true, false] {
        let mut world = World::<ShVec<ShVec<ShString>>>::new(true);
        world.place().extend([["x", text], ["a", "b"]]).unwrap();
        if !stay {
            world.log().hold();
        }
        let mut lists = world.place().iter_mut();
        let (from, to) = (lists.next().unwrap(), lists.next().unwrap());
        to.push(from.remove(1)).unwrap();
        if !stay {
            world.log().roll_back();
        }
        match stay {
            true => assert_eq!(*world.place(), [vec!["x"], vec!["a", "b", text]]),
            false => assert_eq!(*world.place(), [vec!["x", text], vec!["a", "b"]]),
        }
        world.check();
    }
}

#[test]
fn indexes_out_of_bounds_panic_and_change_nothing() {
    let mut world = World::<ShVec<u64>>::new(true);
    world.place().extend(0..3).unwrap();
    let v = world.place();
    assert!(catch_unwind(AssertUnwindSafe(|| v.remove(3))).is_err());
    assert!(catch_unwind(AssertUnwindSafe(|| v.insert(4, 0).is_ok())).is_err());
    assert!(catch_unwind(AssertUnwindSafe(|| v.swap(0, 3))).is_err());
    assert!(catch_unwind(AssertUnwindSafe(|| v[3] = 1)).is_err());
    assert_eq!(*world.place(), [0, 1, 2]);
    world.check();
}

#[test]
fn absurd_capacities_are_errors() {
    let mut world = World::<ShVec<u64>>::new(true);
    assert!(world.place().reserve(usize::MAX).is_err());
    assert!(world.place().reserve(usize::MAX / 8).is_err());
    world.check();
    let mut world = World::<ShSet<u64>>::new(true);
    assert!(world.place().reserve(usize::MAX).is_err());
    assert!(world.place().reserve(1 << 33).is_err());
    world.check();
}

#[test]
fn an_item_without_size_goes_when_it_is_removed() {
    // Where it stands depends on the pool's seed.
    for _ in 0..16 {
        let mut world = World::<ShSet<()>>::new(true);
        for _ in 0..3 {
            assert!(world.place().insert(()).unwrap());
            world.check();
            assert!(world.place().remove(&()));
            assert!(world.place().is_empty() && !world.place().contains(&()));
            world.check();
        }
    }
}

#[test]
fn values_without_size_take_no_memory() {
    let mut world = World::<ShVec<()>>::new(true);
    for _ in 0..1000 {
        world.place().push(()).unwrap();
    }
    assert_eq!(world.place().len(), 1000);
    world.place().pop();
    world.place().retain(|()| false).unwrap();
    assert!(world.place().is_empty());
    world.check();
}

#[test]
fn boxes_in_vectors_are_freed_with_what_they_own() {
    let mut world = World::<ShVec<ShBox<ShVec<ShString>>>>::new(true);
    for i in 0..10 {
        world.place().push(ShBox::new([format!("a text that needs a block of its own, {i}")])).unwrap();
    }
    world.place()[3].get_mut().push("more").unwrap();
    assert_eq!(world.place()[3].len(), 2);
    world.place().truncate(5);
    world.check();
    world.place().clear();
    world.check();
}
