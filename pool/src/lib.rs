//! The pool under aquifer: backing files, windows, process records, seats, log and locks.
//!
//! | module | what it is about |
//! |---|---|
//! | [`layout`] | the shared structures, byte by byte |
//! | [`options`], [`open`] | making, opening, listing and removing pools |
//! | `backing`, `window`, [`granule`], [`huge`] | files, their growth, where they are mapped, and in what pages |
//! | [`process`], [`seat`], [`bury`] | who uses a pool, and what becomes of the dead |
//! | [`log`], [`shift`] | operations that happen whole or not at all |
//! | [`protocol`], [`lock`] | locks that survive their owners |
//! | [`quick`], `wiped` | what makes taking a free lock fast |
//! | [`hand`], [`tails`] | what a process remembers of the heap |
//! | [`upper`] | what this crate needs of the crates above it |
#![deny(unsafe_code)]

#[cfg(not(all(target_os = "linux", target_pointer_width = "64")))]
compile_error!(
    "aquifer needs 64-bit Linux: open-file-description locks, memfd, futexes and a large address space"
);

mod atomic;
#[allow(unsafe_code)]
mod backing;
#[allow(unsafe_code)]
pub mod bury;
mod draft;
mod error;
#[allow(unsafe_code)]
pub mod fork;
pub mod granule;
pub mod hand;
pub mod huge;
pub mod layout;
#[allow(unsafe_code)]
pub mod lock;
#[allow(unsafe_code)]
pub mod log;
mod name;
pub mod nobody;
#[allow(unsafe_code)]
pub mod open;
pub mod options;
#[doc(hidden)]
pub mod plant;
#[allow(unsafe_code)]
pub mod process;
pub mod protocol;
#[allow(unsafe_code)]
pub mod quick;
#[allow(unsafe_code)]
pub mod raw;
#[allow(unsafe_code)]
mod registry;
pub mod retire;
#[allow(unsafe_code)]
pub mod seat;
#[allow(unsafe_code)]
pub mod shift;
mod siblings;
#[allow(unsafe_code)]
pub(crate) mod sys;
#[allow(unsafe_code)]
pub mod tails;
pub mod upper;
#[allow(unsafe_code)]
mod window;
#[allow(unsafe_code)]
mod wiped;

pub use backing::Kind as BackingKind;
pub use error::{Error, Holder, Result};
pub use huge::HugePages;
pub use open::Info;
pub use options::Options;
pub use raw::{Inner, RawPool};
pub use sys::{clock, futex};
