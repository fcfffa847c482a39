//! Fields that hold an address or need `Drop`.
use aquifer::{Plain, Relocatable};

#[derive(Relocatable)]
#[repr(C)]
struct ABox {
    good: u64,
    bad: Box<u64>,
}

#[derive(Relocatable)]
#[repr(C)]
struct AString {
    bad: String,
}

#[derive(Relocatable)]
#[repr(C)]
struct ASlice {
    bad: &'static str,
}

#[derive(Relocatable)]
#[repr(C, u8)]
enum AFunction {
    Bad(fn()),
}

#[derive(Plain, Clone, Copy)]
#[repr(C)]
struct AnInstant {
    bad: std::time::Instant,
}

fn main() {}
