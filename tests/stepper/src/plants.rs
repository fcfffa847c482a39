//! What the library tells in builds with `--cfg aquifer_plant`: planted faults, and the commit stores that were made.

use crate::trace::Traced;
use aquifer_pool::plant;

/// Whether this build has planted faults and marked commit stores.
pub const COMPILED: bool = cfg!(aquifer_plant);

/// Switches a planted fault on, for this process and those it starts.
pub fn switch_on(name: &str) -> Result<(), String> {
    if !COMPILED {
        return Err("this build has no planted faults: build with RUSTFLAGS=\"--cfg aquifer_plant\"".into());
    }
    if !plant::FAULTS.contains(&name) {
        return Err(format!("no fault `{name}`; there are {}", plant::FAULTS.join(", ")));
    }
    // SAFETY: this program has one thread yet.
    unsafe { std::env::set_var("AQUIFER_PLANT", name) };
    Ok(())
}

/// Bit i: commit store i was made since [`forget_reached`].
pub fn reached() -> u64 {
    plant::reached().load(std::sync::atomic::Ordering::Relaxed)
}

pub fn forget_reached() {
    plant::reached().store(0, std::sync::atomic::Ordering::Relaxed);
}

/// The same for a stopped child.
pub fn reached_by(child: &Traced) -> u64 {
    child.peek(plant::reached().as_ptr())
}

/// What is to be said of the commit stores.
pub fn describe(reached: u64) -> String {
    let (made, missing): (Vec<_>, Vec<_>) =
        plant::COMMIT_STORES.iter().enumerate().partition(|(i, _)| reached >> i & 1 != 0);
    let missing: Vec<&str> = missing.into_iter().map(|(_, name)| *name).collect();
    format!(
        "commit stores reached: {} of {}; not reached: {}",
        made.len(),
        made.len() + missing.len(),
        missing.join(", ")
    )
}
