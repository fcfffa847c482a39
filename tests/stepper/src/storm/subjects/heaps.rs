//! Large vectors, which make the pool grow and live in runs of pages.

use super::super::random::Random;
use super::super::state::State;
use super::super::who::Who;
use super::{Subject, counted, expected};
use aquifer::{Error, Named, Pool, Result, ShMap, ShRwLock, ShVec, from_iter};

pub const SITE: usize = 13;
/// Elements that are added at a time, and the most there are.
const STEP: u16 = 500;
const MOST: u16 = 30_000;

pub struct Heaps {
    heaps: Named<ShRwLock<ShMap<u64, ShVec<u64>>>>,
}

impl Heaps {
    pub fn of(pool: &Pool) -> Result<Heaps> {
        Ok(Heaps { heaps: pool.named("heaps")? })
    }
}

impl Subject for Heaps {
    fn name(&self) -> &'static str {
        "heaps"
    }

    fn keys(&self) -> usize {
        1
    }

    fn next(&self, s: State, random: &mut Random) -> State {
        match random.below(24) {
            _ if s.place == 0 => State { edition: s.edition + 1, lo: 0, hi: 0, place: 1 },
            0 => s.removed(),
            1 | 2 => State { hi: s.hi / 2, ..s },
            _ if s.hi < MOST => State { hi: s.hi + STEP, ..s },
            _ => State { hi: 0, ..s },
        }
    }

    fn change(&self, who: &Who<'_>, key: usize, from: State, to: State, random: &mut Random) -> Result<()> {
        let number = who.number(key, 0, 0);
        let added = who.numbers(key, State { lo: from.hi.min(to.hi), ..to });
        let mut heaps = who.write(SITE, &self.heaps)?;
        match (from.place, to.place) {
            (0, _) => return heaps.insert(number, from_iter(added)).map(drop),
            (_, 0) => {
                drop(heaps.remove(&number));
                return Ok(());
            }
            _ => {}
        }
        let heap = heaps.get_mut(&number).ok_or(Error::abort("the heap is not there"))?;
        if to.hi < from.hi {
            heap.truncate(to.hi as usize);
            if random.once_in(2) {
                // An operation of its own, which changes nothing of what this is about, and may be refused.
                let _ = heap.shrink_to_fit();
            }
            return Ok(());
        }
        heap.extend_from_slice(&added)
    }

    fn is(&self, who: &Who<'_>, key: usize, s: State) -> Result<bool> {
        let heaps = self.heaps.read()?;
        Ok(match heaps.get(&who.number(key, 0, 0)) {
            Some(heap) => s.place == 1 && heap[..] == who.numbers(key, s)[..],
            None => s.place == 0,
        })
    }

    fn excess(&self, all: &[(Who<'_>, Vec<State>)]) -> Result<Option<String>> {
        Ok(counted("heaps", self.heaps.read()?.len(), expected(all, 1)))
    }
}
