//! Each defect of the library that this one follows, as far as a collection can have it.

use super::World;
use crate::{ShMap, ShString, from_iter};

#[test]
fn a_map_whose_free_slots_were_all_used_once_still_ends_its_probes() {
    // There: with all free slots marked as removed, adding, finding and removing looped for ever after 18 rounds on 16 slots.
    let mut world = World::<ShMap<u64, u64>>::new(true);
    world.place().insert(0, 0).unwrap();
    for key in 1..100_000 {
        world.place().insert(key, key).unwrap();
        assert_eq!(world.place().remove(&key), Some(key));
        assert_eq!(world.place().get(&(key + 1)), None);
    }
    assert!(world.place().capacity() <= 28, "removed slots make the table grow");
    world.check();
}

#[test]
fn removing_an_absent_key_changes_nothing() {
    // There: it marked an empty slot as removed and counted one entry less, so that the one there was could no longer be found.
    let mut world = World::<ShMap<u64, u64>>::new(true);
    world.place().insert(1, 10).unwrap();
    for absent in 2..1000 {
        assert_eq!(world.place().remove(&absent), None);
    }
    assert_eq!(world.place().len(), 1);
    assert_eq!(world.place().get(&1), Some(&10));
    world.check();
}

#[test]
fn adding_a_key_again_replaces_its_value_and_returns_the_old_one() {
    // There: it reported success and dropped the new value.
    let mut world = World::<ShMap<ShString, u64>>::new(true);
    assert_eq!(world.place().insert("a", 1).unwrap(), None);
    assert_eq!(world.place().insert("a", 2).unwrap(), Some(1));
    assert_eq!(world.place().get("a"), Some(&2));
    assert_eq!(world.place().len(), 1);
    world.check();
}

#[test]
fn keys_in_sequence_do_not_cluster() {
    // There: 32-bit unseeded hashes of numbers in sequence gave neighbouring slots, and insertions of 31 us at a million keys.
    let mut world = World::<ShMap<u64, ()>>::new(true);
    world.place().extend((0..20_000).map(|k| (k, ()))).unwrap();
    assert!((0..20_000).all(|k| world.place().contains_key(&k)));
    assert!((20_000..40_000).all(|k| !world.place().contains_key(&k)));
    world.check();
}

#[test]
fn an_iterator_of_an_empty_map_ends_at_once() {
    // There: the iterator's memory was cleared by the size of a pointer to it.
    let mut world = World::<ShMap<u64, ShString>>::new(true);
    assert_eq!(world.place().iter().count(), 0);
    world.place().insert(1, "x").unwrap();
    world.place().remove(&1);
    assert_eq!(world.place().iter().count(), 0);
    assert_eq!(world.place().iter_mut().count(), 0);
    world.check();
}

#[test]
fn a_map_may_grow_the_pool_while_references_into_it_are_out() {
    // There: growth moved the mapping under readers, who therefore had to lock the whole pool for each access.
    let mut world = World::<ShMap<u64, ShString>>::new(true);
    world.place().insert(1, "a text that stays where it is while the pool grows").unwrap();
    let pool = world.pool.clone();
    let length = pool.info().length;
    let first = std::ptr::from_ref(&world.place()[&1]);
    world
        .place()
        .extend(from_iter((2..20_000).map(|k| (k, "a text that stays where it is while the pool grows"))).0)
        .unwrap();
    assert!(pool.info().length > length && pool.info().moved > 0);
    // SAFETY: old windows stay mapped, and the block of the old table may have been freed, but not unmapped.
    let _still_mapped = unsafe { first.cast::<u8>().read_volatile() };
    assert_eq!(world.place()[&1], "a text that stays where it is while the pool grows");
    world.check();
}
