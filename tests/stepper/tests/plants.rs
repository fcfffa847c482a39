//! The stepper can fail: with each planted fault switched on, it must report something broken. And it steps over every commit store.
#![cfg(target_arch = "x86_64")]
#![allow(clippy::unwrap_used)] // a failure of what surrounds a test is a failure of the test

use aquifer_pool::plant::{COMMIT_STORES, FAULTS};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The stepper with faults and marks, built in a folder of its own: ordinary builds must not be mixed with faulty ones.
fn planted() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or(root().join("target"), Into::into);
        let target = target.join("planted");
        let mut cargo = Command::new(env!("CARGO"));
        cargo.current_dir(root()).env("RUSTFLAGS", "--cfg aquifer_plant");
        cargo.args(["build", "--release", "-p", "aquifer-stepper", "--target-dir"]).arg(&target);
        assert!(cargo.status().unwrap().success());
        target.join("release/aquifer-stepper")
    })
}

fn run(program: &Path, arguments: &[&str]) -> (bool, String) {
    let out = Command::new(program).args(arguments).output().unwrap();
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    let errors = String::from_utf8_lossy(&out.stderr);
    assert!(text.contains("\ntotal"), "the stepper did not run to its end:\n{text}\n{errors}");
    (out.status.success(), text)
}

/// Which operation shows which fault.
const SHOWN_BY: &[(&str, &str)] = &[
    ("unlogged", "map: insert new"),
    ("log-after-store", "vec: push that grows"),
    ("commit-before-last-store", "vec: insert in the middle"),
    ("free-before-commit", "map of vecs: overwrite"),
    ("forgotten-mark", "read lock and unlock"),
    ("publish-before-initialise", "vec: push with room"),
    ("free-redone", "free: many blocks"),
];

#[test]
fn each_planted_fault_is_reported_and_without_one_all_is_well() {
    assert!(FAULTS.iter().all(|f| SHOWN_BY.iter().any(|(name, _)| name == f)), "a fault that nothing shows");
    for (plant, operation) in SHOWN_BY {
        let (fine, text) = run(planted(), &["one", "--quick", operation]);
        assert!(fine, "without a fault:\n{text}");
        let (fine, text) = run(planted(), &["one", "--quick", "--plant", plant, operation]);
        assert!(!fine, "{plant} was not found:\n{text}");
    }
}

#[test]
fn every_commit_store_is_stepped_over() {
    let (fine, text) = run(planted(), &["all", "--quick"]);
    assert!(fine, "{text}");
    let count = COMMIT_STORES.len();
    assert!(text.contains(&format!("commit stores reached: {count} of {count};")), "{text}");
}

#[test]
fn the_design_lists_the_commit_stores_that_the_code_marks() {
    let design = std::fs::read_to_string(root().join("docs/design.md")).unwrap();
    let section = design.split("\n## ").find(|s| s.starts_with("7. Commit stores")).unwrap();
    let rows = section.lines().filter_map(|l| l.strip_prefix("| `")?.split('`').next());
    let listed: Vec<&str> = rows.collect();
    assert_eq!(listed, COMMIT_STORES);
}

#[test]
fn a_build_with_debug_assertions_orders_its_stores_as_well() {
    let program = Path::new(env!("CARGO_BIN_EXE_aquifer-stepper"));
    let (fine, text) =
        run(program, &["one", "--quick", "vec: insert in", "map: insert new", "free: a block", "scalar: *"]);
    assert!(fine, "{text}");
}
