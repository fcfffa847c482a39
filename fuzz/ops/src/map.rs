//! [`ShMap`] against `HashMap`: plain keys with values that own memory, and keys that own memory with collections as values.

use crate::setup::Setup;
use crate::vec::text;
use crate::world::{self, Subject, done};
use aquifer::{
    DefaultInPool, Emplace, Error, Key, KeySource, Place, Relocatable, Result, ShHash, ShMap, ShString,
    ShVec, from_iter,
};
use arbitrary::Arbitrary;
use std::borrow::Borrow;
use std::collections::HashMap;
use std::fmt::Debug;
use std::hash::Hash;
use std::marker::PhantomData;

/// What is done to a map. Keys and values are made from numbers.
#[derive(Arbitrary, Clone, Debug)]
pub enum Op {
    Insert {
        key: u8,
        value: u16,
    },
    Remove {
        key: u8,
    },
    /// Removes a key that was inserted, whichever that is.
    RemoveSome {
        nth: u8,
    },
    Get {
        key: u8,
    },
    Change {
        key: u8,
        by: u16,
    },
    Set {
        key: u8,
        value: u16,
    },
    EntryOrInsert {
        key: u8,
        value: u16,
        by: u16,
    },
    EntryAndModify {
        key: u8,
        value: u16,
        by: u16,
    },
    EntryInsert {
        key: u8,
        value: u16,
    },
    EntryRemove {
        key: u8,
    },
    ChangeAll {
        by: u16,
    },
    ChangeValues {
        by: u16,
    },
    Retain {
        modulus: u8,
        by: u16,
    },
    Clear,
    Reserve(u16),
    ReserveTooMuch,
    ShrinkToFit,
    Extend {
        first: u16,
        count: u8,
    },
    SetAll {
        first: u16,
        count: u8,
    },
}

/// Keys looked up as `Q`, and values.
pub struct Entries<K, V: Relocatable, Q: ?Sized, KS, VS> {
    key: fn(u16) -> KS,
    read_key: fn(&K) -> KS,
    value: fn(u16) -> VS,
    read: fn(&V) -> VS,
    change: fn(&mut V::Access, u16) -> Result<()>,
    change_model: fn(&mut VS, u16),
    set: fn(&mut V::Access, VS) -> Result<()>,
    query: PhantomData<fn(&Q)>,
}

/// Applies an input to maps.
pub fn run(data: &[u8]) {
    let (setup, ops) = Setup::read::<Op>(data);
    world::run(&NUMBERS_TO_TEXTS, setup, &ops);
    world::run(&TEXTS_TO_LISTS, setup, &ops);
}

const NUMBERS_TO_TEXTS: Entries<u64, ShString, u64, u64, String> = Entries {
    key: |n| u64::from(n) << 40 | u64::from(n),
    read_key: |k| *k,
    value: text,
    read: |v| v.as_str().to_owned(),
    change: |v, by| if by % 5 == 0 { Ok(v.clear()) } else { v.push_str(&text(by)) },
    change_model: |v, by| if by % 5 == 0 { v.clear() } else { v.push_str(&text(by)) },
    set: |v, new| v.set(new),
    query: PhantomData,
};

const TEXTS_TO_LISTS: Entries<ShString, ShVec<u64>, str, String, Vec<u64>> = Entries {
    key: text,
    read_key: |k| k.as_str().to_owned(),
    value: |n| (0..u64::from(n % 40)).map(|i| i * u64::from(n)).collect(),
    read: |v| v.to_vec(),
    change: |v, by| if by % 5 == 0 { Ok(v.truncate(1)) } else { v.push(u64::from(by)) },
    change_model: |v, by| if by % 5 == 0 { v.truncate(1) } else { v.push(u64::from(by)) },
    set: |v, new| v.set(new),
    query: PhantomData,
};

impl<K, V, Q, KS, VS> Subject for Entries<K, V, Q, KS, VS>
where
    K: Key + Borrow<Q> + Emplace<KS>,
    V: Relocatable + Emplace<VS>,
    ShMap<K, V>: Relocatable<Access = Place<ShMap<K, V>>>
        + DefaultInPool
        + Emplace<aquifer::iter::FromIter<std::vec::IntoIter<(KS, VS)>>>,
    Q: ShHash + Eq + Hash + ?Sized,
    KS: Clone + Eq + Hash + Debug + Borrow<Q> + KeySource<K, Query = Q>,
    VS: Clone + Eq + Debug,
{
    type Ours = ShMap<K, V>;
    type Model = HashMap<KS, VS>;
    type Op = Op;

    fn apply(&self, ours: &mut Place<ShMap<K, V>>, model: &mut HashMap<KS, VS>, op: &Op, setup: Setup) {
        match op {
            Op::EntryOrInsert { .. }
            | Op::EntryAndModify { .. }
            | Op::EntryInsert { .. }
            | Op::EntryRemove { .. } => {
                self.entry(ours, model, op, setup);
            }
            Op::Change { .. }
            | Op::Set { .. }
            | Op::ChangeAll { .. }
            | Op::ChangeValues { .. }
            | Op::Retain { .. } => {
                self.change_values(ours, model, op, setup);
            }
            Op::Reserve(_) | Op::ReserveTooMuch | Op::ShrinkToFit => reserve(ours, model.len(), op, setup),
            _ => self.add_and_remove(ours, model, op, setup),
        }
        assert_eq!((ours.len(), ours.is_empty()), (model.len(), model.is_empty()));
    }

    fn is_fallible(op: &Op) -> bool {
        matches!(
            op,
            Op::Insert { .. }
                | Op::Get { .. }
                | Op::EntryInsert { .. }
                | Op::Reserve(_)
                | Op::ReserveTooMuch
                | Op::Extend { .. }
                | Op::SetAll { .. }
        )
    }

    fn compare(&self, ours: &ShMap<K, V>, model: &HashMap<KS, VS>) {
        let read: HashMap<KS, VS> = ours.iter().map(|(k, v)| ((self.read_key)(k), (self.read)(v))).collect();
        assert_eq!(read, *model);
        assert_eq!(ours.len(), model.len());
        assert_eq!((ours.keys().count(), ours.values().count()), (model.len(), model.len()));
        for (key, value) in model {
            assert_eq!(ours.get(key.borrow()).map(self.read).as_ref(), Some(value));
        }
        assert!(ours.capacity() >= ours.len());
    }
}

fn reserve<K: Key, V: Relocatable>(ours: &mut Place<ShMap<K, V>>, len: usize, op: &Op, setup: Setup) {
    match op {
        Op::Reserve(more) => {
            let more = usize::from(more % 4096);
            if done(ours.reserve(more), setup).is_some() {
                assert!(ours.capacity() >= len + more);
            }
        }
        Op::ReserveTooMuch => {
            let refused = ours.reserve(usize::MAX / 2);
            assert!(matches!(refused, Err(Error::TooLarge(..) | Error::HardLimit { .. })), "{refused:?}");
        }
        _ => drop(done(ours.shrink_to_fit(), setup)),
    }
}

impl<K, V, Q, KS, VS> Entries<K, V, Q, KS, VS>
where
    K: Key + Borrow<Q> + Emplace<KS>,
    V: Relocatable + Emplace<VS>,
    ShMap<K, V>: Relocatable<Access = Place<ShMap<K, V>>>
        + Emplace<aquifer::iter::FromIter<std::vec::IntoIter<(KS, VS)>>>,
    Q: ShHash + Eq + Hash + ?Sized,
    KS: Clone + Eq + Hash + Debug + Borrow<Q> + KeySource<K, Query = Q>,
    VS: Clone + Eq + Debug,
{
    fn pairs(&self, first: u16, count: u8) -> Vec<(KS, VS)> {
        (0..u16::from(count))
            .map(|i| first.wrapping_add(i))
            .map(|n| ((self.key)(n), (self.value)(n)))
            .collect()
    }

    fn read_taken(&self, taken: V::Taken<'_>) -> VS {
        (self.read)(taken.borrow())
    }

    fn add_and_remove(
        &self,
        ours: &mut Place<ShMap<K, V>>,
        model: &mut HashMap<KS, VS>,
        op: &Op,
        setup: Setup,
    ) {
        match *op {
            Op::Insert { key, value } => {
                let (key, value) = ((self.key)(key.into()), (self.value)(value));
                if let Some(old) = done(ours.insert(key.clone(), value.clone()), setup) {
                    assert_eq!(old.map(|t| self.read_taken(t)), model.insert(key, value));
                }
            }
            Op::Remove { key } => self.remove(ours, model, &(self.key)(key.into())),
            Op::RemoveSome { nth } => {
                let some = ours.keys().nth(usize::from(nth) % model.len().max(1)).map(self.read_key);
                assert_eq!(some.is_some(), !model.is_empty());
                some.into_iter().for_each(|key| self.remove(ours, model, &key));
            }
            Op::Get { key } => {
                let key = (self.key)(key.into());
                assert_eq!(ours.get(key.borrow()).map(self.read).as_ref(), model.get::<KS>(&key));
                assert_eq!(ours.contains_key(key.borrow()), model.contains_key::<KS>(&key));
                assert_eq!(
                    ours.get_key_value(key.borrow())
                        .map(|(k, _)| (self.read_key)(k))
                        .is_none_or(|k| k == key),
                    true
                );
            }
            Op::Clear => {
                ours.clear();
                model.clear();
            }
            Op::Extend { first, count } => {
                for (key, value) in self.pairs(first, count) {
                    if done(ours.extend([(key.clone(), value.clone())]), setup).is_some() {
                        model.insert(key, value);
                    }
                }
            }
            Op::SetAll { first, count } => {
                let pairs = self.pairs(first, count);
                if done(ours.set(from_iter(pairs.clone())), setup).is_some() {
                    *model = pairs.into_iter().collect();
                }
            }
            _ => {}
        }
    }

    fn remove(&self, ours: &mut Place<ShMap<K, V>>, model: &mut HashMap<KS, VS>, key: &KS) {
        assert_eq!(ours.remove(key.borrow()).map(|t| self.read_taken(t)), model.remove::<KS>(key));
        assert!(ours.get(key.borrow()).is_none());
    }

    fn entry(&self, ours: &mut Place<ShMap<K, V>>, model: &mut HashMap<KS, VS>, op: &Op, setup: Setup) {
        use aquifer::entry::Entry;
        match *op {
            Op::EntryOrInsert { key, value, by } => {
                let (key, value) = ((self.key)(key.into()), (self.value)(value));
                if let Some(place) = done(ours.entry(key.clone()).or_insert(value.clone()), setup) {
                    let changed = done((self.change)(place, by), setup).is_some();
                    let place = model.entry(key).or_insert(value);
                    changed.then(|| (self.change_model)(place, by));
                }
            }
            Op::EntryAndModify { key, value, by } => {
                let (key, value) = ((self.key)(key.into()), (self.value)(value));
                let mut changed = false;
                let entry = ours
                    .entry(key.clone())
                    .and_modify(|v| changed = done((self.change)(v, by), setup).is_some());
                if done(entry.or_insert_with(|| value.clone()), setup).is_some() {
                    let place = model.entry(key).and_modify(|v| {
                        if changed {
                            (self.change_model)(v, by)
                        }
                    });
                    place.or_insert(value);
                }
            }
            Op::EntryInsert { key, value } => {
                let (key, value) = ((self.key)(key.into()), (self.value)(value));
                let inserted = match ours.entry(key.clone()) {
                    Entry::Occupied(entry) => {
                        assert_eq!((self.read_key)(entry.key()), key);
                        let old = done(entry.insert(value.clone()), setup).map(|t| self.read_taken(t));
                        assert!(old.is_none() || old.as_ref() == model.get::<KS>(&key));
                        old.is_some()
                    }
                    Entry::Vacant(entry) => done(entry.insert(value.clone()), setup).is_some(),
                };
                if inserted {
                    model.insert(key, value);
                }
            }
            Op::EntryRemove { key } => {
                let key = (self.key)(key.into());
                let removed = match ours.entry(key.clone()) {
                    Entry::Occupied(entry) => Some(self.read_taken(entry.remove())),
                    Entry::Vacant(_) => None,
                };
                assert_eq!(removed, model.remove::<KS>(&key));
            }
            _ => {}
        }
    }

    fn change_values(
        &self,
        ours: &mut Place<ShMap<K, V>>,
        model: &mut HashMap<KS, VS>,
        op: &Op,
        setup: Setup,
    ) {
        let changed = |place: &mut V::Access, by: u16| done((self.change)(place, by), setup).is_some();
        match *op {
            Op::Change { key, by } => {
                let key = (self.key)(key.into());
                let (ours, model) = (ours.get_mut(key.borrow()), model.get_mut::<KS>(&key));
                assert_eq!(ours.is_some(), model.is_some());
                if let (Some(ours), Some(model)) = (ours, model)
                    && changed(ours, by)
                {
                    (self.change_model)(model, by);
                }
            }
            Op::Set { key, value } => {
                let (key, value) = ((self.key)(key.into()), (self.value)(value));
                if let (Some(ours), Some(model)) = (ours.get_mut(key.borrow()), model.get_mut::<KS>(&key))
                    && done((self.set)(ours, value.clone()), setup).is_some()
                {
                    *model = value;
                }
            }
            Op::ChangeAll { by } => {
                for (key, place) in ours.iter_mut() {
                    let model = model.get_mut::<KS>(&(self.read_key)(key)).expect("a key of the model");
                    if changed(place, by) {
                        (self.change_model)(model, by);
                    }
                }
            }
            Op::ChangeValues { by } => {
                let all = ours.values_mut().map(|place| changed(place, by)).filter(|c| *c).count();
                if all == model.len() {
                    model.values_mut().for_each(|v| (self.change_model)(v, by));
                } else {
                    // Some failed, and it is not known which: begin anew from what is there.
                    *model = ours.iter().map(|(k, v)| ((self.read_key)(k), (self.read)(v))).collect();
                }
            }
            Op::Retain { modulus, by } => {
                let modulus = usize::from(modulus).max(2);
                ours.retain(|key, place| {
                    let key = (self.read_key)(key);
                    let value = model.get_mut::<KS>(&key).expect("a key of the model");
                    if changed(place, by) {
                        (self.change_model)(value, by);
                    }
                    let keep = !format!("{key:?}").len().is_multiple_of(modulus);
                    if !keep {
                        model.remove::<KS>(&key);
                    }
                    keep
                });
            }
            _ => {}
        }
    }
}
