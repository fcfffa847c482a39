//! From an address to its pool: a table of this process, indexed by granule.
//!
//! Written only by `window` (under its lock), read by everybody without one. `base` is stored before `limit` (Release); readers load
//! `limit` (Acquire) before `base`, so a limit is never larger than what the base loaded after it can reach.

use crate::raw::Inner;
use std::sync::atomic::{AtomicPtr, AtomicU64, AtomicUsize, Ordering};

/// log2 of a granule: the address range that at most one window lies in, at its start.
#[cfg(not(miri))]
pub const GRANULE_SHIFT: u32 = 36;
/// Miri has no 64 GiB to give.
#[cfg(miri)]
pub const GRANULE_SHIFT: u32 = 26;
/// Entries of the table: all of a 47-bit address space.
pub const GRANULES: usize = 1 << (47 - 36);

/// What this process knows of one granule.
#[repr(C, align(64))]
#[derive(Debug)]
pub struct Granule {
    /// Start of the window in this granule, exposed provenance; 0: none.
    pub(crate) start: AtomicUsize,
    /// Length of that window.
    pub(crate) len: AtomicUsize,
    /// Start of the largest window of the same pool, exposed provenance.
    pub(crate) base: AtomicPtr<u8>,
    /// Bytes of the pool that are known to be usable through `base`.
    pub(crate) limit: AtomicU64,
    /// Seed of the pool's hashes, a copy of the header's: a look-up need not wait for `base` to have it.
    pub(crate) seed: [AtomicU64; 2],
    /// The pool.
    pub(crate) pool: AtomicPtr<Inner>,
}

static TABLE: [Granule; GRANULES] = [const {
    Granule {
        start: AtomicUsize::new(0),
        len: AtomicUsize::new(0),
        base: AtomicPtr::new(std::ptr::null_mut()),
        limit: AtomicU64::new(0),
        seed: [const { AtomicU64::new(0) }; 2],
        pool: AtomicPtr::new(std::ptr::null_mut()),
    }
}; GRANULES];

/// The entry for an address, whether or not a pool lies there.
#[inline(always)]
pub fn granule(address: usize) -> &'static Granule {
    &TABLE[(address >> GRANULE_SHIFT) & (GRANULES - 1)]
}

impl Granule {
    /// Start and length of the window.
    #[inline]
    pub(crate) fn window(&self) -> (usize, usize) {
        (self.start.load(Ordering::Relaxed), self.len.load(Ordering::Relaxed))
    }

    /// Current base of the pool that has a window in this granule; null if none has.
    #[inline(always)]
    pub fn base(&self) -> *mut u8 {
        self.reach().1
    }

    /// Address of `len` bytes at `offset`, or `None` when they are not known to be usable.
    #[inline(always)]
    pub fn resolve(&self, offset: u64, len: u64) -> Option<*mut u8> {
        let (limit, base) = self.reach();
        let end = offset.checked_add(len)?;
        // In bounds of the window at `base`: `limit` was loaded before `base` (see the module).
        (end <= limit).then(|| base.wrapping_add(offset as usize))
    }

    /// Limit and base, loaded in this order. Both are 0 where no pool lies.
    ///
    /// Old windows stay mapped and a limit never shrinks while anybody may look: a pair that was loaded once stays good. So the loads are written
    /// as assembly without side effects, which the compiler may lift out of a loop, and not as atomics, which it may not.
    #[inline(always)]
    #[cfg_attr(all(target_arch = "x86_64", not(miri)), allow(unsafe_code))]
    pub fn reach(&self) -> (u64, *mut u8) {
        #[cfg(all(target_arch = "x86_64", not(miri)))]
        {
            let (limit, base): (u64, *mut u8);
            // SAFETY: two aligned loads of fields of `self`, in the order of the program, which x86-64 keeps; nothing else is touched.
            unsafe {
                std::arch::asm!(
                    "mov {limit}, qword ptr [{granule} + {at_limit}]",
                    "mov {base}, qword ptr [{granule} + {at_base}]",
                    granule = in(reg) std::ptr::from_ref(self),
                    limit = out(reg) limit,
                    base = lateout(reg) base,
                    at_limit = const std::mem::offset_of!(Granule, limit),
                    at_base = const std::mem::offset_of!(Granule, base),
                    options(pure, readonly, nostack, preserves_flags),
                );
            }
            (limit, base)
        }
        #[cfg(not(all(target_arch = "x86_64", not(miri))))]
        {
            let limit = self.limit.load(Ordering::Acquire);
            (limit, self.base.load(Ordering::Relaxed))
        }
    }

    /// The seed of the pool's hashes: of a granule whose [`reach`](Self::reach) is not 0.
    ///
    /// As assembly for the same reason. It is stored before the limit, and the same for as long as the pool is open.
    #[inline(always)]
    #[cfg_attr(all(target_arch = "x86_64", not(miri)), allow(unsafe_code))]
    pub fn seed(&self) -> [u64; 2] {
        #[cfg(all(target_arch = "x86_64", not(miri)))]
        {
            let (first, second): (u64, u64);
            // SAFETY: two aligned loads of fields of `self`; nothing else is touched.
            unsafe {
                std::arch::asm!(
                    "mov {first}, qword ptr [{granule} + {at_seed}]",
                    "mov {second}, qword ptr [{granule} + {at_seed} + 8]",
                    granule = in(reg) std::ptr::from_ref(self),
                    first = out(reg) first,
                    second = lateout(reg) second,
                    at_seed = const std::mem::offset_of!(Granule, seed),
                    options(pure, readonly, nostack, preserves_flags),
                );
            }
            [first, second]
        }
        #[cfg(not(all(target_arch = "x86_64", not(miri))))]
        [self.seed[0].load(Ordering::Relaxed), self.seed[1].load(Ordering::Relaxed)]
    }
}
