//! The atomics of the lock protocol; its model replaces this module by a model checker's.
pub(crate) use std::sync::atomic::{AtomicU64, Ordering, compiler_fence};
