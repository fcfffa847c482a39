//! Sources that every collection knows: an empty one, and the items of an iterator.

use std::fmt;
use std::marker::PhantomData;

/// Source of an empty collection: what [`ShVec::new`](crate::ShVec::new) and its like return.
///
/// No collection exists outside of a pool, so that `new` can only say what is to be built there.
pub struct New<T>(PhantomData<fn() -> T>);

impl<T> New<T> {
    pub(crate) const SOURCE: New<T> = New(PhantomData);
}

impl<T> Clone for New<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for New<T> {}

impl<T> fmt::Debug for New<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("New")
    }
}

/// Source of a collection from an iterator's items: see [`from_iter`].
#[derive(Clone, Debug)]
pub struct FromIter<I>(pub(crate) I);

/// Source of a vector, map or set with an iterator's items: `map.insert("a", from_iter(1..4))`.
///
/// The items are pulled while the collection is built. If the iterator panics nothing has changed.
pub fn from_iter<I: IntoIterator>(items: I) -> FromIter<I::IntoIter> {
    FromIter(items.into_iter())
}
