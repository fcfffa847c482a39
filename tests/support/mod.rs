//! What the integration tests share: names that are cleaned up, children that are killed, memory shared with them, waiting for conditions.

#![allow(dead_code, unsafe_code, unreachable_pub, missing_docs, clippy::unwrap_used)]

pub mod child;
pub mod namespaces;
pub mod random;
pub mod scratch;
pub mod shared;

#[allow(unused_imports)]
pub use {child::*, namespaces::*, random::Random, scratch::Scratch, shared::Board};

use aquifer::Pool;
use std::time::{Duration, Instant};

/// After so long without what is awaited, a test fails.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A pool that begins small, and so grows and moves.
pub fn small_pool() -> Pool {
    Pool::options().growth(64 << 10, 1 << 20).memfd().unwrap()
}

/// Fails, with the report, if a check of the pool finds anything.
#[track_caller]
pub fn assert_clean(pool: &Pool) {
    let report = pool.check().unwrap();
    assert!(report.is_clean(), "{report}");
}

/// Waits for a condition; fails after a minute.
#[track_caller]
pub fn until(what: &str, condition: impl Fn() -> bool) {
    let begin = Instant::now();
    while !condition() {
        assert!(begin.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        std::thread::yield_now();
    }
}
