//! Mutable access to what a vector holds.

use super::*;

impl<'a, T: Relocatable> VecMut<'a, T> {
    #[inline]
    pub(crate) fn get_mut(self, index: usize) -> Option<&'a mut T::Access> {
        let slot = (index < self.len()).then(|| self.header.slot::<T>(index))?;
        // SAFETY: an element, exclusively ours for `'a` by the place that `self` was made of.
        Some(unsafe { T::access(slot, self.cx()) })
    }

    /// All elements as plain memory; their old bytes are kept in a block until the loan is over.
    pub(crate) fn lend_slice(self) -> Result<&'a mut [T]> {
        debug_assert!(is_plain::<T>());
        let len = self.len();
        let first = self.at(len);
        let bytes = len * size_of::<T>();
        if bytes > 0 {
            let offset = self.header.ptr.load(Relaxed);
            // SAFETY: `bytes` bytes of elements at `offset`, exclusively ours.
            unsafe { lend(self.log, offset, first.cast(), bytes)? };
        }
        // SAFETY: `len` elements, exclusively ours for `'a`.
        Ok(unsafe { std::slice::from_raw_parts_mut(first, len) })
    }

    pub(crate) fn iter_mut(self) -> IterMut<'a, T> {
        let first = self.at(self.len());
        IterMut { first, next: 0, end: self.len(), cx: self.cx(), _elements: PhantomData }
    }
}

/// Saves `bytes` bytes before a reference to them is handed out, and notes the loan.
///
/// # Safety
/// They are at `offset` and `at` in the pool of `log`, initialised, and exclusively the caller's.
unsafe fn lend(log: &LogCx, offset: u64, at: *const u8, bytes: usize) -> Result<()> {
    let op = log.begin();
    let (copy, to) = mem::block(log, bytes, 16)?;
    // SAFETY: the new block has room for them.
    unsafe { std::ptr::copy_nonoverlapping(at, to, bytes) };
    log.reserve(2)?;
    log.push(RecordView::new(Kind::OldBlock, offset, bytes as u64).with_aux(copy >> 3));
    mem::free(log, copy);
    log.loan();
    // Stays in the log until the loan is over: dead before that, the old bytes come back.
    op.commit();
    Ok(())
}

/// Mutable access to one element after the other.
pub(crate) struct IterMut<'a, T> {
    first: *mut T,
    next: usize,
    end: usize,
    cx: Cx,
    _elements: PhantomData<&'a mut T>,
}

impl<'a, T: Relocatable> IterMut<'a, T> {
    pub(crate) fn remaining(&self) -> usize {
        self.end - self.next
    }

    #[inline]
    pub(crate) fn next(&mut self) -> Option<&'a mut T::Access> {
        let i = (self.next < self.end).then_some(self.next)?;
        self.next += 1;
        // SAFETY: element i, exclusively ours for `'a`, and handed out once: both ends only move towards each other.
        Some(unsafe { T::access(self.first.wrapping_add(i), self.cx) })
    }

    #[inline]
    pub(crate) fn next_back(&mut self) -> Option<&'a mut T::Access> {
        (self.next < self.end).then_some(())?;
        self.end -= 1;
        // SAFETY: as in `next`.
        Some(unsafe { T::access(self.first.wrapping_add(self.end), self.cx) })
    }
}

/// A reference to an element that carries the place's context.
#[inline]
pub(crate) fn access_ref<T: Relocatable>(place: &Place<ShVec<T>>, index: usize) -> &T::Access {
    let element = &place.as_slice()[index];
    // SAFETY: an element in the place's pool, borrowed as long as the place.
    unsafe { T::access_ref(element, place.cx()) }
}
