//! The stepper can fail: with each planted fault switched on, it must report something broken.
#![allow(clippy::unwrap_used)] // a failure of what surrounds a test is a failure of the test

use std::path::Path;
use std::process::Command;

fn cargo() -> Command {
    let mut cargo = Command::new(env!("CARGO"));
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    cargo.current_dir(&root);
    cargo.env("RUSTFLAGS", "--cfg aquifer_plant");
    cargo.arg("run").arg("--release").arg("-p").arg("aquifer-stepper");
    // A folder of its own: ordinary builds must not be mixed with faulty ones.
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or(root.join("target"), Into::into);
    cargo.arg("--target-dir").arg(target.join("planted"));
    cargo
}

fn stepper(arguments: &[&str]) -> (bool, String) {
    let out = cargo().arg("--").args(arguments).output().unwrap();
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(
        text.contains("total"),
        "the stepper did not run to its end:\n{text}\n{}",
        String::from_utf8_lossy(&out.stderr)
    );
    (out.status.success(), text)
}

#[test]
#[cfg(target_arch = "x86_64")]
fn each_planted_fault_is_reported_and_without_one_all_is_well() {
    let (fine, text) = stepper(&["one", "map: insert new", "map: remove"]);
    assert!(fine, "without a fault:\n{text}");
    for (plant, operation) in [
        ("unlogged", "map: insert new"),
        ("free-before-commit", "map of vecs: overwrite"),
        ("forgotten-mark", "read lock and unlock"),
    ] {
        let (fine, text) = stepper(&["one", "--plant", plant, operation]);
        assert!(!fine, "{plant} was not found:\n{text}");
    }
}
