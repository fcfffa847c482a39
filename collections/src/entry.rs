//! Entries of a map: a key that was looked up, to be used or filled without looking it up again.

use crate::key::{Key, KeySource};
use crate::raw::map::{Full, MapMut};
use crate::relocatable::{DefaultInPool, Emplace, Relocatable};
use aquifer_pool::Result;
use std::fmt;
use std::marker::PhantomData;

/// The entry of a key: see [`Place::entry`](crate::Place#method.entry).
pub enum Entry<'a, K, V, S> {
    /// The key is there.
    Occupied(OccupiedEntry<'a, K, V, S>),
    /// It is not.
    Vacant(VacantEntry<'a, K, V, S>),
}

/// An entry whose key is in the map.
pub struct OccupiedEntry<'a, K, V, S> {
    pub(crate) full: Full<'a, K, V>,
    pub(crate) source: PhantomData<S>,
}

/// An entry whose key is not in the map.
pub struct VacantEntry<'a, K, V, S> {
    pub(crate) map: MapMut<'a, K, V>,
    pub(crate) hash: u64,
    pub(crate) key: S,
}

impl<'a, K: Key, V: Relocatable, S: KeySource<K>> Entry<'a, K, V, S> {
    /// Mutable access to the value, built from `value` if there was none.
    ///
    /// # Errors
    /// `OutOfMemory`, `HardLimit` and the like; and those of building key and value. Nothing is changed then.
    #[inline]
    pub fn or_insert<B>(self, value: B) -> Result<&'a mut V::Access>
    where
        V: Emplace<B>,
    {
        self.or_insert_with(|| value)
    }

    /// The same with a source that is made only if it is needed.
    ///
    /// # Errors
    /// As [`or_insert`](Self::or_insert).
    #[inline]
    pub fn or_insert_with<B>(self, value: impl FnOnce() -> B) -> Result<&'a mut V::Access>
    where
        V: Emplace<B>,
    {
        match self {
            Entry::Occupied(entry) => Ok(entry.into_mut()),
            Entry::Vacant(entry) => entry.insert(value()),
        }
    }

    /// The same with the type's empty value.
    ///
    /// # Errors
    /// As [`or_insert`](Self::or_insert).
    #[inline]
    pub fn or_default(self) -> Result<&'a mut V::Access>
    where
        V: DefaultInPool,
    {
        self.or_insert_with(V::empty)
    }

    /// Changes the value if there is one.
    #[inline]
    pub fn and_modify(mut self, change: impl FnOnce(&mut V::Access)) -> Self {
        if let Entry::Occupied(entry) = &mut self {
            change(entry.get_mut());
        }
        self
    }
}

impl<'a, K: Key, V: Relocatable, S> OccupiedEntry<'a, K, V, S> {
    /// The key as it is stored.
    pub fn key(&self) -> &K {
        self.full.key()
    }

    /// The value.
    pub fn get(&self) -> &V {
        self.full.value()
    }

    /// Mutable access to the value.
    pub fn get_mut(&mut self) -> &mut V::Access {
        self.full.again().into_mut()
    }

    /// Mutable access to the value, for as long as the map is borrowed.
    #[inline]
    pub fn into_mut(self) -> &'a mut V::Access {
        self.full.into_mut()
    }

    /// Takes the value out, and drops the key. O(1).
    pub fn remove(self) -> V::Taken<'a> {
        self.full.remove()
    }

    /// Puts another value in, and returns the old one. O(1).
    ///
    /// # Errors
    /// `OutOfMemory` and the like; and those of building the value. Nothing is changed then.
    pub fn insert<B>(self, value: B) -> Result<V::Taken<'a>>
    where
        V: Emplace<B>,
    {
        self.full.insert(value)
    }
}

impl<'a, K: Key, V: Relocatable, S: KeySource<K>> VacantEntry<'a, K, V, S> {
    /// The key as it was asked for.
    pub fn key(&self) -> &S {
        &self.key
    }

    /// Builds key and value, and gives mutable access to the value. O(1) on average.
    ///
    /// # Errors
    /// `OutOfMemory`, `HardLimit` and the like; and those of building key and value. Nothing is changed then.
    #[inline]
    pub fn insert<B>(self, value: B) -> Result<&'a mut V::Access>
    where
        V: Emplace<B>,
    {
        Ok(self.map.insert_vacant(self.hash, self.key, value)?.into_mut())
    }
}

impl<K: Key + fmt::Debug, V: Relocatable + fmt::Debug, S: fmt::Debug> fmt::Debug for Entry<'_, K, V, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Entry::Occupied(e) => f.debug_tuple("Occupied").field(e.key()).field(e.get()).finish(),
            Entry::Vacant(e) => f.debug_tuple("Vacant").field(&e.key).finish(),
        }
    }
}
