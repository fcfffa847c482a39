//! Operations to be counted in instructions: each done as often as one asks, so that the difference of two counts is theirs alone.

use crate::keys::{Texts, keys};
use crate::ours;
use crate::peers::allocators::{Malloc, Mimalloc};
use crate::peers::hash::SameHash;
use crate::rows::heap::{OurChurn, TheirChurn};
use crate::rows::{map, strings};
use crate::{Result, keys::splitmix};
use aquifer::{Named, ShMutex, ShRwLock, ShVec};
use std::alloc::Layout;
use std::hint::black_box;

/// An operation, ours and theirs: each function does it that many times.
pub struct Operation {
    pub name: &'static str,
    pub beside: &'static str,
    ours: fn(u64) -> Result<()>,
    theirs: fn(u64) -> Result<()>,
}

/// Entries of the maps that are asked.
const N: u64 = 1000;

pub const OPERATIONS: &[Operation] = &[
    Operation {
        name: "map get, hit",
        beside: "hashbrown",
        ours: |n| our_gets(n, 0),
        theirs: |n| their_gets(n, 0),
    },
    Operation {
        name: "map get, miss",
        beside: "hashbrown",
        ours: |n| our_gets(n, N),
        theirs: |n| their_gets(n, N),
    },
    Operation {
        name: "map get with a read lock",
        beside: "parking_lot RwLock of hashbrown",
        ours: our_locked_gets,
        theirs: their_locked_gets,
    },
    Operation {
        name: "map insert, pre-sized",
        beside: "hashbrown",
        ours: our_inserts,
        theirs: their_inserts,
    },
    Operation { name: "map overwrite", beside: "hashbrown", ours: our_overwrites, theirs: their_overwrites },
    Operation {
        name: "map remove and insert",
        beside: "hashbrown",
        ours: our_replacements,
        theirs: their_replacements,
    },
    Operation {
        name: "map iterate, an entry",
        beside: "hashbrown",
        ours: our_entries,
        theirs: their_entries,
    },
    Operation { name: "map get, 16 byte text", beside: "hashbrown", ours: our_texts, theirs: their_texts },
    Operation { name: "vector push, reserved", beside: "Vec", ours: our_pushes, theirs: their_pushes },
    Operation { name: "vector index", beside: "Vec", ours: our_indexes, theirs: their_indexes },
    Operation { name: "allocate and free 64 B", beside: "mimalloc", ours: our_pairs, theirs: their_pairs },
    Operation { name: "mutex pair", beside: "parking_lot", ours: our_mutex, theirs: their_mutex },
    Operation { name: "read lock pair", beside: "parking_lot", ours: our_reads, theirs: their_reads },
    Operation { name: "write lock pair", beside: "parking_lot", ours: our_writes, theirs: their_writes },
    Operation { name: "step of a churn", beside: "mimalloc", ours: our_churn, theirs: their_churn },
];

/// Does operation `number` on one side.
pub fn run(number: usize, ours: bool, times: u64) -> Result<()> {
    let operation = OPERATIONS.get(number).ok_or("no such operation")?;
    if ours { (operation.ours)(times) } else { (operation.theirs)(times) }
}

fn our_gets(times: u64, first: u64) -> Result<()> {
    let map = map::ours_of(N)?;
    let guard = map.read()?;
    for i in 0..times {
        black_box(guard.get(&splitmix(first + i % N)));
    }
    Ok(())
}

fn their_gets(times: u64, first: u64) -> Result<()> {
    let map = map::theirs_of(N);
    for i in 0..times {
        black_box(map.get(&splitmix(first + i % N)));
    }
    Ok(())
}

fn our_locked_gets(times: u64) -> Result<()> {
    let map = map::ours_of(N)?;
    for i in 0..times {
        black_box(map.read()?.get(&splitmix(i % N)));
    }
    Ok(())
}

fn their_locked_gets(times: u64) -> Result<()> {
    let map = parking_lot::RwLock::new(map::theirs_of(N));
    for i in 0..times {
        black_box(map.read().get(&splitmix(i % N)));
    }
    Ok(())
}

fn our_inserts(times: u64) -> Result<()> {
    let map: map::Ours = ours::object()?;
    let mut guard = map.write()?;
    guard.reserve(ROOM)?;
    for i in 0..times {
        guard.insert(splitmix(i), i)?;
    }
    Ok(())
}

/// More than any count needs, and the same for each, so that making room is not counted.
const ROOM: usize = 1 << 17;

fn their_inserts(times: u64) -> Result<()> {
    let mut map = map::Theirs::with_capacity_and_hasher(ROOM, SameHash::default());
    for i in 0..times {
        map.insert(splitmix(i), i);
    }
    Ok(())
}

fn our_overwrites(times: u64) -> Result<()> {
    let map = map::ours_of(N)?;
    let mut guard = map.write()?;
    for i in 0..times {
        black_box(guard.insert(splitmix(i % N), i)?);
    }
    Ok(())
}

fn their_overwrites(times: u64) -> Result<()> {
    let mut map = map::theirs_of(N);
    for i in 0..times {
        black_box(map.insert(splitmix(i % N), i));
    }
    Ok(())
}

fn our_replacements(times: u64) -> Result<()> {
    let map = map::ours_of(N)?;
    let mut guard = map.write()?;
    for i in 0..times {
        black_box(guard.remove(&splitmix(i % N)));
        guard.insert(splitmix(i % N), i)?;
    }
    Ok(())
}

fn their_replacements(times: u64) -> Result<()> {
    let mut map = map::theirs_of(N);
    for i in 0..times {
        black_box(map.remove(&splitmix(i % N)));
        map.insert(splitmix(i % N), i);
    }
    Ok(())
}

fn our_entries(times: u64) -> Result<()> {
    let map = map::ours_of(N)?;
    let guard = map.read()?;
    for _ in 0..times / N {
        guard.iter().for_each(|entry| {
            black_box(entry);
        });
    }
    Ok(())
}

fn their_entries(times: u64) -> Result<()> {
    let map = map::theirs_of(N);
    for _ in 0..times / N {
        map.iter().for_each(|entry| {
            black_box(entry);
        });
    }
    Ok(())
}

fn our_texts(times: u64) -> Result<()> {
    let texts = Texts::all(N, 16);
    let map = strings::ours_of(&texts)?;
    let guard = map.read()?;
    for _ in 0..times / N {
        texts.iter().for_each(|text| {
            black_box(guard.get(text));
        });
    }
    Ok(())
}

fn their_texts(times: u64) -> Result<()> {
    let texts = Texts::all(N, 16);
    let map = strings::theirs_of(&texts);
    for _ in 0..times / N {
        texts.iter().for_each(|text| {
            black_box(map.get(text));
        });
    }
    Ok(())
}

fn our_pushes(times: u64) -> Result<()> {
    let vec: Named<ShRwLock<ShVec<u64>>> = ours::object()?;
    let mut guard = vec.write()?;
    guard.reserve(ROOM)?;
    for i in 0..times {
        guard.push(black_box(i))?;
    }
    Ok(())
}

fn their_pushes(times: u64) -> Result<()> {
    let mut vec = Vec::with_capacity(ROOM);
    for i in 0..times {
        vec.push(black_box(i));
    }
    black_box(vec);
    Ok(())
}

/// By an index, so that each is checked.
fn our_indexes(times: u64) -> Result<()> {
    let vec: Named<ShRwLock<ShVec<u64>>> = ours::object()?;
    vec.write()?.extend(keys(0..ROOM as u64))?;
    let guard = vec.read()?;
    for i in 0..black_box(times as usize) {
        black_box(guard[i]);
    }
    Ok(())
}

#[expect(clippy::needless_range_loop, reason = "indexing is what is counted")]
fn their_indexes(times: u64) -> Result<()> {
    let vec: Vec<u64> = black_box(keys(0..ROOM as u64).collect());
    for i in 0..black_box(times as usize) {
        black_box(vec[i]);
    }
    Ok(())
}

fn our_pairs(times: u64) -> Result<()> {
    let pool = ours::pool()?;
    for _ in 0..times {
        let block = pool.alloc(black_box(Layout::new::<[u64; 8]>()))?;
        // SAFETY: allocated just before, and nobody else has it.
        unsafe { pool.free(black_box(block))? };
    }
    Ok(())
}

fn our_churn(times: u64) -> Result<()> {
    OurChurn::new(ours::pool()?)?.run(times as usize)
}

fn their_churn(times: u64) -> Result<()> {
    TheirChurn::new(Mimalloc).run(times as usize);
    Ok(())
}

fn their_pairs(times: u64) -> Result<()> {
    for _ in 0..times {
        let block = Mimalloc.alloc(black_box(64));
        // SAFETY: allocated just before.
        unsafe { Mimalloc.free(black_box(block)) };
    }
    Ok(())
}

fn our_mutex(times: u64) -> Result<()> {
    let lock: Named<ShMutex<u64>> = ours::object()?;
    for _ in 0..times {
        *lock.lock()? += black_box(1);
    }
    Ok(())
}

fn their_mutex(times: u64) -> Result<()> {
    let lock = black_box(parking_lot::Mutex::new(0u64));
    for _ in 0..times {
        *lock.lock() += black_box(1);
    }
    Ok(())
}

fn our_reads(times: u64) -> Result<()> {
    let lock: Named<ShRwLock<u64>> = ours::object()?;
    for _ in 0..times {
        black_box(*lock.read()?);
    }
    Ok(())
}

fn their_reads(times: u64) -> Result<()> {
    let lock = black_box(parking_lot::RwLock::new(0u64));
    for _ in 0..times {
        black_box(*lock.read());
    }
    Ok(())
}

fn our_writes(times: u64) -> Result<()> {
    let lock: Named<ShRwLock<u64>> = ours::object()?;
    for _ in 0..times {
        *lock.write()? += black_box(1);
    }
    Ok(())
}

fn their_writes(times: u64) -> Result<()> {
    let lock = black_box(parking_lot::RwLock::new(0u64));
    for _ in 0..times {
        *lock.write() += black_box(1);
    }
    Ok(())
}
