//! What growth costs who grows, and who reads meanwhile; and what opening costs.

use super::map::{self, Ours};
use crate::keys::queries;
use crate::machine::Cores;
use crate::measure::tried;
use crate::partner::{Partner, Turn, in_child};
use crate::peers::lmdb::{self, Lmdb};
use crate::peers::mapping::{Mapping, TempFile};
use crate::row::{Row, Target::*, Trial};
use crate::scratch::Scratch;
use crate::{Result, keys::keys};
use aquifer::Pool;
use std::alloc::Layout;
use std::cell::Cell;
use std::hint::black_box;
use std::time::Instant;

const MIB: usize = 1 << 20;
const GIB: u64 = 1 << 30;
const PAGE: usize = 4096;

pub fn rows() -> Vec<Row> {
    vec![
        Row::new("growth", "by 1 MiB, and its pages written", "ftruncate + mremap", AtMost(1.2), growths)
            .note("ours reserves the pages, so that a full file system is an error and not a signal; the limit does, too"),
        Row::new("growth", "p99.9 of a get meanwhile, to 1 GiB", "zeroing 1 GiB", AtMost(1.5), tails)
            .note("a get among 100k keys, by one process while the other grows the pool or zeroes private memory"),
        Row::new("open", "1 GiB and the first get", "LMDB", AtMost(1.0), openings)
            .note("another process has it open; the limit opens the file, maps it and reads a page"),
    ]
}

fn mib() -> Result<Layout> {
    Ok(Layout::from_size_align(MIB, PAGE)?)
}

const STEPS: usize = 64;

/// A new pool, file or mapping for each repetition, grown step by step.
fn growths() -> Result<Trial> {
    let layout = mib()?;
    let ours = move || {
        let pool = Pool::options().growth(MIB as u64, MIB as u64).memfd()?;
        pool.alloc(Layout::new::<u64>())?;
        tried(STEPS, || {
            for _ in 0..STEPS {
                let block = pool.alloc(layout)?;
                let at = pool.resolve_handle(block)?;
                (0..MIB).step_by(PAGE).for_each(|offset| {
                    // SAFETY: within a block of 1 MiB that nobody else has.
                    unsafe { at.add(offset).write(1) }
                });
            }
            Ok::<(), aquifer::Error>(())
        })
    };
    let by_mapping = |reserve: bool| {
        move || {
            let mut mapping = Mapping::new(TempFile::new()?, MIB)?;
            tried(STEPS, || {
                for step in 1..=STEPS {
                    mapping.grow(MIB, reserve)?;
                    mapping.bytes()[step * MIB..].iter_mut().step_by(PAGE).for_each(|byte| *byte = 1);
                }
                Result::Ok(())
            })
        }
    };
    Ok(Trial::new(ours, by_mapping(false)).limit(by_mapping(true)))
}

/// Counts of how many gets took how many nanoseconds.
struct Latencies {
    counts: Vec<u32>,
    total: u64,
}

impl Latencies {
    const MOST: usize = 1 << 20;

    /// Gets over and over until the other process is done.
    fn of(map: &Ours, questions: &[u64], turn: &Turn<'_>) -> Result<Latencies> {
        let mut latencies = Latencies { counts: vec![0; Self::MOST], total: 0 };
        for some in questions.chunks(64).cycle() {
            if turn.partner_is_done() {
                break;
            }
            for key in some {
                let start = Instant::now();
                black_box(map.read()?.get(key));
                let ns = start.elapsed().as_nanos() as usize;
                latencies.counts[ns.min(Self::MOST - 1)] += 1;
            }
            latencies.total += some.len() as u64;
        }
        Ok(latencies)
    }

    fn quantile(&self, part: f64) -> f64 {
        let mut left = (self.total as f64 * part) as u64;
        let at = self.counts.iter().position(|count| {
            let over = u64::from(*count) > left;
            left = left.saturating_sub(u64::from(*count));
            over
        });
        at.unwrap_or(Self::MOST) as f64
    }
}

fn tails() -> Result<Trial> {
    const KEYS: u64 = 100_000;
    let cpu = Cores::get()?.second;
    // Each repetition grows a pool of its own, which both know by its number.
    let name = |i: u32| Scratch::new(&format!("tail-{i}"));
    let parent = std::process::id();
    let layout = mib()?;
    let turns = Cell::new(0);
    let mut grower = Partner::fork(cpu, move || {
        let pool = Pool::open(&*format!("aquifer-bench-{parent}-tail-{}", turns.replace(turns.get() + 1)))?;
        while pool.info().length < GIB {
            pool.alloc(layout)?;
        }
        Ok(0.0)
    })?;
    let mut zeroer = Partner::fork(cpu, || {
        black_box(vec![black_box(1u8); GIB as usize]);
        Ok(0.0)
    })?;
    let (still, questions) = (map::ours_of(KEYS)?, queries(0..KEYS));
    let again = questions.clone();
    let mut repetition = 0;
    let ours = move || {
        let name = name(repetition);
        repetition += 1;
        let map: Ours = Pool::create(name.name())?.named("map")?;
        map.write()?.extend(keys(0..KEYS).map(|k| (k, !k)))?;
        Ok(grower.together(|turn| Ok(Latencies::of(&map, &questions, turn)?.quantile(0.999)))?.0)
    };
    let theirs =
        move || Ok(zeroer.together(|turn| Ok(Latencies::of(&still, &again, turn)?.quantile(0.999)))?.0);
    Ok(Trial::new(ours, theirs))
}

/// Bytes of ballast that make a pool of 1 GiB.
const BALLAST: u32 = 1010;
const OPENED: u64 = 100_000;
const OPENINGS: usize = 20;

fn openings() -> Result<Trial> {
    let cpu = Cores::get()?.second;
    let (name, folder) = (Scratch::new("open"), Scratch::folder("open-lmdb")?);
    in_child(cpu, || {
        let pool = Pool::create(name.name())?;
        let map: Ours = pool.named("map")?;
        map.write()?.extend(keys(0..OPENED).map(|k| (k, !k)))?;
        (0..BALLAST).try_for_each(|_| pool.alloc(mib()?).map(drop).map_err(Into::into))
    })?;
    in_child(cpu, || lmdb::fill(&folder.path(), OPENED, BALLAST))?;
    let (ours_name, their_folder) = (name.name().to_owned(), folder.path());
    // Keeps both open, and does nothing.
    let mut opened = Vec::new();
    let mut holder = Partner::fork(cpu, move || {
        opened.push((Pool::open(&*ours_name)?, Lmdb::open(&their_folder)?));
        Ok(opened.len() as f64)
    })?;
    holder.alone()?;
    let path = name.path();
    let ours = move || {
        let _ = &holder;
        tried(OPENINGS, || {
            keys(0..OPENINGS as u64).try_for_each(|key| {
                let map: Ours = Pool::open(name.name())?.named("map")?;
                map.read()?.get(&key).map_or(Err("a key is missing".into()), |_| Result::Ok(()))
            })
        })
    };
    let theirs = move || {
        tried(OPENINGS, || {
            keys(0..OPENINGS as u64).try_for_each(|key| {
                let lmdb = Lmdb::open(&folder.path())?;
                lmdb.get(key)?.ok_or("a key is missing")?;
                lmdb.close();
                Result::Ok(())
            })
        })
    };
    let limit = move || {
        tried(OPENINGS, || {
            (0..OPENINGS).try_for_each(|_| {
                let mut mapping = Mapping::new(TempFile::open(&path)?, GIB as usize)?;
                black_box(mapping.bytes()[PAGE]);
                Result::Ok(())
            })
        })
    };
    Ok(Trial::new(ours, theirs).limit(limit))
}
