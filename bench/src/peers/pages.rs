//! Private memory straight from the system, on small pages or on huge ones.

use allocator_api2::alloc::{AllocError, Allocator};
use std::alloc::Layout;
use std::ptr::{self, NonNull};

/// For one large table: whole mappings, on 4 KiB pages, or on 2 MiB ones if the system has them.
#[derive(Debug, Clone, Copy)]
pub struct Pages {
    pub huge: bool,
}

const HUGE: usize = 2 << 20;

// SAFETY: each block is a mapping of its own until it is freed; copies of `Pages` are the same.
unsafe impl Allocator for Pages {
    fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
        if layout.align() > 4096 {
            return Err(AllocError);
        }
        let length = mapped(layout);
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping of no file.
        let at = unsafe {
            libc::mmap(ptr::null_mut(), length, protection, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0)
        };
        if at == libc::MAP_FAILED {
            return Err(AllocError);
        }
        // SAFETY: our own mapping. Refusal leaves it as it was.
        unsafe {
            libc::madvise(at, length, if self.huge { libc::MADV_HUGEPAGE } else { libc::MADV_NOHUGEPAGE })
        };
        let at = NonNull::new(at.cast()).ok_or(AllocError)?;
        Ok(NonNull::slice_from_raw_parts(at, layout.size()))
    }

    unsafe fn deallocate(&self, at: NonNull<u8>, layout: Layout) {
        // SAFETY: a mapping of that length, by `allocate`.
        unsafe { libc::munmap(at.as_ptr().cast(), mapped(layout)) };
    }
}

/// In whole huge pages: the kernel aligns such a mapping to one.
fn mapped(layout: Layout) -> usize {
    layout.size().next_multiple_of(HUGE)
}
