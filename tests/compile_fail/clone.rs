//! Copies of what owns pool memory: they would own it, too.
use aquifer::{Relocatable, ShString};

#[derive(Relocatable, Clone)]
#[repr(C)]
struct User {
    name: ShString,
}

fn main() {}
