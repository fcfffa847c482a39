//! A type with a destructor, which nobody would run.
use aquifer::{Relocatable, ShString};

#[derive(Relocatable)]
#[repr(C)]
struct Logged {
    name: ShString,
}

impl Drop for Logged {
    fn drop(&mut self) {}
}

fn main() {}
