//! Boost.Interprocess: containers in a segment of shared memory of a fixed size.

/// Why rows beside it are missing.
#[cfg(not(boost))]
const WHY: &str =
    "Boost 1.81 or newer, or a C++ compiler, was not found when this was built: see bench/README.md";

#[cfg(not(boost))]
pub use absent::Segment;
#[cfg(boost)]
pub use present::Segment;

#[cfg(boost)]
mod present {
    use crate::Result;
    use std::ffi::{CStr, CString, c_char, c_void};

    unsafe extern "C" {
        fn bip_open(name: *const c_char, bytes: usize) -> *mut c_void;
        fn bip_close(bench: *mut c_void);
        fn bip_map_empty(bench: *mut c_void);
        fn bip_map_insert(bench: *mut c_void, n: u64, room: u64) -> bool;
        fn bip_map_get(bench: *mut c_void, keys: *const u64, count: usize) -> u64;
        fn bip_map_overwrite(bench: *mut c_void, keys: *const u64, count: usize) -> u64;
        fn bip_map_remove(bench: *mut c_void, n: u64) -> u64;
        fn bip_map_iterate(bench: *mut c_void) -> u64;
        fn bip_text_insert(bench: *mut c_void, block: *const u8, length: usize, count: usize) -> bool;
        fn bip_text_get(bench: *mut c_void, block: *const u8, length: usize, count: usize) -> u64;
        fn bip_vec_empty(bench: *mut c_void);
        fn bip_vec_push(bench: *mut c_void, n: u64, room: u64) -> bool;
        fn bip_pairs(bench: *mut c_void, size: usize, count: usize) -> bool;
        fn bip_names_make(bench: *mut c_void, from: u64, to: u64) -> bool;
        fn bip_names_find(bench: *mut c_void, name: *const c_char) -> u64;
        fn bip_churn(bench: *mut c_void, live: usize, steps: usize) -> bool;
    }

    /// A segment with a map of numbers, a map of texts and a vector in it. Removed when dropped.
    pub struct Segment(*mut c_void);

    fn whole(done: bool) -> Result<()> {
        if done { Ok(()) } else { Err("Boost.Interprocess failed".into()) }
    }

    impl Segment {
        pub fn new(bytes: usize) -> Result<Segment> {
            let name = CString::new(format!("aquifer-bench-{}-boost", std::process::id()))?;
            // SAFETY: a text that ends in 0.
            let bench = unsafe { bip_open(name.as_ptr(), bytes) };
            whole(!bench.is_null())?;
            Ok(Segment(bench))
        }

        pub fn empty_map(&self) {
            // SAFETY: an open segment, here and below; each function does what its name says to the containers in it.
            unsafe { bip_map_empty(self.0) };
        }

        pub fn insert(&self, n: u64, room: u64) -> Result<()> {
            // SAFETY: as above.
            whole(unsafe { bip_map_insert(self.0, n, room) })
        }

        pub fn get(&self, keys: &[u64]) -> u64 {
            // SAFETY: as above; so many keys are there.
            unsafe { bip_map_get(self.0, keys.as_ptr(), keys.len()) }
        }

        pub fn overwrite(&self, keys: &[u64]) -> u64 {
            // SAFETY: as above; so many keys are there.
            unsafe { bip_map_overwrite(self.0, keys.as_ptr(), keys.len()) }
        }

        pub fn remove(&self, n: u64) -> u64 {
            // SAFETY: as above.
            unsafe { bip_map_remove(self.0, n) }
        }

        pub fn iterate(&self) -> u64 {
            // SAFETY: as above.
            unsafe { bip_map_iterate(self.0) }
        }

        pub fn insert_texts(&self, block: &[u8], length: usize) -> Result<()> {
            // SAFETY: as above; so many texts of that length are there.
            whole(unsafe { bip_text_insert(self.0, block.as_ptr(), length, block.len() / length) })
        }

        pub fn get_texts(&self, block: &[u8], length: usize) -> u64 {
            // SAFETY: as above; so many texts of that length are there.
            unsafe { bip_text_get(self.0, block.as_ptr(), length, block.len() / length) }
        }

        pub fn empty_vec(&self) {
            // SAFETY: as above.
            unsafe { bip_vec_empty(self.0) };
        }

        pub fn push(&self, n: u64, room: u64) -> Result<()> {
            // SAFETY: as above.
            whole(unsafe { bip_vec_push(self.0, n, room) })
        }

        pub fn pairs(&self, size: usize, count: usize) -> Result<()> {
            // SAFETY: as above.
            whole(unsafe { bip_pairs(self.0, size, count) })
        }

        /// Makes the objects `object-<from>`, ..., each a number.
        pub fn make_names(&self, from: u64, to: u64) -> Result<()> {
            // SAFETY: as above.
            whole(unsafe { bip_names_make(self.0, from, to) })
        }

        pub fn find_name(&self, name: &CStr) -> u64 {
            // SAFETY: as above.
            unsafe { bip_names_find(self.0, name.as_ptr()) }
        }

        pub fn churn(&self, live: usize, steps: usize) -> Result<()> {
            // SAFETY: as above.
            whole(unsafe { bip_churn(self.0, live, steps) })
        }
    }

    impl Drop for Segment {
        fn drop(&mut self) {
            // SAFETY: opened by `new`, and closed once.
            unsafe { bip_close(self.0) };
        }
    }
}

#[cfg(not(boost))]
mod absent {
    use crate::Result;
    use crate::row::Missing;

    /// Cannot be made.
    pub enum Segment {}

    #[rustfmt::skip]
    impl Segment {
        pub fn new(_: usize) -> Result<Segment> { Err(Missing(super::WHY.into()).into()) }
        pub fn empty_map(&self) { match *self {} }
        pub fn insert(&self, _: u64, _: u64) -> Result<()> { match *self {} }
        pub fn get(&self, _: &[u64]) -> u64 { match *self {} }
        pub fn overwrite(&self, _: &[u64]) -> u64 { match *self {} }
        pub fn remove(&self, _: u64) -> u64 { match *self {} }
        pub fn iterate(&self) -> u64 { match *self {} }
        pub fn insert_texts(&self, _: &[u8], _: usize) -> Result<()> { match *self {} }
        pub fn get_texts(&self, _: &[u8], _: usize) -> u64 { match *self {} }
        pub fn empty_vec(&self) { match *self {} }
        pub fn push(&self, _: u64, _: u64) -> Result<()> { match *self {} }
        pub fn pairs(&self, _: usize, _: usize) -> Result<()> { match *self {} }
        pub fn make_names(&self, _: u64, _: u64) -> Result<()> { match *self {} }
        pub fn find_name(&self, _: &std::ffi::CStr) -> u64 { match *self {} }
        pub fn churn(&self, _: usize, _: usize) -> Result<()> { match *self {} }
    }
}
