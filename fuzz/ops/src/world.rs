//! One collection in a pool and its model, through guards and through transactions.

use crate::setup::{Setup, log_chunks};
use aquifer::{DefaultInPool, Error, Named, Place, Pool, Relocatable, Result, ShRwLock};
use aquifer_alloc::{Stats, reclaim, stats};

/// Operations between two comparisons of all contents.
const COMPARED_EVERY: usize = 16;
/// Comparisons between two checks of the whole pool.
const CHECKED_EVERY: usize = 4;

/// A collection that an input is run on, and what it must equal.
pub trait Subject {
    /// The collection.
    type Ours: Relocatable<Access = Place<Self::Ours>> + DefaultInPool;
    /// Its model.
    type Model: Default + Clone;
    /// What is done to it.
    type Op;

    /// Does it to both, and compares what both return.
    fn apply(&self, ours: &mut Place<Self::Ours>, model: &mut Self::Model, op: &Self::Op, setup: Setup);
    /// Whether it returns an error when a transaction needs memory to undo it and there is none. Else it panics then.
    fn is_fallible(op: &Self::Op) -> bool;
    /// Compares all contents.
    fn compare(&self, ours: &Self::Ours, model: &Self::Model);
}

/// Runs the operations in a new pool, and removes everything in the end.
pub fn run<S: Subject>(subject: &S, setup: Setup, ops: &[S::Op]) {
    let pool = setup.pool();
    let lock: Named<ShRwLock<S::Ours>> = pool.named("subject").expect("the name is free");
    let start = settled(&pool);
    let mut model = S::Model::default();
    let (before, inside) = ops.split_at(if setup.is_in_transaction() { ops.len() / 2 } else { ops.len() });
    for (i, some) in before.chunks(COMPARED_EVERY).enumerate() {
        {
            let mut guard = lock.write().expect("nobody else has it");
            some.iter().for_each(|op| subject.apply(&mut guard, &mut model, op, setup));
        }
        subject.compare(&lock.read().expect("nobody else has it"), &model);
        if i % CHECKED_EVERY == CHECKED_EVERY - 1 {
            check(&pool);
        }
    }
    if setup.is_in_transaction() {
        model = transact(subject, setup, &lock, model, inside);
        subject.compare(&lock.read().expect("nobody else has it"), &model);
    }
    check(&pool);
    remove_all(subject, &pool, &lock, start);
}

/// Runs the operations in a transaction; returns what the collection must equal after it.
fn transact<S: Subject>(
    subject: &S,
    setup: Setup,
    lock: &ShRwLock<S::Ours>,
    before: S::Model,
    ops: &[S::Op],
) -> S::Model {
    let mut model = before.clone();
    let ended = lock.transaction(|ours| {
        for some in ops.chunks(COMPARED_EVERY) {
            let some = some.iter().filter(|op| !setup.tight || S::is_fallible(op));
            some.for_each(|op| subject.apply(ours, &mut model, op, setup));
            subject.compare(ours, &model);
        }
        if setup.rolled_back { Err(Error::abort("the end of the input")) } else { Ok(()) }
    });
    match ended {
        Ok(()) => model,
        Err(Error::Aborted(_)) if setup.rolled_back => before,
        Err(e) => panic!("the transaction failed: {e}"),
    }
}

fn remove_all<S: Subject>(subject: &S, pool: &Pool, lock: &ShRwLock<S::Ours>, start: Left) {
    lock.write()
        .expect("nobody else has it")
        .set(S::Ours::empty())
        .expect("an empty collection takes no memory");
    subject.compare(&lock.read().expect("nobody else has it"), &S::Model::default());
    check(pool);
    let end = settled(pool);
    assert_eq!(end, start, "memory is left");
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Left {
    /// Blocks but those that the logs keep.
    blocks: u64,
    pages_of_slabs: u64,
}

fn settled(pool: &Pool) -> Left {
    reclaim(pool.raw().seat().expect("this thread's")).expect("a sound heap");
    let Stats { blocks, pages_slab, .. } = stats(pool.raw()).expect("a sound heap");
    Left { blocks: blocks - log_chunks(pool.raw()).len() as u64, pages_of_slabs: pages_slab }
}

fn check(pool: &Pool) {
    let report = pool.check().expect("a check");
    assert!(report.is_clean(), "{report}");
    aquifer_alloc::check_index(pool.raw()).expect("an index that says what the descriptors say");
}

/// What a fallible operation returned, or `None` if there was no memory for it in a pool where that may be.
pub fn done<R>(result: Result<R>, setup: Setup) -> Option<R> {
    match result {
        Ok(r) => Some(r),
        Err(Error::HardLimit { .. } | Error::OutOfMemory(_)) if setup.tight => None,
        Err(e) => panic!("failed: {e}"),
    }
}
