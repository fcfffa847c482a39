//! Replays the inputs of the fuzz targets, which need a nightly compiler to be found, but none to be run.

use aquifer_fuzz_ops::TARGETS;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// Generated inputs of each target.
const GENERATED: u64 = 200;
/// Bytes of a generated input at most.
const LONGEST: u64 = 600;

/// xorshift64*: the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    fn bytes(&mut self) -> Vec<u8> {
        (0..self.next() % LONGEST).map(|_| self.next() as u8).collect()
    }
}

fn replay(target: fn(&[u8]), from: &str, input: &[u8]) {
    if catch_unwind(AssertUnwindSafe(|| target(input))).is_err() {
        panic!("{from} fails: {input:?}");
    }
}

#[test]
fn every_input_of_the_corpus_runs_as_its_model() {
    for (name, target) in TARGETS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
        let mut files: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|e| e.unwrap().path()).collect();
        files.sort();
        assert!(!files.is_empty(), "{} is empty", folder.display());
        for file in files {
            replay(target, &file.display().to_string(), &std::fs::read(&file).unwrap());
        }
    }
}

#[test]
fn generated_inputs_run_as_their_models() {
    for (name, target) in TARGETS {
        let mut random = Random(0x5eed);
        for i in 0..GENERATED {
            replay(target, &format!("input {i} of {name}"), &random.bytes());
        }
    }
}
