//! The dead, for as long as nobody may bury them: their process records' bytes are locked, as if they lived.

use crate::image::Image;
use aquifer_pool::layout::{Header, LIVE, ProcessRecord, RECORD_CHUNKS, RECORDS_FIRST};
use std::fs::{File, OpenOptions};
use std::io;
use std::mem::offset_of;
use std::os::fd::AsRawFd;
use std::path::Path;

/// Dropping it tells the world that they are dead.
pub struct Alive {
    file: File,
    records: Vec<u32>,
}

impl Alive {
    /// How many there are.
    pub fn count(&self) -> u32 {
        self.records.len() as u32
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        // Explicitly: a child may have inherited the file.
        self.records.iter().for_each(|r| drop(lock(&self.file, *r, libc::F_UNLCK)));
    }
}

/// Lets all processes that have joined the pool of `image`, which is in the file at `path`, seem to live.
pub fn pretend(path: &Path, image: &[u8]) -> io::Result<Alive> {
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    let records: Vec<u32> = live_records(image);
    records.iter().try_for_each(|r| lock(&file, *r, libc::F_WRLCK))?;
    Ok(Alive { file, records })
}

/// The same for a pool whose image must be there.
pub fn of(path: &Path, image: &Image) -> io::Result<Alive> {
    pretend(path, image.as_deref().unwrap_or_default())
}

fn live_records(image: &[u8]) -> Vec<u32> {
    let word =
        |at: usize| image.get(at..at + 8).and_then(|b| b.first_chunk()).map_or(0, |b| u64::from_ne_bytes(*b));
    let mut live = Vec::new();
    for k in 0..RECORD_CHUNKS {
        let chunk = word(offset_of!(Header, record_chunks) + 8 * k) as usize;
        if chunk == 0 {
            break;
        }
        let first = (RECORDS_FIRST << k) - RECORDS_FIRST;
        let state = |i: u32| word(chunk + i as usize * size_of::<ProcessRecord>());
        live.extend((0..RECORDS_FIRST << k).filter(|i| state(*i) & LIVE != 0).map(|i| first + i));
    }
    live
}

/// The byte that stands for a record: `docs/layout.md`.
fn lock(file: &File, record: u32, how: libc::c_int) -> io::Result<()> {
    // SAFETY: `flock` is plain integers; the kernel reads only it.
    unsafe {
        let mut lock: libc::flock = std::mem::zeroed();
        lock.l_type = how as _;
        lock.l_whence = libc::SEEK_SET as _;
        lock.l_start = (1 << 62) + 2 * record as libc::off_t;
        lock.l_len = 1;
        match libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &lock) {
            -1 => Err(io::Error::last_os_error()),
            _ => Ok(()),
        }
    }
}
