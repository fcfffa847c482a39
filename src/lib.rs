//! stub
pub use aquifer_collections::*;
