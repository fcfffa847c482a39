//! The proof that this process lives: a page mapped through the descriptor that locked its record's byte.
//!
//! The mapping keeps the open file description, and with it the lock, until the last thread of the process and its memory are gone. No descriptor is left
//! that could be closed, passed or inherited; a child of a fork does not get the page.

use rustix::mm::{Advice, MapFlags, ProtFlags};
use std::io;
use std::os::fd::OwnedFd;

const LENGTH: usize = 4096;

/// The mapped page.
#[derive(Debug)]
pub(crate) struct Liveness(*mut std::ffi::c_void);

// SAFETY: the address is never read or written through.
unsafe impl Send for Liveness {}

impl Liveness {
    /// Keeps `fd`'s open file description alive in place of the descriptor, which is closed.
    ///
    /// The caller must keep the process from forking meanwhile.
    pub(crate) fn keep(fd: OwnedFd) -> io::Result<Liveness> {
        // SAFETY: a new mapping at an address of the kernel's choice; never accessed.
        let page = unsafe {
            rustix::mm::mmap(std::ptr::null_mut(), LENGTH, ProtFlags::READ, MapFlags::SHARED, &fd, 0)
        }?;
        let page = Liveness(page);
        // SAFETY: the page just mapped.
        unsafe { rustix::mm::madvise(page.0, LENGTH, Advice::LinuxDontFork) }?;
        // SAFETY: as above; keeps the page out of core dumps.
        unsafe { rustix::mm::madvise(page.0, LENGTH, Advice::LinuxDontDump) }?;
        Ok(page)
    }
}

impl Drop for Liveness {
    fn drop(&mut self) {
        // SAFETY: mapped by `keep`, unmapped once.
        let _ = unsafe { rustix::mm::munmap(self.0, LENGTH) };
    }
}
