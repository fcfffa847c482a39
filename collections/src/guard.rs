//! Guards: what locking gives.

use crate::cx::Cx;
use crate::hold::{Exclusive, Shared};
use crate::relocatable::Relocatable;
use aquifer_pool::lock::Recovered;
use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

/// What a [`ShRwLock`](crate::ShRwLock) guards, for reading. Unlocks when dropped.
#[must_use = "the lock is given back at once if the guard is not used"]
pub struct ReadGuard<'a, T: ?Sized> {
    value: NonNull<T>,
    hold: Shared<'a>,
    _value: PhantomData<&'a T>,
}

// SAFETY: through `&self` it gives `&T` and nothing else; unlocking needs the guard itself, which is not `Send`.
unsafe impl<T: ?Sized + Sync> Sync for ReadGuard<'_, T> {}

impl<'a, T: ?Sized> ReadGuard<'a, T> {
    /// # Safety
    /// `value` is valid for reading as long as `hold`.
    pub(crate) unsafe fn new(value: NonNull<T>, hold: Shared<'a>) -> Self {
        ReadGuard { value, hold, _value: PhantomData }
    }

    /// A guard of a part of the value, as `std`'s. The lock stays until it is dropped.
    pub fn map<U: ?Sized>(guard: Self, part: impl FnOnce(&T) -> &U) -> ReadGuard<'a, U> {
        let value = NonNull::from(part(&guard));
        ReadGuard { value, hold: guard.hold, _value: PhantomData }
    }

    /// A guard of a part that may not be there.
    ///
    /// # Errors
    /// The guard itself, when it is not.
    pub fn filter_map<U: ?Sized>(
        guard: Self,
        part: impl FnOnce(&T) -> Option<&U>,
    ) -> Result<ReadGuard<'a, U>, Self> {
        match part(&guard).map(NonNull::from) {
            Some(value) => Ok(ReadGuard { value, hold: guard.hold, _value: PhantomData }),
            None => Err(guard),
        }
    }
}

impl<T: ?Sized> Deref for ReadGuard<'_, T> {
    type Target = T;
    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: valid and unchanged while the lock is held, by `new`.
        unsafe { self.value.as_ref() }
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for ReadGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + fmt::Display> fmt::Display for ReadGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

/// What a lock guards, for writing. Unlocks when dropped.
///
/// It derefs to `T::Access`: `T` itself if that is plain data, else [`Place<T>`](crate::Place), which derefs to `T` for reading and has the
/// methods that change it.
///
/// There is no poisoning: when a thread panics, or its process dies, the operation it was in has not happened, and all that it had finished stands.
/// [`recovered`](Self::recovered) tells whether the last writer died, for who wants to look at what it left between two operations.
#[must_use = "the lock is given back at once if the guard is not used"]
pub struct WriteGuard<'a, T: Relocatable> {
    value: NonNull<T>,
    hold: Exclusive<'a>,
    _value: PhantomData<&'a mut T>,
}

/// What a [`ShMutex`](crate::ShMutex) guards.
pub type MutexGuard<'a, T> = WriteGuard<'a, T>;

impl<'a, T: Relocatable> WriteGuard<'a, T> {
    /// # Safety
    /// `value` is valid and exclusively the guard's as long as `hold`.
    pub(crate) unsafe fn new(value: NonNull<T>, hold: Exclusive<'a>) -> Self {
        WriteGuard { value, hold, _value: PhantomData }
    }

    /// Whether the last writer died while it held the lock. What it had finished stands, what it had not was undone.
    pub fn recovered(&self) -> bool {
        self.hold.recovered() != Recovered::No
    }

    /// The same, and whether something was undone.
    pub fn recovery(&self) -> Recovered {
        self.hold.recovered()
    }

    /// Makes final what was written through `&mut` to plain data, as dropping the guard would. O(1).
    ///
    /// All other changes are final when their call returns, unless plain data is on loan or a value taken out of the guard is alive; inside a transaction all
    /// wait for its end.
    ///
    /// Of a lock within what another guard of this thread lends, which that guard has moved, made or lent by changes that are not final, nothing is
    /// final before these are: this call does nothing then, and the other guard decides.
    pub fn commit(&mut self) {
        self.hold.end_loans();
    }

    /// A guard of a part of the value, as `std`'s. The lock stays until it is dropped.
    pub fn map<U: ?Sized>(
        mut guard: Self,
        part: impl FnOnce(&mut T::Access) -> &mut U,
    ) -> MappedWriteGuard<'a, U> {
        let value = NonNull::from(part(&mut guard));
        MappedWriteGuard { value, hold: guard.hold, _value: PhantomData }
    }

    /// A guard of a part that may not be there.
    ///
    /// # Errors
    /// The guard itself, when it is not.
    pub fn filter_map<U: ?Sized>(
        mut guard: Self,
        part: impl FnOnce(&mut T::Access) -> Option<&mut U>,
    ) -> Result<MappedWriteGuard<'a, U>, Self> {
        match part(&mut guard).map(NonNull::from) {
            Some(value) => Ok(MappedWriteGuard { value, hold: guard.hold, _value: PhantomData }),
            None => Err(guard),
        }
    }
}

impl<T: Relocatable> Deref for WriteGuard<'_, T> {
    type Target = T::Access;
    #[inline(always)]
    fn deref(&self) -> &T::Access {
        // SAFETY: valid, and shared with nobody who writes while `self` is borrowed, by `new`.
        unsafe { T::access_ref(self.value.as_ptr(), self.hold.cx()) }
    }
}

impl<T: Relocatable> DerefMut for WriteGuard<'_, T> {
    /// Makes final what was written through the last reference to plain data: it is over, or this call would not compile.
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T::Access {
        let log = self.hold.end_loans();
        // SAFETY: valid and exclusively ours while `self` is borrowed, by `new`.
        unsafe { T::access(self.value.as_ptr(), Cx::of(log)) }
    }
}

impl<T: Relocatable> fmt::Debug for WriteGuard<'_, T>
where
    T::Access: fmt::Debug,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: Relocatable> fmt::Display for WriteGuard<'_, T>
where
    T::Access: fmt::Display,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

/// A part of what a lock guards, for writing: see [`WriteGuard::map`]. Unlocks when dropped.
#[must_use = "the lock is given back at once if the guard is not used"]
pub struct MappedWriteGuard<'a, U: ?Sized> {
    value: NonNull<U>,
    hold: Exclusive<'a>,
    _value: PhantomData<&'a mut U>,
}

impl<'a, U: ?Sized> MappedWriteGuard<'a, U> {
    /// A guard of a part of the part.
    pub fn map<V: ?Sized>(mut guard: Self, part: impl FnOnce(&mut U) -> &mut V) -> MappedWriteGuard<'a, V> {
        let value = NonNull::from(part(&mut guard));
        MappedWriteGuard { value, hold: guard.hold, _value: PhantomData }
    }
}

impl<U: ?Sized> Deref for MappedWriteGuard<'_, U> {
    type Target = U;
    #[inline(always)]
    fn deref(&self) -> &U {
        // SAFETY: lent by the guard that this one was made of, whose lock is held.
        unsafe { self.value.as_ref() }
    }
}

impl<U: ?Sized> DerefMut for MappedWriteGuard<'_, U> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut U {
        self.hold.refuse_in_child();
        // SAFETY: as in `deref`, and exclusively ours while `self` is borrowed.
        unsafe { self.value.as_mut() }
    }
}

impl<U: ?Sized + fmt::Debug> fmt::Debug for MappedWriteGuard<'_, U> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
