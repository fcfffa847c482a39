//! [`ShSet`], a hash set in a pool.

use crate::hash::ShHash;
use crate::iter::New;
use crate::key::Key;
use crate::map::{self, ShMap};
use crate::place::Place;
use crate::raw::map::{self as raw, MapMut};
use crate::relocatable::{Emplace, Relocatable};
use aquifer_pool::Result;
use std::borrow::Borrow;
use std::fmt;

/// A hash set in a pool, as `HashSet`: an [`ShMap`] whose values are nothing.
///
/// Sources are arrays, slices, vectors, `HashSet`, [`from_iter`](crate::from_iter), and [`ShSet::new`] for an empty one.
#[repr(transparent)]
pub struct ShSet<K> {
    pub(crate) map: ShMap<K, ()>,
}

impl<K: Key> ShSet<K> {
    /// Source of an empty set. Takes no memory.
    pub fn new() -> New<ShSet<K>> {
        New::SOURCE
    }
}

impl<K> ShSet<K> {
    /// How many items there are. O(1).
    #[inline(always)]
    pub fn len(&self) -> usize {
        self.map.len()
    }

    /// Whether there are none.
    #[inline(always)]
    pub fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    /// How many items fit without a larger table.
    pub fn capacity(&self) -> usize {
        self.map.capacity()
    }

    /// All items, in no order. O(capacity).
    pub fn iter(&self) -> Iter<'_, K> {
        Iter(self.map.iter())
    }
}

impl<K: 'static> ShSet<K> {
    /// Whether the item is there. O(1).
    #[inline]
    pub fn contains<Q>(&self, item: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: ShHash + Eq + ?Sized,
    {
        self.map.contains_key(item)
    }

    /// Whether each of many items is there, in their order. Faster than one after the other in a large set: see [`ShMap::get_batch`].
    ///
    /// ```
    /// # use aquifer_collections::{Named, Pool, Result, ShRwLock, ShSet};
    /// # fn main() -> Result<()> {
    /// # let pool = Pool::options().memfd()?;
    /// let seen: Named<ShRwLock<ShSet<u64>>> = pool.named("seen")?;
    /// seen.write()?.extend([2, 3, 5, 7])?;
    /// assert_eq!(seen.read()?.contains_batch(&[1, 2, 3, 4]).filter(|there| *there).count(), 2);
    /// # Ok(())
    /// # }
    /// ```
    #[inline]
    pub fn contains_batch<'q, Q, I>(&self, items: I) -> impl Iterator<Item = bool>
    where
        I: IntoIterator<Item = &'q Q>,
        K: Borrow<Q>,
        Q: ShHash + Eq + ?Sized + 'q,
    {
        self.map.get_batch(items).map(|found| found.is_some())
    }

    /// The item as it is stored. O(1).
    #[inline]
    pub fn get<Q>(&self, item: &Q) -> Option<&K>
    where
        K: Borrow<Q>,
        Q: ShHash + Eq + ?Sized,
    {
        self.map.get_key_value(item).map(|(key, ())| key)
    }
}

impl<K: Key> ShSet<K> {
    /// Whether all items of this set are in the other. O(len).
    pub fn is_subset(&self, other: &ShSet<K>) -> bool {
        self.len() <= other.len() && self.iter().all(|item| other.contains(item))
    }

    /// Whether the sets have no item in common. O(len of the smaller).
    pub fn is_disjoint(&self, other: &ShSet<K>) -> bool {
        let (small, large) = if self.len() <= other.len() { (self, other) } else { (other, self) };
        !small.iter().any(|item| large.contains(item))
    }

    /// The items that both sets have.
    pub fn intersection<'a>(&'a self, other: &'a ShSet<K>) -> impl Iterator<Item = &'a K> {
        self.iter().filter(move |item| other.contains(*item))
    }

    /// The items of this set that the other lacks.
    pub fn difference<'a>(&'a self, other: &'a ShSet<K>) -> impl Iterator<Item = &'a K> {
        self.iter().filter(move |item| !other.contains(*item))
    }

    /// The items that one of the sets has, each once.
    pub fn union<'a>(&'a self, other: &'a ShSet<K>) -> impl Iterator<Item = &'a K> {
        self.iter().chain(other.difference(self))
    }
}

impl<K: Key> Place<ShSet<K>> {
    #[inline(always)]
    fn raw(&mut self) -> MapMut<'_, K, ()> {
        raw::of_set(self)
    }

    /// Puts an item in; false if it was there already. O(1) on average.
    ///
    /// # Errors
    /// `OutOfMemory`, `HardLimit` and the like; and those of building the item. Nothing is changed then.
    #[inline]
    pub fn insert<A>(&mut self, item: A) -> Result<bool>
    where
        K: Emplace<A>,
    {
        Ok(self.raw().insert(item, ())?.is_none())
    }

    /// Drops an item; false if it was not there. O(1).
    #[inline]
    pub fn remove<Q>(&mut self, item: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: ShHash + Eq + ?Sized,
    {
        self.raw().remove(item).is_some()
    }

    /// Keeps the items that `keep` says. O(capacity). Each removal is an operation of its own.
    pub fn retain(&mut self, mut keep: impl FnMut(&K) -> bool) {
        self.raw().retain(|item, ()| keep(item));
    }

    /// Drops all items, and gives the table back to the pool. O(capacity) if they own memory, else O(1).
    pub fn clear(&mut self) {
        self.raw().clear(<ShSet<K> as Relocatable>::SCHEMA);
    }

    /// Makes room for `additional` items.
    ///
    /// # Errors
    /// `OutOfMemory`, `TooLarge` and the like.
    pub fn reserve(&mut self, additional: usize) -> Result<()> {
        self.raw().reserve(additional)
    }

    /// Moves to the smallest table that holds the items. O(capacity).
    ///
    /// # Errors
    /// `OutOfMemory` when there is no room for it.
    pub fn shrink_to_fit(&mut self) -> Result<()> {
        self.raw().shrink(<ShSet<K> as Relocatable>::SCHEMA)
    }

    /// Puts all items in. Each is an operation of its own: those before an error, a panic or a kill stay, except in a transaction.
    ///
    /// # Errors
    /// As [`insert`](Self::insert).
    pub fn extend<A>(&mut self, items: impl IntoIterator<Item = A>) -> Result<()>
    where
        K: Emplace<A>,
    {
        for item in items {
            self.insert(item)?;
        }
        Ok(())
    }
}

/// All items of a set: see [`ShSet::iter`].
pub struct Iter<'a, K>(map::Iter<'a, K, ()>);

impl<K> Clone for Iter<'_, K> {
    fn clone(&self) -> Self {
        Iter(self.0.clone())
    }
}

impl<'a, K> Iterator for Iter<'a, K> {
    type Item = &'a K;

    #[inline]
    fn next(&mut self) -> Option<&'a K> {
        self.0.next().map(|(key, ())| key)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }

    #[inline]
    fn fold<B, F: FnMut(B, Self::Item) -> B>(self, init: B, mut f: F) -> B {
        self.0.fold(init, |folded, (key, ())| f(folded, key))
    }
}

impl<K> ExactSizeIterator for Iter<'_, K> {}

impl<K: fmt::Debug> fmt::Debug for Iter<'_, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.clone()).finish()
    }
}

impl<'a, K> IntoIterator for &'a ShSet<K> {
    type Item = &'a K;
    type IntoIter = Iter<'a, K>;
    fn into_iter(self) -> Iter<'a, K> {
        self.iter()
    }
}

impl<K: fmt::Debug> fmt::Debug for ShSet<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self).finish()
    }
}

impl<K: Key> PartialEq for ShSet<K> {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.is_subset(other)
    }
}

impl<K: Key> Eq for ShSet<K> {}

impl<K, Q, S> PartialEq<std::collections::HashSet<Q, S>> for ShSet<K>
where
    K: Borrow<Q> + 'static,
    Q: ShHash + Eq,
{
    fn eq(&self, other: &std::collections::HashSet<Q, S>) -> bool {
        self.len() == other.len() && other.iter().all(|item| self.contains(item))
    }
}
