//! Fields that other threads may not touch.
use aquifer::Relocatable;

#[derive(Relocatable)]
#[repr(C)]
struct AnRc {
    bad: std::rc::Rc<u64>,
}

#[derive(Relocatable)]
#[repr(C)]
struct APointer {
    bad: *const u8,
}

#[derive(Relocatable)]
#[repr(C)]
struct ACell {
    bad: std::cell::Cell<u64>,
}

fn main() {}
