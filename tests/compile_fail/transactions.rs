//! What belongs to a transaction and would leave it: a rollback would make two owners of it.
use aquifer::{Pool, ShMap, ShRwLock, ShString, ShVec};

type Lists = ShRwLock<ShMap<ShString, ShVec<u64>>>;

fn place_leaves(pool: &Pool, lists: &Lists) {
    let mut out = None;
    pool.transaction(|tx| {
        out = Some(tx.write(lists)?);
        Ok(())
    })
    .unwrap();
}

fn place_of_one_lock_leaves(lists: &Lists) {
    let mut out = None;
    lists
        .transaction(|lists| {
            out = lists.get_mut("a");
            Ok(())
        })
        .unwrap();
}

fn taken_leaves(lists: &Lists) {
    let mut out = None;
    lists
        .transaction(|lists| {
            out = lists.remove("a");
            Ok(())
        })
        .unwrap();
}

fn taken_is_the_result(lists: &Lists) {
    let _ = lists.transaction(|lists| Ok(lists.remove("a")));
}

fn main() {}
