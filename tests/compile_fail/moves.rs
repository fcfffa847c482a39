//! Moving what lives in a pool: one block would have two owners, or none.
use aquifer::{Place, Relocatable, ShMap, ShMutex, ShString, ShVec};

#[derive(Relocatable)]
#[repr(C)]
struct Session {
    name: ShString,
    events: ShVec<u64>,
}

type Lists = ShMutex<ShMap<ShString, ShVec<u64>>>;

fn swap_the_targets_of_guards(a: &Lists, b: &Lists) {
    let (mut a, mut b) = (a.lock().unwrap(), b.lock().unwrap());
    std::mem::swap(&mut *a, &mut *b);
}

fn swap_elements(lists: &mut Place<ShVec<ShVec<u64>>>) {
    let mut all = lists.iter_mut();
    std::mem::swap(all.next().unwrap(), all.next().unwrap());
}

fn swap_fields(a: &mut SessionMut, b: &mut SessionMut) {
    std::mem::swap(a.name_mut(), b.name_mut());
}

fn swap_structs(a: &mut SessionMut, b: &mut SessionMut) {
    std::mem::swap(a, b);
}

fn take_a_field(session: &mut SessionMut) {
    let _ = std::mem::take(session.events_mut());
}

fn replace_a_struct(a: &mut SessionMut, b: &mut SessionMut) {
    let _ = std::mem::replace(a, *b);
}

fn move_out_of_a_place(session: &mut SessionMut) {
    let events = *session.events_mut();
}

fn assign_a_field(a: &mut SessionMut, b: &mut SessionMut) {
    *a.events_mut() = *b.events_mut();
}

fn main() {}
