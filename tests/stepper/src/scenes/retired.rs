//! Locks that are moved while a guard of them was forgotten, by the same thread or by another process.

use super::guests::{Bag, BagFields, with_bag};
use super::*;
use std::path::Path;

/// Lends a part of what the first lock guards, which a block was made for and another freed, and forgets the guard.
fn lend_and_forget(bag: &ShMutex<Bag>) -> Result<(), Error> {
    let guard = bag.lock()?;
    let mut first = guard.list[0].lock()?;
    first.as_mut_slice()?[0] = 77;
    first.extend_from_slice(&[8; 20])?;
    first.as_mut_slice()?[1] = 78;
    std::mem::forget(first);
    Ok(())
}

fn with_both(pool: &Pool) -> Result<(), Error> {
    with_numbers(pool)?;
    with_bag(pool)
}

fn move_all(bag: &ShMutex<Bag>) -> Result<(), Error> {
    bag.lock()?.list_mut().push(ShMutex::new([4]))
}

impl Other {
    /// It has forgotten that guard, and lives.
    fn forgetful(path: &Path) -> Result<Other, Error> {
        Other::sitting(path, |pool| {
            let bag = the::<ShMutex<Bag>>(pool)?;
            lend_and_forget(&bag)
        })
    }
}

pub fn scenes() -> Vec<Scene> {
    vec![
        // Undone, if killed before its lock is moved; final by itself when it is; then what is done further.
        change!(quick "forgotten guard: its lock is moved", with_bag, ShMutex<Bag>, 4, |g| {
            let BagFields { list, .. } = g.fields_mut();
            let mut first = list[0].lock()?;
            first.as_mut_slice()?[0] = 77;
            std::mem::forget(first);
            list.push(ShMutex::new([4]))?;
            list[0].lock()?.push(5)?;
        }),
        change!(long "forgotten guard: its lock is removed", with_bag, ShMutex<Bag>, 4, |g| {
            let BagFields { list, .. } = g.fields_mut();
            let mut last = list[2].lock()?;
            last.as_mut_slice()?[0] = 77;
            last.extend_from_slice(&[8; 20])?;
            std::mem::forget(last);
            drop(list.pop());
        }),
        act!(quick "forgotten guard of another: its lock is moved", with_bag, show::<ShMutex<Bag>>, 4, |stage| {
            let pool = stage.join()?;
            let bag = the::<ShMutex<Bag>>(&pool)?;
            let _other = Other::forgetful(&stage.path)?;
        } => {
            move_all(&bag)?;
            bag.lock()?.list[0].lock()?.push(5)?;
        }),
        act!(long "forgotten guard of the dead, whose lock was moved", with_both, show::<ShMutex<Bag>>, 1, |stage| {
            let pool = stage.join()?;
            let bag = the::<ShMutex<Bag>>(&pool)?;
            let other = Other::sitting(&stage.path, |pool| {
                let bag = the::<ShMutex<Bag>>(pool)?;
                lend_and_forget(&bag)?;
                std::mem::forget(the::<Numbers>(pool)?.lock()?);
                Ok(())
            })?;
            move_all(&bag)?;
            other.die()?;
            let numbers = the::<Numbers>(&pool)?;
        } => numbers.lock().map(drop)),
    ]
}
