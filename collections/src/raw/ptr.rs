//! From the address of a container to its pool, and from an offset to an address.
//!
//! A container knows no pool: its own address tells, through the table of granules. What a resolve returns stays mapped until the pool
//! is closed, so that a reference made of it may live as long as the borrow of the container.
//!
//! Whoever takes a lock makes reachable what the pool has grown to by then, and fails if it cannot (`RawLock::read`, `write`); opening a name or a
//! handle, and what allocates, do the same. So what lies beyond the limit here is damage. That there is no way back from here, no larger
//! window to be mapped meanwhile, is what lets the compiler lift the steps of a resolve out of a loop.

use crate::hash::Seed;
use aquifer_pool::granule::granule;
use aquifer_pool::layout::{Header, PAGE};

/// What this process can reach of a pool: its first `limit` bytes, from `base` on.
#[derive(Clone, Copy)]
pub struct Reach {
    limit: u64,
    base: *mut u8,
}

impl Reach {
    /// The reach into the pool at an address; none where no pool lies.
    #[inline(always)]
    pub(crate) fn at(address: usize) -> Reach {
        let (limit, base) = granule(address).reach();
        Reach { limit, base }
    }

    /// The reach into the pool that a container lies in.
    #[inline(always)]
    pub(crate) fn of<C>(container: &C) -> Reach {
        Reach::at(std::ptr::from_ref(container).addr())
    }

    /// Address of `len` bytes at `offset`. Panics when they are outside of the pool: the bytes of the container are damaged.
    #[inline(always)]
    pub(crate) fn resolve(self, offset: u64, len: u64) -> *mut u8 {
        if offset > self.limit || len > self.limit - offset {
            self.beyond(offset, len);
        }
        self.base.wrapping_add(offset as usize)
    }

    /// Address of one `T` at `offset`. Panics when it is outside of the pool.
    ///
    /// A scalar takes one comparison: at a multiple of its size it lies on one page, and pages are usable as a whole.
    #[inline(always)]
    pub(crate) fn resolve_one<T>(self, offset: u64) -> *mut T {
        let size = size_of::<T>() as u64;
        if size != align_of::<T>() as u64 || size > PAGE {
            return self.resolve(offset, size).cast();
        }
        // Nothing changes unless the container is damaged.
        let offset = offset & !(size - 1);
        if offset >= self.limit {
            self.beyond(offset, size);
        }
        self.base.wrapping_add(offset as usize).cast()
    }

    /// Seed of the keyed hash. Panics where no pool lies.
    #[inline(always)]
    pub(crate) fn seed(self) -> Seed {
        if self.base.is_null() {
            stray();
        }
        // SAFETY: every window begins with the header, which opening has checked; the seed never changes after the pool was made.
        unsafe { (*self.base.cast::<Header>()).hash_seed }
    }

    #[cold]
    #[inline(never)]
    fn beyond(self, offset: u64, len: u64) -> ! {
        if self.base.is_null() {
            stray();
        }
        damaged(&format!("{len} bytes at {offset:#x} are outside of the pool"));
    }
}

/// Address of `len` bytes at `offset` in the pool that the container at `container` lies in.
///
/// Panics when they are outside of the pool: its bytes are damaged.
#[inline(always)]
pub(crate) fn resolve<C>(container: &C, offset: u64, len: u64) -> *mut u8 {
    Reach::of(container).resolve(offset, len)
}

/// Seed of the keyed hash of the pool that a container lies in, after a resolve.
#[inline(always)]
pub(crate) fn seed_of_resolved<C>(container: &C) -> Seed {
    // What was resolved is less than a limit, which is 0 where no pool lies.
    granule(std::ptr::from_ref(container).addr()).seed()
}

/// Offset of a container that lies in a pool, by its address.
#[inline(always)]
pub(crate) fn offset_of_container(address: usize) -> u64 {
    granule(address).distance(address)
}

/// Seed of the keyed hash of the pool at an address.
#[inline(always)]
pub(crate) fn seed_at(address: usize) -> Seed {
    Reach::at(address).seed()
}

/// A container is being read where no pool lies.
#[cold]
#[inline(never)]
fn stray() -> ! {
    panic!("a collection outside of its pool cannot be read");
}

/// What was read can only be the work of something else than this library.
#[cold]
#[inline(never)]
pub(crate) fn damaged(what: &str) -> ! {
    panic!("the pool is damaged: {what}");
}
