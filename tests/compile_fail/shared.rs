//! Offsets without the pool they belong to.
use aquifer::Shared;

fn read(offset: Shared<u64>) -> u64 {
    *offset
}

fn make(value: &u64) -> Shared<u64> {
    value.into()
}

fn main() {}
