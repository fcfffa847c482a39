//! Open-file-description locks on the bytes that stand for process records. rustix has no binding for them.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Far beyond any pool's data. Records stand two bytes apart, so that the kernel never merges neighbouring locks.
fn byte(record: u32) -> libc::off_t {
    (1 << 62) + 2 * record as libc::off_t
}

fn call(fd: BorrowedFd<'_>, command: libc::c_int, kind: libc::c_int, record: u32) -> io::Result<libc::flock> {
    // SAFETY: `flock` is plain integers, for which zero is valid; the kernel reads and writes only it.
    unsafe {
        let mut lock: libc::flock = std::mem::zeroed();
        lock.l_type = kind as _;
        lock.l_whence = libc::SEEK_SET as _;
        lock.l_start = byte(record);
        lock.l_len = 1;
        match libc::fcntl(fd.as_raw_fd(), command, &mut lock) {
            -1 => Err(io::Error::last_os_error()),
            _ => Ok(lock),
        }
    }
}

/// Takes the byte of `record` for the open file description of `fd`; false if another has it.
pub(crate) fn try_lock(fd: BorrowedFd<'_>, record: u32) -> io::Result<bool> {
    match call(fd, libc::F_OFD_SETLK, libc::F_WRLCK as _, record) {
        Ok(_) => Ok(true),
        Err(e) if matches!(e.raw_os_error(), Some(libc::EAGAIN | libc::EACCES)) => Ok(false),
        Err(e) => Err(e),
    }
}

/// Lets the byte go.
pub(crate) fn unlock(fd: BorrowedFd<'_>, record: u32) -> io::Result<()> {
    call(fd, libc::F_OFD_SETLK, libc::F_UNLCK as _, record).map(drop)
}

/// Whether no other open file description has the byte.
pub(crate) fn is_free(fd: BorrowedFd<'_>, record: u32) -> io::Result<bool> {
    call(fd, libc::F_OFD_GETLK, libc::F_WRLCK as _, record)
        .map(|l| l.l_type == libc::F_UNLCK as libc::c_short)
}
