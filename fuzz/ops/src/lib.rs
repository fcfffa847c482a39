//! Operations that the fuzz targets apply to aquifer and to a model side by side, and whose inputs `tests/fuzz_replay.rs` replays.
//!
//! An input is bytes: the first chooses a [`setup::Setup`], the rest are operations. Each target's `run` panics where the two sides differ.

pub mod damaged;
pub mod heap;
pub mod map;
pub mod set;
pub mod setup;
pub mod vec;
pub mod world;

/// A target: its name (of its folder under `fuzz/corpus`, too), and what one input is given to.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: [Target; 5] =
    [("heap", heap::run), ("vec", vec::run), ("map", map::run), ("set", set::run), ("damaged", damaged::run)];
