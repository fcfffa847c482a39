//! A storm in small, in the build that the tests are made in; and it can fail: with a planted fault it must report something broken.

use std::path::Path;
use std::process::Command;

#[test]
fn kills_at_random_lose_nothing_leak_nothing_and_stop_nobody() {
    let seed = std::env::var("AQUIFER_SEED").unwrap_or_else(|_| "1".into());
    let out = Command::new(env!("CARGO_BIN_EXE_aquifer-stepper"))
        .args(["storm", "--processes", "6", "--seconds", "6", "--round", "3", "--seed", &seed])
        .output()
        .expect("the stepper was built with its tests");
    let said = String::from_utf8_lossy(&out.stdout);
    println!("{said}{}", String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success());
    for line in ["broken: 0", "leaked bytes: 0"] {
        assert!(said.lines().any(|l| l == line), "`{line}` is said");
    }
    assert!(!said.contains("kills: 0 "), "somebody was killed");
}

#[test]
fn faults_that_kills_at_random_can_meet_are_reported() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    // The folder that the other planted builds are in: ordinary builds must not be mixed with faulty ones.
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or(root.join("target"), Into::into);
    for plant in ["unlogged", "free-before-commit"] {
        let out = Command::new(env!("CARGO"))
            .current_dir(&root)
            .env("RUSTFLAGS", "--cfg aquifer_plant")
            .env("AQUIFER_PLANT", plant)
            .args(["run", "--release", "-p", "aquifer-stepper", "--target-dir"])
            .arg(target.join("planted"))
            .args(["--", "storm", "--seconds", "20", "--seed", "1"])
            .output()
            .expect("cargo runs");
        let said = String::from_utf8_lossy(&out.stdout);
        assert!(!out.status.success() && said.contains("broken: 1"), "{plant}:\n{said}");
    }
}
