//! What the integration tests share: names that are cleaned up, children that are killed, memory shared with them, waiting for conditions.

#![allow(dead_code, unsafe_code, unreachable_pub, missing_docs, clippy::unwrap_used)]

pub mod child;
pub mod namespaces;
pub mod random;
pub mod scratch;
pub mod shared;

#[allow(unused_imports)]
pub use {child::*, namespaces::*, random::Random, scratch::Scratch, shared::Board};

use std::time::{Duration, Instant};

/// After so long without what is awaited, a test fails.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Waits for a condition; fails after a minute.
#[track_caller]
pub fn until(what: &str, condition: impl Fn() -> bool) {
    let begin = Instant::now();
    while !condition() {
        assert!(begin.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        std::thread::yield_now();
    }
}
