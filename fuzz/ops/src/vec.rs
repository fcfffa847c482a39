//! [`ShVec`] against `Vec`, of plain elements and of elements that own memory.

use crate::setup::Setup;
use crate::world::{self, Subject, done};
use aquifer::{DefaultInPool, Emplace, Error, Place, Relocatable, Result, ShString, ShVec, from_iter};
use arbitrary::Arbitrary;
use std::borrow::Borrow;
use std::fmt::Debug;

/// What is done to a vector. Elements are made from numbers, positions are taken modulo the length.
#[derive(Arbitrary, Clone, Debug)]
pub enum Op {
    Push(u16),
    Pop,
    Insert {
        at: u8,
        element: u16,
    },
    Remove {
        at: u8,
    },
    SwapRemove {
        at: u8,
    },
    Truncate {
        len: u8,
    },
    Clear,
    Reserve(u16),
    ReserveTooMuch,
    ShrinkToFit,
    Extend {
        first: u16,
        count: u8,
    },
    Set {
        first: u16,
        count: u8,
    },
    Change {
        at: u8,
        by: u16,
    },
    ChangeLast {
        by: u16,
    },
    ChangeAll {
        by: u16,
    },
    Replace {
        at: u8,
        element: u16,
    },
    Swap {
        a: u8,
        b: u8,
    },
    Retain {
        modulus: u8,
    },
    Dedup,
    Sort,
    SortBackwards,
    Reverse,
    /// What only vectors of plain elements can, or something else in its place.
    Special {
        at: u8,
        by: u16,
    },
}

/// Elements of one type.
pub struct Elements<T: Relocatable, S> {
    make: fn(u16) -> S,
    read: fn(&T) -> S,
    /// A number that the same elements share, on both sides.
    weigh: fn(&S) -> usize,
    change: fn(&mut T::Access, u16) -> Result<()>,
    change_model: fn(&mut S, u16),
    replace: fn(&mut T::Access, S) -> Result<()>,
    special: fn(&mut Place<ShVec<T>>, &mut Vec<S>, usize, u16, Setup),
}

/// Applies an input to vectors.
pub fn run(data: &[u8]) {
    let (setup, ops) = Setup::read::<Op>(data);
    world::run(&NUMBERS, setup, &ops);
    world::run(&TEXTS, setup, &ops);
}

const NUMBERS: Elements<u64, u64> = Elements {
    make: |n| u64::from(n) << 7,
    read: |n| *n,
    weigh: |n| *n as usize >> 7,
    change: |n, by| {
        *n = n.wrapping_mul(3) + u64::from(by);
        Ok(())
    },
    change_model: |n, by| *n = n.wrapping_mul(3) + u64::from(by),
    replace: |n, new| {
        *n = new;
        Ok(())
    },
    special: |ours, model, at, by, setup| {
        if by % 2 == 0 {
            let copies = model[at.min(model.len())..].to_vec();
            if done(ours.extend_from_slice(&copies), setup).is_some() {
                model.extend(copies);
            }
        } else if let Some(slice) = done(ours.as_mut_slice(), setup) {
            let by_places = at % model.len().max(1);
            slice.rotate_left(by_places);
            slice.iter_mut().for_each(|n| *n ^= u64::from(by));
            model.rotate_left(by_places);
            model.iter_mut().for_each(|n| *n ^= u64::from(by));
        }
    },
};

const TEXTS: Elements<ShString, String> = Elements {
    make: text,
    read: |t| t.as_str().to_owned(),
    weigh: String::len,
    change: |t, by| if by % 5 == 0 { Ok(t.truncate(0)) } else { t.push_str(&text(by)) },
    change_model: |t, by| if by % 5 == 0 { t.clear() } else { t.push_str(&text(by)) },
    replace: |t, new| t.set(new),
    special: |ours, model, at, by, setup| {
        if at >= model.len() {
            return;
        }
        // Long enough for several chunks of the log.
        if done(ours[at].insert_str(0, &text(by)), setup).is_some() {
            model[at].insert_str(0, &text(by));
        }
    },
};

/// Texts that stand in the string itself, just do, just do not, and long ones.
pub fn text(n: u16) -> String {
    match n % 4 {
        0 => format!("{n}"),
        1 => format!("{n:>38}"),
        2 => format!("{n:>39}"),
        _ => format!("{n:>0$}", usize::from(n % 600)),
    }
}

impl<T, S> Subject for Elements<T, S>
where
    T: Relocatable + Emplace<S> + Ord,
    ShVec<T>: Relocatable<Access = Place<ShVec<T>>>
        + DefaultInPool
        + Emplace<aquifer::iter::FromIter<std::vec::IntoIter<S>>>,
    S: Clone + Ord + Debug,
{
    type Ours = ShVec<T>;
    type Model = Vec<S>;
    type Op = Op;

    fn apply(&self, ours: &mut Place<ShVec<T>>, model: &mut Vec<S>, op: &Op, setup: Setup) {
        match *op {
            Op::Change { .. }
            | Op::ChangeLast { .. }
            | Op::ChangeAll { .. }
            | Op::Replace { .. }
            | Op::Special { .. } => {
                self.change_elements(ours, model, op, setup);
            }
            Op::Retain { .. } | Op::Dedup | Op::Sort | Op::SortBackwards | Op::Reverse => {
                self.rearrange(ours, model, op, setup)
            }
            Op::Reserve(_) | Op::ReserveTooMuch | Op::ShrinkToFit => reserve(ours, model.len(), op, setup),
            _ => self.add_and_remove(ours, model, op, setup),
        }
    }

    fn is_fallible(op: &Op) -> bool {
        matches!(
            op,
            Op::Push(_)
                | Op::Insert { .. }
                | Op::Reserve(_)
                | Op::ReserveTooMuch
                | Op::ShrinkToFit
                | Op::Extend { .. }
                | Op::Set { .. }
                | Op::Retain { .. }
                | Op::Dedup
                | Op::Sort
                | Op::SortBackwards
                | Op::Reverse
                | Op::Special { .. }
        )
    }

    fn compare(&self, ours: &ShVec<T>, model: &Vec<S>) {
        assert_eq!(ours.iter().map(self.read).collect::<Vec<_>>(), *model);
        assert_eq!((ours.len(), ours.is_empty()), (model.len(), model.is_empty()));
        assert!(ours.capacity() >= ours.len());
    }
}

fn reserve<T: Relocatable>(ours: &mut Place<ShVec<T>>, len: usize, op: &Op, setup: Setup) {
    match op {
        Op::Reserve(more) => {
            if done(ours.reserve(usize::from(*more)), setup).is_some() {
                assert!(ours.capacity() >= len + usize::from(*more));
            }
        }
        Op::ReserveTooMuch => {
            let refused = ours.reserve(usize::MAX / 2);
            assert!(matches!(refused, Err(Error::TooLarge(..) | Error::HardLimit { .. })), "{refused:?}");
        }
        _ => drop(done(ours.shrink_to_fit(), setup)),
    }
}

impl<T, S> Elements<T, S>
where
    T: Relocatable + Emplace<S> + Ord,
    ShVec<T>: Relocatable<Access = Place<ShVec<T>>> + Emplace<aquifer::iter::FromIter<std::vec::IntoIter<S>>>,
    S: Clone + Ord + Debug,
{
    fn several(&self, first: u16, count: u8) -> Vec<S> {
        (0..u16::from(count)).map(|i| (self.make)(first.wrapping_add(i))).collect()
    }

    fn read_taken(&self, taken: T::Taken<'_>) -> S {
        (self.read)(taken.borrow())
    }

    fn add_and_remove(&self, ours: &mut Place<ShVec<T>>, model: &mut Vec<S>, op: &Op, setup: Setup) {
        let len = model.len();
        match *op {
            Op::Push(n) => {
                if done(ours.push((self.make)(n)), setup).is_some() {
                    model.push((self.make)(n));
                }
            }
            Op::Pop => assert_eq!(ours.pop().map(|t| self.read_taken(t)), model.pop()),
            Op::Insert { at, element } => {
                let at = usize::from(at) % (len + 1);
                if done(ours.insert(at, (self.make)(element)), setup).is_some() {
                    model.insert(at, (self.make)(element));
                }
            }
            Op::Remove { at } if len > 0 => {
                let at = usize::from(at) % len;
                assert_eq!(self.read_taken(ours.remove(at)), model.remove(at));
            }
            Op::SwapRemove { at } if len > 0 => {
                let at = usize::from(at) % len;
                assert_eq!(self.read_taken(ours.swap_remove(at)), model.swap_remove(at));
            }
            Op::Truncate { len } => {
                ours.truncate(len.into());
                model.truncate(len.into());
            }
            Op::Clear => {
                ours.clear();
                model.clear();
            }
            Op::Extend { first, count } => {
                let items = self.several(first, count);
                // Those before the one that did not fit stay.
                let all = done(ours.extend(items.clone()), setup).is_some();
                let added = ours.len() - len;
                assert!(if all { added == items.len() } else { added < items.len() });
                model.extend(items.into_iter().take(added));
            }
            Op::Set { first, count } => {
                let items = self.several(first, count);
                if done(ours.set(from_iter(items.clone())), setup).is_some() {
                    *model = items;
                }
            }
            Op::Swap { a, b } if len > 0 => {
                let (a, b) = (usize::from(a) % len, usize::from(b) % len);
                ours.swap(a, b);
                model.swap(a, b);
            }
            _ => {}
        }
    }

    fn change_elements(&self, ours: &mut Place<ShVec<T>>, model: &mut Vec<S>, op: &Op, setup: Setup) {
        let len = model.len();
        match *op {
            Op::Change { at, by } if len > 0 => {
                let at = usize::from(at) % len;
                if done((self.change)(&mut ours[at], by), setup).is_some() {
                    (self.change_model)(&mut model[at], by);
                }
            }
            Op::ChangeLast { by } => {
                assert_eq!(ours.last_mut().is_some(), len > 0);
                if let (Some(ours), Some(model)) = (ours.last_mut(), model.last_mut())
                    && done((self.change)(ours, by), setup).is_some()
                {
                    (self.change_model)(model, by);
                }
            }
            Op::ChangeAll { by } => {
                for (ours, model) in ours.iter_mut().zip(model) {
                    if done((self.change)(ours, by), setup).is_some() {
                        (self.change_model)(model, by);
                    }
                }
            }
            Op::Replace { at, element } => {
                let at = usize::from(at);
                assert_eq!(ours.get_mut(at).is_some(), at < len);
                if let (Some(ours), Some(model)) = (ours.get_mut(at), model.get_mut(at))
                    && done((self.replace)(ours, (self.make)(element)), setup).is_some()
                {
                    *model = (self.make)(element);
                }
            }
            Op::Special { at, by } => (self.special)(ours, model, usize::from(at), by, setup),
            _ => {}
        }
    }

    fn rearrange(&self, ours: &mut Place<ShVec<T>>, model: &mut Vec<S>, op: &Op, setup: Setup) {
        match *op {
            Op::Retain { modulus } => {
                let keep = |s: &S| !(self.weigh)(s).is_multiple_of(usize::from(modulus).max(2));
                if done(ours.retain(|t| keep(&(self.read)(t))), setup).is_some() {
                    model.retain(keep);
                }
            }
            Op::Dedup => {
                if done(ours.dedup(), setup).is_some() {
                    model.dedup();
                }
            }
            Op::Sort => {
                if done(ours.sort(), setup).is_some() {
                    model.sort();
                }
            }
            Op::SortBackwards => {
                if done(ours.sort_by(|a, b| b.cmp(a)), setup).is_some() {
                    model.sort_by(|a, b| b.cmp(a));
                }
            }
            _ => {
                if done(ours.reverse(), setup).is_some() {
                    model.reverse();
                }
            }
        }
    }
}
