//! 1 to 10,000 named objects.

use super::{Curve, Extent, Order, Series, decades};
use crate::keys::splitmix;
use crate::measure::tried;
use crate::peers::boost::Segment;
use crate::row::Missing;
use crate::{Result, machine, ours};
use aquifer::{Named, ShMutex};
use std::ffi::CString;

const LOOKUPS: u64 = 20_000;

pub fn curves(extent: Extent) -> Result<Vec<Curve>> {
    machine::pin(machine::Cores::get()?.first)?;
    let counts = decades(1, extent.names);
    let mut series = vec![ours(&counts)?];
    match boost(&counts) {
        Ok(line) => series.push(line),
        Err(e) if e.is::<Missing>() => {}
        Err(e) => return Err(e),
    }
    Ok(vec![Curve {
        file: "names",
        title: "Opening an object by name",
        x: "named objects",
        y: "ns of an opening",
        expected: "O(1): the directory is a hash table",
        series,
    }])
}

/// Opens objects `0..n` at random.
fn opened(n: u64, mut open: impl FnMut(&str) -> Result<()>) -> Result<f64> {
    let names: Vec<String> = (0..LOOKUPS).map(|i| format!("object-{}", splitmix(i) % n)).collect();
    names.iter().take(100).try_for_each(|name| open(name))?;
    tried(names.len(), || names.iter().try_for_each(|name| open(name)))
}

fn ours(counts: &[u64]) -> Result<Series> {
    let mut line = Series::new("aquifer", Order::Between(-0.1, 0.15));
    let (pool, mut made) = (ours::pool()?, 0);
    for n in counts {
        for i in made..*n {
            pool.named::<ShMutex<u64>>(&format!("object-{i}"))?;
        }
        made = *n;
        let ns = opened(*n, |name| {
            let object: Named<ShMutex<u64>> = pool.named(name)?;
            drop(object);
            Ok(())
        })?;
        line.points.push((*n as f64, ns));
    }
    Ok(line)
}

fn boost(counts: &[u64]) -> Result<Series> {
    let mut line = Series::new("Boost.Interprocess", Order::Any);
    let (segment, mut made) = (Segment::new(64 << 20)?, 0);
    for n in counts {
        segment.make_names(made, *n)?;
        made = *n;
        let ns = opened(*n, |name| match segment.find_name(&CString::new(name)?) {
            u64::MAX => Err("an object was not found".into()),
            _ => Ok(()),
        })?;
        line.points.push((*n as f64, ns));
    }
    Ok(line)
}
