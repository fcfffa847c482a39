//! Many elements at once.

use super::*;

impl<T: Relocatable> VecMut<'_, T> {
    /// Appends copies of plain elements.
    pub(crate) fn append(self, items: &[T]) -> Result<()> {
        debug_assert!(is_plain::<T>());
        self.reserve(items.len())?;
        mem::reserve_log(self.log, size_of_val(items))?;
        let len = self.len();
        let slot = self.at(len + items.len()).wrapping_add(len);
        // SAFETY: `reserve` made room for them; `items` is a shared borrow, and so not in the spare room of a vector that is ours.
        unsafe {
            mem::save_spare(self.log, slot.cast(), size_of_val(items));
            std::ptr::copy_nonoverlapping(items.as_ptr(), slot, items.len());
        }
        mem::publish_alone(self.log, &self.header.len, (len + items.len()) as u64);
        Ok(())
    }

    /// Shortens to `len`.
    pub(crate) fn truncate(self, len: usize) {
        let old = self.len();
        if len >= old {
            return;
        }
        self.release_locks();
        let op = self.log.begin();
        let before = self.log.len();
        if T::OWNED > 0 {
            mem::change(self.log, &self.header.len, len as u64);
            let tail = self.at(old).wrapping_add(len);
            // SAFETY: elements `len..old`, unlinked just above. While the log is held open their bytes may be written again before all is
            // final, so that each must be read now.
            unsafe {
                match self.log.is_open() {
                    true => mem::discard_each(self.log, tail, old - len),
                    false => {
                        let offset = self.header.ptr.load(Relaxed) + (len * size_of::<T>()) as u64;
                        mem::discard_elements(self.log, offset, tail, old - len);
                    }
                }
            }
        } else {
            mem::publish(self.log, before, &self.header.len, len as u64);
        }
        // Dead before this: the length comes back. After: the tail is gone, and freed by us or by who buries us.
        op.commit();
    }

    /// Removes all; while the log is held open the block goes too, so that this is a handful of records however many there are.
    pub(crate) fn clear(self) {
        if T::OWNED == 0 || !self.log.is_open() {
            return self.truncate(0);
        }
        self.release_locks();
        let h = self.header;
        let op = self.log.begin();
        // SAFETY: the header's words are cleared just below, in the same operation.
        unsafe { discard::<T>(h, self.log) };
        for word in [&h.ptr, &h.len, &h.cap] {
            mem::change(self.log, word, 0);
        }
        op.commit();
    }

    /// Keeps the elements that `keep` says, in their order; it gets each one's index, and all elements.
    ///
    /// It is asked about the elements where they are, before the operation begins: it may lock and change what an element guards, which
    /// is final at once and must not be done to copies that a panic throws away.
    pub(crate) fn retain(self, mut keep: impl FnMut(usize, &[T]) -> bool) -> Result<()> {
        let elements = self.header.as_slice::<T>();
        let kept: Vec<usize> = (0..elements.len()).filter(|i| keep(*i, elements)).collect();
        if kept.len() == elements.len() {
            return Ok(());
        }
        self.rearrange(|elements| {
            kept.iter().enumerate().for_each(|(to, from)| elements.swap(to, *from));
            kept.len()
        })
    }

    /// Moves all elements to a new block, has `arrange` put them in order and say how many stay, and swaps the block in. What does not stay
    /// must stand behind what stays. No code of the user's may run in `arrange`.
    fn rearrange(self, arrange: impl FnOnce(&mut [T]) -> usize) -> Result<()> {
        let (h, len) = (self.header, self.len());
        if len == 0 {
            return Ok(());
        }
        self.release_locks();
        let op = self.log.begin();
        let cap = if size_of::<T>() == 0 { len } else { h.cap() };
        let (new, to) = match size_of::<T>() {
            0 => (0, std::ptr::dangling_mut::<T>().cast()),
            size => mem::block(self.log, mem::bytes_of(cap, size)?, align_of::<T>())?,
        };
        let to = to.cast::<T>();
        // SAFETY: `len` elements fit `cap` places. The copies are the only ones used from here on: if `arrange` panics, the
        // operation is undone, and the block with the copies goes.
        let keep = unsafe {
            std::ptr::copy_nonoverlapping(self.at(len).cast_const(), to, len);
            arrange(std::slice::from_raw_parts_mut(to, len)).min(len)
        };
        // Two words and the old block; all that the elements own which do not stay.
        self.log.reserve(
            u32::try_from((len - keep) * 2 * T::OWNED + 8).map_err(|_| Error::TooLarge(len, T::OWNED))?,
        )?;
        let old = h.ptr.load(Relaxed);
        if size_of::<T>() > 0 {
            mem::change(self.log, &h.ptr, new);
            mem::free(self.log, old);
        }
        if keep < len {
            mem::change(self.log, &h.len, keep as u64);
            // SAFETY: `keep..len` of the new block are the elements that do not stay; nothing else refers to what they own.
            unsafe { mem::discard_each(self.log, to.add(keep), len - keep) };
        }
        // Dead before this: the old block counts as ever. After: the new one.
        op.commit();
        Ok(())
    }

    /// Turns the order round.
    pub(crate) fn reverse(self) -> Result<()> {
        self.rearrange(|elements| {
            elements.reverse();
            elements.len()
        })
    }

    /// Plain elements, copied to private memory.
    fn private_copy(self) -> Vec<T> {
        debug_assert!(is_plain::<T>());
        let elements = self.header.as_slice::<T>();
        let mut copy = Vec::with_capacity(elements.len());
        // SAFETY: room for as many was made just above; plain data is copied by its bytes.
        unsafe {
            std::ptr::copy_nonoverlapping(elements.as_ptr(), copy.as_mut_ptr(), elements.len());
            copy.set_len(elements.len());
        }
        copy
    }

    /// Sorts, keeping the order of equal elements.
    pub(crate) fn sort(self, mut compare: impl FnMut(&T, &T) -> Ordering) -> Result<()> {
        if is_plain::<T>() {
            // A private copy is sorted: comparing is the user's code, which runs in no operation.
            let mut sorted = self.private_copy();
            sorted.sort_by(compare);
            return self.rearrange(|elements| {
                // SAFETY: as many elements as the copy has; plain data.
                unsafe {
                    std::ptr::copy_nonoverlapping(sorted.as_ptr(), elements.as_mut_ptr(), elements.len())
                };
                elements.len()
            });
        }
        // While `std` sorts it keeps elements in private memory, where those that own memory of the pool cannot be read: numbers are sorted.
        let elements = self.header.as_slice::<T>();
        let mut order: Vec<usize> = (0..elements.len()).collect();
        order.sort_by(|a, b| compare(&elements[*a], &elements[*b]));
        let mut targets = vec![0; order.len()];
        order.iter().enumerate().for_each(|(target, from)| targets[*from] = target);
        self.rearrange(|elements| {
            for i in 0..targets.len() {
                while targets[i] != i {
                    let target = targets[i];
                    elements.swap(i, target);
                    targets.swap(i, target);
                }
            }
            elements.len()
        })
    }
}
