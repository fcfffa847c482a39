//! A set of strings.

use super::super::random::Random;
use super::super::state::State;
use super::super::who::{Who, linger};
use super::{Subject, counted, expected};
use aquifer::{Named, Pool, Result, ShMutex, ShSet, ShString};

const SITE: usize = 2;

pub struct Tags {
    tags: Named<ShMutex<ShSet<ShString>>>,
}

impl Tags {
    pub fn of(pool: &Pool) -> Result<Tags> {
        Ok(Tags { tags: pool.named("tags")? })
    }
}

impl Subject for Tags {
    fn name(&self) -> &'static str {
        "tags"
    }

    fn keys(&self) -> usize {
        4
    }

    fn next(&self, s: State, _: &mut Random) -> State {
        s.at(1 - s.place)
    }

    fn change(&self, who: &Who<'_>, key: usize, _: State, to: State, random: &mut Random) -> Result<()> {
        let name = who.name(key);
        let mut tags = who.lock(SITE, &self.tags)?;
        linger(random);
        if to.place == 1 {
            return tags.insert(name.as_str()).map(drop);
        }
        if random.once_in(20) {
            tags.retain(|t| **t != *name);
        } else {
            tags.remove(name.as_str());
        }
        Ok(())
    }

    fn is(&self, who: &Who<'_>, key: usize, state: State) -> Result<bool> {
        Ok(self.tags.lock()?.contains(who.name(key).as_str()) == (state.place == 1))
    }

    fn excess(&self, all: &[(Who<'_>, Vec<State>)]) -> Result<Option<String>> {
        Ok(counted("tags", self.tags.lock()?.len(), expected(all, 1)))
    }
}
