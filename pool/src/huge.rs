//! Huge pages: 2 MiB in one entry of the processor's tables, so that accesses all over a large pool miss them less often.

use crate::error::Result;
use crate::raw::Inner;
use crate::sys;
use rustix::io::Errno;
use std::fmt;
use std::sync::atomic::Ordering;

/// Bytes of a huge page, on x86-64 and on AArch64 with pages of 4 KiB.
pub const HUGE_PAGE: u64 = 2 << 20;

/// What asking for huge pages has given.
#[derive(Debug)]
#[non_exhaustive]
pub struct HugePages {
    /// Bytes of the pool that could be in huge pages: all but what is left at the end.
    pub asked: u64,
    /// Bytes of it that are.
    pub got: u64,
    /// Why not the rest: the first refusal.
    pub refused: Option<std::io::Error>,
}

impl fmt::Display for HugePages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} MiB are in huge pages", self.got >> 20, self.asked >> 20)?;
        match &self.refused {
            Some(e) => write!(f, " (the system refused the rest: {e})"),
            None => Ok(()),
        }
    }
}

impl Inner {
    /// Gathers the pool's pages into huge ones, where they are now; other processes have them too. Takes seconds for each GiB, during which
    /// accesses to what is being moved wait. Nothing moves in the address space.
    ///
    /// # Errors
    /// Those of mapping what has grown. What the system refuses is in the result: Linux before 6.1 refuses all.
    pub fn collapse(&self) -> Result<HugePages> {
        self.follow()?;
        Ok(self.collapse_range(0, self.header().length.load(Ordering::Acquire)))
    }

    /// The same for the huge pages that end between `from` and `to`.
    pub(crate) fn collapse_range(&self, from: u64, to: u64) -> HugePages {
        let (first, end) = (from / HUGE_PAGE, to.min(self.windows.limit()) / HUGE_PAGE);
        let mut result = HugePages { asked: end.saturating_sub(first) * HUGE_PAGE, got: 0, refused: None };
        let base = self.windows.base();
        for page in first..end {
            match collapse_one(base.wrapping_add((page * HUGE_PAGE) as usize)) {
                Ok(()) => result.got += HUGE_PAGE,
                Err(e) => {
                    result.refused.get_or_insert(e.into());
                    if e == Errno::INVAL && result.got == 0 {
                        break; // this kernel, or this file system, has none
                    }
                }
            }
        }
        result
    }
}

fn collapse_one(at: *mut u8) -> Result<(), Errno> {
    let mut tries = 3;
    loop {
        match sys::map::collapse(at, HUGE_PAGE as usize) {
            // Somebody else's page is locked at this moment.
            Err(Errno::AGAIN | Errno::BUSY) if tries > 0 => tries -= 1,
            other => return other,
        }
    }
}
