//! All system calls of the crate.

pub mod clock;
pub(crate) mod file;
pub mod futex;
pub(crate) mod liveness;
pub(crate) mod map;
pub(crate) mod membarrier;
pub(crate) mod ofd;

/// Lets another thread run.
pub(crate) fn yield_now() {
    std::thread::yield_now();
}

/// The calling thread's id, for messages.
#[cfg(not(miri))]
pub(crate) fn thread_id() -> u32 {
    rustix::thread::gettid().as_raw_nonzero().get() as u32
}

/// Miri has no thread ids.
#[cfg(miri)]
pub(crate) fn thread_id() -> u32 {
    1
}

/// Eight random bytes.
pub(crate) fn random() -> u64 {
    #[cfg(not(miri))]
    {
        let mut bytes = [0u8; 8];
        if rustix::rand::getrandom(&mut bytes[..], rustix::rand::GetRandomFlags::empty()) == Ok(8) {
            return u64::from_ne_bytes(bytes);
        }
    }
    // Without getrandom: the standard library's hash keys are random too.
    use std::hash::{BuildHasher, Hasher};
    std::collections::hash_map::RandomState::new().build_hasher().finish()
}
