//! A joined pool: what one process knows of one pool.

use crate::backing::Backing;
use crate::error::{Error, Result};
use crate::granule::{Granule, granule};
use crate::layout::{ASYMMETRIC, Header};
use crate::process::Process;
use crate::tails::Tails;
use crate::upper::Upper;
use crate::window::Windows;
use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

/// One process's join of one pool. Cheap to clone; the last clone leaves the pool.
#[derive(Clone, Debug)]
pub struct RawPool(pub(crate) Arc<Inner>);

/// The shared part of all clones of a [`RawPool`]; its address stays the same, and stands in the granule table.
#[derive(Debug)]
pub struct Inner {
    /// Unique in this process, never used again.
    pub(crate) id: u64,
    pub(crate) backing: Backing,
    pub(crate) windows: Windows,
    pub(crate) process: Process,
    pub(crate) upper: &'static dyn Upper,
    pub(crate) counters: Counters,
    /// Where this process has found the descriptors of each territory (see the heap); more entries than there are, so that no page has none.
    pub descriptors: [AtomicPtr<u8>; 64],
    /// Where this process has found the first pages of slabs (see the heap).
    pub tails: Tails,
}

/// Events in this process, for `info`.
#[derive(Debug, Default)]
pub struct Counters {
    /// How often this process waited for a lock (slept or spun until it changed hands).
    pub waits: AtomicU64,
    /// How often this process mapped a larger window.
    pub moves: AtomicU64,
    /// How many dead processes this process has buried.
    pub buried: AtomicU64,
}

impl Inner {
    /// Number of this join of the pool: unique in this process, never used again, and neither 0 nor near `u64::MAX`.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Whether the pool's readers store their marks plainly (`protocol`).
    pub fn is_asymmetric(&self) -> bool {
        self.header().modes & ASYMMETRIC != 0
    }

    /// The pool's header. Read-mostly; the fields that change are atomics.
    #[inline]
    pub fn header(&self) -> &Header {
        // SAFETY: every window begins with the header, which opening has checked, and stays mapped as long as `self`.
        unsafe { &*self.windows.base().cast::<Header>() }
    }

    /// Address of `len` bytes at `offset` in the current window.
    ///
    /// Reads the published length and moves to a larger window if it must; fails when the bytes are outside of the pool or no window
    /// that large can be had.
    #[inline]
    pub fn at(&self, offset: u64, len: u64) -> Result<*mut u8> {
        match self.windows.resolve(offset, len) {
            Some(p) => Ok(p),
            None => self.at_slow(offset, len),
        }
    }

    #[cold]
    fn at_slow(&self, offset: u64, len: u64) -> Result<*mut u8> {
        self.follow()?;
        self.windows
            .resolve(offset, len)
            .ok_or_else(|| Error::Damaged(format!("{len} bytes at {offset:#x} are outside of the pool")))
    }

    /// Makes everything up to the published length usable, in a larger window if it must be.
    #[inline]
    pub fn follow(&self) -> Result<()> {
        let length = self.header().length.load(Ordering::Acquire);
        if length <= self.windows.limit() {
            return Ok(());
        }
        self.enlarge(length)
    }

    /// Offset of an address in any of this pool's windows.
    #[inline]
    pub fn offset_of(&self, address: *const u8) -> Option<u64> {
        let g = granule(address as usize);
        if !std::ptr::eq(g.pool.load(Ordering::Relaxed), self) {
            return None;
        }
        g.offset(address as usize)
    }
}

impl Granule {
    /// Offset of an address in this granule's window.
    #[inline]
    pub fn offset(&self, address: usize) -> Option<u64> {
        let offset = address.wrapping_sub(self.start.load(Ordering::Relaxed));
        (offset < self.len.load(Ordering::Relaxed)).then_some(offset as u64)
    }

    /// Offset of an address that lies in this granule's window.
    #[inline(always)]
    pub fn distance(&self, address: usize) -> u64 {
        address.wrapping_sub(self.start.load(Ordering::Relaxed)) as u64
    }

    /// The pool with a window in this granule.
    ///
    /// # Safety
    /// The pool must stay joined for `'a`: a guard, handle or place of it is alive.
    #[inline]
    pub unsafe fn pool<'a>(&self) -> Option<&'a Inner> {
        // SAFETY: entries are cleared before their `Inner` is dropped, which the caller excludes.
        unsafe { self.pool.load(Ordering::Acquire).as_ref() }
    }
}

impl std::ops::Deref for RawPool {
    type Target = Inner;
    fn deref(&self) -> &Inner {
        &self.0
    }
}
