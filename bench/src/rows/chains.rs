//! Look-ups that depend on one another: 64 chains, each answer being the next question.

use super::{map, short};
use crate::Result;
use crate::keys::{shuffled, splitmix};
use crate::measure::timed;
use crate::ours;
use crate::peers::hash::SameHash;
use crate::row::{Row, Target::*, Trial};

const CHAINS: usize = 64;
const STEPS: usize = 4096;

pub fn rows() -> Vec<Row> {
    [1_000_000, 10_000_000]
        .map(|n| {
            let name = format!("64 chains by get_batch {}", short(n));
            Row::new("map", name, "hashbrown, one by one", AtMost(0.25), move || chains(n))
                .note("ours advances all chains together, theirs follows one after the other")
        })
        .into()
}

/// Entries of one circle through all keys.
fn circle(n: u64) -> impl Iterator<Item = (u64, u64)> {
    let order = shuffled(n as usize);
    (0..order.len()).map(move |i| (splitmix(order[i]), splitmix(order[(i + 1) % order.len()])))
}

fn chains(n: u64) -> Result<Trial> {
    let ours: map::Ours = ours::object()?;
    ours.write()?.reserve(n as usize)?;
    ours.write()?.extend(circle(n))?;
    let mut theirs = map::Theirs::with_capacity_and_hasher(n as usize, SameHash::default());
    theirs.extend(circle(n));
    let starts: Vec<u64> = (0..CHAINS as u64).map(|i| splitmix(i * n / CHAINS as u64)).collect();
    let same_starts = starts.clone();
    Ok(Trial::new(
        move || {
            let map = ours.read()?;
            Ok(timed(CHAINS * STEPS, || {
                let (mut at, mut next) = (starts.clone(), vec![0; CHAINS]);
                for _ in 0..STEPS {
                    for (next, found) in next.iter_mut().zip(map.get_batch(&at)) {
                        *next = found.copied().unwrap_or(0);
                    }
                    std::mem::swap(&mut at, &mut next);
                }
                at
            }))
        },
        move || {
            Ok(timed(CHAINS * STEPS, || {
                let mut at = same_starts.clone();
                for place in &mut at {
                    for _ in 0..STEPS {
                        *place = theirs.get(place).copied().unwrap_or(0);
                    }
                }
                at
            }))
        },
    ))
}
