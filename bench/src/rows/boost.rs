//! Everything that Boost.Interprocess has, too: both in shared memory; its segment has a fixed size, and nothing survives a kill.

use super::bare::{Touch, bare_removals, bare_table};
use super::{heap, map, short, strings, vec};
use crate::keys::{Texts, queries};
use crate::measure::{timed, tried};
use crate::peers::boost::Segment;
use crate::row::{Row, Side, Target::*, Trial};
use crate::{Result, ours};
use std::hint::black_box;
use std::rc::Rc;

const PEER: &str = "Boost.Interprocess";
const MILLION: u64 = 1_000_000;
const NUMBERS: f64 = 0.2;
const TEXTS: f64 = 0.4;
const ALLOCATOR: f64 = 0.15;
const LOCKLESS: &str = "theirs has a fixed size, and does not survive a kill";

pub fn rows() -> Vec<Row> {
    let row = |name: String, most, prepare: fn(u64) -> Result<Trial>, n| {
        Row::new("boost", name, PEER, AtMost(most), move || prepare(n)).note(LOCKLESS)
    };
    let mut rows = Vec::new();
    for n in [1000, 100_000, MILLION] {
        rows.push(row(format!("map get hit {}", short(n)), NUMBERS, hits, n));
    }
    rows.extend([
        row("map get miss 1M".into(), NUMBERS, misses, MILLION),
        row("map insert 1M growing".into(), NUMBERS, |n| inserts(n, 0), MILLION),
        row("map insert 1M pre-sized".into(), NUMBERS, |n| inserts(n, n), MILLION),
        row("map overwrite 1M".into(), NUMBERS, overwrites, MILLION),
        row("map remove 1M".into(), NUMBERS, removals, MILLION),
        row("map iterate 1M".into(), NUMBERS, iterations, MILLION),
    ]);
    for n in [1000, 100_000, MILLION] {
        rows.push(row(format!("strings get 16 B {}", short(n)), TEXTS, |n| texts(n, 16), n));
        rows.push(row(format!("strings get 32 B {}", short(n)), TEXTS, |n| texts(n, 32), n));
    }
    rows.extend([
        row("vec push 10M growing".into(), 0.9, |n| pushes(n, 0), 10 * MILLION),
        row("vec push 10M reserved".into(), 0.9, |n| pushes(n, n), 10 * MILLION),
        row("heap pair 64 B".into(), ALLOCATOR, pairs, 64),
        row("heap pair 1024 B".into(), ALLOCATOR, pairs, 1024),
        row("heap churn of 100k blocks".into(), ALLOCATOR, |_| churns(), 0),
    ]);
    rows
}

/// As large as what is put in, several times over: its allocator is best fit, and does not grow.
fn segment_for(entries: u64) -> Result<Segment> {
    Segment::new((64 << 20) + entries as usize * 300)
}

fn filled(n: u64) -> Result<Segment> {
    let segment = segment_for(n)?;
    segment.insert(n, n)?;
    Ok(segment)
}

/// Asks them all often enough for a repetition.
fn ask(segment: Segment, questions: Rc<[u64]>, job: fn(&Segment, &[u64]) -> u64) -> Side {
    let rounds = map::LOOKUPS.div_ceil(questions.len());
    Box::new(move || {
        Ok(timed(rounds * questions.len(), || {
            (0..rounds).fold(0u64, |sum, _| sum.wrapping_add(job(&segment, black_box(&questions))))
        }))
    })
}

fn hits(n: u64) -> Result<Trial> {
    let questions = queries(0..n);
    let theirs = ask(filled(n)?, questions.clone(), Segment::get);
    let ours = map::ours_under_one_guard(map::ours_of(n)?, questions);
    Ok(Trial::new(ours, theirs).limit(bare_table(n, 0..n, Touch::Get)))
}

fn misses(n: u64) -> Result<Trial> {
    let questions = queries(n..2 * n);
    let theirs = ask(filled(n)?, questions.clone(), Segment::get);
    let ours = map::ours_under_one_guard(map::ours_of(n)?, questions);
    Ok(Trial::new(ours, theirs).limit(bare_table(n, n..2 * n, Touch::Look)))
}

fn inserts(n: u64, room: u64) -> Result<Trial> {
    let segment = segment_for(n)?;
    Ok(Trial::new(map::ours_inserting(n, room)?, move || {
        segment.empty_map();
        tried(n as usize, || segment.insert(n, room))
    }))
}

fn overwrites(n: u64) -> Result<Trial> {
    let questions = queries(0..n);
    let theirs = ask(filled(n)?, questions.clone(), Segment::overwrite);
    let ours = map::ours_overwriting(map::ours_of(n)?, questions);
    Ok(Trial::new(ours, theirs).limit(bare_table(n, 0..n, Touch::Put)))
}

fn removals(n: u64) -> Result<Trial> {
    let segment = filled(n)?;
    let trial = Trial::new(map::ours_removing(map::ours_of(n)?, n), move || {
        let mut removed = 0;
        let ns = timed(n as usize, || removed = segment.remove(n));
        if removed != n {
            return Err("keys were lost".into());
        }
        segment.insert(n, n)?;
        Ok(ns)
    });
    Ok(trial.limit(bare_removals(n)))
}

fn iterations(n: u64) -> Result<Trial> {
    let segment = filled(n)?;
    Ok(Trial::new(map::ours_iterating(map::ours_of(n)?, n), move || {
        Ok(timed(n as usize, || segment.iterate()))
    }))
}

fn texts(n: u64, length: usize) -> Result<Trial> {
    let (all, questions) = (Texts::all(n, length), Texts::queries(n, length));
    let segment = segment_for(2 * n)?;
    segment.insert_texts(all.bytes(), length)?;
    let ours = strings::ours_asked(strings::ours_of(&all)?, questions.clone());
    let rounds = strings::LOOKUPS.div_ceil(questions.len());
    Ok(Trial::new(ours, move || {
        Ok(timed(rounds * questions.len(), || {
            (0..rounds).fold(0u64, |sum, _| {
                sum.wrapping_add(segment.get_texts(black_box(questions.bytes()), length))
            })
        }))
    }))
}

fn pushes(n: u64, room: u64) -> Result<Trial> {
    let segment = Segment::new(n as usize * 8 * 4)?;
    Ok(Trial::new(vec::ours_pushing(n as usize, room as usize)?, move || {
        segment.empty_vec();
        tried(n as usize, || segment.push(n, room))
    })
    .limit(vec::bare_pushes(n as usize)))
}

fn pairs(size: u64) -> Result<Trial> {
    let segment = Segment::new(64 << 20)?;
    let size = size as usize;
    Ok(Trial::new(heap::ours_in_pairs(ours::pool()?, size), move || {
        tried(heap::PAIRS, || segment.pairs(size, heap::PAIRS))
    }))
}

fn churns() -> Result<Trial> {
    let segment = Segment::new(256 << 20)?;
    Ok(Trial::new(heap::ours_churning(ours::pool()?)?, move || {
        tried(heap::STEPS, || segment.churn(heap::LIVE, heap::STEPS))
    }))
}
