//! Results that are overlooked.
#![deny(unused_must_use)]
use aquifer::{Place, ShMap, ShRwLock, ShString, ShVec};

fn forgotten_question_mark(lists: &mut Place<ShMap<ShString, ShVec<u64>>>) {
    lists.insert("a", [1]);
}

fn guard_dropped_at_once(lists: &ShRwLock<ShMap<ShString, ShVec<u64>>>) -> aquifer::Result<()> {
    lists.write()?;
    Ok(())
}

fn main() {}
