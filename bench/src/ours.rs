//! Pools as the rows use them: shared memory, crash safety on.

use crate::Result;
use aquifer::{DefaultInPool, Named, Pool};

/// A pool of shared memory without a name, that grows in large steps: rows about growth make their own.
pub fn pool() -> Result<Pool> {
    Ok(Pool::options().growth(16 << 20, 64 << 20).memfd()?)
}

/// An object in a pool of its own.
pub fn object<T: DefaultInPool>() -> Result<Named<T>> {
    Ok(pool()?.named("object")?)
}
