//! Thousands of damaged pools, each opened, checked, repaired and read: errors and true reports, never a crash or a hang.

#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use aquifer_fuzz_ops::damaged::{Outcome, outcome};
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use support::Random;

/// Inputs of the fuzz target that are made up here.
const INPUTS: u64 = 2500;

#[test]
fn damaged_pools_are_refused_or_reported_and_never_crash_or_hang() {
    let mut random = Random::from_environment(3);
    let mut outcomes: HashMap<Outcome, u64> = HashMap::new();
    for i in 0..INPUTS {
        // One to four pieces of damage.
        let input: Vec<u8> = (0..5 + random.below(24)).map(|_| random.next() as u8).collect();
        match catch_unwind(AssertUnwindSafe(|| outcome(&input))) {
            Ok(outcome) => *outcomes.entry(outcome).or_default() += 1,
            Err(_) => panic!("input {i} crashes: {input:?}"),
        }
    }
    println!("{outcomes:?}");
    // The damage reaches all three, else this test says nothing.
    for outcome in [Outcome::Refused, Outcome::Found, Outcome::Clean] {
        assert!(outcomes.get(&outcome).is_some_and(|n| *n > INPUTS / 50), "{outcomes:?}");
    }
}
