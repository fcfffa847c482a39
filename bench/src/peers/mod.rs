//! What others offer, called directly.

pub mod allocators;
pub mod boost;
pub mod hash;
pub mod lmdb;
pub mod mapping;
pub mod pages;
pub mod pthread;
pub mod redis;
