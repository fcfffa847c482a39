//! Allocators of private memory, each called by its own functions rather than as the global one.

use std::ffi::c_void;

/// What is asked of an allocator of a single process.
pub trait Malloc: Copy + 'static {
    fn alloc(self, size: usize) -> *mut u8;

    /// # Safety
    /// `block` came from `alloc` of the same allocator and was not freed since.
    unsafe fn free(self, block: *mut u8);
}

macro_rules! allocator {
    ($name:ident, $doc:literal, $alloc:path, $free:path) => {
        #[doc = $doc]
        #[derive(Clone, Copy)]
        pub struct $name;

        impl Malloc for $name {
            #[inline(always)]
            fn alloc(self, size: usize) -> *mut u8 {
                // SAFETY: any size may be asked for.
                unsafe { $alloc(size) }.cast()
            }

            #[inline(always)]
            unsafe fn free(self, block: *mut u8) {
                // SAFETY: the caller's contract.
                unsafe { $free(block.cast::<c_void>()) }
            }
        }
    };
}

allocator!(Mimalloc, "mimalloc.", libmimalloc_sys::mi_malloc, libmimalloc_sys::mi_free);
allocator!(Jemalloc, "jemalloc.", tikv_jemalloc_sys::malloc, tikv_jemalloc_sys::free);
allocator!(Snmalloc, "snmalloc.", snmalloc_sys::sn_malloc, snmalloc_sys::sn_free);
