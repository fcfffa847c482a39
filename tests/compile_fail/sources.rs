//! Sources that do not fit.
use aquifer::{Place, Relocatable, ShMap, ShString, ShVec};

#[derive(Relocatable, PartialEq)]
#[repr(C)]
struct Name {
    text: ShString,
}

fn text_for_a_list(lists: &mut Place<ShMap<ShString, ShVec<u64>>>) {
    lists.insert("a", "b").unwrap();
}

fn number_of_another_type(list: &mut Place<ShVec<u64>>, number: u32) {
    list.push(number).unwrap();
}

fn key_without_hash(map: &mut Place<ShMap<Name, u64>>) {
    map.clear();
}

fn container_outside_of_a_pool() {
    let _: ShVec<u64> = ShVec::new();
}

fn entry_by_a_number(map: &mut Place<ShMap<ShString, u64>>) {
    let _ = map.entry(1);
}

fn main() {}
