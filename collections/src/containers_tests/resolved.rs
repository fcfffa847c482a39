//! When a log forgets the vector pushed to last, and the map changed last.

use super::World;
use crate::{ShMap, ShVec};
use aquifer_pool::log::{Kind, LogCx, RecordView, ResolvedTable};
use std::ptr::NonNull;

type Numbers = World<ShVec<u64>>;

/// A vector that was pushed to, its log, and whether the log knows it.
fn pushed() -> Numbers {
    let mut world = Numbers::new(true);
    world.place().reserve(10).unwrap();
    world.place().push(1).unwrap();
    assert!(is_known(&mut world));
    world
}

fn is_known(world: &mut Numbers) -> bool {
    let header = std::ptr::from_ref(&world.place().header).addr();
    let (len, cap) = (world.place().len(), world.place().capacity());
    assert!(world.log().resolved(header, cap).is_none(), "no room there");
    world.log().resolved(header, len).is_some()
}

#[track_caller]
fn forgotten_after(what: impl FnOnce(&LogCx)) {
    let mut world = pushed();
    what(world.log());
    assert!(!is_known(&mut world));
    world.place().push(2).unwrap();
    assert_eq!(**world.place(), [1, 2]);
}

#[test]
fn a_record_or_saved_bytes_forget_it() {
    forgotten_after(|log| {
        let op = log.begin();
        log.push(RecordView::new(Kind::Nothing, 0, 0));
        op.commit();
    });
    let mut world = pushed();
    let first = world.place().as_ptr().cast();
    let op = world.log().begin();
    // SAFETY: within the vector's block of ten numbers, of which nobody else knows; what is beyond the length may be any bytes.
    unsafe { world.log().save(first, 8 + 8) };
    op.commit();
    assert!(!is_known(&mut world));
}

#[test]
fn what_holds_the_log_open_forgets_it_and_lets_nothing_be_noted() {
    for open in [LogCx::hold as fn(&LogCx), LogCx::loan] {
        let mut world = pushed();
        let header = std::ptr::from_ref(&world.place().header).addr();
        open(world.log());
        assert!(world.log().resolved(header, 1).is_none());
        world.log().note_resolved(header, NonNull::dangling(), 10);
        assert!(world.log().resolved(header, 1).is_none());
        world.log().close();
    }
}

#[test]
fn an_undo_forgets_it() {
    let mut world = pushed();
    let header = std::ptr::from_ref(&world.place().header).addr();
    let log = world.log();
    let op = log.begin();
    log.push(RecordView::new(Kind::Nothing, 0, 0));
    log.note_resolved(header, NonNull::dangling(), 10);
    drop(op);
    assert!(!is_known(&mut world));
}

#[test]
fn another_vector_takes_its_place() {
    let mut world = World::<ShVec<ShVec<u64>>>::new(true);
    world.place().extend([[1u64], [2]]).unwrap();
    for i in 0..100 {
        world.place()[i % 2].push(i as u64).unwrap();
    }
    assert_eq!(world.place()[0].len() + world.place()[1].len(), 102);
    world.check();
}

type Map = World<ShMap<u64, u64>>;

/// A map that was changed, whose log knows its table.
fn changed() -> Map {
    let mut world = Map::new(true);
    world.place().reserve(100).unwrap();
    world.place().insert(1, 1).unwrap();
    world.place().insert(2, 2).unwrap();
    assert!(is_table_known(&mut world));
    world
}

fn is_table_known(world: &mut Map) -> bool {
    let header = std::ptr::from_ref(&world.place().header).addr();
    world.log().resolved_table(header).is_some()
}

#[test]
fn what_forgets_a_vector_forgets_a_map() {
    let record = |log: &LogCx| {
        let op = log.begin();
        log.push(RecordView::new(Kind::Nothing, 0, 0));
        op.commit();
    };
    let held = |log: &LogCx| {
        log.hold();
        log.close();
    };
    let lent = |log: &LogCx| {
        log.loan();
        log.close();
    };
    for what in [record as fn(&LogCx), held, lent, LogCx::forget_resolved] {
        let mut world = changed();
        what(world.log());
        assert!(!is_table_known(&mut world));
        world.place().remove(&1).unwrap();
        world.place().insert(3, 3).unwrap();
        assert_eq!(world.place().len(), 2);
        world.check();
    }
}

#[test]
fn a_map_is_known_only_while_its_log_is_idle() {
    let mut world = changed();
    let header = std::ptr::from_ref(&world.place().header).addr();
    let log = world.log();
    let table = ResolvedTable { first: NonNull::dangling(), mask: 3, header: 0 };
    let op = log.begin();
    log.push(RecordView::new(Kind::Nothing, 0, 0));
    log.note_resolved_table(header, table);
    assert!(log.resolved_table(header).is_none());
    op.commit();
    log.hold();
    log.note_resolved_table(header, table);
    assert!(log.resolved_table(header).is_none());
    log.close();
}

#[test]
fn a_larger_table_takes_the_place_of_the_known_one() {
    let mut world = changed();
    for i in 0..10_000 {
        world.place().insert(i, !i).unwrap();
    }
    for i in (0..10_000).step_by(3) {
        assert_eq!(world.place().remove(&i), Some(!i));
    }
    world.place().shrink_to_fit().unwrap();
    for i in 0..10_000 {
        assert_eq!(world.place().insert(i, i).unwrap(), (i % 3 != 0).then_some(!i));
    }
    world.place().clear();
    assert_eq!(world.place().insert(1, 1).unwrap(), None);
    assert_eq!(world.place().len(), 1);
    world.check();
}

#[test]
fn two_maps_are_known_in_turns() {
    let mut world = World::<ShVec<ShMap<u64, u64>>>::new(true);
    world.place().extend([[(1u64, 1u64)], [(2, 2)]]).unwrap();
    for i in 0..1000 {
        world.place()[i as usize % 2].insert(i, i).unwrap();
        world.place()[i as usize % 2].remove(&(i / 2)).unwrap_or(0);
    }
    world.check();
}
