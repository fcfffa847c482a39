//! What the code that derives generate refers to. Not for other use.

pub use crate::cx::Cx;
pub use crate::hash::{Parts, Seed, ShHash};
pub use crate::iter::New;
pub use crate::place::{Place, set};
pub use crate::relocatable::{ByValue, DefaultInPool, Emplace, InPlace, Kind, Plain, Relocatable};
pub use crate::schema::{Field, Schema, Shape, Variant};
pub use crate::taken::Taken;
pub use aquifer_pool::Result;
use std::mem::MaybeUninit;

/// Holds for plain types.
pub const fn is_plain<T: Plain>() {}

/// Source of an empty value.
pub fn new_source<T>() -> New<T> {
    New::SOURCE
}

/// Builds an empty value.
///
/// # Safety
/// As for [`Emplace::emplace`].
pub unsafe fn emplace_empty<T: DefaultInPool>(dst: *mut T, cx: Cx) -> Result<()> {
    // SAFETY: the caller's contract.
    unsafe { T::emplace(T::empty(), dst, cx) }
}

/// Builds a value that is then moved to where it belongs.
///
/// # Safety
/// As for [`Emplace::emplace`], but for the destination; the value is moved to it, and only there.
pub unsafe fn build_aside<T: Emplace<S>, S>(source: S, cx: Cx) -> Result<T> {
    let mut value = MaybeUninit::<T>::uninit();
    // SAFETY: room for one value; built when there was no error.
    unsafe {
        T::emplace(source, value.as_mut_ptr(), cx)?;
        Ok(value.assume_init())
    }
}

/// Where the last of these fields (size and alignment of each) stands, laid out one after the other from `start` on, as in C.
pub const fn field_offset(start: usize, fields: &[[usize; 2]]) -> usize {
    let (mut at, mut i) = (start, 0);
    loop {
        let [size, align] = fields[i];
        at = at.next_multiple_of(align);
        i += 1;
        if i == fields.len() {
            return at;
        }
        at += size;
    }
}

/// The largest of some numbers; 0 of none.
pub const fn largest(numbers: &[usize]) -> usize {
    let (mut most, mut i) = (0, 0);
    while i < numbers.len() {
        if numbers[i] > most {
            most = numbers[i];
        }
        i += 1;
    }
    most
}
