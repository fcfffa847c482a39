//! Maps of 1,000 to 50 million entries.

use super::{Curve, Extent, Order, PATIENCE, Series, decades};
use crate::keys::{keys, queries, splitmix};
use crate::measure::{timed, tried};
use crate::ours;
use crate::peers::boost::Segment;
use crate::peers::hash::SameHash;
use crate::peers::lmdb::{self, Lmdb};
use crate::row::Missing;
use crate::rows::map::{self, ask};
use crate::scratch::Scratch;
use crate::{Result, machine};
use std::time::Instant;

/// Nanoseconds of an insertion into a growing map, and of a look-up among `n` entries.
type Measured = (f64, f64);

/// Insertions of a point, over as many maps as it takes.
const LEAST_INSERTIONS: u64 = 1_000_000;
/// What Boost's segment of a fixed size would need beyond this is more than a machine should give.
const MOST_FOR_BOOST: u64 = 10_000_000;

pub fn curves(extent: Extent) -> Result<Vec<Curve>> {
    machine::pin(machine::Cores::get()?.first)?;
    let sizes = decades(1000, extent.entries);
    let like = Order::Like("hashbrown", 0.1);
    let lines = [
        line("aquifer", like, &sizes, ours_of)?,
        line("hashbrown", Order::Any, &sizes, hashbrown_of)?,
        line("Boost.Interprocess", Order::Any, &sizes, boost_of)?,
        line("LMDB, a transaction each", Order::Any, &sizes, lmdb_of)?,
    ];
    let (mut inserts, mut gets) = (Vec::new(), Vec::new());
    for (insert, get) in lines {
        inserts.push(insert);
        gets.push(get);
    }
    Ok(vec![
        Curve {
            file: "entries-get",
            title: "Look-ups in a map",
            x: "entries",
            y: "ns of a get",
            expected: "O(1), made slower by each cache that the table outgrows: as hashbrown",
            series: gets,
        },
        Curve {
            file: "entries-insert",
            title: "Insertions into a growing map",
            x: "entries",
            y: "ns of an insertion",
            expected: "O(1) on average, with the same caches: as hashbrown",
            series: inserts,
        },
    ])
}

/// Both lines of one side, as far as it gets in its time.
fn line(
    name: &'static str,
    order: Order,
    sizes: &[u64],
    measure: fn(u64) -> Result<Measured>,
) -> Result<(Series, Series)> {
    let (mut inserts, mut gets) = (Series::new(name, order), Series::new(name, order));
    let start = Instant::now();
    for n in sizes {
        let before = start.elapsed();
        let (insert, get) = match measure(*n) {
            Ok(measured) => measured,
            Err(e) if e.is::<Missing>() => break,
            Err(e) => return Err(e),
        };
        inserts.points.push((*n as f64, insert));
        gets.points.push((*n as f64, get));
        // The next takes ten times as long as this one did.
        let peer = matches!(order, Order::Any) && name != "hashbrown";
        if peer && start.elapsed() + (start.elapsed() - before) * 10 > PATIENCE {
            break;
        }
    }
    Ok((inserts, gets))
}

/// Builds maps of `n` until there were enough insertions; nanoseconds of one, without the first map if there are several.
fn repeated(n: u64, mut build: impl FnMut() -> Result<f64>) -> Result<f64> {
    let rounds = (LEAST_INSERTIONS / n).max(1);
    let first = build()?;
    let mut rest = 0.0;
    for _ in 1..rounds {
        rest += build()?;
    }
    Ok(if rounds > 1 { rest / (rounds - 1) as f64 } else { first })
}

fn ours_of(n: u64) -> Result<Measured> {
    let map: map::Ours = ours::object()?;
    let insert = repeated(n, || {
        let mut guard = map.write()?;
        guard.clear();
        tried(n as usize, || (0..n).try_for_each(|i| guard.insert(splitmix(i), i).map(drop)))
    })?;
    let (questions, guard) = (queries(0..n), map.read()?);
    ask(&questions, |k| guard.get(&k).copied());
    Ok((insert, ask(&questions, |k| guard.get(&k).copied())))
}

fn hashbrown_of(n: u64) -> Result<Measured> {
    let mut map = map::Theirs::default();
    let insert = repeated(n, || {
        map = map::Theirs::with_hasher(SameHash::default());
        Ok(timed(n as usize, || {
            for i in 0..n {
                map.insert(splitmix(i), i);
            }
        }))
    })?;
    let questions = queries(0..n);
    ask(&questions, |k| map.get(&k).copied());
    Ok((insert, ask(&questions, |k| map.get(&k).copied())))
}

fn boost_of(n: u64) -> Result<Measured> {
    if n > MOST_FOR_BOOST {
        return Err(Missing("too large for its segment".into()).into());
    }
    let segment = Segment::new((64 << 20) + n as usize * 300)?;
    let insert = repeated(n, || {
        segment.empty_map();
        tried(n as usize, || segment.insert(n, 0))
    })?;
    let questions = queries(0..n);
    segment.get(&questions);
    Ok((insert, timed(questions.len(), || segment.get(&questions))))
}

/// A transaction for each get, as for each put; few puts, which take long, and none of them grows the database.
fn lmdb_of(n: u64) -> Result<Measured> {
    const PUTS: u64 = 20_000;
    let folder = Scratch::folder("curve-lmdb")?;
    lmdb::fill(&folder.path(), n, 0)?;
    let lmdb = Lmdb::open(&folder.path())?;
    let insert = tried(PUTS as usize, || keys(n..n + PUTS).try_for_each(|k| lmdb.put(k, k)))?;
    let questions = queries(0..n);
    let some = &questions[..questions.len().min(200_000)];
    let get = tried(some.len(), || some.iter().try_for_each(|k| lmdb.get(*k).map(|_| ())))?;
    lmdb.close();
    Ok((insert, get))
}
