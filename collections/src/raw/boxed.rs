//! Boxes: one value in a block of its own.

use super::mem;
use super::ptr;
use crate::boxed::ShBox;
use crate::cx::Cx;
use crate::place::Place;
use crate::relocatable::{Emplace, Relocatable};
use aquifer_pool::Result;
use aquifer_pool::log::LogCx;
use std::sync::atomic::{AtomicU64, Ordering};

/// Header of a box.
///
/// Invariant: the offset of a block that holds a value (0 for values without size).
#[repr(C)]
pub(crate) struct Header {
    ptr: AtomicU64,
}

impl Header {
    #[inline(always)]
    fn at<T>(&self) -> *mut T {
        match size_of::<T>() {
            0 => std::ptr::dangling_mut(),
            size => ptr::resolve(self, self.ptr.load(Ordering::Relaxed), size as u64).cast(),
        }
    }

    #[inline(always)]
    pub(crate) fn get<T>(&self) -> &T {
        // SAFETY: in bounds by `resolve`, a value (invariant) that nobody changes while the header is borrowed.
        unsafe { &*self.at::<T>() }
    }
}

/// Builds a value in a block of its own.
///
/// # Safety
/// As for [`Emplace::emplace`].
pub(crate) unsafe fn build<T: Emplace<S>, S>(source: S, cx: Cx) -> Result<Header> {
    // SAFETY: the log of an open operation is alive as long as the operation.
    let log = unsafe { cx.log() };
    let (offset, at) = match size_of::<T>() {
        // That of a `T`, which may ask for more than an aligned byte.
        0 => (0, std::ptr::dangling_mut::<T>().cast()),
        size => mem::block(log, size, align_of::<T>())?,
    };
    // SAFETY: a new block for one value; the caller's operation is open.
    unsafe { T::emplace(source, at.cast::<T>(), cx)? };
    Ok(Header { ptr: AtomicU64::new(offset) })
}

/// Pushes intents for a box's block and what its value owns.
///
/// # Safety
/// As for [`Relocatable::discard`].
pub(crate) unsafe fn discard<T: Relocatable>(header: &Header, log: &LogCx) {
    let block = header.ptr.load(Ordering::Relaxed);
    mem::free(log, block);
    if T::OWNED > 0
        && block != 0
        && let Ok(at) = log.pool().at(block, size_of::<T>() as u64)
    {
        // SAFETY: the value at `block`, by the caller's contract; nobody writes there before the block is freed.
        unsafe { mem::discard_elements(log, block, at.cast::<T>(), 1) };
    }
}

/// Mutable access to the value in a box.
#[inline]
pub(crate) fn get_mut<T: Relocatable>(place: &mut Place<ShBox<T>>) -> &mut T::Access {
    let cx = place.cx();
    // SAFETY: the box's value, exclusively ours as long as the place is borrowed.
    unsafe { T::access(place.header.at::<T>(), cx) }
}
