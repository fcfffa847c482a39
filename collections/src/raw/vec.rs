//! Vectors: one block, and a header that says how much of it is used.

mod access;
mod build;
mod many;
mod one;
mod room;

pub(crate) use access::{IterMut, access_ref};
pub(crate) use build::build;

use super::mem::{self, is_plain};
use super::ptr::{self, Reach};
use crate::cx::Cx;
use crate::moving::release_locks_in;
use crate::place::Place;
use crate::relocatable::{Emplace, Relocatable};
use crate::vec::ShVec;
use aquifer_pool::log::{Kind, LogCx, RecordView};
use aquifer_pool::plant::planted;
use aquifer_pool::shift::{Direction, shift};
use aquifer_pool::{Error, Result};
use std::cmp::Ordering;
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ptr::NonNull;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicU64, compiler_fence};

/// Header of a vector.
///
/// Invariant: `len <= cap`, and `ptr` is a block of at least `cap * size_of::<T>()` bytes (0 while `cap` is 0, or if elements have no size).
#[repr(C)]
pub(crate) struct Header {
    pub(crate) ptr: AtomicU64,
    pub(crate) len: AtomicU64,
    pub(crate) cap: AtomicU64,
}

const _: () = assert!(size_of::<Header>() == 24);

impl Header {
    pub(crate) fn new(ptr: u64, len: u64, cap: u64) -> Header {
        Header { ptr: AtomicU64::new(ptr), len: AtomicU64::new(len), cap: AtomicU64::new(cap) }
    }

    #[inline(always)]
    pub(crate) fn len(&self) -> usize {
        read(&self.len) as usize
    }

    #[inline(always)]
    pub(crate) fn cap(&self) -> usize {
        read(&self.cap) as usize
    }

    /// Address of the first element, of which `count` are about to be used.
    #[inline(always)]
    pub(crate) fn elements<T>(&self, count: usize) -> *mut T {
        if size_of::<T>() == 0 || count == 0 {
            return std::ptr::dangling_mut();
        }
        let Some(bytes) = count.checked_mul(size_of::<T>()) else {
            ptr::damaged("a vector is longer than any pool")
        };
        ptr::resolve(self, read(&self.ptr), bytes as u64).cast()
    }

    /// Address of one element within the capacity.
    #[inline(always)]
    fn slot<T>(&self, index: usize) -> *mut T {
        if size_of::<T>() == 0 {
            return std::ptr::dangling_mut();
        }
        // No overflow unless the header is damaged; what is resolved then is still inside of the pool.
        let offset = read(&self.ptr).wrapping_add(index.wrapping_mul(size_of::<T>()) as u64);
        Reach::of(self).resolve_one(offset)
    }

    /// The elements.
    #[inline(always)]
    pub(crate) fn as_slice<T>(&self) -> &[T] {
        let len = self.len();
        // SAFETY: in bounds by `elements`; initialised up to `len`, which is stored after them; nobody changes them while the header is
        // borrowed; the bytes stay mapped as long as the pool is joined, which outlives the borrow.
        unsafe { std::slice::from_raw_parts(self.elements::<T>(len), len) }
    }
}

/// A word of a header. Not atomic, so that the compiler may lift it out of a loop, as it does with the rest of a resolve.
#[inline(always)]
fn read(word: &AtomicU64) -> u64 {
    // SAFETY: aligned and readable. No race: a header is changed only through a place, which nobody else has while this borrow of the vector lasts.
    unsafe { word.as_ptr().read() }
}

/// A vector that may be changed: its header, and the log that the changes go to.
///
/// Passed by value: two words that stay in registers, also beside calls that are not inlined.
pub(crate) struct VecMut<'a, T> {
    header: &'a Header,
    log: &'a LogCx,
    _elements: PhantomData<&'a mut T>,
}

impl<T> Clone for VecMut<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for VecMut<'_, T> {}

impl<'a, T: Relocatable> VecMut<'a, T> {
    #[inline(always)]
    pub(crate) fn of(place: &'a mut Place<ShVec<T>>) -> VecMut<'a, T> {
        // SAFETY: whoever has a place has the guard, operation or transaction of its context, on this thread, for as long.
        let log = unsafe { place.cx().log() };
        VecMut { header: &place.header, log, _elements: PhantomData }
    }

    #[inline(always)]
    fn cx(self) -> Cx {
        Cx::of(self.log)
    }

    #[inline(always)]
    pub(crate) fn len(self) -> usize {
        self.header.len()
    }

    /// Address of the first of `count` elements, used or spare.
    #[inline(always)]
    fn at(self, count: usize) -> *mut T {
        self.header.elements(count)
    }

    #[inline]
    fn check(self, index: usize) -> usize {
        let len = self.len();
        assert!(index < len, "index out of bounds: the len is {len} but the index is {index}");
        len
    }

    /// Before elements are moved or dropped: see [`release_locks_in`].
    #[inline(always)]
    fn release_locks(self) {
        release_locks_in::<T>(self.log, || (self.header.ptr.load(Relaxed), self.len() * size_of::<T>()));
    }
}

/// Pushes intents for a vector's block and what its elements own.
///
/// # Safety
/// As for [`Relocatable::discard`].
pub(crate) unsafe fn discard<T: Relocatable>(header: &Header, log: &LogCx) {
    let (block, len) = (header.ptr.load(Relaxed), header.len());
    if block == 0 {
        return;
    }
    // The block's record is the lower one, so that it is carried out after the elements'.
    mem::free(log, block);
    let Some(bytes) = len.checked_mul(size_of::<T>()) else { return };
    if T::OWNED > 0
        && let Ok(at) = log.pool().at(block, bytes as u64)
    {
        // SAFETY: `len` elements at `block`, by the caller's contract; nobody writes there before the block is freed.
        unsafe { mem::discard_elements(log, block, at.cast::<T>(), len) };
    }
}
