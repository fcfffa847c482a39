//! Maps of `u64` to `u64` beside hashbrown with the same hash.

use super::bare::{Touch, bare_removals, bare_table};
use super::short;
use crate::keys::{keys, queries};
use crate::measure::{timed, tried};
use crate::ours;
use crate::peers::hash::SameHash;
use crate::row::{Row, Side, Target::*, Trial};
use crate::{Result, keys::splitmix};
use aquifer::{Named, Pool, ShMap, ShRwLock};
use hashbrown::HashMap;
use std::ops::Range;
use std::rc::Rc;

pub type Ours = Named<ShRwLock<ShMap<u64, u64>>>;
pub type Theirs = HashMap<u64, u64, SameHash>;

/// Look-ups of a repetition, for maps whose questions are fewer.
pub const LOOKUPS: usize = 1 << 20;

const GETS: &str = "hashbrown";
const MILLION: u64 = 1_000_000;

pub fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for n in [1000, 100_000, MILLION] {
        let name = |what| format!("get {what} {}", short(n));
        rows.push(Row::new("map", name("hit"), GETS, AtMost(1.05), move || gets(n, 0..n)));
        rows.push(Row::new("map", name("miss"), GETS, AtMost(1.05), move || gets(n, n..2 * n)));
    }
    for (n, most, most_asymmetric) in [(1000, 0.65, 0.3), (MILLION, 0.9, 0.8)] {
        let row = |how, most, asymmetric| {
            let name = format!("get with {how} lock each {}", short(n));
            Row::new("map", name, "parking_lot RwLock of it", AtMost(most), move || {
                locked_gets(n, asymmetric)
            })
        };
        rows.push(row("a read", most, false));
        rows.push(
            row("an asymmetric read", most_asymmetric, true).note("our writers pay for it by a system call"),
        );
    }
    rows.extend([
        Row::new("map", "insert 1M growing", "hashbrown", AtMost(1.25), || inserts(MILLION, 0)),
        Row::new("map", "insert 1M pre-sized", "hashbrown", AtMost(1.25), || inserts(MILLION, MILLION)),
        Row::new("map", "overwrite 1M", "hashbrown", AtMost(1.15), || overwrites(MILLION)),
        Row::new("map", "remove 1M", "hashbrown", AtMost(1.25), || removals(MILLION)),
        Row::new("map", "iterate 1M", "hashbrown", AtMost(1.05), || iterations(MILLION)),
        Row::new("map", "get hit 1M", "std HashMap", Shown, || {
            let map: std::collections::HashMap<u64, u64> = keys(0..MILLION).map(|k| (k, !k)).collect();
            beside(MILLION, move |k| map.get(&k).copied())
        })
        .note("std's hash, SipHash, is a stronger one"),
        Row::new("map", "get with a read lock each 1M", "dashmap", Shown, || {
            let map: dashmap::DashMap<u64, u64> = keys(0..MILLION).map(|k| (k, !k)).collect();
            Ok(beside_locked(ours_of(MILLION)?, MILLION, move |k| map.get(&k).map(|value| *value)))
        })
        .note("dashmap hashes by SipHash and locks one of its shards"),
        Row::new("map", "get with a read lock each 1M", "papaya", Shown, || {
            let map: papaya::HashMap<u64, u64> = keys(0..MILLION).map(|k| (k, !k)).collect();
            Ok(beside_locked(ours_of(MILLION)?, MILLION, move |k| map.pin().get(&k).copied()))
        })
        .note("papaya hashes by SipHash; readers take no lock but pin memory"),
    ]);
    rows
}

pub fn ours_of(n: u64) -> Result<Ours> {
    ours_in(&ours::pool()?, n)
}

fn ours_in(pool: &Pool, n: u64) -> Result<Ours> {
    let map: Ours = pool.named("object")?;
    let mut guard = map.write()?;
    guard.reserve(n as usize)?;
    guard.extend(keys(0..n).map(|k| (k, !k)))?;
    drop(guard);
    Ok(map)
}

pub fn theirs_of(n: u64) -> Theirs {
    let mut map = Theirs::with_capacity_and_hasher(n as usize, SameHash::default());
    map.extend(keys(0..n).map(|k| (k, !k)));
    map
}

/// Asks the questions, over and over until there are enough, and times each.
pub fn ask(questions: &[u64], mut get: impl FnMut(u64) -> Option<u64>) -> f64 {
    let rounds = LOOKUPS.div_ceil(questions.len());
    timed(rounds * questions.len(), || {
        let mut sum = 0u64;
        for _ in 0..rounds {
            for key in questions {
                sum = sum.wrapping_add(get(*key).unwrap_or(1));
            }
        }
        sum
    })
}

pub fn ours_under_one_guard(map: Ours, questions: Rc<[u64]>) -> Side {
    Box::new(move || {
        let map = map.read()?;
        Ok(ask(&questions, |k| map.get(&k).copied()))
    })
}

fn gets(n: u64, asked: Range<u64>) -> Result<Trial> {
    let questions = queries(asked.clone());
    let theirs = theirs_of(n);
    let (a, b) = (questions.clone(), questions);
    let ours = ours_under_one_guard(ours_of(n)?, a);
    let trial = Trial::new(ours, move || Ok(ask(&b, |k| theirs.get(&k).copied())));
    let touch = if asked.start == 0 { Touch::Get } else { Touch::Look };
    Ok(trial.limit(bare_table(n, asked, touch)))
}

fn ours_under_a_guard_each(map: Ours, questions: Rc<[u64]>) -> Side {
    Box::new(move || Ok(ask(&questions, |k| map.read().ok()?.get(&k).copied())))
}

fn locked_gets(n: u64, asymmetric: bool) -> Result<Trial> {
    let theirs = parking_lot::RwLock::new(theirs_of(n));
    let pool = if asymmetric { ours::asymmetric_pool()? } else { ours::pool()? };
    let trial = beside_locked(ours_in(&pool, n)?, n, move |k| theirs.read().get(&k).copied());
    Ok(trial.limit(bare_table(n, 0..n, if asymmetric { Touch::PlainlyMarkedGet } else { Touch::MarkedGet })))
}

fn beside(n: u64, mut get: impl FnMut(u64) -> Option<u64> + 'static) -> Result<Trial> {
    let questions = queries(0..n);
    let ours = ours_under_one_guard(ours_of(n)?, questions.clone());
    Ok(Trial::new(ours, move || Ok(ask(&questions, &mut get))))
}

fn beside_locked(ours: Ours, n: u64, mut get: impl FnMut(u64) -> Option<u64> + 'static) -> Trial {
    let questions = queries(0..n);
    let ours = ours_under_a_guard_each(ours, questions.clone());
    Trial::new(ours, move || Ok(ask(&questions, &mut get)))
}

/// Begins with an empty map; the memory of the last one is warm.
pub fn ours_inserting(n: u64, room: u64) -> Result<Side> {
    let map: Ours = ours::object()?;
    Ok(Box::new(move || {
        let mut map = map.write()?;
        map.clear();
        tried(n as usize, || {
            map.reserve(room as usize)?;
            (0..n).try_for_each(|i| map.insert(splitmix(i), i).map(drop))
        })
    }))
}

fn inserts(n: u64, room: u64) -> Result<Trial> {
    let theirs = move || {
        let mut map = Theirs::with_hasher(SameHash::default());
        let ns = timed(n as usize, || {
            map.reserve(room as usize);
            for i in 0..n {
                map.insert(splitmix(i), i);
            }
        });
        if map.len() as u64 != n { Err("keys were lost".into()) } else { Ok(ns) }
    };
    Ok(Trial::new(ours_inserting(n, room)?, theirs))
}

pub fn ours_overwriting(map: Ours, questions: Rc<[u64]>) -> Side {
    Box::new(move || {
        let mut map = map.write()?;
        Ok(ask(&questions, |k| map.insert(k, k).ok()?))
    })
}

fn overwrites(n: u64) -> Result<Trial> {
    let (mut theirs, questions) = (theirs_of(n), queries(0..n));
    let ours = ours_overwriting(ours_of(n)?, questions.clone());
    let trial = Trial::new(ours, move || Ok(ask(&questions, |k| theirs.insert(k, k))));
    Ok(trial.limit(bare_table(n, 0..n, Touch::Put)))
}

/// Removes every key, in the order in which they were put in; they are put back outside of the time.
pub fn ours_removing(map: Ours, n: u64) -> Side {
    Box::new(move || {
        let mut map = map.write()?;
        let ns = timed(n as usize, || keys(0..n).filter_map(|k| map.remove(&k)).fold(0, u64::wrapping_add));
        if !map.is_empty() {
            return Err("keys were left".into());
        }
        map.extend(keys(0..n).map(|k| (k, !k)))?;
        Ok(ns)
    })
}

fn removals(n: u64) -> Result<Trial> {
    let mut theirs = theirs_of(n);
    let trial = Trial::new(ours_removing(ours_of(n)?, n), move || {
        let ns =
            timed(n as usize, || keys(0..n).filter_map(|k| theirs.remove(&k)).fold(0, u64::wrapping_add));
        theirs.extend(keys(0..n).map(|k| (k, !k)));
        Ok(ns)
    });
    Ok(trial.limit(bare_removals(n)))
}

fn sum(entries: impl Iterator<Item = (u64, u64)>) -> u64 {
    entries.fold(0, |sum, (k, v)| sum.wrapping_add(k ^ v.rotate_left(7)))
}

pub fn ours_iterating(map: Ours, n: u64) -> Side {
    Box::new(move || {
        let map = map.read()?;
        Ok(timed(n as usize, || sum(map.iter().map(|(k, v)| (*k, *v)))))
    })
}

fn iterations(n: u64) -> Result<Trial> {
    let theirs = theirs_of(n);
    Ok(Trial::new(ours_iterating(ours_of(n)?, n), move || {
        Ok(timed(n as usize, || sum(theirs.iter().map(|(k, v)| (*k, *v)))))
    }))
}
