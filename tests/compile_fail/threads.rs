//! Guards, places and taken values on another thread: seat and log belong to the first.
use aquifer::{Place, ShMap, ShMutex, ShRwLock, ShString, ShVec};

type Lists = ShRwLock<ShMap<ShString, ShVec<u64>>>;

fn write_guard(lists: &'static Lists) {
    let guard = lists.write().unwrap();
    std::thread::spawn(move || drop(guard));
}

fn read_guard(lists: &'static Lists) {
    let guard = lists.read().unwrap();
    std::thread::spawn(move || drop(guard));
}

fn mutex_guard(number: &'static ShMutex<u64>) {
    let guard = number.lock().unwrap();
    std::thread::spawn(move || drop(guard));
}

fn place(list: &mut Place<ShVec<u64>>) {
    std::thread::scope(|s| {
        s.spawn(move || list.clear());
    });
}

fn taken(list: &mut Place<ShVec<ShString>>) {
    let last = list.pop().unwrap();
    std::thread::scope(|s| {
        s.spawn(move || drop(last));
    });
}

fn main() {}
