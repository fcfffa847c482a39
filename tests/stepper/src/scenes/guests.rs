//! Locks within what an open log has moved, made or lent, taken while it is open: what is done under them goes to that log.

use super::*;
use aquifer::{DefaultInPool, Relocatable, ShMap, ShString, ShVec};

/// Its plain data, on loan, keeps the log open.
#[derive(Relocatable, DefaultInPool)]
#[repr(C)]
pub struct Shelf {
    plain: [u64; 2],
    list: ShVec<Numbers>,
    map: ShMap<u64, Numbers>,
}

/// Nothing keeps the log open but what is taken out.
#[derive(Relocatable, DefaultInPool)]
#[repr(C)]
pub struct Bag {
    pub(super) list: ShVec<Numbers>,
    names: ShVec<ShString>,
}

fn lists<'a>(locks: impl Iterator<Item = &'a Numbers>) -> Result<Vec<Vec<u64>>, Error> {
    locks.map(|l| Ok(l.lock()?.to_vec())).collect()
}

impl Object for ShMutex<Shelf> {
    const NAME: &'static str = "shelf";
    fn show(&self) -> Result<String, Error> {
        let guard = self.lock()?;
        let keys: std::collections::BTreeSet<u64> = guard.map.keys().copied().collect();
        let map = lists(keys.iter().map(|k| &guard.map[k]))?;
        Ok(format!("{:?} {:?} {keys:?} {map:?}", guard.plain, lists(guard.list.iter())?))
    }
}

impl Object for ShMutex<Bag> {
    const NAME: &'static str = "bag";
    fn show(&self) -> Result<String, Error> {
        let guard = self.lock()?;
        Ok(format!("{:?} {}", lists(guard.list.iter())?, guard.names.len()))
    }
}

fn with_shelf(pool: &Pool) -> Result<(), Error> {
    sit(pool)?;
    let shelf = pool.named::<ShMutex<Shelf>>("shelf")?;
    let mut guard = shelf.lock()?;
    guard.list_mut().extend([1, 2, 3].map(|i| ShMutex::new([i, i])))?;
    guard.list_mut().shrink_to_fit()?;
    guard.map_mut().extend([1, 2, 3].map(|k| (k, ShMutex::new([k]))))
}

pub(super) fn with_bag(pool: &Pool) -> Result<(), Error> {
    sit(pool)?;
    let bag = pool.named::<ShMutex<Bag>>("bag")?;
    let mut guard = bag.lock()?;
    guard.list_mut().extend([1, 2, 3].map(|i| ShMutex::new([i, i])))?;
    guard.list_mut().shrink_to_fit()?;
    guard.names_mut().push(LONG[0])
}

pub fn scenes() -> Vec<Scene> {
    vec![
        change!(quick "guest: in a vector that moved", with_shelf, ShMutex<Shelf>, 2, |g| {
            let ShelfFields { plain, list, .. } = g.fields_mut();
            plain[0] = 7;
            list.push(ShMutex::new([4]))?;
            list[0].lock()?.extend_from_slice(&[8; 20])?;
            list[3].lock()?.push(5)?;
            plain[1] = 8;
        }),
        change!(long "guest: behind an element that was inserted", with_shelf, ShMutex<Shelf>, 2, |g| {
            g.list_mut().reserve(1)?;
            let ShelfFields { plain, list, .. } = g.fields_mut();
            plain[0] = 7;
            list.insert(1, ShMutex::new([4]))?;
            list[1].lock()?.extend_from_slice(&[8; 20])?;
            list[2].lock()?.clear();
        }),
        change!(long "guest: in a map that grew", with_shelf, ShMutex<Shelf>, 2, |g| {
            let ShelfFields { plain, map, .. } = g.fields_mut();
            plain[0] = 7;
            map.insert(4, ShMutex::new([4]))?;
            map[&1].lock()?.extend_from_slice(&[8; 20])?;
            map[&4].lock()?.push(5)?;
        }),
        change!(quick "guest: of a lock that was lent before", with_shelf, ShMutex<Shelf>, 2, |g| {
            let list = g.list_mut();
            list[0].get_mut()?.extend_from_slice(&[8; 20])?;
            list[0].lock()?.extend_from_slice(&[9; 40])?;
        }),
        // Everything until the value is dropped; what is done after that, by itself.
        change!(quick "guest: while a value is taken out, and after", with_bag, ShMutex<Bag>, 3, |g| {
            let BagFields { list, names } = g.fields_mut();
            let taken = names.pop();
            list.push(ShMutex::new([4]))?;
            let mut first = list[0].lock()?;
            first.extend_from_slice(&[8; 20])?;
            drop(taken);
            first.extend_from_slice(&[9; 40])?;
        }),
        act!(long "guest: killed before the end of the loan", with_shelf, show::<ShMutex<Shelf>>, 1, |stage| {
            let pool = stage.join()?;
            let shelf = the::<ShMutex<Shelf>>(&pool)?;
        } => {
            let mut g = shelf.lock()?;
            let ShelfFields { plain, list, .. } = g.fields_mut();
            plain[0] = 7;
            list.push(ShMutex::new([4]))?;
            let mut first = list[0].lock()?;
            first.extend_from_slice(&[8; 20])?;
            std::mem::forget(first);
            std::mem::forget(g);
        }),
        act!(long "transaction: a lock made in it is taken", with_shelf, show::<ShMutex<Shelf>>, 2, |stage| {
            let pool = stage.join()?;
            let shelf = the::<ShMutex<Shelf>>(&pool)?;
        } => shelf.transaction(|s| {
            s.list_mut().push(ShMutex::new([4]))?;
            s.list[3].lock()?.extend_from_slice(&[8; 20])
        })),
    ]
}
