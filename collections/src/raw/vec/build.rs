//! A vector made as a whole.

use super::*;

/// A vector under construction: not linked in, so that nothing of it needs to be saved.
pub(crate) struct Builder<'a, T> {
    ptr: u64,
    first: *mut T,
    len: usize,
    cap: usize,
    log: &'a LogCx,
}

impl<'a, T: Relocatable> Builder<'a, T> {
    /// # Safety
    /// An operation is open on `cx`'s log, and undone unless the finished header becomes somebody's.
    pub(crate) unsafe fn new(cap: usize, cx: Cx) -> Result<Builder<'a, T>> {
        // SAFETY: the log of an open operation is alive as long as the operation.
        let log = unsafe { cx.log() };
        let mut b = Builder {
            ptr: 0,
            first: std::ptr::dangling_mut(),
            len: 0,
            cap: if size_of::<T>() == 0 { usize::MAX >> 8 } else { 0 },
            log,
        };
        if cap > b.cap {
            b.grow(cap)?;
        }
        Ok(b)
    }

    fn grow(&mut self, cap: usize) -> Result<()> {
        let bytes = mem::bytes_of(cap, size_of::<T>())?;
        if self.ptr != 0 && mem::lengthen(self.log, self.ptr, bytes) {
            self.first = self.log.pool().at(self.ptr, bytes as u64)?.cast();
        } else {
            let (new, to) = mem::block(self.log, bytes, align_of::<T>())?;
            // SAFETY: `len` elements were built, and fit the larger block.
            unsafe { std::ptr::copy_nonoverlapping(self.first.cast_const(), to.cast(), self.len) };
            mem::free(self.log, self.ptr);
            (self.ptr, self.first) = (new, to.cast());
        }
        self.cap = cap;
        Ok(())
    }

    #[inline]
    pub(crate) fn push<S>(&mut self, source: S) -> Result<()>
    where
        T: Emplace<S>,
    {
        if self.len == self.cap {
            self.grow((self.cap * 2).max(4.max(64 / size_of::<T>().max(1))))?;
        }
        // SAFETY: place `len` is within the block; the operation is open by the contract of `new`.
        unsafe { T::emplace(source, self.first.wrapping_add(self.len), Cx::of(self.log))? };
        self.len += 1;
        Ok(())
    }

    pub(crate) fn finish(self) -> Header {
        Header::new(self.ptr, self.len as u64, self.cap as u64)
    }
}

/// Builds a vector's header from items.
///
/// # Safety
/// As for [`Emplace::emplace`].
pub(crate) unsafe fn build<T: Emplace<S>, S>(items: impl Iterator<Item = S>, cx: Cx) -> Result<Header> {
    // SAFETY: the caller's contract.
    let mut builder = unsafe { Builder::<T>::new(items.size_hint().0, cx)? };
    for item in items {
        builder.push(item)?;
    }
    Ok(builder.finish())
}
