//! How a pool is made and opened.

use crate::error::{Error, Result};
use crate::layout::{PAGE, fresh};

/// Largest window asked for unless told otherwise: one granule.
pub(crate) const WINDOW: u64 = 1 << crate::granule::GRANULE_SHIFT;

/// How a pool is made and opened. Sizes are in bytes and rounded up to pages of 4 KiB.
#[derive(Debug, Clone)]
pub struct Options {
    pub(crate) mode: u32,
    pub(crate) size: u64,
    pub(crate) grow_step: u64,
    pub(crate) grow_ceiling: u64,
    pub(crate) hard_limit: u64,
    pub(crate) asymmetric_locks: bool,
    pub(crate) huge_pages: bool,
    pub(crate) window: Option<u64>,
    pub(crate) second_mapping: bool,
    pub(crate) verify: bool,
    pub(crate) without_nameless: bool,
    pub(crate) seed: Option<u64>,
}

impl Default for Options {
    fn default() -> Options {
        Options::new()
    }
}

impl Options {
    /// 1 MiB, mode 0600, growing by 1 to 16 MiB without limit.
    pub fn new() -> Options {
        Options {
            mode: 0o600,
            size: 1 << 20,
            grow_step: 1 << 20,
            grow_ceiling: 16 << 20,
            hard_limit: 0,
            asymmetric_locks: false,
            huge_pages: false,
            window: None,
            second_mapping: false,
            verify: false,
            without_nameless: false,
            seed: None,
        }
    }

    /// Exact mode bits of a new pool's file, whatever the umask.
    pub fn mode(mut self, bits: u32) -> Options {
        self.mode = bits & 0o777;
        self
    }

    /// Bytes of a new pool; at least what its tables need.
    pub fn size(mut self, bytes: u64) -> Options {
        self.size = bytes;
        self
    }

    /// Least and most bytes by which a pool grows at a time; in between, a 32nd part of its length.
    pub fn growth(mut self, least: u64, most: u64) -> Options {
        self.grow_step = least.max(PAGE).next_multiple_of(PAGE);
        self.grow_ceiling = most.max(self.grow_step).next_multiple_of(PAGE);
        self
    }

    /// A length that a new pool may never pass.
    pub fn hard_limit(mut self, bytes: u64) -> Options {
        self.hard_limit = bytes.max(fresh::LEAST) / PAGE * PAGE;
        self
    }

    /// Whether read locks of a new pool are taken by plain stores, and writers pay for it by a system call (`docs/design.md`, "Asymmetric locks"). A
    /// process whose system refuses that call cannot open the pool.
    pub fn asymmetric_locks(mut self, yes: bool) -> Options {
        self.asymmetric_locks = yes;
        self
    }

    /// Whether this process asks for huge pages for its windows and for what it makes the pool grow by. Whatever the system refuses stays in
    /// small pages; [`Inner::collapse`](crate::Inner::collapse) tells.
    pub fn huge_pages(mut self, yes: bool) -> Options {
        self.huge_pages = yes;
        self
    }

    /// Address space that this process sets aside; default 64 GiB, or `AQUIFER_WINDOW`. A pool that outgrows it is mapped again, larger.
    pub fn window(mut self, bytes: u64) -> Options {
        self.window = Some(bytes);
        self
    }

    /// Checks every value on opening, as after an unclean end.
    pub fn verify(mut self, yes: bool) -> Options {
        self.verify = yes;
        self
    }

    /// Maps a pool that this process has open once more, at another address, as if by another process. For tests.
    #[doc(hidden)]
    pub fn second_mapping(mut self, yes: bool) -> Options {
        self.second_mapping = yes;
        self
    }

    /// Whether every value is to be checked on opening.
    pub fn wants_verify(&self) -> bool {
        self.verify
    }

    /// What is random in new pools is drawn from this number. For tests.
    #[doc(hidden)]
    pub fn seed(mut self, seed: u64) -> Options {
        self.seed = Some(seed);
        self
    }

    /// Makes new pools as on file systems that know no nameless files. For tests.
    #[doc(hidden)]
    pub fn without_nameless_files(mut self, yes: bool) -> Options {
        self.without_nameless = yes;
        self
    }

    /// Random words for a new pool.
    pub(crate) fn random(&self) -> [u64; 3] {
        match self.seed {
            Some(seed) => [1, 2, 3].map(|i| seed.wrapping_add(i).wrapping_mul(0x9e37_79b9_7f4a_7c15)),
            None => [crate::sys::random(), crate::sys::random(), crate::sys::random()],
        }
    }

    pub(crate) fn first_size(&self) -> u64 {
        self.size.max(fresh::LEAST).next_multiple_of(PAGE)
    }

    pub(crate) fn first_window(&self, length: u64) -> Result<u64> {
        let wanted = match (self.window, std::env::var("AQUIFER_WINDOW")) {
            (Some(bytes), _) => bytes,
            (None, Ok(text)) => parse_size(&text).ok_or_else(|| {
                Error::Unsupported(format!(
                    "AQUIFER_WINDOW={text}: not a number of bytes, nor with K, M, G or T"
                ))
            })?,
            (None, Err(_)) => WINDOW,
        };
        Ok(wanted.max(length).next_multiple_of(PAGE))
    }
}

/// Bytes from text such as `4096`, `2M` or `64G` (powers of 1024).
pub fn parse_size(text: &str) -> Option<u64> {
    let text = text.trim();
    let (digits, shift) = match text.chars().last()?.to_ascii_uppercase() {
        'K' => (&text[..text.len() - 1], 10),
        'M' => (&text[..text.len() - 1], 20),
        'G' => (&text[..text.len() - 1], 30),
        'T' => (&text[..text.len() - 1], 40),
        _ => (text, 0),
    };
    digits.trim().parse::<u64>().ok()?.checked_mul(1 << shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_and_without_a_letter() {
        assert_eq!(parse_size("4096"), Some(4096));
        assert_eq!(parse_size(" 2m "), Some(2 << 20));
        assert_eq!(parse_size("64G"), Some(64 << 30));
        assert_eq!(parse_size("G"), None);
        assert_eq!(parse_size(""), None);
        assert_eq!(parse_size("99999999999T"), None);
    }
}
