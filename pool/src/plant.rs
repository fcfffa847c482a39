//! Planted faults, which the stepper must find. They are there only in builds with `--cfg aquifer_plant`, which only its own test makes.

/// Whether the fault of that name is switched on (environment variable `AQUIFER_PLANT`).
#[cfg(aquifer_plant)]
pub fn planted(name: &str) -> bool {
    static NAME: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    NAME.get_or_init(|| std::env::var("AQUIFER_PLANT").unwrap_or_default()) == name
}

/// There are no faults in ordinary builds.
#[cfg(not(aquifer_plant))]
#[inline(always)]
pub const fn planted(_: &str) -> bool {
    false
}
