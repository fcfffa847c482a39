//! Mapping windows.

use rustix::io::Errno;
use rustix::mm::{Advice, MapFlags, ProtFlags};
use std::os::fd::BorrowedFd;

/// Maps `len` bytes of `file` at exactly `address`, readable and writable, outside of core dumps; `None` if something is mapped there.
pub(crate) fn window(
    address: usize,
    len: usize,
    file: Option<BorrowedFd<'_>>,
) -> Result<Option<*mut u8>, Errno> {
    let hint = std::ptr::without_provenance_mut(address);
    let fixed = MapFlags::FIXED_NOREPLACE | MapFlags::NORESERVE;
    let rw = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: FIXED_NOREPLACE never touches an existing mapping; nothing refers to the new one yet.
    let mapped = unsafe {
        match file {
            Some(fd) => rustix::mm::mmap(hint, len, rw, MapFlags::SHARED | fixed, fd, 0),
            // Private memory is made accessible as it grows: so it counts as used only then.
            None => rustix::mm::mmap_anonymous(hint, len, ProtFlags::empty(), MapFlags::PRIVATE | fixed),
        }
    };
    let at = match mapped {
        Ok(at) => at,
        Err(Errno::EXIST) => return Ok(None),
        Err(e) => return Err(e),
    };
    if at.addr() != address {
        // A kernel without FIXED_NOREPLACE takes the address for a hint.
        unmap(at.cast(), len);
        return Ok(None);
    }
    // SAFETY: the mapping just made. A core dump of a large window would hold up recovery for seconds.
    unsafe { rustix::mm::madvise(at, len, Advice::LinuxDontDump) }?;
    Ok(Some(at.cast()))
}

/// Makes private memory from `at` on usable.
pub(crate) fn open_up(at: *mut u8, len: usize) -> Result<(), Errno> {
    use rustix::mm::MprotectFlags;
    // SAFETY: within a window of private memory that this process mapped, beyond what was usable.
    unsafe { rustix::mm::mprotect(at.cast(), len, MprotectFlags::READ | MprotectFlags::WRITE) }
}

/// Has the kernel use huge pages in a window where it may; whether it does is not told. A kernel without them refuses, which changes nothing.
pub(crate) fn prefer_huge(at: *mut u8, len: usize) {
    // SAFETY: a whole window that this process mapped.
    let _ = unsafe { rustix::mm::madvise(at.cast(), len, Advice::LinuxHugepage) };
}

/// Makes a huge page of the pages there. rustix has no name for it.
#[cfg(not(miri))]
pub(crate) fn collapse(at: *mut u8, len: usize) -> Result<(), Errno> {
    // SAFETY: within a window of this process; what is read there stays the same.
    match unsafe { libc::madvise(at.cast(), len, libc::MADV_COLLAPSE) } {
        0 => Ok(()),
        _ => Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::INVAL)),
    }
}

/// Miri has no pages.
#[cfg(miri)]
pub(crate) fn collapse(_: *mut u8, _: usize) -> Result<(), Errno> {
    Err(Errno::INVAL)
}

/// Unmaps a window.
pub(crate) fn unmap(at: *mut u8, len: usize) {
    // SAFETY: a whole window that `window` mapped, which nothing refers to any more.
    let _ = unsafe { rustix::mm::munmap(at.cast(), len) };
}
