//! [`ShBox`], one value in a block of its own.

use crate::place::Place;
use crate::raw::boxed::{self as raw, Header};
use crate::relocatable::Relocatable;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;
use std::ops::Deref;

/// One value in a block of its own, as `Box`: for recursive types, and for large values that should not move with their container.
///
/// 8 bytes; derefs to the value for reading. [`ShBox::new`] is the source.
#[repr(C)]
pub struct ShBox<T> {
    pub(crate) header: Header,
    pub(crate) value: PhantomData<T>,
}

impl<T: Relocatable> ShBox<T> {
    /// Source of a box with a value built from `source`.
    #[expect(
        clippy::new_ret_no_self,
        reason = "no box exists outside of a pool: this says what to build there"
    )]
    pub fn new<S>(source: S) -> NewBox<T, S> {
        NewBox { source, value: PhantomData }
    }
}

/// Source of a box: see [`ShBox::new`].
pub struct NewBox<T, S> {
    pub(crate) source: S,
    value: PhantomData<fn() -> T>,
}

impl<T, S: fmt::Debug> fmt::Debug for NewBox<T, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("NewBox").field(&self.source).finish()
    }
}

impl<T, S: Clone> Clone for NewBox<T, S> {
    fn clone(&self) -> Self {
        NewBox { source: self.source.clone(), value: PhantomData }
    }
}

impl<T: Relocatable> Place<ShBox<T>> {
    /// Mutable access to the value. O(1).
    #[inline]
    pub fn get_mut(&mut self) -> &mut T::Access {
        raw::get_mut(self)
    }
}

impl<T> Deref for ShBox<T> {
    type Target = T;
    #[inline(always)]
    fn deref(&self) -> &T {
        self.header.get()
    }
}

impl<T> AsRef<T> for ShBox<T> {
    fn as_ref(&self) -> &T {
        self
    }
}

impl<T: fmt::Debug> fmt::Debug for ShBox<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: fmt::Display> fmt::Display for ShBox<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: PartialEq<U>, U> PartialEq<ShBox<U>> for ShBox<T> {
    fn eq(&self, other: &ShBox<U>) -> bool {
        **self == **other
    }
}

impl<T: Eq> Eq for ShBox<T> {}

impl<T: PartialOrd> PartialOrd for ShBox<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (**self).partial_cmp(&**other)
    }
}

impl<T: Ord> Ord for ShBox<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        (**self).cmp(&**other)
    }
}

impl<T: Hash> Hash for ShBox<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}
