//! Nobody forgets a method: each that changes a collection has a scene of its name, such as `vec: push with room` for `ShVec::push`.
#![cfg(target_arch = "x86_64")]
#![allow(clippy::unwrap_used)] // a failure of what surrounds a test is a failure of the test

use std::path::Path;
use std::process::Command;

/// Files of the collections, and how the names of their scenes begin.
const FILES: &[(&str, &str)] = &[
    ("vec", "vec"),
    ("string", "string"),
    ("map", "map"),
    ("set", "set"),
    ("boxed", "box"),
    ("entry", "entry"),
    ("option", "option"),
    ("place", "string"),
];

/// What changes nothing by itself.
const ONLY_LENT: &[(&str, &str)] = &[("map", "entry"), ("place", "ptr")];

fn scenes() -> Vec<String> {
    let out = Command::new(env!("CARGO_BIN_EXE_aquifer-stepper")).arg("list").output().unwrap();
    String::from_utf8(out.stdout).unwrap().lines().map(String::from).collect()
}

/// Public methods that take `&mut self` or `self`.
fn changing(source: &str) -> Vec<&str> {
    let methods = source.split("pub fn ").skip(1).filter(|m| {
        let takes = m.split_once('(').map_or("", |(_, rest)| rest.trim_start());
        ["&mut self", "self", "mut self"].iter().any(|s| takes.starts_with(s))
    });
    methods.map(|m| m.split(['(', '<']).next().unwrap()).collect()
}

#[test]
fn each_method_that_changes_a_collection_has_a_scene() {
    let scenes = scenes();
    let shows = |scene: &str, prefix: &str, method: &str| {
        let rest = scene.strip_prefix(prefix).and_then(|r| r.strip_prefix(": ")?.strip_prefix(method));
        rest.is_some_and(|r| !r.starts_with(|c: char| c.is_alphanumeric() || c == '_'))
    };
    let mut found = 0;
    let mut missing = Vec::new();
    for (file, prefix) in FILES {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../collections/src/{file}.rs"));
        let source = std::fs::read_to_string(path).unwrap();
        for method in changing(&source).into_iter().filter(|m| !ONLY_LENT.contains(&(file, m))) {
            found += 1;
            if !scenes.iter().any(|s| shows(s, prefix, method)) {
                missing.push(format!("{prefix}: {method}"));
            }
        }
    }
    assert!(missing.is_empty(), "tests/stepper/src/scenes has no scene named {missing:?}");
    assert!(found > 60, "only {found} methods were found: are they declared otherwise now?");
}
