//! Pools of up to 12 GiB.

use super::{Curve, Extent, Order, Series, doublings};
use crate::machine::{self, Cores};
use crate::measure::tried;
use crate::partner::Partner;
use crate::peers::mapping::{Mapping, TempFile};
use crate::rows::map::Ours;
use crate::scratch::Scratch;
use crate::{Result, keys::keys};
use aquifer::Pool;
use std::alloc::Layout;
use std::cell::Cell;
use std::rc::Rc;

const MIB: usize = 1 << 20;
const LEAST: u64 = 64;
const OPENINGS: usize = 10;
const KEYS: u64 = 1000;

pub fn curves(extent: Extent) -> Result<Vec<Curve>> {
    let sizes = doublings(LEAST, extent.bytes / MIB as u64);
    let flat = Order::Between(-0.15, 0.15);
    let (mut growth, mut opening) = (Series::new("aquifer", flat), Series::new("aquifer", flat));
    let name = Scratch::new("pools");
    let theirs = mapped(&sizes)?;

    // The pool is another process's, so that this one opens it anew each time.
    let (path, turn) = (name.name().to_owned(), Cell::new(0));
    let (all, mut pool) = (sizes.clone(), None);
    let mut grower = Partner::fork(Cores::get()?.second, move || {
        let pool = match &pool {
            Some(pool) => pool,
            None => pool.insert(made(&path)?),
        };
        grow(pool, all[turn.replace(turn.get() + 1)])
    })?;
    machine::pin(Cores::get()?.first)?;
    for size in &sizes {
        growth.points.push((*size as f64, grower.alone()?));
        opening.points.push((*size as f64, open(name.name())?));
    }
    Ok(vec![
        Curve {
            file: "pools-growth",
            title: "Growing a pool",
            x: "MiB",
            y: "ns of a MiB, taken from the system and allocated",
            expected: "O(1) for each MiB",
            series: vec![growth, theirs],
        },
        Curve {
            file: "pools-opening",
            title: "Opening a pool, and a first get",
            x: "MiB",
            y: "ns of an opening",
            expected: "O(1): nothing is walked",
            series: vec![opening],
        },
    ])
}

fn made(name: &str) -> Result<Pool> {
    let pool = Pool::create(name)?;
    let map: Ours = pool.named("map")?;
    map.write()?.extend(keys(0..KEYS).map(|k| (k, !k)))?;
    Ok(pool)
}

/// Allocates blocks of 1 MiB until the pool is that large.
fn grow(pool: &Pool, mib: u64) -> Result<f64> {
    let layout = Layout::from_size_align(MIB, 4096)?;
    let before = pool.info().length;
    let blocks = Rc::new(Cell::new(0usize));
    let ns = tried(1, || {
        while pool.info().length < mib << 20 {
            pool.alloc(layout)?;
            blocks.set(blocks.get() + 1);
        }
        Ok::<(), aquifer::Error>(())
    })?;
    Ok(ns / ((pool.info().length - before) as f64 / MIB as f64))
}

fn open(name: &str) -> Result<f64> {
    tried(OPENINGS, || {
        keys(0..OPENINGS as u64).try_for_each(|key| {
            let map: Ours = Pool::open(name)?.named("map")?;
            map.read()?.get(&key).map_or(Err("a key is missing".into()), |_| Result::Ok(()))
        })
    })
}

/// The same by system calls, a MiB at a time.
fn mapped(sizes: &[u64]) -> Result<Series> {
    let mut line = Series::new("fallocate + mremap", Order::Any);
    let mut mapping = Mapping::new(TempFile::new()?, MIB)?;
    let mut made = 1;
    for size in sizes {
        let steps = (size - made) as usize;
        let ns = tried(steps, || (0..steps).try_for_each(|_| mapping.grow(MIB, true)))?;
        line.points.push((*size as f64, ns));
        made = *size;
    }
    Ok(line)
}
