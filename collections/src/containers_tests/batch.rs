//! Look-ups in batches against look-ups one by one.

use super::{Random, World};
use crate::{ShMap, ShSet, ShString};
use std::panic::{AssertUnwindSafe, catch_unwind};

#[test]
fn a_batch_answers_as_look_ups_one_by_one_in_tables_of_any_size() {
    let mut random = Random::new(7);
    let mut world = World::<ShMap<u64, u64>>::new(true);
    for entries in [0, 1, 3, 7, 14, 15, 100, 1000] {
        let map = world.place();
        while map.len() < entries {
            let key = random.next() % 3000;
            map.insert(key, !key).unwrap();
        }
        for asked in [0, 1, 31, 32, 33, 100] {
            let keys: Vec<u64> = (0..asked).map(|_| random.next() % 3000).collect();
            let expected: Vec<Option<&u64>> = keys.iter().map(|k| map.get(k)).collect();
            let batch = map.get_batch(&keys);
            assert_eq!(batch.size_hint(), (asked, Some(asked)));
            assert_eq!(batch.collect::<Vec<_>>(), expected, "{asked} keys, {entries} entries");
        }
    }
    world.check();
}

#[test]
fn texts_are_asked_for_in_the_form_they_are_looked_up_by() {
    let mut world = World::<ShSet<ShString>>::new(true);
    let texts: Vec<String> = (0..200).map(|i| format!("{i} {}", "long ".repeat(i % 9))).collect();
    let set = world.place();
    set.extend(texts.iter().step_by(3)).unwrap();
    let found: Vec<bool> = set.contains_batch(texts.iter().map(String::as_str)).collect();
    assert_eq!(found, (0..200).map(|i| i % 3 == 0).collect::<Vec<_>>());
    world.check();
}

#[test]
fn keys_that_panic_lose_none_that_came_before() {
    let mut world = World::<ShMap<u64, u64>>::new(true);
    world.place().extend((0..100).map(|i| (i, i))).unwrap();
    let map = world.place();
    let keys: Vec<u64> = (0..100).collect();
    let mut batch = map.get_batch(keys.iter().inspect(|k| assert!(**k != 40, "enough")));
    assert_eq!(batch.by_ref().take(32).map(|v| *v.unwrap()).collect::<Vec<_>>(), keys[..32]);
    assert!(catch_unwind(AssertUnwindSafe(|| batch.next().is_some())).is_err());
    assert_eq!(batch.map(|v| *v.unwrap()).collect::<Vec<_>>(), [&keys[32..40], &keys[41..]].concat());
}
