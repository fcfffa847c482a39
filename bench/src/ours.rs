//! Pools as the rows use them: shared memory, crash safety on.

use crate::Result;
use aquifer::{DefaultInPool, Named, Pool};

/// A pool of shared memory without a name, that grows in large steps: rows about growth make their own.
pub fn pool() -> Result<Pool> {
    Ok(Pool::options().growth(16 << 20, 64 << 20).memfd()?)
}

/// One that grows by as much each time.
pub fn pool_growing_by(bytes: u64) -> Result<Pool> {
    Ok(Pool::options().growth(bytes, bytes).memfd()?)
}

/// The same with locks that cost readers least.
pub fn asymmetric_pool() -> Result<Pool> {
    Ok(Pool::options().growth(16 << 20, 64 << 20).asymmetric_locks(true).memfd()?)
}

/// An object in a pool of its own.
pub fn object<T: DefaultInPool>() -> Result<Named<T>> {
    Ok(pool()?.named("object")?)
}
