//! Vectors: one block, and a header that says how much of it is used.

use super::mem::{self, is_plain};
use super::ptr;
use crate::cx::Cx;
use crate::place::Place;
use crate::relocatable::{Emplace, Relocatable};
use crate::transaction::release_locks_in;
use crate::vec::ShVec;
use aquifer_pool::log::{Kind, LogCx, RecordView};
use aquifer_pool::plant::planted;
use aquifer_pool::shift::{Direction, shift};
use aquifer_pool::{Error, Result};
use std::cmp::Ordering;
use std::marker::PhantomData;
use std::mem::MaybeUninit;
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
        ptr::resolve(self, offset, size_of::<T>() as u64).cast()
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
pub(crate) struct VecMut<'a, T> {
    header: &'a Header,
    log: &'a LogCx,
    cx: Cx,
    _elements: PhantomData<&'a mut T>,
}

impl<'a, T: Relocatable> VecMut<'a, T> {
    #[inline(always)]
    pub(crate) fn of(place: &'a mut Place<ShVec<T>>) -> VecMut<'a, T> {
        let cx = place.cx();
        // SAFETY: whoever has a place has the guard, operation or transaction of its context, on this thread, for as long.
        let log = unsafe { cx.log() };
        VecMut { header: &place.header, log, cx, _elements: PhantomData }
    }

    #[inline(always)]
    pub(crate) fn len(&self) -> usize {
        self.header.len()
    }

    /// Address of the first of `count` elements, used or spare.
    #[inline(always)]
    fn at(&self, count: usize) -> *mut T {
        self.header.elements(count)
    }

    #[inline]
    fn check(&self, index: usize) -> usize {
        let len = self.len();
        assert!(index < len, "index out of bounds: the len is {len} but the index is {index}");
        len
    }

    /// Before elements are moved or dropped: see [`release_locks_in`].
    #[inline(always)]
    fn release_locks(&self) {
        release_locks_in(self.log, || (self.header.ptr.load(Relaxed), self.len() * size_of::<T>()));
    }

    // ---- room

    /// Room for `more` elements beyond the length; grows by half at least, so that pushing costs the same on average.
    #[inline(always)]
    pub(crate) fn reserve(&self, more: usize) -> Result<()> {
        if self.header.cap() - self.len().min(self.header.cap()) >= more { Ok(()) } else { self.grow(more) }
    }

    #[cold]
    #[inline(never)]
    fn grow(&self, more: usize) -> Result<()> {
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
    pub(crate) fn resize(&self, cap: usize) -> Result<()> {
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
        let (new, to) = mem::block(self.log, bytes, align_of::<T>())?;
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
    pub(crate) fn shrink(&self) -> Result<()> {
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

    // ---- one element more

    #[inline(always)]
    pub(crate) fn push<S>(&self, source: S) -> Result<()>
    where
        T: Emplace<S>,
    {
        let len = self.len();
        if is_plain::<T>() && len < self.header.cap() && !self.log.is_open() {
            if planted("publish-before-initialise") {
                mem::publish_now(&self.header.len, len as u64 + 1);
            }
            // SAFETY: slot `len` is within the capacity, and nobody looks at it yet; plain data logs nothing, so that no operation need be open.
            unsafe { T::emplace(source, self.header.slot(len), self.cx)? };
            mem::publish_now(&self.header.len, len as u64 + 1);
            return Ok(());
        }
        self.push_logged(len, source)
    }

    #[inline(never)]
    fn push_logged<S>(&self, len: usize, source: S) -> Result<()>
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
                T::emplace(source, slot, self.cx)?;
            }
            mem::publish_alone(self.log, &self.header.len, len as u64 + 1);
            return Ok(());
        }
        let op = self.log.begin();
        let (before, open) = (self.log.len(), self.log.is_open());
        // SAFETY: slot `len` is within the capacity and not linked in; an operation is open, and undone on `Err`.
        unsafe {
            mem::save_spare(self.log, slot.cast(), size_of::<T>());
            T::emplace(source, slot, self.cx)?;
            mem::note_made::<T>(self.log, open, slot.cast(), size_of::<T>())?;
        }
        mem::publish(self.log, before, &self.header.len, len as u64 + 1);
        // Dead before this: the element goes, with what it owns. After: it stays.
        op.commit();
        Ok(())
    }

    pub(crate) fn insert<S>(&self, index: usize, source: S) -> Result<()>
    where
        T: Emplace<S>,
    {
        let len = self.len();
        assert!(index <= len, "insertion index (is {index}) should be <= len (is {len})");
        self.reserve(1)?;
        let op = self.log.begin();
        let mut value = MaybeUninit::<T>::uninit();
        // SAFETY: room for one value; an operation is open, and undone on `Err`.
        unsafe { T::emplace(source, value.as_mut_ptr(), self.cx)? };
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

    /// Appends copies of plain elements.
    pub(crate) fn append(&self, items: &[T]) -> Result<()> {
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

    // ---- one element less

    #[inline]
    pub(crate) fn pop(&self) -> Option<T::Taken<'a>> {
        let last = self.len().checked_sub(1)?;
        let slot = self.header.slot::<T>(last);
        if is_plain::<T>() {
            mem::publish_alone(self.log, &self.header.len, last as u64);
            // SAFETY: unlinked by the new length; plain data is copied out.
            return Some(unsafe { T::taken(slot, self.cx) });
        }
        self.release_locks();
        let op = self.log.begin();
        mem::change(self.log, &self.header.len, last as u64);
        // SAFETY: unlinked by the new length; its bytes stay, since the vector is borrowed for `'a`.
        Some(unsafe { mem::hand_out(op, slot, self.cx) })
    }

    pub(crate) fn remove(&self, index: usize) -> T::Taken<'a> {
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
        unsafe { mem::hand_out(op, spare, self.cx) }
    }

    pub(crate) fn swap_remove(&self, index: usize) -> T::Taken<'a> {
        let last = self.check(index) - 1;
        self.release_locks();
        let op = self.log.begin();
        self.exchange(index, last);
        mem::change(self.log, &self.header.len, last as u64);
        // SAFETY: the value is now beyond the length; its bytes stay, since the vector is borrowed for `'a`.
        unsafe { mem::hand_out(op, self.at(last + 1).add(last), self.cx) }
    }

    /// Exchanges two elements within the open operation.
    fn exchange(&self, a: usize, b: usize) {
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

    pub(crate) fn swap(&self, a: usize, b: usize) {
        self.check(a);
        self.check(b);
        let op = self.log.begin();
        self.exchange(a, b);
        // Dead before this: both stand where they stood. After: exchanged.
        op.commit();
    }

    /// Shortens to `len`.
    pub(crate) fn truncate(&self, len: usize) {
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
    pub(crate) fn clear(&self) {
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

    // ---- many at once

    /// Keeps the elements that `keep` says, in their order; it gets each one's index, and all elements.
    ///
    /// It is asked about the elements where they are, before the operation begins: it may lock and change what an element guards, which
    /// is final at once and must not be done to copies that a panic throws away.
    pub(crate) fn retain(&self, mut keep: impl FnMut(usize, &[T]) -> bool) -> Result<()> {
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
    fn rearrange(&self, arrange: impl FnOnce(&mut [T]) -> usize) -> Result<()> {
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
    pub(crate) fn reverse(&self) -> Result<()> {
        self.rearrange(|elements| {
            elements.reverse();
            elements.len()
        })
    }

    /// Plain elements, copied to private memory.
    fn private_copy(&self) -> Vec<T> {
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
    pub(crate) fn sort(&self, mut compare: impl FnMut(&T, &T) -> Ordering) -> Result<()> {
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

    // ---- access

    #[inline]
    pub(crate) fn get_mut(self, index: usize) -> Option<&'a mut T::Access> {
        let slot = (index < self.len()).then(|| self.header.slot::<T>(index))?;
        // SAFETY: an element, exclusively ours for `'a` by the place that `self` was made of.
        Some(unsafe { T::access(slot, self.cx) })
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
        IterMut { first, next: 0, end: self.len(), cx: self.cx, _elements: PhantomData }
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

/// A reference to an element that carries the place's context.
#[inline]
pub(crate) fn access_ref<T: Relocatable>(place: &Place<ShVec<T>>, index: usize) -> &T::Access {
    let element = &place.as_slice()[index];
    // SAFETY: an element in the place's pool, borrowed as long as the place.
    unsafe { T::access_ref(element, place.cx()) }
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
