//! A clock that all processes of the machine share, and that goes on while it sleeps.

use std::time::Duration;

/// Nanoseconds since the machine was started; never 0.
#[cfg(not(miri))]
pub fn now() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    (now.tv_sec as u64).wrapping_mul(1_000_000_000).wrapping_add(now.tv_nsec as u64).max(1)
}

/// Miri has no such clock.
#[cfg(miri)]
pub fn now() -> u64 {
    1
}

/// The time since `then`, a result of [`now`]; nothing for what lies in the future, such as another machine's.
pub fn since(then: u64) -> Duration {
    Duration::from_nanos(now().saturating_sub(then))
}
