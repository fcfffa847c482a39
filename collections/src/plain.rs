//! Numbers and the like: plain data.

use crate::cx::Cx;
use crate::relocatable::{ByValue, DefaultInPool, Emplace, Kind, Plain, Relocatable};
use crate::schema::{Field, Schema, Shape};
use aquifer_pool::Result;
use std::num::*;
use std::time::Duration;

impl Shape {
    /// Whether a value of at most 8 bytes is always written by one store, so that a kill cannot tear it: numbers, enums without
    /// fields, and structs around one of these.
    #[inline(always)]
    pub(crate) fn is_one_store(&self) -> bool {
        match self {
            Shape::Struct([only]) => (only.schema)().shape.is_number(),
            shape => shape.is_number(),
        }
    }

    #[inline(always)]
    fn is_number(&self) -> bool {
        match self {
            Shape::Unit
            | Shape::Unsigned { .. }
            | Shape::Signed { .. }
            | Shape::Float
            | Shape::Bool
            | Shape::Char => true,
            Shape::Enum { variants, .. } => variants.iter().all(|v| v.fields.is_empty()),
            _ => false,
        }
    }
}

/// Plain data whose `Relocatable` follows from its kind.
macro_rules! plain {
    ([$($g:tt)*] $t:ty, $name:expr, $shape:expr) => {
        // SAFETY: plain data: no address, no destructor, nothing owned; the schema names its one part.
        unsafe impl<$($g)*> Relocatable for $t {
            type Kind = ByValue;
            type Access = Self;
            type Taken<'a> = Self;
            const SCHEMA: &'static Schema = &Schema { name: $name, size: size_of::<Self>(), align: align_of::<Self>(), shape: $shape };
            const OWNED: usize = 0;
            const LOCKS: bool = false;

            #[inline(always)]
            unsafe fn access<'a>(p: *mut Self, cx: Cx) -> &'a mut Self {
                // SAFETY: the caller's contract.
                unsafe { ByValue::access(p, cx) }
            }

            #[inline(always)]
            unsafe fn access_ref<'a>(p: *const Self, cx: Cx) -> &'a Self {
                // SAFETY: the caller's contract.
                unsafe { ByValue::access_ref(p, cx) }
            }

            #[inline(always)]
            unsafe fn taken<'a>(p: *const Self, cx: Cx) -> Self::Taken<'a> {
                // SAFETY: the caller's contract.
                unsafe { ByValue::taken(p, cx) }
            }

            #[inline(always)]
            unsafe fn discard(_: *const Self, _: Cx) {}
        }

        // SAFETY: `Copy`, and the schema describes every value.
        unsafe impl<$($g)*> Plain for $t {}

        impl<$($g)*> Emplace<$t> for $t {
            #[inline(always)]
            unsafe fn emplace(source: $t, dst: *mut Self, _: Cx) -> Result<()> {
                // SAFETY: writable and aligned by the caller's contract.
                unsafe { dst.write(source) };
                Ok(())
            }
        }
    };
}
pub(crate) use plain;

/// Plain data that has a `Default`.
macro_rules! with_default {
    ($t:ty) => {
        impl DefaultInPool for $t {
            type Empty = $t;
            #[inline(always)]
            fn empty() -> $t {
                <$t>::default()
            }
        }
    };
}

macro_rules! numbers {
    ($($t:ident)*, $shape:expr) => { $(
        plain!([] $t, stringify!($t), $shape);
        with_default!($t);
    )* };
}
numbers!(u8 u16 u32 u64 u128 usize, Shape::Unsigned { nonzero: false });
numbers!(i8 i16 i32 i64 i128 isize, Shape::Signed { nonzero: false });
numbers!(f32 f64, Shape::Float);
numbers!(bool, Shape::Bool);
numbers!(char, Shape::Char);
plain!([](), "()", Shape::Unit);
with_default!(());

macro_rules! nonzero {
    ($($t:ident)*, $shape:expr) => { $( plain!([] $t, stringify!($t), $shape); )* };
}
nonzero!(NonZeroU8 NonZeroU16 NonZeroU32 NonZeroU64 NonZeroU128 NonZeroUsize, Shape::Unsigned { nonzero: true });
nonzero!(NonZeroI8 NonZeroI16 NonZeroI32 NonZeroI64 NonZeroI128 NonZeroIsize, Shape::Signed { nonzero: true });

// ---- Duration

plain!([] Duration, "Duration", Shape::Struct(&[
    Field { name: "secs", offset: 0, schema: schema_of::<u64> },
    Field { name: "nanos", offset: 8, schema: nanos_schema },
]));
with_default!(Duration);

fn schema_of<T: Relocatable>() -> &'static Schema {
    T::SCHEMA
}

fn nanos_schema() -> &'static Schema {
    static NANOS: Schema = Schema { name: "Nanoseconds", size: 4, align: 4, shape: Shape::Nanoseconds };
    &NANOS
}

// The layout is the compiler's choice: one that chooses otherwise does not compile this, and a pool never sees it.
const _: () = {
    assert!(size_of::<Duration>() == 16 && align_of::<Duration>() == 8);
    let value = Duration::new(0x0102_0304_0506_0708, 0x0a0b_0c0d);
    // SAFETY: within the value by the assertion, and aligned; the compiler refuses to read padding here.
    let (secs, nanos) =
        unsafe { ((&raw const value).cast::<u64>().read(), (&raw const value).cast::<u32>().add(2).read()) };
    assert!(secs == 0x0102_0304_0506_0708 && nanos == 0x0a0b_0c0d);
};
