//! Full barriers on other processors, by which writers of asymmetric locks make up for what readers leave out.
//!
//! The kernel interrupts every processor that runs a process which has registered; one that has not would not be reached. A
//! registration lasts until `exec`, and a child of a fork has it too.

use rustix::thread::{MembarrierCommand, membarrier};

/// A full barrier on every processor that runs a registered process; false when the system refuses.
pub(crate) fn everywhere() -> bool {
    membarrier(MembarrierCommand::GlobalExpedited).is_ok()
}
