//! What others offer, called directly.

pub mod allocators;
pub mod hash;
pub mod pthread;
