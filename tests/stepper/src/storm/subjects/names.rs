//! Named objects that are made, used and removed; some handles are kept beyond the removal.

use super::super::random::Random;
use super::super::state::State;
use super::super::who::Who;
use super::{Subject, counted, expected};
use aquifer::{Error, Named, Pool, Result, ShMutex, ShVec, from_iter};
use std::sync::Mutex;

type Object = ShMutex<ShVec<u64>>;

const PREFIX: &str = "object ";

pub struct Names {
    pool: Pool,
    /// Handles that outlive their operation: their objects stay until they are dropped, or this process dies.
    kept: Mutex<Vec<Named<Object>>>,
}

impl Names {
    pub fn of(pool: &Pool) -> Names {
        Names { pool: pool.clone(), kept: Mutex::default() }
    }

    fn name(&self, who: &Who<'_>, key: usize) -> String {
        format!("{PREFIX}{}", who.name(key))
    }

    fn object(&self, who: &Who<'_>, key: usize) -> Result<Named<Object>> {
        self.pool.look_up(&self.name(who, key))?.ok_or(Error::abort("the object is not there"))
    }

    fn keep(&self, object: Named<Object>, random: &mut Random) {
        let mut old = Vec::new();
        if let Ok(mut kept) = self.kept.lock() {
            if random.once_in(2) {
                kept.push(object);
            }
            if kept.len() > 5 {
                old = std::mem::take(&mut *kept);
            }
        }
        drop(old); // which takes locks: not under ours
    }
}

impl Subject for Names {
    fn name(&self) -> &'static str {
        "names"
    }

    fn keys(&self) -> usize {
        2
    }

    fn next(&self, s: State, random: &mut Random) -> State {
        match s.place {
            0 => s.renewed(random, 8).at(1),
            _ if random.once_in(2) => s.removed(),
            _ if s.len() < 20 => State { hi: s.hi + 1, ..s },
            _ => State { hi: s.lo, ..s },
        }
    }

    fn change(&self, who: &Who<'_>, key: usize, from: State, to: State, random: &mut Random) -> Result<()> {
        let object = match (from.place, to.place) {
            (0, _) => {
                let numbers = who.numbers(key, to);
                self.pool.named_with(&self.name(who, key), || ShMutex::new(from_iter(numbers)))?
            }
            (_, 0) => return self.pool.remove(&self.name(who, key)).map(drop),
            _ => {
                let object: Named<Object> = self.object(who, key)?;
                match to.len() {
                    0 => object.lock()?.clear(),
                    _ => object.lock()?.push(who.number(key, to.edition, from.hi))?,
                }
                object
            }
        };
        self.keep(object, random);
        Ok(())
    }

    fn is(&self, who: &Who<'_>, key: usize, s: State) -> Result<bool> {
        let found = self.pool.look_up::<Object>(&self.name(who, key))?;
        Ok(match found {
            Some(object) => s.place == 1 && *object.lock()?.as_slice() == *who.numbers(key, s),
            None => s.place == 0,
        })
    }

    fn waits_by_itself(&self) -> bool {
        true
    }

    fn excess(&self, all: &[(Who<'_>, Vec<State>)]) -> Result<Option<String>> {
        let names = self.pool.names()?;
        let found = names.iter().filter(|n| n.name.starts_with(PREFIX)).count();
        Ok(counted("objects", found, expected(all, 1)))
    }
}
