//! [`ShVec`], a growable array in a pool.

use crate::iter::New;
use crate::place::Place;
use crate::raw::vec::{self as raw, VecMut};
use crate::relocatable::{Emplace, Plain, Relocatable};
use aquifer_pool::Result;
use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;
use std::ops::{Deref, Index, IndexMut};

/// A growable array in a pool, as `Vec`.
///
/// It derefs to a slice for reading, through any guard. What changes it are methods of [`Place<ShVec<T>>`](Place), which write guards,
/// `get_mut` and the like give. It exists only in a pool: arrays, slices, vectors, [`from_iter`](crate::from_iter) and
/// [`ShVec::new`] are sources to build it from.
///
/// Elements lie side by side in one block, which moves when it must grow (by half at least, so that `push` is O(1) on average).
/// Each method that changes it happens whole or not at all, whenever the process is killed.
#[repr(C)]
pub struct ShVec<T> {
    pub(crate) header: raw::Header,
    pub(crate) elements: PhantomData<T>,
}

impl<T: Relocatable> ShVec<T> {
    /// Source of an empty vector. Takes no memory.
    pub fn new() -> New<ShVec<T>> {
        New::SOURCE
    }
}

impl<T> ShVec<T> {
    /// The elements.
    #[inline(always)]
    pub fn as_slice(&self) -> &[T] {
        self.header.as_slice()
    }

    /// How many elements there are. O(1), and quicker than through the slice.
    #[inline(always)]
    pub fn len(&self) -> usize {
        self.header.len()
    }

    /// Whether there are none.
    #[inline(always)]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many elements fit without a larger block.
    pub fn capacity(&self) -> usize {
        self.header.cap()
    }
}

impl<T: Relocatable> Place<ShVec<T>> {
    #[inline(always)]
    fn raw(&mut self) -> VecMut<'_, T> {
        VecMut::of(self)
    }

    /// Appends an element, built from any source of it. O(1) on average.
    ///
    /// # Errors
    /// `OutOfMemory`, `HardLimit` and the like; and those of building the element. Nothing is changed then.
    #[inline]
    pub fn push<S>(&mut self, element: S) -> Result<()>
    where
        T: Emplace<S>,
    {
        self.raw().push(element)
    }

    /// Takes the last element out. O(1).
    #[inline]
    pub fn pop(&mut self) -> Option<T::Taken<'_>> {
        self.raw().pop()
    }

    /// Puts an element before the one at `index`; panics if `index > len`. O(len - index).
    ///
    /// # Errors
    /// As [`push`](Self::push).
    pub fn insert<S>(&mut self, index: usize, element: S) -> Result<()>
    where
        T: Emplace<S>,
    {
        self.raw().insert(index, element)
    }

    /// Takes the element at `index` out and closes the gap; panics if there is none. O(len - index).
    pub fn remove(&mut self, index: usize) -> T::Taken<'_> {
        self.raw().remove(index)
    }

    /// Takes the element at `index` out and puts the last one in its place; panics if there is none. O(1).
    pub fn swap_remove(&mut self, index: usize) -> T::Taken<'_> {
        self.raw().swap_remove(index)
    }

    /// Drops all elements from `len` on. O(elements dropped) if they own memory, else O(1).
    pub fn truncate(&mut self, len: usize) {
        self.raw().truncate(len);
    }

    /// Drops all elements. O(elements) if they own memory, else O(1).
    pub fn clear(&mut self) {
        self.raw().clear();
    }

    /// Makes room for `additional` elements.
    ///
    /// # Errors
    /// `OutOfMemory`, `TooLarge` and the like.
    pub fn reserve(&mut self, additional: usize) -> Result<()> {
        self.raw().reserve(additional)
    }

    /// Gives room that is not used back to the pool.
    ///
    /// # Errors
    /// `OutOfMemory` when there is no smaller block to move to.
    pub fn shrink_to_fit(&mut self) -> Result<()> {
        self.raw().shrink()
    }

    /// Appends the items. Each is an operation of its own: those before an error, a panic or a kill stay, except in a transaction.
    ///
    /// # Errors
    /// As [`push`](Self::push).
    pub fn extend<S>(&mut self, items: impl IntoIterator<Item = S>) -> Result<()>
    where
        T: Emplace<S>,
    {
        let items = items.into_iter();
        let raw = self.raw();
        raw.reserve(items.size_hint().0)?;
        for item in items {
            raw.push(item)?;
        }
        Ok(())
    }

    /// Appends copies of plain elements, all of them or none.
    ///
    /// # Errors
    /// `OutOfMemory`, `TooLarge` and the like.
    pub fn extend_from_slice(&mut self, elements: &[T]) -> Result<()>
    where
        T: Plain,
    {
        self.raw().append(elements)
    }

    /// Mutable access to the element at `index`. O(1).
    #[inline]
    pub fn get_mut(&mut self, index: usize) -> Option<&mut T::Access> {
        self.raw().get_mut(index)
    }

    /// Mutable access to the first element.
    pub fn first_mut(&mut self) -> Option<&mut T::Access> {
        self.raw().get_mut(0)
    }

    /// Mutable access to the last element.
    pub fn last_mut(&mut self) -> Option<&mut T::Access> {
        let last = self.len().checked_sub(1)?;
        self.raw().get_mut(last)
    }

    /// Mutable access to one element after the other.
    pub fn iter_mut(&mut self) -> IterMut<'_, T> {
        IterMut(self.raw().iter_mut())
    }

    /// All elements as a plain mutable slice. O(len): a copy of them is kept in the pool until the guard is used again, so that a kill
    /// in the middle of your changes undoes them.
    ///
    /// # Errors
    /// `OutOfMemory` when there is no room for the copy.
    pub fn as_mut_slice(&mut self) -> Result<&mut [T]>
    where
        T: Plain,
    {
        self.raw().lend_slice()
    }

    /// Exchanges two elements; panics if one of them is missing. O(1).
    pub fn swap(&mut self, a: usize, b: usize) {
        self.raw().swap(a, b);
    }

    /// Keeps the elements that `keep` says, in their order, all at once. O(len).
    ///
    /// # Errors
    /// `OutOfMemory` when there is no room for a second block; nothing is changed then.
    pub fn retain(&mut self, mut keep: impl FnMut(&T) -> bool) -> Result<()> {
        self.raw().retain(|i, elements| keep(&elements[i]))
    }

    /// Drops each element that equals the one before it. O(len).
    ///
    /// # Errors
    /// As [`retain`](Self::retain).
    pub fn dedup(&mut self) -> Result<()>
    where
        T: PartialEq,
    {
        let mut last = 0;
        self.raw().retain(|i, elements| {
            let keep = i == 0 || elements[i] != elements[last];
            if keep {
                last = i;
            }
            keep
        })
    }

    /// Sorts, keeping the order of equal elements. O(len * log(len)), on a copy that is then swapped in.
    ///
    /// # Errors
    /// `OutOfMemory` when there is no room for the copy; nothing is changed then.
    pub fn sort(&mut self) -> Result<()>
    where
        T: Ord,
    {
        self.raw().sort(T::cmp)
    }

    /// Sorts by a comparison. See [`sort`](Self::sort).
    ///
    /// # Errors
    /// As [`sort`](Self::sort).
    pub fn sort_by(&mut self, compare: impl FnMut(&T, &T) -> Ordering) -> Result<()> {
        self.raw().sort(compare)
    }

    /// Sorts by a key. See [`sort`](Self::sort).
    ///
    /// # Errors
    /// As [`sort`](Self::sort).
    pub fn sort_by_key<K: Ord>(&mut self, mut key: impl FnMut(&T) -> K) -> Result<()> {
        self.raw().sort(|a, b| key(a).cmp(&key(b)))
    }

    /// Turns the order round. O(len).
    ///
    /// # Errors
    /// As [`sort`](Self::sort).
    pub fn reverse(&mut self) -> Result<()> {
        self.raw().reverse()
    }
}

/// Mutable access to one element after the other: see [`Place::iter_mut`](Place#method.iter_mut).
pub struct IterMut<'a, T>(raw::IterMut<'a, T>);

impl<'a, T: Relocatable> Iterator for IterMut<'a, T> {
    type Item = &'a mut T::Access;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.0.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.0.remaining(), Some(self.0.remaining()))
    }
}

impl<T: Relocatable> DoubleEndedIterator for IterMut<'_, T> {
    #[inline]
    fn next_back(&mut self) -> Option<Self::Item> {
        self.0.next_back()
    }
}

impl<T: Relocatable> ExactSizeIterator for IterMut<'_, T> {}

impl<T> fmt::Debug for IterMut<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IterMut")
    }
}

// ---- what std's vectors do, too

impl<T> Deref for ShVec<T> {
    type Target = [T];
    #[inline(always)]
    fn deref(&self) -> &[T] {
        self.as_slice()
    }
}

impl<T> AsRef<[T]> for ShVec<T> {
    fn as_ref(&self) -> &[T] {
        self
    }
}

impl<T> Borrow<[T]> for ShVec<T> {
    fn borrow(&self) -> &[T] {
        self
    }
}

impl<T: fmt::Debug> fmt::Debug for ShVec<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_slice().fmt(f)
    }
}

impl<'a, T> IntoIterator for &'a ShVec<T> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;
    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<'a, T: Relocatable> IntoIterator for &'a mut Place<ShVec<T>> {
    type Item = &'a mut T::Access;
    type IntoIter = IterMut<'a, T>;
    fn into_iter(self) -> IterMut<'a, T> {
        self.iter_mut()
    }
}

impl<T: Relocatable> Index<usize> for Place<ShVec<T>> {
    type Output = T::Access;
    #[inline]
    fn index(&self, index: usize) -> &T::Access {
        raw::access_ref(self, index)
    }
}

impl<T: Relocatable> IndexMut<usize> for Place<ShVec<T>> {
    #[inline]
    fn index_mut(&mut self, index: usize) -> &mut T::Access {
        let len = self.len();
        match self.raw().get_mut(index) {
            Some(element) => element,
            None => panic!("index out of bounds: the len is {len} but the index is {index}"),
        }
    }
}

impl<T: PartialEq<U>, U> PartialEq<ShVec<U>> for ShVec<T> {
    fn eq(&self, other: &ShVec<U>) -> bool {
        self.as_slice() == other.as_slice()
    }
}

impl<T: PartialEq<U>, U> PartialEq<[U]> for ShVec<T> {
    fn eq(&self, other: &[U]) -> bool {
        self.as_slice() == other
    }
}

impl<T: PartialEq<U>, U> PartialEq<&[U]> for ShVec<T> {
    fn eq(&self, other: &&[U]) -> bool {
        self.as_slice() == *other
    }
}

impl<T: PartialEq<U>, U> PartialEq<Vec<U>> for ShVec<T> {
    fn eq(&self, other: &Vec<U>) -> bool {
        self.as_slice() == other.as_slice()
    }
}

impl<T: PartialEq<U>, U, const N: usize> PartialEq<[U; N]> for ShVec<T> {
    fn eq(&self, other: &[U; N]) -> bool {
        self.as_slice() == other.as_slice()
    }
}

impl<T: Eq> Eq for ShVec<T> {}

impl<T: PartialOrd> PartialOrd for ShVec<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.as_slice().partial_cmp(other.as_slice())
    }
}

impl<T: Ord> Ord for ShVec<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_slice().cmp(other.as_slice())
    }
}

impl<T: Hash> Hash for ShVec<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_slice().hash(state);
    }
}
