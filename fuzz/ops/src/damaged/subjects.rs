//! The objects of the images: how they are made, read and changed.

use aquifer::{
    Error, Key, NONE, Named, Plain, Pool, Relocatable, Report, Result, ShBox, ShMap, ShMutex, ShRwLock,
    ShSet, ShString, ShVec, from_iter,
};
use std::time::Duration;

pub type Stock = ShRwLock<ShMap<ShString, ShVec<u64>>>;
pub type Nested = ShMutex<ShVec<ShBox<ShString>>>;
pub type Numbers = ShRwLock<ShSet<u64>>;
pub type Shards = ShVec<ShMutex<ShMap<Place, Option<ShString>>>>;
pub type Items = ShRwLock<ShVec<Item>>;
pub type Tree = ShMutex<Branch>;

/// A plain key of several parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Plain, Key)]
#[repr(C)]
pub struct Place {
    pub row: u32,
    pub column: (i16, bool),
    pub kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Plain, Key)]
#[repr(u8)]
pub enum Kind {
    Low = 3,
    High = 200,
}

#[derive(Debug, Relocatable)]
#[repr(C)]
pub struct Item {
    pub name: ShString,
    pub letter: char,
    pub since: Duration,
    pub known: bool,
    pub parts: [ShString; 2],
    pub state: State,
    pub seen: Option<u32>,
}

#[derive(Debug, Relocatable)]
#[repr(C, u8)]
pub enum State {
    New,
    Sold { to: ShString, at: u64 },
}

#[derive(Debug, Relocatable)]
#[repr(C)]
pub struct Branch {
    pub name: ShString,
    pub branches: ShVec<Branch>,
}

const LONG: &str = "a text that is too long to stand in its value";

fn place(i: u32) -> Place {
    Place {
        row: i,
        column: (i as i16 - 3, i % 2 == 0),
        kind: if i % 3 == 0 { Kind::Low } else { Kind::High },
    }
}

/// Makes all objects.
pub fn make_all(pool: &Pool) -> Result<()> {
    let stock = pool.named::<Stock>("stock")?;
    for i in 0..20u64 {
        stock.write()?.insert(format!("{}{i}", &LONG[..i as usize * 2]), from_iter(0..i))?;
    }
    let nested = pool.named::<Nested>("nested")?;
    (0..5).try_for_each(|i| nested.lock()?.push(ShBox::new(if i % 2 == 0 { LONG } else { "short" })))?;
    let numbers = pool.named::<Numbers>("numbers")?;
    (0..100).try_for_each(|i| numbers.write()?.insert(i * i).map(drop))?;
    (0..50).for_each(|i| drop(numbers.write().map(|mut n| n.remove(&(i * i)))));
    let shards =
        pool.named_with::<Shards, _>("shards", || from_iter((0..3).map(|_| ShMutex::new(ShMap::new()))))?;
    for i in 0..12 {
        let mut shard = shards[i as usize % 3].lock()?;
        if i % 4 == 0 {
            shard.insert(place(i), NONE)?
        } else {
            shard.insert(place(i), Some(LONG))?
        };
    }
    let items = pool.named::<Items>("items")?;
    for i in 0..6u64 {
        let mut items = items.write()?;
        let (name, seen) = (format!("item {i}"), (i > 3).then_some(i as u32));
        let (letter, since) = (char::from_u32(0x1F600 + i as u32).unwrap_or('x'), Duration::new(i, 5));
        let parts = ["one", LONG];
        let new = state_new::New;
        let known = i % 2 == 0;
        items.push(ItemNew { name, letter, since, known, parts, state: new, seen })?;
        let at = items.len() - 1;
        if i % 2 == 1 {
            items[at].set_state(state_new::Sold { to: LONG, at: i })?;
        }
    }
    let tree = pool
        .named_with::<Tree, _>("tree", || ShMutex::new(BranchNew { name: LONG, branches: ShVec::new() }))?;
    let mut root = tree.lock()?;
    for _ in 0..3 {
        root.branches_mut().push(BranchNew { name: LONG, branches: ShVec::new() })?;
        root.branches_mut()[0].branches_mut().push(BranchNew { name: "leaf", branches: ShVec::new() })?;
    }
    Ok(())
}

/// Reads all of those objects in which nothing was found to be wrong.
pub fn read_all(pool: &Pool, report: &Report) {
    if !report.has_passed("(directory)") {
        return;
    }
    read(pool, report, "stock", |stock: &Stock| {
        let stock = stock.read()?;
        let all =
            stock.iter().fold(0, |all, (k, v)| v.iter().fold(all ^ k.chars().count() as u64, |a, b| a ^ b));
        let found = stock.keys().filter(|k| stock.contains_key(k.as_str())).count();
        assert_eq!(found, stock.len(), "a key is not found ({all})");
        Ok(())
    });
    read(pool, report, "nested", |nested: &Nested| {
        nested.lock()?.iter().for_each(|s| assert!(s.chars().count() <= s.len()));
        Ok(())
    });
    read(pool, report, "numbers", |numbers: &Numbers| {
        let numbers = numbers.read()?;
        assert!(numbers.iter().all(|n| numbers.contains(n)), "a number is not found");
        Ok(())
    });
    read(pool, report, "shards", |shards: &Shards| {
        for shard in shards.iter() {
            let shard = shard.lock()?;
            let found = shard.iter().filter(|(k, _)| shard.contains_key(*k)).count();
            assert_eq!(found, shard.len(), "a key is not found");
            let _ = format!("{:?}", shard.values().collect::<Vec<_>>());
        }
        Ok(())
    });
    read(pool, report, "items", |items: &Items| {
        Ok(drop(format!("{:?}", items.read()?.iter().collect::<Vec<_>>())))
    });
    read(pool, report, "tree", |tree: &Tree| Ok(drop(format!("{:?}", **tree.lock()?))));
}

fn read<T: Relocatable>(pool: &Pool, report: &Report, name: &str, f: impl FnOnce(&T) -> Result<()>) {
    if !report.has_passed(name) {
        return;
    }
    if let Ok(Some(object)) = pool.look_up::<T>(name) {
        let _ = f(&object);
    }
}

/// Changes all objects of a pool that is sound.
pub fn change_all(pool: &Pool) -> Result<()> {
    fn found<T: Relocatable>(pool: &Pool, name: &str) -> Result<Named<T>> {
        pool.look_up(name)?.ok_or_else(|| Error::NoSuchObject(name.into()))
    }
    let stock: Named<Stock> = found(pool, "stock")?;
    stock.write()?.insert(LONG, [1, 2, 3])?;
    stock.write()?.clear();
    found::<Nested>(pool, "nested")?.lock()?.push(ShBox::new(LONG))?;
    let numbers: Named<Numbers> = found(pool, "numbers")?;
    (0..200).try_for_each(|i| numbers.write()?.insert(i).map(drop))?;
    found::<Shards>(pool, "shards")?.iter().try_for_each(|s| Ok::<_, Error>(s.lock()?.clear()))?;
    let items: Named<Items> = found(pool, "items")?;
    let mut items = items.write()?;
    // Damage that leaves a sound pool may have emptied it.
    if !items.is_empty() {
        drop(items.remove(0));
    }
    drop(items);
    pool.remove("tree")?;
    pool.named::<ShMutex<u64>>("new")?;
    Ok(())
}
