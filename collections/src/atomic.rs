//! Atomics in a pool: changed through `&`, by any process, without a lock.

use crate::cx::Cx;
use crate::emplace::taken_source;
use crate::place::Place;
use crate::relocatable::{DefaultInPool, Emplace, InPlace, Kind, Relocatable};
use crate::schema::{Schema, Shape};
use crate::taken::Taken;
use aquifer_pool::Result;
use std::sync::atomic::*;

/// Atomics are reached through their place, which derefs to them. What is stored through `&` is final at once, also in a transaction that
/// gives up later; `Place::set` and `Place::replace` take part in transactions.
macro_rules! atomics {
    ($($t:ident from $from:ty, $shape:expr;)*) => { $(
        // SAFETY: a number that may be changed through `&`, atomically; no address, no destructor, nothing owned.
        unsafe impl Relocatable for $t {
            type Kind = InPlace;
            type Access = Place<Self>;
            type Taken<'a> = Taken<'a, Self>;
            const SCHEMA: &'static Schema =
                &Schema { name: stringify!($t), size: size_of::<Self>(), align: align_of::<Self>(), shape: $shape };
            const OWNED: usize = 0;
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

            #[inline(always)]
            unsafe fn discard(_: *const Self, _: Cx) {}
        }

        impl Emplace<$from> for $t {
            #[inline(always)]
            unsafe fn emplace(source: $from, dst: *mut Self, _: Cx) -> Result<()> {
                // SAFETY: writable and aligned by the caller's contract.
                unsafe { dst.write($t::new(source)) };
                Ok(())
            }
        }

        impl DefaultInPool for $t {
            type Empty = $from;
            fn empty() -> $from {
                <$from>::default()
            }
        }

        taken_source!([] $t);
    )* };
}
atomics! {
    AtomicU8 from u8, Shape::Unsigned { nonzero: false };
    AtomicU16 from u16, Shape::Unsigned { nonzero: false };
    AtomicU32 from u32, Shape::Unsigned { nonzero: false };
    AtomicU64 from u64, Shape::Unsigned { nonzero: false };
    AtomicUsize from usize, Shape::Unsigned { nonzero: false };
    AtomicI8 from i8, Shape::Signed { nonzero: false };
    AtomicI16 from i16, Shape::Signed { nonzero: false };
    AtomicI32 from i32, Shape::Signed { nonzero: false };
    AtomicI64 from i64, Shape::Signed { nonzero: false };
    AtomicIsize from isize, Shape::Signed { nonzero: false };
    AtomicBool from bool, Shape::Bool;
}
