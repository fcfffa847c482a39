//! Locks, seats and process records.

use super::*;
use aquifer_pool::layout::{RECORDS_FIRST, SEATS_FIRST};
use aquifer_pool::protocol::WAIT;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

pub fn scenes() -> Vec<Scene> {
    let mut scenes = locks();
    scenes.extend(seats());
    scenes
}

fn locks() -> Vec<Scene> {
    vec![
        change!(quick "write lock and unlock", with_numbers, Numbers, 1, |_g| ()),
        act!(quick "read lock and unlock", with_stock, show::<Stock>, 1, |stage| {
            let pool = stage.join()?;
            let stock = the::<Stock>(&pool)?;
            drop(stock.write()?);
        } => drop(stock.read()?)),
        act!(long "read lock twice", with_stock, show::<Stock>, 1, |stage| {
            let pool = stage.join()?;
            let stock = the::<Stock>(&pool)?;
        } => {
            let (_a, _b) = (stock.read()?, stock.read()?);
        }),
        act!(long "write lock after a reader", with_stock, show::<Stock>, 1, |stage| {
            let pool = stage.join()?;
            let stock = the::<Stock>(&pool)?;
            Other::sitting(&stage.path, |pool| the::<Stock>(pool)?.read().map(drop))?.leave()?;
        } => stock.write().map(drop)),
        act!(long "write lock, held by another: in vain", with_numbers, show::<Numbers>, 1, |stage| {
            let pool = stage.join()?;
            let numbers = the::<Numbers>(&pool)?;
            let _other = Other::keeping(&stage.path)?;
        } => match numbers.lock_timeout(std::time::Duration::from_millis(1)) {
            Err(Error::Timeout(_)) => Ok(()),
            other => other.map(drop).and(Err(Error::abort("it was had"))),
        }),
        act!(long "write lock, held by another: waited for", with_numbers, show::<Numbers>, 1, |stage| {
            let pool = stage.join()?;
            let numbers = the::<Numbers>(&pool)?;
            let _other = Other::keeping_until_wanted(&stage.path)?;
        } => numbers.lock().map(drop)),
        act!(quick "write lock of a dead holder", with_names, show::<Names>, 1, |stage| {
            let pool = stage.join()?;
            let names = the::<Names>(&pool)?;
            Other::amid_a_transaction(&stage.path)?.die()?;
        } => names.lock().map(drop)),
        act!(long "read lock of a dead writer", with_stock, show::<Stock>, 1, |stage| {
            let pool = stage.join()?;
            let stock = the::<Stock>(&pool)?;
            Other::sitting(&stage.path, |pool| {
                std::mem::forget(the::<Stock>(pool)?.write()?);
                Ok(())
            })?
            .die()?;
        } => stock.read().map(drop)),
        act!(quick "write lock of a dead reader", with_stock, show::<Stock>, 1, |stage| {
            let pool = stage.join()?;
            let stock = the::<Stock>(&pool)?;
            Other::sitting(&stage.path, |pool| {
                std::mem::forget(the::<Stock>(pool)?.read()?);
                Ok(())
            })?
            .die()?;
        } => stock.write().map(drop)),
    ]
}

fn seats() -> Vec<Scene> {
    vec![
        act!(quick "join: open a pool and take a seat", with_numbers, show::<Numbers>, 1, |stage| {} => {
            let pool = crate::judge::open(&stage.path)?;
            let numbers = the::<Numbers>(&pool)?;
            drop(numbers.lock()?);
            std::mem::forget(numbers);
            std::mem::forget(pool);
        }),
        act!(long "join: a dead process is buried", with_the_dead, show::<Names>, 1, |stage| {} => {
            std::mem::forget(crate::judge::open(&stage.path)?);
        }),
        act!(long "leave: close a pool", with_numbers, show::<Numbers>, 1, |stage| {
            let pool = stage.join()?;
        } => drop(pool)),
        act!(long "leave: give a seat up", with_numbers, show::<Numbers>, 1, |stage| {
            let pool = stage.join()?;
        } => pool.give_up_seat()),
        act!(long "leave: with an object that was removed", with_names, objects, 1, |stage| {
            let pool = stage.join()?;
            let names = the::<Names>(&pool)?;
            pool.remove(Names::NAME)?;
        } => {
            drop(names);
            drop(pool);
        }),
        act!(long "seat: the last one, so that more are made", with_numbers, show::<Numbers>, 1, |stage| {
            let _others = (1..SEATS_FIRST).map(|_| Other::sitting(&stage.path, |_| Ok(()))).collect::<Result<Vec<_>, _>>()?;
            let pool = crate::judge::open(&stage.path)?;
        } => {
            let numbers = the::<Numbers>(&pool)?;
            drop(numbers.lock()?);
            std::mem::forget(numbers);
        }),
        act!(quick "record: the last one, so that more are made", with_numbers, show::<Numbers>, 1, |stage| {
            let _others = (1..RECORDS_FIRST).map(|_| Other::sitting(&stage.path, |_| Ok(()))).collect::<Result<Vec<_>, _>>()?;
        } => {
            std::mem::forget(crate::judge::open(&stage.path)?);
        }),
    ]
}

fn with_the_dead(pool: &Pool) -> Result<(), Error> {
    with_names(pool)?;
    let name = pool.info().name;
    Other::amid_a_transaction(Path::new(&name))?.die()
}

const HALF: &str = "half a name, that is too long to stand in place";

impl Other {
    /// It holds the lock of the numbers.
    fn keeping(path: &Path) -> Result<Other, Error> {
        Other::sitting(path, |pool| {
            std::mem::forget(the::<Numbers>(pool)?.lock()?);
            Ok(())
        })
    }

    /// It holds that lock until somebody waits for it.
    fn keeping_until_wanted(path: &Path) -> Result<Other, Error> {
        let other = Other::sitting(path, |pool| {
            let numbers = the::<Numbers>(pool)?;
            let guard = numbers.lock()?;
            stop();
            // SAFETY: a lock begins with its word, an atomic of 8 bytes.
            let word = unsafe { &*std::ptr::from_ref(&*numbers).cast::<AtomicU64>() };
            while word.load(Ordering::SeqCst) & WAIT == 0 {
                std::thread::yield_now();
            }
            drop(guard);
            Ok(())
        })?;
        other.go_on();
        Ok(other)
    }

    /// It is in the middle of a transaction.
    fn amid_a_transaction(path: &Path) -> Result<Other, Error> {
        Other::sitting(path, |pool| {
            the::<Names>(pool)?.transaction(|n| {
                n.push(HALF)?;
                drop(n.remove(1));
                stop(); // and is killed then
                Ok(())
            })
        })
    }
}
