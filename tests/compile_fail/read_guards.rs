//! Writing through what reading gives.
use aquifer::{Relocatable, ShMap, ShRwLock, ShString, ShVec};

#[derive(Relocatable)]
#[repr(C)]
struct Session {
    events: ShVec<u64>,
}

fn insert(lists: &ShRwLock<ShMap<ShString, ShVec<u64>>>) {
    lists.read().unwrap().insert("a", [1]).unwrap();
}

fn push_without_mut(session: &mut SessionMut) {
    session.events.push(1).unwrap();
}

fn as_mut(lists: &ShRwLock<ShMap<ShString, ShVec<u64>>>) {
    let guard = lists.read().unwrap();
    let _: &mut ShMap<ShString, ShVec<u64>> = std::ops::DerefMut::deref_mut(&mut { guard });
}

fn main() {}
