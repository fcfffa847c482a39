//! Steps that all containers share: blocks, old bytes, and the end of a removal.

use crate::cx::Cx;
use crate::relocatable::{ByValue, Relocatable};
use aquifer_pool::log::{Kind, LogCx, Op, RecordView};
use aquifer_pool::plant::{commit_store, planted};
use aquifer_pool::{Error, Result};
use std::any::TypeId;
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicU64, Ordering, compiler_fence};

/// Whether values of this type own nothing and may be copied in and out.
#[inline(always)]
pub(crate) fn is_plain<T: Relocatable>() -> bool {
    TypeId::of::<T::Kind>() == TypeId::of::<ByValue>()
}

/// Whether one store replaces a value of this type: one aligned scalar of at most 8 bytes.
#[inline(always)]
pub(crate) fn is_one_store<T: Relocatable>() -> bool {
    is_plain::<T>() && size_of::<T>() <= 8 && T::SCHEMA.shape.is_one_store()
}

/// Exchanges two values of a type that [`is_one_store`]; the one at `old` by one store.
///
/// # Safety
/// Both are values, aligned and exclusively the caller's.
#[inline(always)]
pub(crate) unsafe fn swap_by_one_store<T: Relocatable>(old: *mut T, new: *mut T) {
    // SAFETY: the caller's contract. As `MaybeUninit`, since a number in a struct that asks for an alignment has padding. Volatile, so that a
    // store stays one.
    unsafe {
        let (before, new) = (old.cast::<MaybeUninit<T>>().read(), new.cast::<MaybeUninit<T>>());
        match size_of::<T>() {
            1 => old.cast::<MaybeUninit<u8>>().write_volatile(new.cast::<MaybeUninit<u8>>().read()),
            2 => old.cast::<MaybeUninit<u16>>().write_volatile(new.cast::<MaybeUninit<u16>>().read()),
            4 => old.cast::<MaybeUninit<u32>>().write_volatile(new.cast::<MaybeUninit<u32>>().read()),
            8 => old.cast::<MaybeUninit<u64>>().write_volatile(new.cast::<MaybeUninit<u64>>().read()),
            _ => old.cast::<MaybeUninit<T>>().write(new.read()),
        }
        new.write(before);
    }
    commit_store("scalar");
}

/// `count * size` bytes, if a pool can hold that many.
#[inline]
pub(crate) fn bytes_of(count: usize, size: usize) -> Result<usize> {
    count.checked_mul(size).filter(|b| *b <= 1 << 46).ok_or(Error::TooLarge(count, size))
}

/// A new block, which is given back when the open operation is undone: offset and address.
#[inline]
pub(crate) fn block(log: &LogCx, bytes: usize, align: usize) -> Result<(u64, *mut u8)> {
    let offset = aquifer_alloc::alloc(log, bytes, align)?;
    let at = log.pool().at(offset, bytes as u64)?;
    Ok((offset, at))
}

/// The same for one that is to be made longer.
#[inline]
pub(crate) fn block_to_grow(log: &LogCx, bytes: usize, align: usize) -> Result<(u64, *mut u8)> {
    let offset = aquifer_alloc::alloc_to_grow(log, bytes, align)?;
    let at = log.pool().at(offset, bytes as u64)?;
    Ok((offset, at))
}

/// Asks for a cache line that will be written to soon, whatever the address.
#[inline(always)]
pub(crate) fn prefetch_to_write(at: *const u8) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: a hint, which never faults and changes nothing.
    unsafe {
        std::arch::asm!("prefetchw [{at}]", at = in(reg) at.addr(), options(nomem, nostack, preserves_flags));
    }
    #[cfg(all(target_arch = "aarch64", not(miri)))]
    // SAFETY: as above.
    unsafe {
        std::arch::asm!("prfm pstl1keep, [{at}]", at = in(reg) at.addr(), options(nomem, nostack, preserves_flags));
    }
    #[cfg(not(all(any(target_arch = "x86_64", target_arch = "aarch64"), not(miri))))]
    let _ = at;
}

/// Frees a block when the open operation becomes final. A block that is none is left alone: `check` reports it.
#[inline]
pub(crate) fn free(log: &LogCx, offset: u64) {
    if offset != 0
        && let Ok(intent) = aquifer_alloc::free_intent(log.pool(), offset)
    {
        log.push(intent);
    }
}

/// Makes sure that what an operation saves fits the log, old bytes and a few words: it is this that fails then, and not the saving.
///
/// Only a log that is held open fills up with what operations leave in it.
#[inline(always)]
pub(crate) fn reserve_log(log: &LogCx, old_bytes: usize) -> Result<()> {
    if log.is_open() { reserve_slow(log, old_bytes) } else { Ok(()) }
}

#[cold]
#[inline(never)]
fn reserve_slow(log: &LogCx, old_bytes: usize) -> Result<()> {
    /// Words, control bytes and intents of any one step.
    const FEW: u32 = 16;
    let records = u32::try_from(old_bytes.div_ceil(8)).map_err(|_| Error::TooLarge(old_bytes, 1))?;
    log.reserve(records + FEW)
}

/// Makes a block longer where it stands; false when it cannot be.
///
/// Harmless when the operation is undone: the block is then merely longer than its owner knows.
#[inline]
pub(crate) fn lengthen(log: &LogCx, offset: u64, bytes: usize) -> bool {
    // Others may have grown the pool to where the block now ends: what a resolve is asked for must be in reach.
    aquifer_alloc::resize_in_place(log, offset, bytes).unwrap_or(false)
        && log.pool().at(offset, bytes as u64).is_ok()
}

/// Stores a header word that alone makes a change visible.
///
/// `before` is the length of the log when the operation began. While nothing is in the log above it and the log is not held open, the
/// change is this one store, and needs no record.
#[inline(always)]
pub(crate) fn publish(log: &LogCx, before: u32, word: &AtomicU64, value: u64) {
    if log.is_open() || log.len() != before {
        log.save_word(word);
    }
    // The elements first: to the survivors the word says what is there.
    compiler_fence(Ordering::SeqCst);
    // Dead before this store: nothing happened, or it is undone. After: without records it has happened, with records it is undone
    // until the operation commits.
    word.store(value, Ordering::Relaxed);
    compiler_fence(Ordering::SeqCst);
    commit_store("length");
}

/// The same for an operation that has logged nothing, and needs no [`Op`] therefore.
#[inline(always)]
pub(crate) fn publish_alone(log: &LogCx, word: &AtomicU64, value: u64) {
    if log.is_open() {
        save_word_slow(log, word);
    }
    publish_now(word, value);
}

/// The same when the log is not held open.
#[inline(always)]
pub(crate) fn publish_now(word: &AtomicU64, value: u64) {
    compiler_fence(Ordering::SeqCst);
    // Dead before this store: nothing happened. After: it has; while the log is held open (`publish_alone`) all of it is undone.
    word.store(value, Ordering::Relaxed);
    compiler_fence(Ordering::SeqCst);
    commit_store("length");
}

/// Saves a header word and changes it; final with the operation's commit.
#[inline(always)]
pub(crate) fn change(log: &LogCx, word: &AtomicU64, value: u64) {
    if planted("log-after-store") {
        let old = RecordView {
            kind: Kind::Old,
            size: 8,
            aux: 0,
            offset: log.pool().offset_of(std::ptr::from_ref(word).cast()).unwrap_or_default(),
            value: word.load(Ordering::Relaxed),
        };
        word.store(value, Ordering::Relaxed);
        compiler_fence(Ordering::SeqCst);
        return log.push(old);
    }
    log.save_word(word);
    word.store(value, Ordering::Relaxed);
}

/// Saves one byte that is about to change.
#[inline(always)]
pub(crate) fn save_byte(log: &LogCx, offset: u64, byte: u8) {
    log.push(RecordView { kind: Kind::Old, size: 1, aux: 0, offset, value: byte as u64 });
}

/// Saves bytes beyond a container's end, or of an unused slot, before they are written: something that is not final may have been removed
/// from there. Nothing to do while the log is not held open: then all removals are final.
///
/// # Safety
/// As for [`LogCx::save`].
#[inline(always)]
pub(crate) unsafe fn save_spare(log: &LogCx, at: *const u8, len: usize) {
    if log.is_open() {
        // SAFETY: the caller's contract.
        unsafe { save_slow(log, at, len) };
    }
}

/// Notes where a value was just made, for which [`save_spare`] was called while the log was `open` or not: if it came to be held open since, by what the
/// value was made of, so that it shows that locks in the value are not there for good ([`LogCx::concerns`]). Undo writes the value's own bytes, which are spare then.
///
/// # Errors
/// `OutOfMemory` when the log cannot be made longer.
///
/// # Safety
/// As for [`LogCx::save`].
#[inline(always)]
pub(crate) unsafe fn note_made<T: Relocatable>(
    log: &LogCx,
    open: bool,
    at: *const u8,
    len: usize,
) -> Result<()> {
    if T::LOCKS && !open && log.is_open() {
        reserve_slow(log, len)?;
        // SAFETY: the caller's contract.
        unsafe { save_slow(log, at, len) };
    }
    Ok(())
}

/// # Safety
/// As for [`LogCx::save`].
#[cold]
#[inline(never)]
unsafe fn save_slow(log: &LogCx, at: *const u8, len: usize) {
    // SAFETY: the caller's contract.
    unsafe { log.save(at, len) };
}

#[cold]
#[inline(never)]
fn save_word_slow(log: &LogCx, word: &AtomicU64) {
    log.save_word(word);
    log.note_lasting();
}

/// Ends the operation that has unlinked the value at `at`, and gives it to the caller.
///
/// A value that is not plain keeps the log open until it is dropped or moved elsewhere: its removal becomes final then.
///
/// # Safety
/// As for [`Relocatable::taken`]; the bytes at `at` stay as they are for `'a`; `op` is open on `cx`'s log.
#[inline]
pub(crate) unsafe fn hand_out<'a, T: Relocatable>(op: Op<'_>, at: *const T, cx: Cx) -> T::Taken<'a> {
    if !is_plain::<T>() {
        // Here, where the operation can still be undone.
        op.cx().reserve_or_panic(2 * T::OWNED as u32 + 3);
        op.cx().hold();
    }
    // Dead before this: the removal is undone. After: it is final if plain; else still undone, until the value is dropped.
    op.commit();
    // SAFETY: the caller's contract; held open once just above.
    unsafe { T::taken(at, cx) }
}

/// Frees all that `count` elements at `offset` own when the operation becomes final. The bytes must stay as they are until then.
///
/// # Safety
/// As for [`Relocatable::discard`], for each of them; `at` is the address of `offset`.
pub(crate) unsafe fn discard_elements<T: Relocatable>(log: &LogCx, offset: u64, at: *const T, count: usize) {
    if T::OWNED == 0 || count == 0 {
        return;
    }
    match crate::pool_schemas::node_offset(log.pool(), T::SCHEMA) {
        // One record, however many elements: the work is done piece by piece when it is final.
        Ok(node) => log.push(RecordView::new(Kind::DropVec, offset, count as u64).with_aux(node >> 3)),
        // SAFETY: the caller's contract.
        Err(_) => unsafe { discard_each(log, at, count) },
    }
}

/// The same at once, one record for each block: for bytes that may be written again before the operation is final, and for types that
/// nobody has given a name yet.
///
/// # Safety
/// As for [`Relocatable::discard`], for each of them.
pub(crate) unsafe fn discard_each<T: Relocatable>(log: &LogCx, at: *const T, count: usize) {
    if T::OWNED == 0 {
        return;
    }
    for i in 0..count {
        // SAFETY: element i of `count`, by the caller's contract.
        unsafe { T::discard(at.add(i), Cx::of(log)) };
    }
}
