//! [`ShMap`], a hash map in a pool.

pub use crate::entry::{Entry, OccupiedEntry, VacantEntry};
use crate::hash::ShHash;
use crate::iter::New;
use crate::key::{Key, KeySource};
use crate::place::Place;
use crate::raw::map::{self as raw, Found, MapMut};
use crate::raw::table::Header;
use crate::relocatable::{Emplace, Relocatable};
use aquifer_pool::Result;
use std::borrow::Borrow;
use std::fmt;
use std::marker::PhantomData;
use std::ops::{Index, IndexMut};

/// A hash map in a pool, as `HashMap`.
///
/// Reading methods are on the map itself and work through any guard. What changes it are methods of [`Place<ShMap<K, V>>`](Place), which
/// write guards, `get_mut` and the like give. Sources are arrays, slices and vectors of pairs, `HashMap`,
/// [`from_iter`](crate::from_iter), and [`ShMap::new`] for an empty one.
///
/// A SwissTable (as `hashbrown`): open addressing, 7/8 load, sixteen slots at a time. The hash is keyed with a seed of the pool and the same in
/// all builds. Each method that changes the map happens whole or not at all, whenever the process is killed. Removed slots are
/// used again, and a table that has too many of them is rebuilt, so that no sequence of insertions and removals makes look-ups slow.
#[repr(C)]
pub struct ShMap<K, V> {
    pub(crate) header: Header,
    pub(crate) entries: PhantomData<(K, V)>,
}

impl<K: Key, V: Relocatable> ShMap<K, V> {
    /// Source of an empty map. Takes no memory.
    pub fn new() -> New<ShMap<K, V>> {
        New::SOURCE
    }
}

impl<K, V> ShMap<K, V> {
    /// How many entries there are. O(1).
    #[inline(always)]
    pub fn len(&self) -> usize {
        self.header.len()
    }

    /// Whether there are none.
    #[inline(always)]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many entries fit without a larger table.
    pub fn capacity(&self) -> usize {
        self.header.capacity()
    }

    /// All entries, in no order. O(capacity).
    pub fn iter(&self) -> Iter<'_, K, V> {
        Iter(raw::Iter::of(&self.header))
    }

    /// All keys, in no order.
    pub fn keys(&self) -> impl ExactSizeIterator<Item = &K> + Clone {
        self.iter().map(|(key, _)| key)
    }

    /// All values, in no order.
    pub fn values(&self) -> impl ExactSizeIterator<Item = &V> + Clone {
        self.iter().map(|(_, value)| value)
    }
}

impl<K: 'static, V> ShMap<K, V> {
    /// The value of a key. O(1).
    #[inline]
    pub fn get<Q>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
        Q: ShHash + Eq + ?Sized,
    {
        self.header.find::<K, V, Q>(key).map(|(_, value)| value)
    }

    /// The values of many keys, in the order of the keys: what [`get`](Self::get) gives for each. O(1) for each.
    ///
    /// A look-up in a map that is larger than the processor's caches waits for memory two or three times. Here 32 keys are pulled and hashed at a
    /// time, and all that they will need is asked for before the first answer is looked at: the waits of one batch overlap. That pays where look-ups depend
    /// on earlier ones, or much is done between them; small maps gain nothing.
    ///
    /// Many chains, such as paths through a graph, are followed a step at a time:
    ///
    /// ```
    /// # use aquifer_collections::{Named, Pool, Result, ShMap, ShRwLock};
    /// # fn main() -> Result<()> {
    /// # let pool = Pool::options().memfd()?;
    /// let next: Named<ShRwLock<ShMap<u64, u64>>> = pool.named("next")?;
    /// next.write()?.extend((0..1000u64).map(|place| (place, (place * 7 + 1) % 1000)))?;
    ///
    /// let next = next.read()?;
    /// let mut at: Vec<u64> = (0..64).collect();
    /// for _ in 0..10 {
    ///     at = next.get_batch(&at).map(|place| *place.expect("every place has a next one")).collect();
    /// }
    /// assert_eq!(at[0], (0..10).fold(0, |place, _| next[&place]));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// Texts are given as `&str`: `map.get_batch(names.iter().map(String::as_str))`.
    #[inline]
    pub fn get_batch<'a, 'q, Q, I>(&'a self, keys: I) -> impl Iterator<Item = Option<&'a V>>
    where
        I: IntoIterator<Item = &'q Q>,
        K: Borrow<Q>,
        Q: ShHash + Eq + ?Sized + 'q,
    {
        raw::Batch::<K, V, Q, _>::of(&self.header, keys.into_iter())
            .map(|found| found.map(|(_, value)| value))
    }

    /// The key as it is stored, and its value. O(1).
    #[inline]
    pub fn get_key_value<Q>(&self, key: &Q) -> Option<(&K, &V)>
    where
        K: Borrow<Q>,
        Q: ShHash + Eq + ?Sized,
    {
        self.header.find::<K, V, Q>(key)
    }

    /// Whether the key is there. O(1).
    #[inline]
    pub fn contains_key<Q>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: ShHash + Eq + ?Sized,
    {
        self.header.find::<K, V, Q>(key).is_some()
    }
}

impl<K: Key, V: Relocatable> Place<ShMap<K, V>> {
    #[inline(always)]
    fn raw(&mut self) -> MapMut<'_, K, V> {
        raw::of_map(self)
    }

    /// Puts an entry in; the value that the key had before is returned. O(1) on average.
    ///
    /// The key stays as it was if it is there already.
    ///
    /// # Errors
    /// `OutOfMemory`, `HardLimit` and the like; and those of building key and value. Nothing is changed then.
    #[inline(always)]
    pub fn insert<A, B>(&mut self, key: A, value: B) -> Result<Option<V::Taken<'_>>>
    where
        K: Emplace<A>,
        V: Emplace<B>,
    {
        self.raw().insert(key, value)
    }

    /// Takes the value of a key out, and drops the key. O(1).
    #[inline(always)]
    pub fn remove<Q>(&mut self, key: &Q) -> Option<V::Taken<'_>>
    where
        K: Borrow<Q>,
        Q: ShHash + Eq + ?Sized,
    {
        self.raw().remove(key)
    }

    /// Mutable access to the value of a key. O(1).
    #[inline]
    pub fn get_mut<Q>(&mut self, key: &Q) -> Option<&mut V::Access>
    where
        K: Borrow<Q>,
        Q: ShHash + Eq + ?Sized,
    {
        self.raw().get_mut(key)
    }

    /// The entry of a key, to be looked at or filled. The key is hashed as it is, and built only if it is missing: `map.entry("a")`.
    #[inline]
    pub fn entry<S: KeySource<K>>(&mut self, key: S) -> Entry<'_, K, V, S>
    where
        K: Borrow<S::Query>,
    {
        match self.raw().locate(key.query()) {
            Found::Full(full) => Entry::Occupied(OccupiedEntry { full, source: PhantomData }),
            Found::Free(map, hash) => Entry::Vacant(VacantEntry { map, hash, key }),
        }
    }

    /// Keys with mutable access to their values, in no order.
    pub fn iter_mut(&mut self) -> IterMut<'_, K, V> {
        IterMut(raw::IterMut::of(self.raw()))
    }

    /// Mutable access to all values, in no order.
    pub fn values_mut(&mut self) -> impl ExactSizeIterator<Item = &mut V::Access> {
        self.iter_mut().map(|(_, value)| value)
    }

    /// Keeps the entries that `keep` says. O(capacity). Each removal is an operation of its own.
    pub fn retain(&mut self, keep: impl FnMut(&K, &mut V::Access) -> bool) {
        self.raw().retain(keep);
    }

    /// Drops all entries, and gives the table back to the pool. O(capacity) if they own memory, else O(1).
    pub fn clear(&mut self) {
        self.raw().clear(<ShMap<K, V> as Relocatable>::SCHEMA);
    }

    /// Makes room for `additional` entries.
    ///
    /// # Errors
    /// `OutOfMemory`, `TooLarge` and the like.
    pub fn reserve(&mut self, additional: usize) -> Result<()> {
        self.raw().reserve(additional)
    }

    /// Moves to the smallest table that holds the entries. O(capacity).
    ///
    /// # Errors
    /// `OutOfMemory` when there is no room for it.
    pub fn shrink_to_fit(&mut self) -> Result<()> {
        self.raw().shrink(<ShMap<K, V> as Relocatable>::SCHEMA)
    }

    /// Puts all pairs in. Each is an operation of its own: those before an error, a panic or a kill stay, except in a transaction.
    ///
    /// # Errors
    /// As [`insert`](Self::insert).
    pub fn extend<A, B>(&mut self, pairs: impl IntoIterator<Item = (A, B)>) -> Result<()>
    where
        K: Emplace<A>,
        V: Emplace<B>,
    {
        for (key, value) in pairs {
            self.raw().insert(key, value)?;
        }
        Ok(())
    }
}

/// All entries of a map: see [`ShMap::iter`].
pub struct Iter<'a, K, V>(raw::Iter<'a, K, V>);

impl<K, V> Clone for Iter<'_, K, V> {
    fn clone(&self) -> Self {
        Iter(self.0.clone())
    }
}

impl<'a, K, V> Iterator for Iter<'a, K, V> {
    type Item = (&'a K, &'a V);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.0.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.0.left(), Some(self.0.left()))
    }

    #[inline]
    fn fold<B, F: FnMut(B, Self::Item) -> B>(self, init: B, f: F) -> B {
        self.0.fold(init, f)
    }
}

impl<K, V> ExactSizeIterator for Iter<'_, K, V> {}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for Iter<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.clone()).finish()
    }
}

/// Keys with mutable access to their values: see [`Place::iter_mut`](Place#method.iter_mut).
pub struct IterMut<'a, K, V>(raw::IterMut<'a, K, V>);

impl<'a, K: Key, V: Relocatable> Iterator for IterMut<'a, K, V> {
    type Item = (&'a K, &'a mut V::Access);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.0.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.0.left(), Some(self.0.left()))
    }
}

impl<K: Key, V: Relocatable> ExactSizeIterator for IterMut<'_, K, V> {}

impl<K, V> fmt::Debug for IterMut<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IterMut")
    }
}

// ---- what std's maps do, too

impl<'a, K, V> IntoIterator for &'a ShMap<K, V> {
    type Item = (&'a K, &'a V);
    type IntoIter = Iter<'a, K, V>;
    fn into_iter(self) -> Iter<'a, K, V> {
        self.iter()
    }
}

impl<'a, K: Key, V: Relocatable> IntoIterator for &'a mut Place<ShMap<K, V>> {
    type Item = (&'a K, &'a mut V::Access);
    type IntoIter = IterMut<'a, K, V>;
    fn into_iter(self) -> IterMut<'a, K, V> {
        self.iter_mut()
    }
}

impl<K: Borrow<Q> + 'static, V, Q: ShHash + Eq + ?Sized> Index<&Q> for ShMap<K, V> {
    type Output = V;
    /// Panics if the key is missing.
    fn index(&self, key: &Q) -> &V {
        self.get(key).unwrap_or_else(|| missing())
    }
}

impl<K: Key + Borrow<Q>, V: Relocatable, Q: ShHash + Eq + ?Sized> Index<&Q> for Place<ShMap<K, V>> {
    type Output = V::Access;
    /// Panics if the key is missing.
    fn index(&self, key: &Q) -> &V::Access {
        raw::access_ref(self, key).unwrap_or_else(|| missing())
    }
}

impl<K: Key + Borrow<Q>, V: Relocatable, Q: ShHash + Eq + ?Sized> IndexMut<&Q> for Place<ShMap<K, V>> {
    /// Panics if the key is missing.
    fn index_mut(&mut self, key: &Q) -> &mut V::Access {
        self.get_mut(key).unwrap_or_else(|| missing())
    }
}

#[cold]
fn missing() -> ! {
    panic!("no such key in the map");
}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for ShMap<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self).finish()
    }
}

impl<K: Key, V: PartialEq<W>, W> PartialEq<ShMap<K, W>> for ShMap<K, V> {
    fn eq(&self, other: &ShMap<K, W>) -> bool {
        self.len() == other.len() && self.iter().all(|(k, v)| other.get(k).is_some_and(|w| v == w))
    }
}

impl<K: Key, V: Eq> Eq for ShMap<K, V> {}

/// Keys of the other map are looked up in this one by a form that both have.
impl<K, V, Q, W, S> PartialEq<std::collections::HashMap<Q, W, S>> for ShMap<K, V>
where
    K: Borrow<Q> + 'static,
    Q: ShHash + Eq,
    V: PartialEq<W>,
{
    fn eq(&self, other: &std::collections::HashMap<Q, W, S>) -> bool {
        self.len() == other.len() && other.iter().all(|(k, w)| self.get(k).is_some_and(|v| v == w))
    }
}
