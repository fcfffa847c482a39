//! Typed locks, named objects and collections in an aquifer pool.
//!
//! The crate `aquifer` is the face of all this, with a guide; use that one.
//!
//! | module | what it is about |
//! |---|---|
//! | [`pool`], [`named`], [`info`] | opening pools, finding objects in them by name |
//! | [`lock`], [`guard`], [`transaction`] | locks that survive their owners, and all-or-nothing over several |
//! | [`vec`](mod@vec), [`string`], [`map`], [`set`], [`boxed`], [`option`] | the collections |
//! | [`relocatable`], [`place`], [`taken`], [`key`] | what may live in a pool, and how it is changed, removed and found |
//! | [`schema`], [`pool_schemas`] | what every byte means, in the pool too |
//! | [`check`](mod@check), [`report`], [`discard`] | walking values without knowing their types |
//! | [`handle`] | memory by hand |

#[doc(hidden)]
#[path = "derive_support.rs"]
pub mod __private;
pub mod atomic;
pub mod boxed;
pub mod check;
#[cfg(all(test, not(miri)))] // memfds, and many rounds
mod containers_tests;
pub mod cx;
mod directory;
pub mod discard;
pub mod emplace;
pub mod entry;
pub mod guard;
pub mod handle;
pub mod hash;
mod hold;
pub mod info;
pub mod iter;
pub mod key;
pub mod lock;
mod lock_words;
pub mod map;
pub(crate) mod memory_view;
mod moving;
pub mod named;
pub mod net;
pub mod option;
pub mod place;
pub mod plain;
pub mod pool;
pub mod pool_schemas;
mod raw;
pub mod relocatable;
mod repair;
pub mod report;
pub mod schema;
pub mod set;
pub mod string;
pub mod taken;
pub mod transaction;
pub mod tuple;
pub mod upper;
pub mod vec;
#[cfg(all(test, not(miri)))] // takes too long there
mod walk_tests;

pub use aquifer_derive::{DefaultInPool, Key, Plain, Relocatable};
pub use aquifer_pool::lock::Recovered;
pub use aquifer_pool::options::parse_size;
pub use aquifer_pool::{BackingKind, Holder, HugePages, Info};
pub use aquifer_pool::{Error, Result};
pub use boxed::ShBox;
pub use guard::{MappedWriteGuard, MutexGuard, ReadGuard, WriteGuard};
pub use handle::{Handle, Shared};
pub use hash::ShHash;
pub use hold::NotSend_GuardBelongsToItsThread;
pub use info::Stats;
pub use iter::{New, from_iter};
pub use key::{Key, KeySource};
pub use lock::{ShMutex, ShRwLock};
pub use map::ShMap;
pub use named::{Named, NamedInfo};
pub use option::{NONE, Nothing};
pub use place::Place;
pub use pool::{Location, Pool, PoolOptions};
pub use relocatable::{DefaultInPool, Emplace, Plain, Relocatable};
pub use report::{Repair, Report};
pub use set::ShSet;
pub use string::ShString;
pub use taken::Taken;
pub use transaction::Tx;
pub use vec::ShVec;
