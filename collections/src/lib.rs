//! Typed locks, named objects and collections in an aquifer pool.

pub mod cx;
pub mod emplace;
pub(crate) mod memory_view;
pub mod place;
pub mod pool_schemas;
pub mod relocatable;
pub mod schema;
pub mod taken;

pub use aquifer_pool::{Error, Result};
