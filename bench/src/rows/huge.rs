//! A map that no cache holds: on huge pages, beside hashbrown on small ones and on huge ones.

use super::bare::{Touch, bare_table};
use super::map::{Ours, ask, ours_of, ours_under_one_guard};
use crate::Result;
use crate::keys::{keys, queries};
use crate::peers::hash::SameHash;
use crate::peers::pages::Pages;
use crate::row::{Missing, Row, Target::*, Trial};
use hashbrown::HashMap;
use std::cell::OnceCell;
use std::ops::Range;
use std::rc::Rc;

type Theirs = HashMap<u64, u64, SameHash, Pages>;

const N: u64 = 10_000_000;
const SMALL: &str = "hashbrown on 4 KiB pages";
const HUGE: &str = "hashbrown on 2 MiB pages";

pub fn rows() -> Vec<Row> {
    let maps = Rc::new(Maps::default());
    let row = |name: &'static str, asked: Range<u64>, beside: &'static str, most: f64| {
        let maps = maps.clone();
        Row::new("map", name, beside, AtMost(most), move || maps.trial(asked, beside == HUGE))
            .note("ours is on 2 MiB pages, as far as the system gives them")
    };
    vec![
        row("get hit 10M", 0..N, SMALL, 0.75),
        row("get miss 10M", N..2 * N, SMALL, 0.75),
        row("get hit 10M", 0..N, HUGE, 1.05),
        row("get miss 10M", N..2 * N, HUGE, 1.05),
    ]
}

/// Made when the first row needs them, gone with the last.
#[derive(Default)]
struct Maps {
    ours: OnceCell<Ours>,
    small: OnceCell<Rc<Theirs>>,
    huge: OnceCell<Rc<Theirs>>,
}

impl Maps {
    fn trial(&self, asked: Range<u64>, huge: bool) -> Result<Trial> {
        if self.ours.get().is_none() {
            let map = ours_of(N)?;
            collapse(&map)?;
            let _ = self.ours.set(map);
        }
        let ours = self.ours.get().ok_or("no map")?.clone();
        let theirs = if huge { &self.huge } else { &self.small }.get_or_init(|| theirs_of(huge)).clone();
        let questions = queries(asked.clone());
        let ours = ours_under_one_guard(ours, questions.clone());
        Ok(Trial::new(ours, move || Ok(ask(&questions, |k| theirs.get(&k).copied()))).limit(bare_table(
            N,
            asked.clone(),
            if asked.start == 0 { Touch::Get } else { Touch::Look },
        )))
    }
}

fn theirs_of(huge: bool) -> Rc<Theirs> {
    let mut map = Theirs::with_capacity_and_hasher_in(N as usize, SameHash::default(), Pages { huge });
    map.extend(keys(0..N).map(|k| (k, !k)));
    Rc::new(map)
}

/// Puts what is there on huge pages, as a user would.
fn collapse(map: &Ours) -> Result<()> {
    let got = map.pool().collapse()?;
    if got.got * 2 > got.asked {
        return Ok(());
    }
    Err(Missing(format!("the system gives no huge pages to shared memory: {got}")).into())
}
