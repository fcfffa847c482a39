//! Random operations on a container and on its model; some stretches in a transaction that is rolled back.
#![allow(clippy::unwrap_used)] // a failure of what surrounds a test is a failure of the test

use super::{Random, World};
use crate::{Place, ShMap, ShSet, ShString, ShVec, from_iter};
use std::collections::{HashMap, HashSet};
use std::fmt::Debug;

/// Runs random stretches of operations: final at once, final together, or undone together.
fn stretches<T, M>(
    seed: u64,
    known: bool,
    mut step: impl FnMut(&mut Place<T>, &mut M, &mut Random),
    same: impl Fn(&T, &M),
) where
    T: crate::relocatable::Relocatable<Kind = crate::relocatable::InPlace, Access = Place<T>>
        + crate::relocatable::DefaultInPool,
    M: Clone + Default + Debug,
{
    let mut world = World::<T>::new(known);
    let mut model = M::default();
    let mut random = Random::new(seed);
    for stretch in 0..60 {
        let kind = random.below(4);
        let before = model.clone();
        if kind < 2 {
            world.log().hold();
        }
        for _ in 0..random.below(25) {
            step(world.place(), &mut model, &mut random);
        }
        match kind {
            0 => {
                world.log().roll_back();
                model = before;
            }
            1 => world.log().release(),
            _ => {}
        }
        same(world.place(), &model);
        if stretch % 5 == 0 || kind == 0 {
            world.check();
        }
    }
    world.check();
    world.place().set(T::empty()).unwrap();
    world.check();
}

fn step_numbers(v: &mut Place<ShVec<u64>>, m: &mut Vec<u64>, r: &mut Random) {
    let (x, i) = (r.next(), r.below(m.len()));
    match r.below(17) {
        0..4 => (v.push(x).unwrap(), m.push(x)).0,
        4 => assert_eq!(v.pop(), m.pop()),
        5 => (v.insert(i, x).unwrap(), m.insert(i, x)).0,
        6 if !m.is_empty() => assert_eq!(v.remove(i), m.remove(i)),
        7 if !m.is_empty() => assert_eq!(v.swap_remove(i), m.swap_remove(i)),
        8 => (v.truncate(i), m.truncate(i)).0,
        9 => (v.extend_from_slice(&[x; 9]).unwrap(), m.extend([x; 9])).0,
        10 if !m.is_empty() => (v[i], m[i]) = (x, x),
        11 => {
            v.sort().unwrap();
            m.sort();
        }
        12 => {
            v.retain(|n| n % 5 != 0).unwrap();
            m.retain(|n| n % 5 != 0);
        }
        13 => {
            v.as_mut_slice().unwrap().iter_mut().for_each(|n| *n ^= x);
            m.iter_mut().for_each(|n| *n ^= x);
        }
        14 => {
            v.iter_mut().rev().for_each(|n| *n = n.rotate_left(7));
            m.iter_mut().for_each(|n| *n = n.rotate_left(7));
        }
        15 => v.shrink_to_fit().unwrap(),
        16 if r.below(4) == 0 => (v.clear(), m.clear()).0,
        _ => (v.extend(from_some(x)).unwrap(), m.extend(from_some(x))).0,
    }
}

fn from_some(x: u64) -> impl Iterator<Item = u64> {
    (0..x % 40).map(move |k| x ^ k)
}

#[test]
fn a_vector_of_numbers_does_what_vec_does() {
    for seed in 0..20 {
        stretches(seed, true, step_numbers, |v: &ShVec<u64>, m: &Vec<u64>| assert_eq!(v, m));
    }
}

fn step_texts(v: &mut Place<ShVec<ShString>>, m: &mut Vec<String>, r: &mut Random) {
    let (x, i) = (r.text(50), r.below(m.len()));
    match r.below(14) {
        0..4 => (v.push(&x).unwrap(), m.push(x)).0,
        4 => assert_eq!(v.pop().is_some(), m.pop().is_some()),
        5 => (v.insert(i, &x).unwrap(), m.insert(i, x)).0,
        6 if !m.is_empty() => {
            m.remove(i);
            drop(v.remove(i));
        }
        7 if !m.is_empty() => {
            m.swap_remove(i);
            drop(v.swap_remove(i));
        }
        8 => (v.truncate(i), m.truncate(i)).0,
        9 if !m.is_empty() => (v[i].push_str(&x).unwrap(), m[i].push_str(&x)).0,
        10 => {
            v.sort_by(|a, b| b.cmp(a)).unwrap();
            m.sort_by(|a, b| b.cmp(a));
        }
        11 => {
            v.retain(|t| t.len() % 3 != 0).unwrap();
            m.retain(|t| t.len() % 3 != 0);
        }
        12 if !m.is_empty() => {
            let cut = m[i].len() / 2;
            v[i].truncate(cut);
            m[i].truncate(cut);
        }
        13 if r.below(3) == 0 => (v.clear(), m.clear()).0,
        _ if !m.is_empty() => {
            let j = r.below(m.len());
            v.swap(i, j);
            m.swap(i, j);
        }
        _ => {}
    }
}

#[test]
fn a_vector_of_strings_does_what_vec_does() {
    for seed in 0..20 {
        stretches(seed, seed % 2 == 0, step_texts, |v: &ShVec<ShString>, m: &Vec<String>| assert_eq!(v, m));
    }
}

fn step_counts(v: &mut Place<ShMap<u64, u64>>, m: &mut HashMap<u64, u64>, r: &mut Random) {
    let (k, x) = (r.next() % 200, r.next());
    match r.below(12) {
        0..4 => assert_eq!(v.insert(k, x).unwrap(), m.insert(k, x)),
        4..7 => assert_eq!(v.remove(&k), m.remove(&k)),
        7 => {
            *v.entry(k).or_insert(0).unwrap() ^= x;
            *m.entry(k).or_insert(0) ^= x;
        }
        8 => {
            v.retain(|k, _| k % 7 != x % 7);
            m.retain(|k, _| k % 7 != x % 7);
        }
        9 => {
            v.values_mut().for_each(|n| *n += 1);
            m.values_mut().for_each(|n| *n += 1);
        }
        10 if r.below(5) == 0 => (v.clear(), m.clear()).0,
        10 => v.shrink_to_fit().unwrap(),
        _ => assert_eq!(v.get(&k), m.get(&k)),
    }
}

#[test]
fn a_map_of_numbers_does_what_hash_map_does() {
    for seed in 0..20 {
        stretches(seed, true, step_counts, |v: &ShMap<u64, u64>, m: &HashMap<u64, u64>| {
            assert_eq!(v, m);
            assert_eq!(v.iter().count(), m.len());
        });
    }
}

type Lists = ShMap<ShString, ShVec<ShString>>;
type ModelLists = HashMap<String, Vec<String>>;

fn step_lists(v: &mut Place<Lists>, m: &mut ModelLists, r: &mut Random) {
    let (k, x) = (r.text(60), r.text(1000));
    match r.below(12) {
        0..3 => {
            let list = vec![x.clone(); r.below(5)];
            let old = v.insert(&k, &list).unwrap();
            assert_eq!(old.is_some(), m.insert(k, list).is_some());
        }
        3..5 => assert_eq!(v.remove(k.as_str()).is_some(), m.remove(&k).is_some()),
        5..8 => {
            v.entry(k.as_str()).or_default().unwrap().push(&x).unwrap();
            m.entry(k).or_default().push(x);
        }
        8 => {
            v.retain(|k, list| k.len() % 4 != 0 || list.len() < 2);
            m.retain(|k, list| k.len() % 4 != 0 || list.len() < 2);
        }
        9 => {
            v.values_mut().for_each(|list| drop(list.pop()));
            m.values_mut().for_each(|list| drop(list.pop()));
        }
        10 if r.below(5) == 0 => (v.clear(), m.clear()).0,
        _ => {
            v.insert(&k, from_iter((0..3).map(|i| format!("{x} {i}")))).unwrap();
            m.insert(k, (0..3).map(|i| format!("{x} {i}")).collect());
        }
    }
}

fn same_lists(v: &Lists, m: &ModelLists) {
    assert_eq!(v.len(), m.len());
    m.iter().for_each(|(k, list)| assert_eq!(v.get(k.as_str()).unwrap(), list));
    v.iter().for_each(|(k, list)| assert_eq!(list, &m[k.as_str()]));
}

#[test]
fn a_map_of_lists_of_strings_does_what_hash_map_does() {
    for seed in 0..20 {
        stretches(seed, seed % 2 == 0, step_lists, same_lists);
    }
}

#[test]
fn a_set_does_what_hash_set_does() {
    for seed in 0..20 {
        let step = |v: &mut Place<ShSet<ShString>>, m: &mut HashSet<String>, r: &mut Random| {
            let k = r.text(80);
            match r.below(5) {
                0..3 => assert_eq!(v.insert(&k).unwrap(), m.insert(k)),
                3 => assert_eq!(v.remove(k.as_str()), m.remove(&k)),
                _ => assert_eq!(v.contains(k.as_str()), m.contains(&k)),
            }
        };
        stretches(seed, seed % 2 == 0, step, |v: &ShSet<ShString>, m: &HashSet<String>| {
            assert_eq!(v.len(), m.len());
            assert!(v.iter().all(|k| m.contains(k.as_str())));
        });
    }
}

#[test]
fn a_string_does_what_string_does() {
    for seed in 0..20 {
        let step = |v: &mut Place<ShString>, m: &mut String, r: &mut Random| {
            let x = r.text(30);
            match r.below(8) {
                0..3 => (v.push_str(&x).unwrap(), m.push_str(&x)).0,
                3 => (v.push('ß').unwrap(), m.push('ß')).0,
                4 => assert_eq!(v.pop(), m.pop()),
                5 if r.below(3) == 0 => (v.clear(), m.clear()).0,
                6 => (v.insert_str(0, &x).unwrap(), m.insert_str(0, &x)).0,
                _ => {
                    let cut = (0..=m.len() / 2).rev().find(|i| m.is_char_boundary(*i)).unwrap_or(0);
                    v.truncate(cut);
                    m.truncate(cut);
                }
            }
        };
        stretches(seed, true, step, |v: &ShString, m: &String| assert_eq!(v, m));
    }
}
