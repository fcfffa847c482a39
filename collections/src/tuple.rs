//! Arrays and tuples: of the kind of their parts.
//!
//! The layout of a tuple is the compiler's: its schema says where the parts stand, so that a build that has them elsewhere refuses the object.

use crate::cx::Cx;
use crate::emplace::taken_source;
use crate::iter::New;
use crate::relocatable::{DefaultInPool, Emplace, InPlace, Kind, Plain, Relocatable};
use crate::schema::{Field, Schema, Shape};
use aquifer_pool::Result;
use std::mem::offset_of;

/// `Relocatable` of a type whose kind follows from its parts.
macro_rules! by_kind {
    ([$($g:tt)*] $t:ty, $kind:ty, $name:literal, $shape:expr, $owned:expr, $locks:expr, |$p:ident, $cx:ident| $discard:expr) => {
        // SAFETY: all parts are relocatable, and the schema says where they stand.
        unsafe impl<$($g)*> Relocatable for $t {
            type Kind = $kind;
            type Access = <$kind as Kind>::Access<Self>;
            type Taken<'a> = <$kind as Kind>::Taken<'a, Self>;
            const SCHEMA: &'static Schema = &Schema { name: $name, size: size_of::<Self>(), align: align_of::<Self>(), shape: $shape };
            const OWNED: usize = $owned;
            const LOCKS: bool = $locks;

            #[inline(always)]
            unsafe fn access<'a>(p: *mut Self, cx: Cx) -> &'a mut Self::Access {
                // SAFETY: the caller's contract.
                unsafe { <$kind as Kind>::access(p, cx) }
            }

            #[inline(always)]
            unsafe fn access_ref<'a>(p: *const Self, cx: Cx) -> &'a Self::Access {
                // SAFETY: the caller's contract.
                unsafe { <$kind as Kind>::access_ref(p, cx) }
            }

            #[inline(always)]
            unsafe fn taken<'a>(p: *const Self, cx: Cx) -> Self::Taken<'a> {
                // SAFETY: the caller's contract.
                unsafe { <$kind as Kind>::taken(p, cx) }
            }

            #[inline]
            unsafe fn discard($p: *const Self, $cx: Cx) {
                if Self::OWNED > 0 {
                    // SAFETY: the caller's contract, for each part.
                    unsafe { $discard }
                }
            }
        }
    };
}
pub(crate) use by_kind;

fn schema_of<T: Relocatable>() -> &'static Schema {
    T::SCHEMA
}

// ---- arrays

by_kind!([T: Relocatable, const N: usize] [T; N], T::Kind, "array", Shape::Array { item: schema_of::<T>, len: N }, N * T::OWNED, T::LOCKS, |p, cx| {
    for i in 0..N {
        T::discard(p.cast::<T>().add(i), cx);
    }
});

// SAFETY: all parts are plain.
unsafe impl<T: Plain, const N: usize> Plain for [T; N] {}

taken_source!([T: Relocatable<Kind = InPlace>, const N: usize] [T; N]);

impl<T: Emplace<S>, S, const N: usize> Emplace<[S; N]> for [T; N] {
    #[inline]
    unsafe fn emplace(source: [S; N], dst: *mut Self, cx: Cx) -> Result<()> {
        for (i, item) in source.into_iter().enumerate() {
            // SAFETY: within `dst`; the rest is the caller's contract.
            unsafe { T::emplace(item, dst.cast::<T>().add(i), cx)? };
        }
        Ok(())
    }
}

impl<T: DefaultInPool, const N: usize> Emplace<New<[T; N]>> for [T; N] {
    unsafe fn emplace(_: New<[T; N]>, dst: *mut Self, cx: Cx) -> Result<()> {
        for i in 0..N {
            // SAFETY: within `dst`; the rest is the caller's contract.
            unsafe { T::emplace(T::empty(), dst.cast::<T>().add(i), cx)? };
        }
        Ok(())
    }
}

impl<T: DefaultInPool, const N: usize> DefaultInPool for [T; N] {
    type Empty = New<[T; N]>;
    fn empty() -> New<[T; N]> {
        New::SOURCE
    }
}

// ---- tuples

macro_rules! kinds {
    ($t:ident) => { $t::Kind };
    ($t:ident $($rest:ident)+) => { <$t::Kind as Kind>::And<kinds!($($rest)+)> };
}

macro_rules! tuples {
    ($($($t:ident $s:ident $i:tt),*;)*) => { $(
        by_kind!([$($t: Relocatable),*] ($($t,)*), kinds!($($t)*), "tuple",
            Shape::Struct(&[$(Field { name: stringify!($i), offset: offset_of!(Self, $i), schema: schema_of::<$t> }),*]),
            $($t::OWNED +)* 0,
            $($t::LOCKS ||)* false,
            |p, cx| { $( $t::discard(&raw const (*p).$i, cx); )* });

        // SAFETY: all parts are plain.
        unsafe impl<$($t: Plain),*> Plain for ($($t,)*) {}

        impl<$($t: Emplace<$s>, $s),*> Emplace<($($s,)*)> for ($($t,)*) {
            #[inline]
            unsafe fn emplace(source: ($($s,)*), dst: *mut Self, cx: Cx) -> Result<()> {
                // SAFETY: the caller's contract, for each part.
                unsafe { $( $t::emplace(source.$i, &raw mut (*dst).$i, cx)?; )* }
                Ok(())
            }
        }

        impl<$($t: DefaultInPool),*> DefaultInPool for ($($t,)*) {
            type Empty = ($($t::Empty,)*);
            fn empty() -> Self::Empty {
                ($($t::empty(),)*)
            }
        }
    )* };
}
tuples! {
    A P 0;
    A P 0, B Q 1;
    A P 0, B Q 1, C R 2;
    A P 0, B Q 1, C R 2, D S 3;
    A P 0, B Q 1, C R 2, D S 3, E T 4;
    A P 0, B Q 1, C R 2, D S 3, E T 4, F U 5;
    A P 0, B Q 1, C R 2, D S 3, E T 4, F U 5, G V 6;
    A P 0, B Q 1, C R 2, D S 3, E T 4, F U 5, G V 6, H W 7;
}
