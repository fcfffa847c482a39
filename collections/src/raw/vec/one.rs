//! One element more, one less, two exchanged.

use super::*;

impl<'a, T: Relocatable> VecMut<'a, T> {
    #[inline(always)]
    pub(crate) fn push<S>(self, source: S) -> Result<()>
    where
        T: Emplace<S>,
    {
        let len = self.len();
        match self.room_at_once(len) {
            Some(room) => self.push_plain(len, room, source),
            None => {
                std::hint::cold_path();
                self.push_logged(len, source)
            }
        }
    }

    /// Address of the first element, and how many fit, if these are plain data, one more fits, and the log is not held open.
    #[inline(always)]
    fn room_at_once(self, len: usize) -> Option<(NonNull<T>, usize)> {
        if !is_plain::<T>() || size_of::<T>() == 0 {
            return None;
        }
        match self.log.resolved(std::ptr::from_ref(self.header).addr(), len) {
            Some((first, count)) => Some((first.cast(), count)),
            None => {
                std::hint::cold_path();
                self.resolve_for_push(len)
            }
        }
    }

    /// The same for a vector that the log does not know yet.
    #[inline(never)]
    fn resolve_for_push(self, len: usize) -> Option<(NonNull<T>, usize)> {
        let cap = self.header.cap();
        if len >= cap || self.log.is_open() {
            return None;
        }
        let first = NonNull::new(self.at(cap))?;
        self.log.note_resolved(std::ptr::from_ref(self.header).addr(), first.cast(), cap);
        Some((first, cap))
    }

    /// Puts a plain element in place `len` of the `count` from `first` on, while the log is not held open.
    #[inline(always)]
    fn push_plain<S>(self, len: usize, (first, count): (NonNull<T>, usize), source: S) -> Result<()>
    where
        T: Emplace<S>,
    {
        if planted("publish-before-initialise") {
            mem::publish_now(&self.header.len, len as u64 + 1);
        }
        // SAFETY: slot `len` is within the capacity, and nobody looks at it yet; plain data logs nothing, so that no operation need be open.
        unsafe { T::emplace(source, first.as_ptr().wrapping_add(len), self.cx())? };
        mem::publish_now(&self.header.len, len as u64 + 1);
        ask_ahead(first, len, count);
        Ok(())
    }

    #[inline(never)]
    fn push_logged<S>(self, len: usize, source: S) -> Result<()>
    where
        T: Emplace<S>,
    {
        self.reserve(1)?;
        mem::reserve_log(self.log, size_of::<T>())?;
        let slot = self.header.slot::<T>(len);
        if is_plain::<T>() {
            // SAFETY: as in `push`; saved if it may matter.
            unsafe {
                mem::save_spare(self.log, slot.cast(), size_of::<T>());
                T::emplace(source, slot, self.cx())?;
            }
            mem::publish_alone(self.log, &self.header.len, len as u64 + 1);
            return Ok(());
        }
        let op = self.log.begin();
        let (before, open) = (self.log.len(), self.log.is_open());
        // SAFETY: slot `len` is within the capacity and not linked in; an operation is open, and undone on `Err`.
        unsafe {
            mem::save_spare(self.log, slot.cast(), size_of::<T>());
            T::emplace(source, slot, self.cx())?;
            mem::note_made::<T>(self.log, open, slot.cast(), size_of::<T>())?;
        }
        mem::publish(self.log, before, &self.header.len, len as u64 + 1);
        // Dead before this: the element goes, with what it owns. After: it stays.
        op.commit();
        Ok(())
    }

    pub(crate) fn insert<S>(self, index: usize, source: S) -> Result<()>
    where
        T: Emplace<S>,
    {
        let len = self.len();
        assert!(index <= len, "insertion index (is {index}) should be <= len (is {len})");
        self.reserve(1)?;
        let op = self.log.begin();
        let mut value = MaybeUninit::<T>::uninit();
        // SAFETY: room for one value; an operation is open, and undone on `Err`.
        unsafe { T::emplace(source, value.as_mut_ptr(), self.cx())? };
        mem::reserve_log(self.log, size_of::<T>())?;
        let first = self.at(len + 1);
        self.release_locks();
        // SAFETY: slots `index..=len` are within the capacity and exclusively ours; the spare one is saved if it may matter; slot
        // `index` is copied to its neighbour before it is overwritten, and the undo of the shift copies it back.
        unsafe {
            mem::save_spare(self.log, first.add(len).cast(), size_of::<T>());
            shift(self.log, first.add(index).cast(), len - index, size_of::<T>(), Direction::Up);
            std::ptr::copy_nonoverlapping(value.as_ptr(), first.add(index), 1);
        }
        if planted("commit-before-last-store") {
            op.commit();
            mem::publish_alone(self.log, &self.header.len, len as u64 + 1);
            return Ok(());
        }
        mem::change(self.log, &self.header.len, len as u64 + 1);
        // Dead before this: the elements go back where they were. After: the new one is in.
        op.commit();
        Ok(())
    }

    #[inline]
    pub(crate) fn pop(self) -> Option<T::Taken<'a>> {
        let last = self.len().checked_sub(1)?;
        let slot = self.header.slot::<T>(last);
        if is_plain::<T>() {
            mem::publish_alone(self.log, &self.header.len, last as u64);
            // SAFETY: unlinked by the new length; plain data is copied out.
            return Some(unsafe { T::taken(slot, self.cx()) });
        }
        self.release_locks();
        let op = self.log.begin();
        mem::change(self.log, &self.header.len, last as u64);
        // SAFETY: unlinked by the new length; its bytes stay, since the vector is borrowed for `'a`.
        Some(unsafe { mem::hand_out(op, slot, self.cx()) })
    }

    pub(crate) fn remove(self, index: usize) -> T::Taken<'a> {
        let last = self.check(index) - 1;
        let first = self.at(last + 1);
        self.release_locks();
        let op = self.log.begin();
        let mut value = MaybeUninit::<T>::uninit();
        // SAFETY: slots `index..=last` are elements, exclusively ours. The removed one is saved before it is overwritten; the last slot,
        // where it is kept, was copied to its neighbour, and the undo of the shift copies that back.
        let spare = unsafe {
            let (from, spare) = (first.add(index), first.add(last));
            std::ptr::copy_nonoverlapping(from.cast_const(), value.as_mut_ptr(), 1);
            if index < last {
                self.log.save(from.cast(), size_of::<T>());
                shift(self.log, from.cast(), last - index, size_of::<T>(), Direction::Down);
                std::ptr::copy_nonoverlapping(value.as_ptr(), spare, 1);
            }
            spare
        };
        mem::change(self.log, &self.header.len, last as u64);
        // SAFETY: the value is now beyond the length; its bytes stay, since the vector is borrowed for `'a`.
        unsafe { mem::hand_out(op, spare, self.cx()) }
    }

    pub(crate) fn swap_remove(self, index: usize) -> T::Taken<'a> {
        let last = self.check(index) - 1;
        self.release_locks();
        let op = self.log.begin();
        self.exchange(index, last);
        mem::change(self.log, &self.header.len, last as u64);
        // SAFETY: the value is now beyond the length; its bytes stay, since the vector is borrowed for `'a`.
        unsafe { mem::hand_out(op, self.at(last + 1).add(last), self.cx()) }
    }

    /// Exchanges two elements within the open operation.
    fn exchange(self, a: usize, b: usize) {
        if a == b {
            return;
        }
        self.release_locks();
        let first = self.at(a.max(b) + 1);
        let (a, b, size) = (first.wrapping_add(a), first.wrapping_add(b), size_of::<T>());
        let mut old = MaybeUninit::<T>::uninit();
        // SAFETY: both are elements, exclusively ours, and differ. The first is saved before it is overwritten; the second stands in the
        // first then, from where undo copies it back before it restores the first.
        unsafe {
            std::ptr::copy_nonoverlapping(a.cast_const(), old.as_mut_ptr(), 1);
            self.log.save(a.cast(), size);
            std::ptr::copy_nonoverlapping(b.cast_const(), a, 1);
            compiler_fence(SeqCst);
            self.log.save_copied(b.cast(), a.cast(), size);
            std::ptr::copy_nonoverlapping(old.as_ptr(), b, 1);
        }
    }

    pub(crate) fn swap(self, a: usize, b: usize) {
        self.check(a);
        self.check(b);
        let op = self.log.begin();
        self.exchange(a, b);
        // Dead before this: both stand where they stood. After: exchanged.
        op.commit();
    }
}

/// Asks for the line that will be written to in a while, once for each line: in a large vector a push is the wait for memory, which the processor
/// begins too late at each new page. Not beyond the block: others may be at work there.
#[inline(always)]
fn ask_ahead<T>(first: NonNull<T>, len: usize, count: usize) {
    if len.is_multiple_of(const { elements_in::<T>(64) }) {
        let then = len + const { elements_in::<T>(2048) };
        if then < count {
            mem::prefetch_to_write(first.as_ptr().wrapping_add(then).cast());
        }
    }
}

/// Elements that fill so many bytes; at least one.
const fn elements_in<T>(bytes: usize) -> usize {
    match size_of::<T>() {
        0 => 1,
        size if size > bytes => 1,
        size => bytes / size,
    }
}
