//! [`Taken`], a value taken out of its collection that still owns memory of the pool.

use crate::cx::Cx;
use crate::relocatable::Relocatable;
use aquifer_pool::{Error, Result};
use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::marker::PhantomData;
use std::mem::{ManuallyDrop, MaybeUninit};
use std::ops::Deref;

/// A value that was removed from a collection: it derefs to the value, is a source for the same type anywhere in the same pool, and frees
/// what it owns when it is dropped.
///
/// Until then the removal is not final: a process that dies meanwhile leaves the value where it was. It borrows the collection it came
/// from, and stays on the thread of its guard.
///
/// Put elsewhere, removal and insertion become final together. Should the insertion fail, the value is dropped, as with `std`. A value
/// cannot be put under another guard while something else of either guard is still in use (`TakenElsewhere`), nor into another pool
/// (`OtherPool`); a transaction has no such limits among its locks.
#[must_use = "the value is freed at once if it is not used"]
pub struct Taken<'a, T: Relocatable> {
    value: MaybeUninit<T>,
    /// The same bytes in the pool, where collections find what they own; null if there was no room.
    at: *const T,
    cx: Cx,
    /// The records that free what the value owns stand from here on in the log of `cx`.
    first: u32,
    count: u32,
    stays: PhantomData<TakenBelongsToItsGuard<'a>>,
}

/// Makes [`Taken`] stay on the thread of its guard.
struct TakenBelongsToItsGuard<'a>(PhantomData<(&'a mut (), *mut ())>);

impl<T: Relocatable> Taken<'_, T> {
    /// Takes over the value whose bytes are at `p`, and the hold of `cx`'s log.
    ///
    /// # Safety
    /// As for [`Relocatable::taken`].
    #[inline]
    pub(crate) unsafe fn new(p: *const T, cx: Cx) -> Self {
        // SAFETY: the log of a value just unlinked is that of a living guard (contract).
        let log = unsafe { cx.log() };
        // SAFETY: readable by the contract; as `MaybeUninit`, so that padding stays what it is.
        let value = unsafe { p.cast::<MaybeUninit<T>>().read() };
        let op = log.begin();
        let has_locks = T::LOCKS;
        let at =
            if !has_locks && log.pool().offset_of(p.cast()).is_some() { p } else { in_pool(&value, log) };
        if has_locks && !at.is_null() {
            // SAFETY: the copy is a whole value, and nobody else's. Locking what was taken out would change the copy alone.
            unsafe { crate::lock_words::mark_taken_out(T::SCHEMA, at.cast_mut().cast()) };
        }
        let first = log.len();
        // SAFETY: the value was unlinked by what the held log contains, and nobody else discards it (contract).
        unsafe { T::discard(value.as_ptr(), cx) };
        let count = log.len() - first;
        // The log is held open: these intents count only once the hold ends, unless the value has found another place by then.
        op.commit();
        Taken { value, at, cx, first, count, stays: PhantomData }
    }

    /// Writes the value to `dst`, as part of the operation that is open on `cx`'s log.
    ///
    /// # Errors
    /// `OtherPool`, `TakenElsewhere`, `OutOfMemory`: the value is dropped.
    ///
    /// # Safety
    /// As for [`Emplace::emplace`](crate::relocatable::Emplace::emplace).
    #[doc(hidden)]
    pub unsafe fn put(self, dst: *mut T, cx: Cx) -> Result<()> {
        // SAFETY: both guards are alive on this thread: one lends `self`, the other the place that is being filled.
        let (from, to) = unsafe { (self.cx.log(), cx.log()) };
        if from.pool().id() != to.pool().id() {
            return Err(Error::OtherPool);
        }
        to.take_over(from, self.first, self.count)?;
        if T::LOCKS {
            to.note_locks();
        }
        // The hold is now the operation's: see `LogCx::take_over`.
        let this = ManuallyDrop::new(self);
        // SAFETY: writable by the contract; a whole value, copied with its padding.
        unsafe { dst.cast::<MaybeUninit<T>>().copy_from_nonoverlapping(&raw const this.value, 1) };
        Ok(())
    }
}

/// Copies a value to a block of the pool that goes when the open operation becomes final or is undone.
#[cold]
fn in_pool<T>(value: &MaybeUninit<T>, log: &aquifer_pool::log::LogCx) -> *const T {
    let Ok((block, at)) = crate::raw::mem::block(log, size_of::<T>().max(1), align_of::<T>()) else {
        return std::ptr::null();
    };
    crate::raw::mem::free(log, block);
    // SAFETY: a new block with room for one value.
    unsafe { at.cast::<MaybeUninit<T>>().copy_from_nonoverlapping(value, 1) };
    at.cast_const().cast()
}

impl<T: Relocatable> Drop for Taken<'_, T> {
    fn drop(&mut self) {
        // SAFETY: the guard that the value was taken under is alive (`'a`), on this thread.
        let log = unsafe { self.cx.log() };
        // Dead before: the value is back where it was. After: it is gone, and what it owned is freed by us or by who buries us.
        log.release();
    }
}

impl<T: Relocatable> Deref for Taken<'_, T> {
    type Target = T;
    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: a whole value since `new`; its blocks, and the place that it was taken from, stay until the hold on the log ends.
        unsafe { self.at.as_ref().unwrap_or_else(|| self.value.assume_init_ref()) }
    }
}

impl<T: Relocatable> Borrow<T> for Taken<'_, T> {
    fn borrow(&self) -> &T {
        self
    }
}

impl<T: Relocatable + PartialEq<U>, U: ?Sized> PartialEq<U> for Taken<'_, T> {
    fn eq(&self, other: &U) -> bool {
        **self == *other
    }
}

impl<T: Relocatable + PartialOrd<U>, U: ?Sized> PartialOrd<U> for Taken<'_, T> {
    fn partial_cmp(&self, other: &U) -> Option<Ordering> {
        (**self).partial_cmp(other)
    }
}

impl<T: Relocatable + fmt::Debug> fmt::Debug for Taken<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: Relocatable + fmt::Display> fmt::Display for Taken<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<'a, T: Relocatable> IntoIterator for &'a Taken<'_, T>
where
    &'a T: IntoIterator,
{
    type Item = <&'a T as IntoIterator>::Item;
    type IntoIter = <&'a T as IntoIterator>::IntoIter;
    fn into_iter(self) -> Self::IntoIter {
        (**self).into_iter()
    }
}
