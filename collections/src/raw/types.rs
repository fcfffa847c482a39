//! What the collections are to the rest of the crate: relocatable types, and what they are built from.

use super::{boxed, map, map_build, string, table, vec};
use crate::boxed::{NewBox, ShBox};
use crate::cx::Cx;
use crate::iter::{FromIter, New};
use crate::key::Key;
use crate::map::ShMap;
use crate::place::Place;
use crate::relocatable::{DefaultInPool, Emplace, InPlace, Kind, Relocatable};
use crate::schema::{Schema, Shape};
use crate::set::ShSet;
use crate::string::ShString;
use crate::taken::Taken;
use crate::vec::ShVec;
use aquifer_pool::Result;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::fmt;
use std::marker::PhantomData;
use std::mem::offset_of;

fn schema_of<T: Relocatable>() -> &'static Schema {
    T::SCHEMA
}

/// A collection: it owns one block, and is reached through a `Place`.
macro_rules! collection {
    ([$($g:ident $(: $bound:path)?),*] $t:ty, $name:literal, $shape:expr, |$value:ident, $cx:ident| $discard:expr) => {
        // SAFETY: the schema is that of the header and block; offsets and atomics only, no destructor; mutable access is through a `Place`.
        unsafe impl<$($g $(: $bound)?),*> Relocatable for $t {
            type Kind = InPlace;
            type Access = Place<Self>;
            type Taken<'a> = Taken<'a, Self>;
            const SCHEMA: &'static Schema =
                &Schema { name: $name, size: size_of::<Self>(), align: align_of::<Self>(), shape: $shape };
            const OWNED: usize = 1;
            const LOCKS: bool = false;

            #[inline(always)]
            unsafe fn access<'a>(p: *mut Self, cx: Cx) -> &'a mut Place<Self> {
                // SAFETY: the caller's contract.
                unsafe { InPlace::access(p, cx) }
            }

            #[inline(always)]
            unsafe fn access_ref<'a>(p: *const Self, cx: Cx) -> &'a Place<Self> {
                // SAFETY: the caller's contract.
                unsafe { InPlace::access_ref(p, cx) }
            }

            #[inline(always)]
            unsafe fn taken<'a>(p: *const Self, cx: Cx) -> Taken<'a, Self> {
                // SAFETY: the caller's contract.
                unsafe { InPlace::taken(p, cx) }
            }

            unsafe fn discard(p: *const Self, $cx: Cx) {
                // SAFETY: the caller's contract.
                let $value = unsafe { &*p };
                $discard
            }
        }
    };
}

/// A collection that can be empty.
macro_rules! empty {
    ([$($g:ident $(: $bound:path)?),*] $t:ty) => {
        impl<$($g $(: $bound)?),*> DefaultInPool for $t {
            type Empty = New<Self>;
            fn empty() -> New<Self> {
                New::SOURCE
            }
        }
    };
}

/// A source: how the header is built from `$source`.
macro_rules! source {
    ([$($g:tt)*] $from:ty => $t:ty $(where [$($w:tt)*])?, |$source:ident, $cx:ident| $header:expr) => {
        impl<$($g)*> Emplace<$from> for $t $(where $($w)*)? {
            #[inline]
            unsafe fn emplace($source: $from, dst: *mut Self, $cx: Cx) -> Result<()> {
                let header = $header;
                // SAFETY: `dst` is writable and aligned by the caller's contract.
                unsafe { dst.write(<$t>::of_header(header)) };
                Ok(())
            }
        }
    };
}

// ---- vectors

collection!([T: Relocatable] ShVec<T>, "ShVec", Shape::Vec(schema_of::<T>), |value, cx| {
    // SAFETY: the caller's contract.
    unsafe { vec::discard::<T>(&value.header, cx.log()) }
});

impl<T> ShVec<T> {
    fn of_header(header: vec::Header) -> Self {
        ShVec { header, elements: PhantomData }
    }
}

macro_rules! vec_source {
    ([$($g:tt)*] $from:ty, $item:ty $(where [$($w:tt)*])?, |$source:ident| $items:expr) => {
        source!([T: Emplace<$item>, $($g)*] $from => ShVec<T> $(where [$($w)*])?, |$source, cx| {
            // SAFETY: the caller's contract.
            unsafe { vec::build::<T, $item>($items, cx)? }
        });
    };
}

empty!([T: Relocatable] ShVec<T>);
source!([T: Relocatable] New<ShVec<T>> => ShVec<T>, |_source, _cx| vec::Header::new(0, 0, if size_of::<T>() == 0 { u64::MAX >> 8 } else { 0 }));
vec_source!([S, const N: usize] [S; N], S, |source| source.into_iter());
vec_source!([S] Vec<S>, S, |source| source.into_iter());
vec_source!([S] VecDeque<S>, S, |source| source.into_iter());
vec_source!([S: Clone] &[S], S, |source| source.iter().cloned());
vec_source!([S: Clone] &Vec<S>, S, |source| source.iter().cloned());
vec_source!([S: Clone, const N: usize] &[S; N], S, |source| source.iter().cloned());
vec_source!([I: Iterator] FromIter<I>, I::Item, |source| source.0);

// ---- strings

collection!([] ShString, "ShString", Shape::String, |value, cx| {
    // SAFETY: the caller's contract.
    string::discard(&value.header, unsafe { cx.log() })
});

impl ShString {
    fn of_header(header: string::Header) -> Self {
        ShString { header }
    }
}

macro_rules! string_source {
    ($from:ty, |$source:ident| $text:expr) => {
        source!([] $from => ShString, |$source, cx| {
            // SAFETY: the log of an open operation is alive as long as the operation.
            let log = unsafe { cx.log() };
            string::build($text, log)?
        });
    };
}

empty!([] ShString);
source!([] New<ShString> => ShString, |_source, _cx| string::Header::empty());
string_source!(&str, |source| source);
string_source!(&&str, |source| source);
string_source!(String, |source| &source);
string_source!(&String, |source| source);
string_source!(Box<str>, |source| &source);
string_source!(Cow<'_, str>, |source| &source);
string_source!(&ShString, |source| source);
string_source!(char, |source| source.encode_utf8(&mut [0; 4]));
string_source!(fmt::Arguments<'_>, |source| &source
    .as_str()
    .map_or_else(|| Cow::Owned(source.to_string()), Cow::Borrowed));

// ---- boxes

collection!([T: Relocatable] ShBox<T>, "ShBox", Shape::Box(schema_of::<T>), |value, cx| {
    // SAFETY: the caller's contract.
    unsafe { boxed::discard::<T>(&value.header, cx.log()) }
});

impl<T> ShBox<T> {
    fn of_header(header: boxed::Header) -> Self {
        ShBox { header, value: PhantomData }
    }
}

source!([T: Emplace<S>, S] NewBox<T, S> => ShBox<T>, |source, cx| {
    // SAFETY: the caller's contract.
    unsafe { boxed::build::<T, S>(source.source, cx)? }
});

// ---- maps

collection!([K: Key, V: Relocatable] ShMap<K, V>, "ShMap", table_shape::<K, V>(), |value, cx| {
    // SAFETY: the caller's contract.
    unsafe { map::discard::<K, V>(&value.header, cx.log(), Self::SCHEMA) }
});

const fn table_shape<K: Relocatable, V: Relocatable>() -> Shape {
    Shape::Map {
        key: schema_of::<K>,
        value: schema_of::<V>,
        value_offset: offset_of!(table::Slot<K, V>, value),
        entry_size: size_of::<table::Slot<K, V>>(),
    }
}

impl<K, V> ShMap<K, V> {
    fn of_header(header: table::Header) -> Self {
        ShMap { header, entries: PhantomData }
    }
}

macro_rules! map_source {
    ([$($g:tt)*] $from:ty, $a:ty, $b:ty, |$source:ident| $pairs:expr) => {
        source!([K: Key + Emplace<$a>, V: Emplace<$b>, $($g)*] $from => ShMap<K, V>, |$source, cx| {
            // SAFETY: the caller's contract.
            unsafe { map_build::build::<K, V, $a, $b>($pairs, cx)? }
        });
    };
}

empty!([K: Key, V: Relocatable] ShMap<K, V>);
source!([K: Key, V: Relocatable] New<ShMap<K, V>> => ShMap<K, V>, |_source, _cx| table::Header::new());
map_source!([A, B, const N: usize] [(A, B); N], A, B, |source| source.into_iter());
map_source!([A, B] Vec<(A, B)>, A, B, |source| source.into_iter());
map_source!([A: Clone, B: Clone] &[(A, B)], A, B, |source| source.iter().cloned());
map_source!([A, B, S] HashMap<A, B, S>, A, B, |source| source.into_iter());
map_source!([A: Clone, B: Clone, S] &HashMap<A, B, S>, A, B, |source| source.iter().map(|(a, b)| (a.clone(), b.clone())));
map_source!([A, B] BTreeMap<A, B>, A, B, |source| source.into_iter());
map_source!([A, B, I: Iterator<Item = (A, B)>] FromIter<I>, A, B, |source| source.0);

// ---- sets

collection!([K: Key] ShSet<K>, "ShSet", table_shape::<K, ()>(), |value, cx| {
    // SAFETY: the caller's contract.
    unsafe { map::discard::<K, ()>(&value.map.header, cx.log(), Self::SCHEMA) }
});

impl<K> ShSet<K> {
    fn of_header(header: table::Header) -> Self {
        ShSet { map: ShMap::of_header(header) }
    }
}

macro_rules! set_source {
    ([$($g:tt)*] $from:ty, $a:ty, |$source:ident| $items:expr) => {
        source!([K: Key + Emplace<$a>, $($g)*] $from => ShSet<K>, |$source, cx| {
            // SAFETY: the caller's contract.
            unsafe { map_build::build::<K, (), $a, ()>($items.map(|item| (item, ())), cx)? }
        });
    };
}

empty!([K: Key] ShSet<K>);
source!([K: Key] New<ShSet<K>> => ShSet<K>, |_source, _cx| table::Header::new());
set_source!([A, const N: usize] [A; N], A, |source| source.into_iter());
set_source!([A] Vec<A>, A, |source| source.into_iter());
set_source!([A: Clone] &[A], A, |source| source.iter().cloned());
set_source!([A: Clone] &Vec<A>, A, |source| source.iter().cloned());
set_source!([A, S] HashSet<A, S>, A, |source| source.into_iter());
set_source!([A] BTreeSet<A>, A, |source| source.into_iter());
set_source!([I: Iterator] FromIter<I>, I::Item, |source| source.0);
