//! The state of a pool as a kill would leave it: name, length and bytes of its file.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

/// Bytes of the file; `None`: no file has the name.
pub type Image = Option<Vec<u8>>;

/// More than any scene's pool.
const MOST: usize = 1 << 30;

/// Looks at a file again and again.
pub struct Watch {
    path: PathBuf,
    mapped: Option<Mapped>,
    seen: Image,
}

struct Mapped {
    start: *mut libc::c_void,
    inode: u64,
}

impl Watch {
    pub fn on(path: &Path) -> io::Result<Watch> {
        let mut watch = Watch { path: path.into(), mapped: None, seen: None };
        watch.changed()?;
        Ok(watch)
    }

    /// The file as it was when last looked at.
    pub fn image(&self) -> &Image {
        &self.seen
    }

    /// Looks again; whether it changed.
    pub fn changed(&mut self) -> io::Result<bool> {
        let found = match std::fs::metadata(&self.path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(self.seen.take().is_some()),
            other => other?,
        };
        let length = found.len() as usize;
        let start = self.map(found.ino())?;
        if let Some(seen) = &self.seen
            && seen.len() == length
            // SAFETY: both are `length` bytes long; who writes the file is stopped.
            && unsafe { libc::memcmp(start, seen.as_ptr().cast(), length) } == 0
        {
            return Ok(false);
        }
        let seen = self.seen.get_or_insert_default();
        seen.resize(length, 0);
        // SAFETY: as above.
        unsafe { std::ptr::copy_nonoverlapping(start.cast::<u8>().cast_const(), seen.as_mut_ptr(), length) };
        Ok(true)
    }

    fn map(&mut self, inode: u64) -> io::Result<*mut libc::c_void> {
        if let Some(mapped) = self.mapped.as_ref().filter(|m| m.inode == inode) {
            return Ok(mapped.start);
        }
        let file = File::open(&self.path)?;
        // SAFETY: a new mapping, of which only what the file has is looked at.
        let start = unsafe {
            libc::mmap(std::ptr::null_mut(), MOST, libc::PROT_READ, libc::MAP_SHARED, file.as_raw_fd(), 0)
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        self.mapped = Some(Mapped { start, inode });
        Ok(start)
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // SAFETY: mapped by `map`, unmapped once.
        unsafe { libc::munmap(self.start, MOST) };
    }
}

/// Makes a file what an image says.
pub fn put(path: &Path, image: &Image) -> io::Result<()> {
    let Some(bytes) = image else {
        return match std::fs::remove_file(path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
            _ => Ok(()),
        };
    };
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
    file.set_len(bytes.len() as u64)?;
    file.write_all_at(bytes, 0)
}

/// What a file is.
pub fn take(path: &Path) -> io::Result<Image> {
    match std::fs::read(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        other => other.map(Some),
    }
}
