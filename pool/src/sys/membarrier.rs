//! Full barriers on other processors, by which a thread that does rarely makes up for what others, who do often, leave out.
//!
//! The kernel interrupts every processor that runs a process which has registered; one that has not would not be reached. A
//! registration lasts until `exec`, and a child of a fork has it too.

#[cfg(not(miri))]
use rustix::thread::{MembarrierCommand, membarrier};

/// Has this process take part in [`everywhere`]; false when the system (before Linux 4.16, or a sandbox) refuses. Repeatable.
#[cfg(not(miri))]
pub(crate) fn register() -> bool {
    membarrier(MembarrierCommand::RegisterGlobalExpedited).is_ok()
}

/// A full barrier on every processor that runs a registered process; false when the system refuses.
#[cfg(not(miri))]
pub(crate) fn everywhere() -> bool {
    membarrier(MembarrierCommand::GlobalExpedited).is_ok()
}

/// Miri knows no such call.
#[cfg(miri)]
pub(crate) fn register() -> bool {
    false
}

/// See `register`.
#[cfg(miri)]
pub(crate) fn everywhere() -> bool {
    false
}
