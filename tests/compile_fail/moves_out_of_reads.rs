//! Moving values out through what reading gives.
use aquifer::{Relocatable, ShMap, ShRwLock, ShString, ShVec, Taken};

#[derive(Relocatable)]
#[repr(C)]
struct Session {
    hits: u64,
    events: ShVec<u64>,
}

fn out_of_a_read_guard(lists: &ShRwLock<ShMap<ShString, ShVec<u64>>>) -> ShVec<u64> {
    let guard = lists.read().unwrap();
    guard["a"]
}

fn out_of_a_taken(taken: Taken<'_, ShVec<u64>>) -> ShVec<u64> {
    *taken
}

fn out_of_a_field(session: &mut SessionMut) -> ShVec<u64> {
    session.events
}

fn assign_plain_data_past_the_log(session: &mut SessionMut) {
    session.hits = 4;
}

fn borrow_plain_data_past_the_log(session: &mut SessionMut) -> &mut u64 {
    &mut session.hits
}

fn main() {}
