//! A file of memory and a mapping of it, by system calls alone.

use crate::Result;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd};
use std::path::Path;

/// A file of memory.
pub struct TempFile(File);

impl TempFile {
    /// One without a name.
    pub fn new() -> Result<TempFile> {
        // SAFETY: a text that ends in 0.
        match unsafe { libc::memfd_create(c"aquifer-bench".as_ptr(), libc::MFD_CLOEXEC) } {
            -1 => Err(io::Error::last_os_error().into()),
            // SAFETY: a new descriptor that nobody else has.
            fd => Ok(TempFile(unsafe { File::from_raw_fd(fd) })),
        }
    }

    pub fn open(path: &Path) -> Result<TempFile> {
        Ok(TempFile(OpenOptions::new().read(true).write(true).open(path)?))
    }
}

/// A whole file, mapped. Unmapped when dropped.
pub struct Mapping {
    file: TempFile,
    at: *mut libc::c_void,
    length: usize,
}

impl Mapping {
    /// A file is made at least that long.
    pub fn new(file: TempFile, length: usize) -> Result<Mapping> {
        if file.0.metadata()?.len() < length as u64 {
            file.0.set_len(length as u64)?;
        }
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping of an open file.
        let at = unsafe {
            libc::mmap(std::ptr::null_mut(), length, protection, libc::MAP_SHARED, file.0.as_raw_fd(), 0)
        };
        if at == libc::MAP_FAILED {
            return Err(io::Error::last_os_error().into());
        }
        Ok(Mapping { file, at, length })
    }

    /// Grows file and mapping; `reserve` takes the memory for it at once.
    pub fn grow(&mut self, by: usize, reserve: bool) -> Result<()> {
        let (from, to) = (self.length as i64, self.length + by);
        if reserve {
            // SAFETY: a descriptor that is open.
            if unsafe { libc::fallocate(self.file.0.as_raw_fd(), 0, from, by as i64) } != 0 {
                return Err(io::Error::last_os_error().into());
            }
        } else {
            self.file.0.set_len(to as u64)?;
        }
        // SAFETY: our own mapping, which nobody has a reference into: `self` is exclusive.
        let at = unsafe { libc::mremap(self.at, self.length, to, libc::MREMAP_MAYMOVE) };
        if at == libc::MAP_FAILED {
            return Err(io::Error::last_os_error().into());
        }
        (self.at, self.length) = (at, to);
        Ok(())
    }

    pub fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: mapped for reading and writing, and as long; of the bytes that others may change nobody makes use.
        unsafe { std::slice::from_raw_parts_mut(self.at.cast(), self.length) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: our own mapping, which nobody refers to any more.
        unsafe { libc::munmap(self.at, self.length) };
    }
}
