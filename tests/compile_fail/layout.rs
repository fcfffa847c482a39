//! Types whose layout is the compiler's choice.
use aquifer::{DefaultInPool, Key, Plain, Relocatable};

#[derive(Relocatable)]
struct Free {
    a: u8,
    b: u64,
}

#[derive(Plain, Clone, Copy)]
enum Choice {
    A,
    B,
}

#[derive(Relocatable)]
#[repr(C)]
enum Untold {
    A,
    B(u64),
}

#[derive(Relocatable)]
#[repr(C, packed)]
struct Packed {
    a: u8,
    b: u64,
}

#[derive(Plain, Clone, Copy)]
#[repr(C)]
union Either {
    a: u8,
    b: u64,
}

#[derive(Relocatable)]
#[repr(u8)]
enum Never {}

#[derive(Plain, DefaultInPool, Clone, Copy)]
#[repr(u8)]
enum NoDefault {
    A,
}

#[derive(Key)]
#[aquifer(hash = "fast")]
#[repr(C)]
struct Unknown(u64);

fn main() {}
