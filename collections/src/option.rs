//! `Option` in a pool: std's own type, of the kind of its item.
//!
//! Its layout is the compiler's; the schema says what `None` looks like, so that a build that has it otherwise refuses the object.

use crate::cx::Cx;
use crate::emplace::taken_source;
use crate::place::Place;
use crate::raw::mem::hand_out;
use crate::relocatable::{DefaultInPool, Emplace, InPlace, Kind, Plain, Relocatable};
use crate::schema::none::none_pattern;
use crate::schema::{Schema, Shape};
use crate::tuple::by_kind;
use aquifer_pool::Result;
use std::mem::MaybeUninit;

fn schema_of<T: Relocatable>() -> &'static Schema {
    T::SCHEMA
}

by_kind!([T: Relocatable] Option<T>, T::Kind, "Option", Shape::Option { item: schema_of::<T>, none: none_pattern::<T> }, T::OWNED, T::LOCKS, |p, cx| {
    if let Some(value) = &*p {
        T::discard(value, cx);
    }
});

// SAFETY: the item is plain.
unsafe impl<T: Plain> Plain for Option<T> {}

taken_source!([T: Relocatable<Kind = InPlace>] Option<T>);

/// Source of `None`, where the compiler cannot know what `None` it is: for types with many sources, as `Option<ShString>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nothing;

/// Source of `None`: `map.insert("a", NONE)`.
pub const NONE: Nothing = Nothing;

impl<T: Relocatable> Emplace<Nothing> for Option<T> {
    #[inline(always)]
    unsafe fn emplace(_: Nothing, dst: *mut Self, _: Cx) -> Result<()> {
        // SAFETY: writable and aligned by the caller's contract.
        unsafe { dst.write(None) };
        Ok(())
    }
}

impl<T: Emplace<S>, S> Emplace<Option<S>> for Option<T> {
    #[inline]
    unsafe fn emplace(source: Option<S>, dst: *mut Self, cx: Cx) -> Result<()> {
        let Some(source) = source else {
            // SAFETY: writable and aligned by the caller's contract.
            unsafe { dst.write(None) };
            return Ok(());
        };
        let mut value = MaybeUninit::<T>::uninit();
        // SAFETY: room for one value, which is then moved to where the caller allows; values may be moved (contract of `Relocatable`).
        unsafe {
            T::emplace(source, value.as_mut_ptr(), cx)?;
            dst.write(Some(value.assume_init()));
        }
        Ok(())
    }
}

impl<T: Relocatable> DefaultInPool for Option<T> {
    type Empty = Nothing;
    fn empty() -> Nothing {
        NONE
    }
}

impl<T: Relocatable<Kind = InPlace>> Place<Option<T>> {
    /// Mutable access to the value, if there is one.
    #[inline]
    pub fn as_mut(&mut self) -> Option<&mut T::Access> {
        let (p, cx) = (self.ptr(), self.cx());
        // SAFETY: a place is exclusively ours, and its log's guard is alive on this thread.
        unsafe { (*p).as_mut().map(|value| T::access(value, cx)) }
    }

    /// Takes the value out, if there is one, and leaves `None`.
    pub fn take(&mut self) -> Option<T::Taken<'_>> {
        let (p, cx) = (self.ptr(), self.cx());
        // SAFETY: a place is exclusively ours, and its log's guard is alive on this thread. The value is copied out, saved, and overwritten
        // within one operation, so that it has one owner at any time.
        unsafe {
            crate::moving::release_locks_at::<Option<T>>(cx.log(), p);
            let value = std::ptr::from_ref((*p).as_ref()?).cast::<MaybeUninit<T>>().read();
            let log = cx.log();
            let op = log.begin();
            log.save(p.cast(), size_of::<Option<T>>());
            p.write(None);
            Some(hand_out(op, value.as_ptr(), cx))
        }
    }

    /// Puts a value in, drops the old one, and gives mutable access to the new one.
    ///
    /// # Errors
    /// As [`set`](Place::set).
    pub fn insert<S>(&mut self, source: S) -> Result<&mut T::Access>
    where
        T: Emplace<S>,
    {
        self.set(Some(source))?;
        Ok(self.as_mut().unwrap_or_else(|| unreachable!("a value was just put in")))
    }

    /// Mutable access to the value; a new one is put in if there was none.
    ///
    /// # Errors
    /// As [`set`](Place::set).
    pub fn get_or_insert_with<S>(&mut self, source: impl FnOnce() -> S) -> Result<&mut T::Access>
    where
        T: Emplace<S>,
    {
        if self.is_none() {
            self.set(Some(source()))?;
        }
        Ok(self.as_mut().unwrap_or_else(|| unreachable!("there is a value")))
    }

    /// The same with a source that is there already.
    ///
    /// # Errors
    /// As [`set`](Place::set).
    pub fn get_or_insert<S>(&mut self, source: S) -> Result<&mut T::Access>
    where
        T: Emplace<S>,
    {
        self.get_or_insert_with(|| source)
    }
}
