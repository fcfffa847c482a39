//! Maps of texts to `u64` beside hashbrown of `String`.

use super::bare_text::bare_texts;
use super::short;
use crate::keys::Texts;
use crate::measure::timed;
use crate::peers::hash::SameHash;
use crate::row::{Row, Side, Target::*, Trial};
use crate::{Result, ours};
use aquifer::{Named, ShMap, ShRwLock, ShString};
use hashbrown::HashMap;
use std::rc::Rc;

pub type Ours = Named<ShRwLock<ShMap<ShString, u64>>>;

/// Look-ups of a repetition, for maps whose questions are fewer.
pub const LOOKUPS: usize = 1 << 19;

pub fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for length in [16, 32] {
        for n in [1000, 100_000, 1_000_000] {
            let name = format!("get {length} B {}", short(n));
            rows.push(Row::new("strings", name, "hashbrown of String", AtMost(0.9), move || gets(n, length)));
        }
    }
    let long = || gets(100_000, 64);
    rows.push(
        Row::new("strings", "get 64 B 100k", "hashbrown of String", Shown, long)
            .note("too long to stand in the entry, on both sides"),
    );
    rows
}

pub fn ours_of(texts: &Texts) -> Result<Ours> {
    let map: Ours = ours::object()?;
    let mut guard = map.write()?;
    guard.reserve(texts.len())?;
    guard.extend(texts.iter().zip(0u64..))?;
    drop(guard);
    Ok(map)
}

pub fn theirs_of(texts: &Texts) -> HashMap<String, u64, SameHash> {
    let mut map = HashMap::with_capacity_and_hasher(texts.len(), SameHash::default());
    map.extend(texts.iter().map(String::from).zip(0u64..));
    map
}

/// Asks the questions, over and over until there are enough, and times each.
pub fn ask(questions: &Texts, mut get: impl FnMut(&str) -> Option<u64>) -> f64 {
    let rounds = LOOKUPS.div_ceil(questions.len());
    timed(rounds * questions.len(), || {
        let mut sum = 0u64;
        for _ in 0..rounds {
            for key in questions.iter() {
                sum = sum.wrapping_add(get(key).unwrap_or(1));
            }
        }
        sum
    })
}

pub fn ours_asked(map: Ours, questions: Rc<Texts>) -> Side {
    Box::new(move || {
        let map = map.read()?;
        Ok(ask(&questions, |k| map.get(k).copied()))
    })
}

fn gets(n: u64, length: usize) -> Result<Trial> {
    let (all, questions) = (Texts::all(n, length), Texts::queries(n, length));
    let theirs = theirs_of(&all);
    let ours = ours_asked(ours_of(&all)?, questions.clone());
    // The bare loop compares no more than 32 bytes.
    let limit = if length <= 32 { Some(bare_texts(&all, questions.clone())?) } else { None };
    let trial = Trial::new(ours, move || Ok(ask(&questions, |k| theirs.get(k).copied())));
    Ok(match limit {
        Some(limit) => trial.limit(limit),
        None => trial,
    })
}
