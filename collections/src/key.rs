//! Keys of maps and sets, and what they are looked up by.

use crate::cx::Cx;
use crate::hash::ShHash;
use crate::relocatable::{Emplace, Plain, Relocatable};
use crate::string::ShString;
use aquifer_pool::Result;
use std::borrow::Cow;

/// May be a key of a [`ShMap`](crate::ShMap): lives in a pool, has a hash that is the same in every build, and an equality.
///
/// Implemented for all such types. Your own have the hash by `#[derive(Key)]`.
pub trait Key: Relocatable + ShHash + Eq {}

impl<K: Relocatable + ShHash + Eq> Key for K {}

/// What [`entry`](crate::Place#method.entry) takes: it is looked up as it is, and made a key only if the entry is vacant.
#[diagnostic::on_unimplemented(
    message = "a `{K}` cannot be looked up and built from `{Self}`",
    label = "not a source for a key `{K}`"
)]
pub trait KeySource<K> {
    /// What it is looked up as; the key borrows as the same.
    type Query: ShHash + Eq + ?Sized;

    /// What to look up.
    fn query(&self) -> &Self::Query;

    /// Builds the key.
    ///
    /// # Errors
    /// Those of the allocation.
    ///
    /// # Safety
    /// As for [`Emplace::emplace`].
    #[doc(hidden)]
    unsafe fn build(self, dst: *mut K, cx: Cx) -> Result<()>;
}

impl<K: Plain + ShHash + Eq> KeySource<K> for K {
    type Query = K;

    #[inline(always)]
    fn query(&self) -> &K {
        self
    }

    #[inline(always)]
    unsafe fn build(self, dst: *mut K, _: Cx) -> Result<()> {
        // SAFETY: the caller's contract.
        unsafe { dst.write(self) };
        Ok(())
    }
}

impl<K: Plain + ShHash + Eq> KeySource<K> for &K {
    type Query = K;

    #[inline(always)]
    fn query(&self) -> &K {
        self
    }

    #[inline(always)]
    unsafe fn build(self, dst: *mut K, _: Cx) -> Result<()> {
        // SAFETY: the caller's contract.
        unsafe { dst.write(*self) };
        Ok(())
    }
}

macro_rules! text {
    ($($t:ty),*) => { $(
        impl KeySource<ShString> for $t {
            type Query = str;

            #[inline(always)]
            fn query(&self) -> &str {
                self
            }

            #[inline]
            unsafe fn build(self, dst: *mut ShString, cx: Cx) -> Result<()> {
                // SAFETY: the caller's contract.
                unsafe { <ShString as Emplace<&str>>::emplace(&self, dst, cx) }
            }
        }
    )* };
}
text!(&str, &&str, String, &String, &ShString, Box<str>, Cow<'_, str>);
