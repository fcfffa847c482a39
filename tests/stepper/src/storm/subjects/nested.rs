//! Locks within a map under a lock: taken while the map is only read, made and freed with their entries.

use super::super::random::Random;
use super::super::state::State;
use super::super::who::Who;
use super::{Subject, counted, expected};
use aquifer::{Error, Named, Pool, Result, ShMap, ShMutex, ShRwLock, ShVec, from_iter};

pub const SITE: usize = 4;

pub struct Nested {
    map: Named<ShRwLock<ShMap<u64, ShMutex<ShVec<u64>>>>>,
}

impl Nested {
    pub fn of(pool: &Pool) -> Result<Nested> {
        Ok(Nested { map: pool.named("nested")? })
    }
}

impl Subject for Nested {
    fn name(&self) -> &'static str {
        "nested"
    }

    fn keys(&self) -> usize {
        3
    }

    fn next(&self, s: State, random: &mut Random) -> State {
        match s.place {
            0 => s.renewed(random, 8).at(1),
            _ if random.once_in(8) => s.removed(),
            _ if random.once_in(8) => s.renewed(random, 8),
            _ if s.len() < 30 => State { hi: s.hi + 1, ..s },
            _ => State { hi: s.lo, ..s },
        }
    }

    fn change(&self, who: &Who<'_>, key: usize, from: State, to: State, random: &mut Random) -> Result<()> {
        let number = who.number(key, 0, 0);
        let missing = || Error::abort("the lock is not there");
        match (from.place, to.place) {
            (0, _) => {
                let source = ShMutex::new(from_iter(who.numbers(key, to)));
                who.write(SITE, &self.map)?.insert(number, source).map(drop)
            }
            (_, 0) => {
                drop(who.write(SITE, &self.map)?.remove(&number));
                Ok(())
            }
            _ if from.edition != to.edition => {
                let map = self.map.read()?;
                map.get(&number).ok_or_else(missing)?.transaction(|list| {
                    list.clear();
                    list.extend(who.numbers(key, to))
                })
            }
            _ if random.once_in(4) => {
                let mut map = who.write(SITE, &self.map)?;
                let list = map.get_mut(&number).ok_or_else(missing)?.get_mut()?;
                edit(list, who, key, from, to)
            }
            _ => {
                let map = self.map.read()?;
                let mut list = map.get(&number).ok_or_else(missing)?.lock()?;
                edit(&mut list, who, key, from, to)
            }
        }
    }

    fn is(&self, who: &Who<'_>, key: usize, s: State) -> Result<bool> {
        let map = self.map.read()?;
        Ok(match map.get(&who.number(key, 0, 0)) {
            Some(list) => s.place == 1 && *list.lock()?.as_slice() == *who.numbers(key, s),
            None => s.place == 0,
        })
    }

    fn leak(&self, who: &Who<'_>) -> Result<()> {
        let map = self.map.read()?;
        if let Some(list) = map.get(&who.number(0, 0, 0)) {
            std::mem::forget(list.lock()?);
        }
        std::mem::forget(map);
        Ok(())
    }

    fn excess(&self, all: &[(Who<'_>, Vec<State>)]) -> Result<Option<String>> {
        Ok(counted("locks", self.map.read()?.len(), expected(all, 1)))
    }
}

fn edit(
    list: &mut aquifer::Place<ShVec<u64>>,
    who: &Who<'_>,
    key: usize,
    from: State,
    to: State,
) -> Result<()> {
    match to.len() {
        0 => list.clear(),
        _ => list.push(who.number(key, to.edition, from.hi))?,
    }
    Ok(())
}
