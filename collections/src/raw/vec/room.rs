//! Room: more of it, less of it, the block that changes for it.

use super::*;

impl<T: Relocatable> VecMut<'_, T> {
    /// Room for `more` elements beyond the length; grows by half at least, so that pushing costs the same on average.
    #[inline(always)]
    pub(crate) fn reserve(self, more: usize) -> Result<()> {
        if self.header.cap() - self.len().min(self.header.cap()) >= more { Ok(()) } else { self.grow(more) }
    }

    #[cold]
    #[inline(never)]
    fn grow(self, more: usize) -> Result<()> {
        let (len, cap) = (self.len(), self.header.cap());
        let need = len.checked_add(more).ok_or(Error::TooLarge(more, size_of::<T>()))?;
        let wanted = if size_of::<T>() == 0 {
            usize::MAX >> 8
        } else {
            need.max(cap + cap / 2).max(4.max(64 / size_of::<T>()))
        };
        match self.resize(wanted) {
            Err(_) if wanted > need => self.resize(need),
            other => other,
        }
    }

    /// Exactly `cap` places, in the same block if it can be.
    pub(crate) fn resize(self, cap: usize) -> Result<()> {
        let h = self.header;
        let bytes = mem::bytes_of(cap, size_of::<T>())?;
        let old = h.ptr.load(Relaxed);
        mem::reserve_log(self.log, 0)?;
        let op = self.log.begin();
        let before = self.log.len();
        if bytes == 0 || (old != 0 && cap > h.cap() && mem::lengthen(self.log, old, bytes)) {
            mem::publish(self.log, before, &h.cap, cap as u64);
            op.commit();
            return Ok(());
        }
        let (new, to) = match old != 0 && cap > h.cap() {
            true => mem::block_to_grow(self.log, bytes, align_of::<T>())?,
            false => mem::block(self.log, bytes, align_of::<T>())?,
        };
        let len = self.len();
        self.release_locks();
        // SAFETY: `len` elements are in the old block, and fit the new one (callers ask for no less); the blocks differ.
        unsafe { std::ptr::copy_nonoverlapping(self.at(len).cast_const(), to.cast::<T>(), len) };
        mem::change(self.log, &h.ptr, new);
        mem::change(self.log, &h.cap, cap as u64);
        mem::free(self.log, old);
        // Dead before this: the old words come back, and the new block goes. After: the new block counts, the old one is freed.
        op.commit();
        Ok(())
    }

    /// Gives spare room back.
    pub(crate) fn shrink(self) -> Result<()> {
        let h = self.header;
        if size_of::<T>() == 0 || h.cap() == self.len() {
            return Ok(());
        }
        if self.len() > 0 {
            return self.resize(self.len());
        }
        mem::reserve_log(self.log, 0)?;
        let op = self.log.begin();
        let old = h.ptr.load(Relaxed);
        mem::change(self.log, &h.ptr, 0);
        mem::change(self.log, &h.cap, 0);
        mem::free(self.log, old);
        op.commit();
        Ok(())
    }
}
