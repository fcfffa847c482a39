//! `Plain` for what is not.
use aquifer::{Plain, ShString};

#[derive(Plain)]
#[repr(C)]
struct Owner {
    text: ShString,
}

#[derive(Plain)]
#[repr(C)]
struct NotCopy {
    number: u64,
}

fn main() {}
