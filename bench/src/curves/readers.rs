//! Readers of one map, each get under its own read lock: 1 to 64 threads, and as many processes.

use super::crowd::{Kind, rate};
use super::{Curve, Extent, Order, Series, doublings};
use crate::keys::queries;
use crate::peers::pthread;
use crate::rows::map::{ours_of, theirs_of};
use crate::{Result, machine};
use std::hint::black_box;
use std::time::Duration;

const ENTRIES: u64 = 100_000;
const TIME: Duration = Duration::from_millis(400);
const BATCH: usize = 512;

pub fn curves(extent: Extent) -> Result<Vec<Curve>> {
    machine::unpin()?;
    // From two on, as many as the machine has processors, there is nothing to gain, and there should be nothing to lose.
    let order = Order::Between(-0.1, 0.2);
    let mut series = Vec::new();
    let counts = doublings(1, extent.readers as u64);
    let (ours, theirs, questions) = (ours_of(ENTRIES)?, theirs_of(ENTRIES), queries(0..ENTRIES));
    let questions = &questions[..];
    let our_gets = || -> Result<u64> {
        for key in &questions[..BATCH] {
            black_box(ours.read()?.get(key));
        }
        Ok(BATCH as u64)
    };
    let parking = parking_lot::RwLock::new(theirs);
    let their_gets = || -> Result<u64> {
        for key in &questions[..BATCH] {
            black_box(parking.read().get(key));
        }
        Ok(BATCH as u64)
    };
    let posix = pthread::RwLock::new()?;
    let bare = theirs_of(ENTRIES);
    let posix_gets = || -> Result<u64> {
        for key in &questions[..BATCH] {
            black_box(posix.with(|| bare.get(key)));
        }
        Ok(BATCH as u64)
    };
    let kinds: [(_, _, _, &(dyn Fn() -> Result<u64> + Sync)); 4] = [
        ("aquifer, processes", order, Kind::Processes, &our_gets),
        ("aquifer, threads", order, Kind::Threads, &our_gets),
        ("parking_lot RwLock of hashbrown, threads", Order::Any, Kind::Threads, &their_gets),
        ("pthread rwlock of hashbrown, processes", Order::Any, Kind::Processes, &posix_gets),
    ];
    for (name, order, kind, gets) in kinds {
        let mut line = Series::new(name, order).fit_from(2.0);
        for count in &counts {
            line.points.push((*count as f64, rate(kind, *count as usize, TIME, gets)? / 1e6));
        }
        series.push(line);
    }
    Ok(vec![Curve {
        file: "readers",
        title: "Readers, each get under its own read lock",
        x: "readers",
        y: "million gets per second, all together",
        expected: "grows to the number of processors, and stays there: readers share no line",
        series,
    }])
}
