//! Blocks by hand: memory of the pool without types or names, for who builds structures of their own.
//!
//! A block that was allocated here belongs to nobody, and lives until somebody frees it, whoever dies: [`Pool::check`] lists it, with its handle,
//! and never takes it for a leak. Inside a transaction both calls take part in it.

use crate::cx::Cx;
use crate::plain::plain;
use crate::pool::Pool;
use crate::relocatable::{ByValue, Emplace, Kind, Plain, Relocatable};
use crate::schema::{Schema, Shape};
use crate::transaction::refuse_open_log;
use aquifer_pool::layout::OFFSET_BITS;
use aquifer_pool::quick::{self, Quick};
use aquifer_pool::{Error, Inner, Result};
use std::alloc::Layout;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::hint::cold_path;
use std::marker::PhantomData;
use std::num::NonZeroU64;
use std::ptr::NonNull;

const OFFSET: u64 = (1 << OFFSET_BITS) - 1;

/// A block of a pool, for the world outside: 8 bytes that mean the same in every process that has the pool open.
///
/// The upper 16 bits tell the pool, so that a handle of another one is refused; the lower 48 are the block's offset.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(transparent)]
pub struct Handle(NonZeroU64);

impl Handle {
    /// As a number, to be sent elsewhere.
    pub fn to_bits(self) -> u64 {
        self.0.get()
    }

    /// From such a number; nothing for 0. Checked when it is used.
    pub fn from_bits(bits: u64) -> Option<Handle> {
        NonZeroU64::new(bits).map(Handle)
    }

    fn offset(self) -> u64 {
        self.0.get() & OFFSET
    }

    /// The handle of the block at an offset, which is not 0.
    pub(crate) fn of(pool: &Inner, offset: u64) -> Option<Handle> {
        NonZeroU64::new(offset).map(|offset| Handle(offset | tag(pool)))
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Handle({:#06x}:{:#x})", self.0.get() >> OFFSET_BITS, self.offset())
    }
}

/// The offset of a `T` that begins a block: what own structures in a pool are made of.
///
/// `Copy`, 8 bytes, never 0, so that `Option<Shared<T>>` is 8 bytes too. It does not deref: only the pool can say where it is, and another
/// process may free the block at any moment.
#[repr(transparent)]
pub struct Shared<T>(NonZeroU64, PhantomData<fn() -> T>);

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Shared<T> {}
impl<T> PartialEq for Shared<T> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}
impl<T> Eq for Shared<T> {}
impl<T> Hash for Shared<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl<T> fmt::Debug for Shared<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Shared({:#x})", self.0)
    }
}

plain!([T: 'static] Shared<T>, "Shared", Shape::Unsigned { nonzero: true });

const _: () = assert!(size_of::<Option<Shared<u8>>>() == 8 && size_of::<Option<Handle>>() == 8);

impl Pool {
    /// Allocates a block: at least `layout.size()` bytes, not initialised. O(1) for small sizes.
    ///
    /// # Errors
    /// `OutOfMemory`, `HardLimit`, `TooLarge`.
    #[inline(always)]
    pub fn alloc(&self, layout: Layout) -> Result<Handle> {
        if let Some(quick) = self.quick()
            && let Some(bits) = aquifer_alloc::quick_alloc(quick, layout)
        {
            if let Some(bits) = NonZeroU64::new(bits) {
                return Ok(Handle(bits));
            }
            cold_path();
        }
        cold_path();
        self.alloc_again(layout)
    }

    #[inline(never)]
    fn alloc_again(&self, layout: Layout) -> Result<Handle> {
        if let Some(seat) = self.inner().known_seat()
            && let Some(bits) = aquifer_alloc::alloc_from_recent(seat, layout)
            && let Some(bits) = NonZeroU64::new(bits)
        {
            return Ok(Handle(bits));
        }
        self.alloc_slow(layout)
    }

    #[cold]
    #[inline(never)]
    fn alloc_slow(&self, layout: Layout) -> Result<Handle> {
        let seat = self.inner().seat()?;
        refuse_open_log(seat)?;
        self.handle_of(aquifer_alloc::raw_alloc(seat, layout)?)
    }

    /// Frees a block.
    ///
    /// # Errors
    /// `OtherPool`; `BadBlock` when no block that was allocated by hand begins there: freed already, or never a handle.
    ///
    /// # Safety
    /// The block was allocated by [`alloc`](Self::alloc) and not freed since, by any process, and nobody uses it any more. A block that was freed
    /// may have been given out again: freeing it once more would give it two owners, which no check can tell.
    #[inline(always)]
    pub unsafe fn free(&self, handle: Handle) -> Result<()> {
        if let Some(quick) = self.quick()
            && aquifer_alloc::quick_free(quick, handle.0.get())
        {
            return Ok(());
        }
        if self.free_in_own_slab(handle) {
            return Ok(());
        }
        self.free_slow(handle)
    }

    /// The calling thread's part of its seat in this pool, if it used that last and blocks by hand are final at once.
    #[inline(always)]
    fn quick(&self) -> Option<&Quick> {
        quick::in_pool(self.joined().id())
    }

    #[inline(never)]
    fn free_in_own_slab(&self, handle: Handle) -> bool {
        // More than any offset if the handle is of another pool: no block begins there.
        let offset = handle.0.get() ^ self.joined().tag();
        self.quick().is_some_and(|quick| aquifer_alloc::free_in_own_slab(quick.seat(), offset))
    }

    #[cold]
    #[inline(never)]
    fn free_slow(&self, handle: Handle) -> Result<()> {
        let offset = self.offset_of(handle)?;
        let seat = self.inner().seat()?;
        refuse_open_log(seat)?;
        aquifer_alloc::raw_free_checked(seat, offset)
    }

    /// Address of a block in this process, good as long as the pool is open and nobody frees the block.
    ///
    /// # Errors
    /// `OtherPool`; `BadBlock` when no allocated block begins there.
    #[inline]
    pub fn resolve_handle(&self, handle: Handle) -> Result<NonNull<u8>> {
        let offset = self.offset_of(handle)?;
        self.block(offset, 1, 1)
    }

    /// A block as the place of a `T`.
    ///
    /// # Errors
    /// `OtherPool`; `BadBlock` when there is no block, or it is too small or not aligned for a `T`.
    pub fn shared<T>(&self, handle: Handle) -> Result<Shared<T>> {
        let offset = self.offset_of(handle)?;
        self.block(offset, size_of::<T>(), align_of::<T>())?;
        let offset = NonZeroU64::new(offset).ok_or(Error::BadBlock { offset, why: "it is null" })?;
        Ok(Shared(offset, PhantomData))
    }

    /// Address of a `T` in this process: in bounds, aligned, and in an allocated block of its size. Whether the block holds a `T`, and
    /// whether anybody changes or frees it meanwhile, only the caller can know: making a reference of it is `unsafe`.
    ///
    /// # Errors
    /// `BadBlock` when there is no block, or it is too small or not aligned for a `T`.
    pub fn resolve<T>(&self, shared: Shared<T>) -> Result<*mut T> {
        Ok(self.block(shared.0.get(), size_of::<T>(), align_of::<T>())?.as_ptr().cast())
    }

    #[inline]
    fn block(&self, offset: u64, size: usize, align: usize) -> Result<NonNull<u8>> {
        // What the block refers to may lie where another process has grown the pool to.
        self.inner().follow()?;
        let bad = |why| Error::BadBlock { offset, why };
        let Some(has) = aquifer_alloc::block_size(self.inner(), offset) else {
            return Err(bad("no allocated block begins there"));
        };
        if has < size as u64 {
            return Err(bad("the block is smaller than the type"));
        }
        if !offset.is_multiple_of(align as u64) {
            return Err(bad("the block is not aligned for the type"));
        }
        match NonNull::new(self.inner().at(offset, size as u64)?) {
            Some(at) => Ok(at),
            None => Err(bad("it is null")),
        }
    }

    #[inline(always)]
    fn handle_of(&self, offset: u64) -> Result<Handle> {
        match NonZeroU64::new(self.joined().tag() | offset) {
            Some(bits) => Ok(Handle(bits)),
            None => {
                cold_path();
                Err(Error::BadBlock { offset, why: "it is null" })
            }
        }
    }

    #[inline]
    fn offset_of(&self, handle: Handle) -> Result<u64> {
        match handle.0.get() & !OFFSET == self.joined().tag() {
            true => Ok(handle.offset()),
            false => Err(Error::OtherPool),
        }
    }
}

/// What tells handles of this pool from those of others.
pub(crate) fn tag(pool: &Inner) -> u64 {
    pool.header().tag << OFFSET_BITS
}
