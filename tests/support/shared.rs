//! Memory shared with forked children that is no pool: what a child did before it was killed can be read there.

use std::ops::Deref;
use std::sync::atomic::AtomicU64;

/// Words in a memory file of their own, zero at first.
pub struct Board {
    words: *mut AtomicU64,
    count: usize,
}

// SAFETY: points to atomics only, mapped as long as the board lives.
unsafe impl Send for Board {}
// SAFETY: as above.
unsafe impl Sync for Board {}

impl Board {
    pub fn new(count: usize) -> Board {
        // SAFETY: a new mapping, which nothing else refers to; the descriptor is closed once it is mapped.
        let words = unsafe {
            let fd = libc::memfd_create(c"aquifer-test-board".as_ptr(), libc::MFD_CLOEXEC);
            assert!(fd >= 0, "{}", std::io::Error::last_os_error());
            assert_eq!(libc::ftruncate(fd, (count * 8) as i64), 0);
            let p = libc::mmap(
                std::ptr::null_mut(),
                count * 8,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                fd,
                0,
            );
            assert_ne!(p, libc::MAP_FAILED, "{}", std::io::Error::last_os_error());
            libc::close(fd);
            p.cast()
        };
        Board { words, count }
    }
}

impl Deref for Board {
    type Target = [AtomicU64];
    fn deref(&self) -> &[AtomicU64] {
        // SAFETY: mapped, zero at first, as many words, and all access is atomic.
        unsafe { std::slice::from_raw_parts(self.words, self.count) }
    }
}

impl Drop for Board {
    fn drop(&mut self) {
        // SAFETY: mapped by `new`, not used after.
        unsafe { libc::munmap(self.words.cast(), self.count * 8) };
    }
}
