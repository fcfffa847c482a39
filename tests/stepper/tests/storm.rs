//! A storm in small, in the build that the tests are made in.

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
