//! [`ShSet`] against `HashSet`.

use crate::setup::Setup;
use crate::vec::text;
use crate::world::{self, Subject, done};
use aquifer::{DefaultInPool, Emplace, Error, Key, Place, Relocatable, ShHash, ShSet, ShString, from_iter};
use arbitrary::Arbitrary;
use std::borrow::Borrow;
use std::collections::HashSet;
use std::fmt::Debug;
use std::hash::Hash;
use std::marker::PhantomData;

/// What is done to a set. Items are made from numbers.
#[derive(Arbitrary, Clone, Debug)]
pub enum Op {
    Insert { item: u8 },
    Remove { item: u8 },
    RemoveSome { nth: u8 },
    Contains { item: u8 },
    Retain { modulus: u8 },
    Clear,
    Reserve(u16),
    ReserveTooMuch,
    ShrinkToFit,
    Extend { first: u16, count: u8 },
    SetAll { first: u16, count: u8 },
}

/// Items looked up as `Q`.
pub struct Items<K, Q: ?Sized, S> {
    make: fn(u16) -> S,
    read: fn(&K) -> S,
    query: PhantomData<fn(&Q)>,
}

/// Applies an input to sets.
pub fn run(data: &[u8]) {
    let (setup, ops) = Setup::read::<Op>(data);
    world::run(
        &Items::<u64, u64, u64> { make: |n| u64::from(n) << 8, read: |k| *k, query: PhantomData },
        setup,
        &ops,
    );
    let texts =
        Items::<ShString, str, String> { make: text, read: |k| k.as_str().to_owned(), query: PhantomData };
    world::run(&texts, setup, &ops);
}

impl<K, Q, S> Subject for Items<K, Q, S>
where
    K: Key + Borrow<Q> + Emplace<S>,
    ShSet<K>: Relocatable<Access = Place<ShSet<K>>>
        + DefaultInPool
        + Emplace<aquifer::iter::FromIter<std::vec::IntoIter<S>>>,
    Q: ShHash + Eq + ?Sized,
    S: Clone + Eq + Hash + Debug + Borrow<Q>,
{
    type Ours = ShSet<K>;
    type Model = HashSet<S>;
    type Op = Op;

    fn apply(&self, ours: &mut Place<ShSet<K>>, model: &mut HashSet<S>, op: &Op, setup: Setup) {
        match *op {
            Op::Insert { item } => {
                let item = (self.make)(item.into());
                if let Some(new) = done(ours.insert(item.clone()), setup) {
                    assert_eq!(new, model.insert(item));
                }
            }
            Op::Remove { item } => {
                let item = (self.make)(item.into());
                assert_eq!(ours.remove(item.borrow()), model.remove::<S>(&item));
            }
            Op::RemoveSome { nth } => {
                let some = ours.iter().nth(usize::from(nth) % model.len().max(1)).map(self.read);
                assert_eq!(some.is_some(), !model.is_empty());
                if let Some(item) = some {
                    assert!(ours.remove(item.borrow()) && model.remove::<S>(&item));
                }
            }
            Op::Contains { item } => {
                let item = (self.make)(item.into());
                assert_eq!(ours.contains(item.borrow()), model.contains::<S>(&item));
                assert_eq!(ours.get(item.borrow()).map(self.read), model.get::<S>(&item).cloned());
            }
            Op::Retain { modulus } => {
                let keep = |s: &S| !format!("{s:?}").len().is_multiple_of(usize::from(modulus).max(2));
                ours.retain(|k| keep(&(self.read)(k)));
                model.retain(keep);
            }
            Op::Clear => {
                ours.clear();
                model.clear();
            }
            Op::Extend { .. } | Op::SetAll { .. } => self.add_several(ours, model, op, setup),
            Op::Reserve(_) | Op::ReserveTooMuch | Op::ShrinkToFit => reserve(ours, model.len(), op, setup),
        }
        assert_eq!((ours.len(), ours.is_empty()), (model.len(), model.is_empty()));
    }

    fn is_fallible(op: &Op) -> bool {
        matches!(
            op,
            Op::Insert { .. }
                | Op::Contains { .. }
                | Op::Reserve(_)
                | Op::ReserveTooMuch
                | Op::Extend { .. }
                | Op::SetAll { .. }
        )
    }

    fn compare(&self, ours: &ShSet<K>, model: &HashSet<S>) {
        assert_eq!(ours.iter().map(self.read).collect::<HashSet<_>>(), *model);
        assert_eq!((ours.len(), ours.iter().count()), (model.len(), model.len()));
        assert!(model.iter().all(|item| ours.contains(item.borrow())));
        assert!(ours.capacity() >= ours.len());
    }
}

impl<K, Q, S> Items<K, Q, S>
where
    K: Key + Emplace<S>,
    ShSet<K>: Relocatable<Access = Place<ShSet<K>>> + Emplace<aquifer::iter::FromIter<std::vec::IntoIter<S>>>,
    Q: ?Sized,
    S: Clone + Eq + Hash,
{
    fn add_several(&self, ours: &mut Place<ShSet<K>>, model: &mut HashSet<S>, op: &Op, setup: Setup) {
        let make = |first: u16, count: u8| {
            (0..u16::from(count)).map(|i| (self.make)(first.wrapping_add(i))).collect::<Vec<_>>()
        };
        match *op {
            Op::Extend { first, count } => {
                for item in make(first, count) {
                    if done(ours.extend([item.clone()]), setup).is_some() {
                        model.insert(item);
                    }
                }
            }
            Op::SetAll { first, count } => {
                let items = make(first, count);
                if done(ours.set(from_iter(items.clone())), setup).is_some() {
                    *model = items.into_iter().collect();
                }
            }
            _ => {}
        }
    }
}

fn reserve<K: Key>(ours: &mut Place<ShSet<K>>, len: usize, op: &Op, setup: Setup) {
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
