//! Typed locks, named objects and collections in an aquifer pool.

pub mod cx;
pub mod emplace;
pub mod place;
pub mod relocatable;
pub mod schema;
pub mod taken;

pub use aquifer_pool::{Error, Result};
