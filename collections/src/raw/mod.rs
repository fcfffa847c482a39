//! The unsafe core of the containers: memory, tables and the order of stores. The public faces beside it contain no `unsafe`.
//!
//! | module | what it is about |
//! |---|---|
//! | `ptr` | from a container to its pool, and from an offset to an address |
//! | `bytes` | comparing short texts |
//! | `mem` | blocks, old bytes, removal: the steps that all containers share |
//! | `types` | what the collections are to the rest of the crate, and what they are built from |
//! | `vec` (an operation or two to a file), `boxed`, `string` | containers with one block |
//! | `group`, `table`, `map`, `map_build` | the hash table: sixteen slots at once, the probe, the operations (a file each), making a whole one |
#![allow(unsafe_code)]

pub(crate) mod boxed;
pub(crate) mod bytes;
pub(crate) mod group;
pub(crate) mod map;
pub(crate) mod map_build;
pub(crate) mod mem;
pub(crate) mod ptr;
pub(crate) mod string;
pub(crate) mod table;
mod types;
pub(crate) mod vec;
