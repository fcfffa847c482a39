//! Typed locks, named objects and collections in an aquifer pool.

pub mod check;
pub mod cx;
pub mod discard;
pub mod emplace;
pub(crate) mod memory_view;
pub mod place;
pub mod pool_schemas;
pub mod relocatable;
pub mod report;
pub mod schema;
pub mod taken;
#[cfg(test)]
mod walk_tests;

pub use aquifer_pool::{Error, Result};
