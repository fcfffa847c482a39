//! [`Place`], the stand-in for a value that lives in a pool.

use crate::cx::Cx;
use crate::moving::release_locks_at;
use crate::relocatable::{ByValue, Emplace, InPlace, Kind, Relocatable};
use crate::taken::Taken;
use aquifer_pool::Result;
use aquifer_pool::log::bytes_records;
use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ops::Deref;

/// Zero bytes; only its number carries information. What lives in a pool cannot be moved, swapped or sent elsewhere.
#[derive(Clone, Copy)]
pub struct StaysInItsPool(PhantomData<*mut ()>);

/// A value in a pool that may be changed: what write guards, `get_mut`, `iter_mut` and the like give for types that own pool memory.
///
/// `&mut Place<T>` is a real `&mut`: it is reborrowed, split and stored as any other. It derefs to `T` for reading, and the methods that
/// change a `T` are methods of `Place<T>`. Since it is unsized, it cannot be swapped, moved out or overwritten: that would give one block of
/// the pool two owners, or none.
///
/// ```compile_fail,E0277
/// fn swap(a: &mut aquifer_collections::Place<aquifer_collections::ShString>, b: &mut aquifer_collections::Place<aquifer_collections::ShString>) {
///     std::mem::swap(a, b);
/// }
/// ```
// The length of the tail is the context word: a reference to a place is the value's address and its log's.
#[repr(C)]
pub struct Place<T> {
    value: T,
    cx: [StaysInItsPool],
}

impl<T> Place<T> {
    /// The place of the value at `p`.
    ///
    /// # Safety
    /// `p` is a valid value in the pool of `cx`, exclusively the caller's for `'a`, under the lock or operation of `cx`.
    #[doc(hidden)]
    #[inline(always)]
    pub unsafe fn new<'a>(p: *mut T, cx: Cx) -> &'a mut Place<T> {
        let fat = std::ptr::slice_from_raw_parts_mut(p.cast::<StaysInItsPool>(), cx.0) as *mut Place<T>;
        // SAFETY: the caller's contract; the tail has no bytes, so that the reference covers the value alone.
        unsafe { &mut *fat }
    }

    /// The same for reading.
    ///
    /// # Safety
    /// As for `new`, but shared.
    #[doc(hidden)]
    #[inline(always)]
    pub unsafe fn new_ref<'a>(p: *const T, cx: Cx) -> &'a Place<T> {
        let fat = std::ptr::slice_from_raw_parts(p.cast::<StaysInItsPool>(), cx.0) as *const Place<T>;
        // SAFETY: as in `new`.
        unsafe { &*fat }
    }

    /// The context word.
    #[doc(hidden)]
    #[inline(always)]
    pub fn cx(&self) -> Cx {
        Cx(self.cx.len())
    }

    /// The value's address.
    #[doc(hidden)]
    #[inline(always)]
    pub fn ptr(&mut self) -> *mut T {
        &raw mut self.value
    }
}

impl<T: Relocatable> Place<T> {
    /// Replaces the value by one built from `source`, and frees what the old one owned. All or nothing.
    ///
    /// # Errors
    /// `OutOfMemory` and the like; the old value stays then.
    pub fn set<S>(&mut self, source: S) -> Result<()>
    where
        T: Emplace<S>,
    {
        let (p, cx) = (self.ptr(), self.cx());
        // SAFETY: a place is exclusively ours, and its log's guard is alive on this thread.
        unsafe { set(p, source, cx) }
    }

    /// Replaces the value and gives the old one.
    ///
    /// # Errors
    /// As [`set`](Self::set).
    pub fn replace<S>(&mut self, source: S) -> Result<T::Taken<'_>>
    where
        T: Emplace<S>,
    {
        let (p, cx) = (self.ptr(), self.cx());
        // SAFETY: as in `set`. The old bytes are copied out before they are overwritten; the log is held open for them if they own anything.
        unsafe {
            let log = cx.log();
            let op = log.begin();
            let mut new = MaybeUninit::<T>::uninit();
            T::emplace(source, new.as_mut_ptr(), cx)?;
            log.reserve(bytes_records(size_of::<T>()) + 2 * T::OWNED as u32 + 3)?;
            release_locks_at::<T>(log, p);
            let old = std::ptr::read(p.cast_const().cast::<MaybeUninit<T>>());
            log.save(p.cast(), size_of::<T>());
            std::ptr::copy_nonoverlapping(new.as_ptr(), p, 1);
            if !is_plain::<T>() {
                log.hold();
            }
            // Dead before: the old value stays. After: the new one is in if the old one is plain; else the old one still stays, until
            // what is returned is dropped or put elsewhere.
            op.commit();
            Ok(T::taken(old.as_ptr(), cx))
        }
    }
}

/// Whether values of the type are plain data, which is moved out by copying.
pub(crate) const fn is_plain<T: Relocatable>() -> bool {
    <T::Kind as crate::relocatable::private::Sealed>::PLAIN
}

/// Replaces the value at `p`.
///
/// # Safety
/// `p` is a valid value in the pool of `cx`, exclusively the caller's.
#[doc(hidden)]
pub unsafe fn set<T: Relocatable + Emplace<S>, S>(p: *mut T, source: S, cx: Cx) -> Result<()> {
    // SAFETY: the caller's contract; `new` has room for one value, and an operation is open while it is built.
    unsafe {
        let log = cx.log();
        let op = log.begin();
        let mut new = MaybeUninit::<T>::uninit();
        T::emplace(source, new.as_mut_ptr(), cx)?;
        release_locks_at::<T>(log, p);
        log.reserve(bytes_records(size_of::<T>()) + 2 * T::OWNED as u32)?;
        log.save(p.cast(), size_of::<T>());
        T::discard(p, cx);
        std::ptr::copy_nonoverlapping(new.as_ptr(), p, 1);
        // Dead before: the old bytes come back, what was built goes. After: the new value is in, what the old one owned is freed.
        op.commit();
        Ok(())
    }
}

impl Kind for ByValue {
    type And<K: Kind> = K;
    type Access<T: Relocatable> = T;
    type Taken<'a, T: Relocatable> = T;

    #[inline(always)]
    unsafe fn access<'a, T: Relocatable>(p: *mut T, cx: Cx) -> &'a mut T {
        // SAFETY: the caller's contract.
        unsafe {
            let log = cx.log();
            let one_store = size_of::<T>() <= 8 && T::SCHEMA.shape.is_one_store();
            if log.is_open() || !one_store {
                // The write through the reference may be torn by a kill, and nobody can see when it ends: the old bytes stay in the log
                // until the guard is used again.
                log.loan();
                log.save(p.cast(), size_of::<T>());
            }
            &mut *p
        }
    }

    #[inline(always)]
    unsafe fn access_ref<'a, T: Relocatable>(p: *const T, _: Cx) -> &'a T {
        // SAFETY: the caller's contract.
        unsafe { &*p }
    }

    #[inline(always)]
    unsafe fn taken<'a, T: Relocatable>(p: *const T, _: Cx) -> Self::Taken<'a, T> {
        // SAFETY: a valid value by the caller's contract; plain data is `Copy`.
        unsafe { p.read() }
    }
}

impl Kind for InPlace {
    type And<K: Kind> = InPlace;
    type Access<T: Relocatable> = Place<T>;
    type Taken<'a, T: Relocatable> = Taken<'a, T>;

    #[inline(always)]
    unsafe fn access<'a, T: Relocatable>(p: *mut T, cx: Cx) -> &'a mut Place<T> {
        // SAFETY: the caller's contract.
        unsafe { Place::new(p, cx) }
    }

    #[inline(always)]
    unsafe fn access_ref<'a, T: Relocatable>(p: *const T, cx: Cx) -> &'a Place<T> {
        // SAFETY: the caller's contract.
        unsafe { Place::new_ref(p, cx) }
    }

    #[inline(always)]
    unsafe fn taken<'a, T: Relocatable>(p: *const T, cx: Cx) -> Taken<'a, T> {
        // SAFETY: the caller's contract.
        unsafe { Taken::new(p, cx) }
    }
}

impl<T> Deref for Place<T> {
    type Target = T;
    #[inline(always)]
    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> Borrow<T> for Place<T> {
    fn borrow(&self) -> &T {
        &self.value
    }
}

impl<T: PartialEq<U>, U: ?Sized> PartialEq<U> for Place<T> {
    fn eq(&self, other: &U) -> bool {
        self.value == *other
    }
}

impl<T: PartialOrd<U>, U: ?Sized> PartialOrd<U> for Place<T> {
    fn partial_cmp(&self, other: &U) -> Option<Ordering> {
        self.value.partial_cmp(other)
    }
}

impl<T: fmt::Debug> fmt::Debug for Place<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}

impl<T: fmt::Display> fmt::Display for Place<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}

impl<'a, T> IntoIterator for &'a Place<T>
where
    &'a T: IntoIterator,
{
    type Item = <&'a T as IntoIterator>::Item;
    type IntoIter = <&'a T as IntoIterator>::IntoIter;
    fn into_iter(self) -> Self::IntoIter {
        (&self.value).into_iter()
    }
}
