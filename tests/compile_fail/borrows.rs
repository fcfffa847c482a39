//! References, places and guards that would outlive what they belong to.
use aquifer::{Named, Place, Pool, ShMap, ShRwLock, ShString, ShVec};

type Lists = ShRwLock<ShMap<ShString, ShVec<u64>>>;

fn reference_past_its_guard(lists: &Lists) {
    let list;
    {
        let guard = lists.read().unwrap();
        list = guard.get("a");
    }
    let _ = list;
}

fn place_past_its_guard(lists: &Lists) {
    let list;
    {
        let mut guard = lists.write().unwrap();
        list = guard.get_mut("a");
    }
    let _ = list;
}

fn guard_dropped_while_borrowed(lists: &Lists) {
    let guard = lists.read().unwrap();
    let list = &guard["a"];
    drop(guard);
    let _ = list.len();
}

fn guard_past_its_object(pool: &Pool) {
    let guard;
    {
        let lists: Named<Lists> = pool.named("lists").unwrap();
        guard = lists.write().unwrap();
    }
    let _ = guard.len();
}

fn element_across_push(list: &mut Place<ShVec<u64>>) {
    let first = &list[0];
    list.push(1).unwrap();
    let _ = *first;
}

fn two_elements_at_once(list: &mut Place<ShVec<u64>>) {
    let (a, b) = (&mut list[0], &mut list[1]);
    *a += *b;
}

fn taken_while_its_list_changes(list: &mut Place<ShVec<ShString>>) {
    let last = list.pop().unwrap();
    list.push("x").unwrap();
    drop(last);
}

fn main() {}
