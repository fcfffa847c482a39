//! From the address of a container to its pool, and from an offset to an address.
//!
//! A container knows no pool: its own address tells, through the table of granules. What a resolve returns stays mapped until the pool
//! is closed, so that a reference made of it may live as long as the borrow of the container.

use aquifer_pool::granule::granule;
use aquifer_pool::layout::Header;
use aquifer_pool::{Error, Inner};

/// Address of `len` bytes at `offset` in the pool that the container at `container` lies in.
///
/// Panics when they are outside of the pool: its bytes are damaged.
#[inline(always)]
pub(crate) fn resolve<C>(container: &C, offset: u64, len: u64) -> *mut u8 {
    let address = std::ptr::from_ref(container).addr();
    match granule(address).resolve(offset, len) {
        Some(at) => at,
        None => resolve_slow(address, offset, len),
    }
}

#[cold]
#[inline(never)]
fn resolve_slow(address: usize, offset: u64, len: u64) -> *mut u8 {
    match pool_of(address).at(offset, len) {
        Ok(at) => at,
        Err(Error::Damaged(what)) => damaged(&what),
        Err(e) => panic!("the pool can no longer be followed: {e}"),
    }
}

/// Seed of the keyed hash of the pool that `container` lies in.
#[inline(always)]
pub(crate) fn seed<C>(container: &C) -> [u64; 2] {
    seed_at(std::ptr::from_ref(container).addr())
}

/// Seed of the keyed hash of the pool at an address.
#[inline(always)]
pub(crate) fn seed_at(address: usize) -> [u64; 2] {
    let base = granule(address).base();
    if base.is_null() {
        stray();
    }
    // SAFETY: every window begins with the header, which opening has checked; the seed never changes after the pool was made.
    unsafe { (*base.cast::<Header>()).hash_seed }
}

/// The pool that an address lies in.
fn pool_of<'a>(address: usize) -> &'a Inner {
    // SAFETY: whoever has a reference to a container keeps its pool joined; `'a` does not leave the functions of this module.
    let pool = unsafe { granule(address).pool() };
    pool.unwrap_or_else(|| stray())
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
