//! What only the stepper's own build has (`--cfg aquifer_plant`): planted faults, which it must find, and marks at the commit stores, which
//! it must have stepped over.

use std::sync::atomic::AtomicU64;

/// The planted faults, by the names that `AQUIFER_PLANT` takes.
pub const FAULTS: &[&str] = &[
    "unlogged",
    "log-after-store",
    "commit-before-last-store",
    "free-before-commit",
    "forgotten-mark",
    "publish-before-initialise",
    "free-redone",
];

/// The commit stores, as `docs/design.md` lists them in section 7.
pub const COMMIT_STORES: &[&str] = &[
    "log-cut",
    "log-committed",
    "log-carried-out",
    "freed-by-name",
    "log-chunk",
    "length",
    "bit-by-hand",
    "scalar",
    "page-state",
    "run-kept",
    "run-taken-again",
    "slab-owner",
    "free-of-other",
    "pool-length",
    "territory",
    "chunk",
    "directory",
    "seat-taken",
    "seat-given-up",
    "record-joined",
    "record-buried",
    "read-mark",
    "lock-taken",
    "lock-given-back",
    "lock-buried",
    "pool-name",
    "pool-name-removed",
];

static REACHED: AtomicU64 = AtomicU64::new(0);

/// Bit i: commit store i was made in this process.
pub fn reached() -> &'static AtomicU64 {
    &REACHED
}

/// Stands beside a commit store: notes that it was made.
#[inline(always)]
pub fn commit_store(name: &'static str) {
    if cfg!(aquifer_plant) {
        note(name);
    }
}

#[cold]
fn note(name: &str) {
    match COMMIT_STORES.iter().position(|n| *n == name) {
        Some(i) => REACHED.fetch_or(1 << i, std::sync::atomic::Ordering::Relaxed),
        None => panic!("`{name}` is not in the list of commit stores"),
    };
}

/// Whether the fault of that name is switched on (environment variable `AQUIFER_PLANT`).
#[cfg(aquifer_plant)]
pub fn planted(name: &str) -> bool {
    static NAME: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    debug_assert!(FAULTS.contains(&name));
    NAME.get_or_init(|| std::env::var("AQUIFER_PLANT").unwrap_or_default()) == name
}

/// There are no faults in ordinary builds.
#[cfg(not(aquifer_plant))]
#[inline(always)]
pub const fn planted(_: &str) -> bool {
    false
}
