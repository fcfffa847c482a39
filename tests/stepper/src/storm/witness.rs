//! A second proof of life, kept in the very way in which the library keeps its own: who waits for it learns when the kernel has dropped the
//! locks of a dead process, and nobody buries it.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// A file whose bytes stand for children.
pub struct Witness(File);

impl Witness {
    pub fn new() -> io::Result<Witness> {
        // SAFETY: a string and a flag; the descriptor is new and owned by nobody else.
        let file = unsafe {
            match libc::memfd_create(c"aquifer-storm-witness".as_ptr(), libc::MFD_CLOEXEC) {
                -1 => return Err(io::Error::last_os_error()),
                fd => File::from_raw_fd(fd),
            }
        };
        file.set_len(4096)?;
        Ok(Witness(file))
    }

    /// A description of the file of one's own.
    fn reopen(&self) -> io::Result<OwnedFd> {
        let path = format!("/proc/self/fd/{}", self.0.as_raw_fd());
        Ok(File::options().read(true).write(true).open(path)?.into())
    }

    /// Locks the byte of a child that is about to be forked.
    pub fn lock(&self, slot: usize, child: u64) -> io::Result<OwnedFd> {
        let fd = self.reopen()?;
        call(&fd, libc::F_OFD_SETLK, libc::F_WRLCK, slot, child)?;
        Ok(fd)
    }

    /// Waits until the kernel has dropped that lock.
    pub fn wait(&self, slot: usize, child: u64) -> io::Result<()> {
        call(&self.reopen()?, libc::F_OFD_SETLKW, libc::F_WRLCK, slot, child)
    }
}

fn call(fd: &OwnedFd, command: i32, kind: i32, slot: usize, child: u64) -> io::Result<()> {
    // SAFETY: `flock` is plain integers, for which zero is valid; the kernel reads and writes only it.
    unsafe {
        let mut lock: libc::flock = std::mem::zeroed();
        lock.l_type = kind as _;
        lock.l_whence = libc::SEEK_SET as _;
        lock.l_start = ((slot as u64) << 40 | child << 1) as _;
        lock.l_len = 1;
        match libc::fcntl(fd.as_raw_fd(), command, &mut lock) {
            -1 => Err(io::Error::last_os_error()),
            _ => Ok(()),
        }
    }
}

/// In the child: a mapping keeps the lock until the process's memory is gone; the descriptor is closed.
pub fn keep(fd: OwnedFd) -> io::Result<()> {
    // SAFETY: a new mapping at an address of the kernel's choice, never accessed nor unmapped.
    let page = unsafe {
        libc::mmap(std::ptr::null_mut(), 4096, libc::PROT_READ, libc::MAP_SHARED, fd.as_raw_fd(), 0)
    };
    if page == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(()) }
}
