//! One vector to which all threads append, and from which each takes its own.

use super::super::random::Random;
use super::super::state::State;
use super::super::who::{Who, linger};
use super::{Subject, counted};
use aquifer::{Named, Pool, Result, ShMutex, ShVec};

const SITE: usize = 5;

pub struct Events {
    events: Named<ShMutex<ShVec<u64>>>,
}

impl Events {
    pub fn of(pool: &Pool) -> Result<Events> {
        Ok(Events { events: pool.named("events")? })
    }
}

impl Subject for Events {
    fn name(&self) -> &'static str {
        "events"
    }

    fn keys(&self) -> usize {
        1
    }

    fn next(&self, s: State, random: &mut Random) -> State {
        match random.below(16) {
            _ if s.hi == 0 || s.hi > 60_000 => State { edition: s.edition + 1, lo: 1, hi: 1, place: 1 },
            0 => State { lo: s.hi, ..s },
            1 => State { lo: s.lo + s.len() as u16 / 2, ..s },
            _ if s.len() < 60 => State { hi: s.hi + 1, ..s },
            _ => State { lo: s.hi, ..s },
        }
    }

    fn change(&self, who: &Who<'_>, key: usize, from: State, to: State, random: &mut Random) -> Result<()> {
        let mut events = who.lock(SITE, &self.events)?;
        linger(random);
        if to.hi > from.hi && to.edition == from.edition {
            return events.push(who.number(key, to.edition, from.hi));
        }
        let kept = who.numbers(key, to);
        // A search and an order of all, which change nothing of what this is about.
        if random.once_in(8) && events.len() < 500 {
            events.sort()?;
        }
        events.retain(|e| e >> 56 != who.owner || kept.contains(e))
    }

    fn is(&self, who: &Who<'_>, key: usize, s: State) -> Result<bool> {
        let events = self.events.lock()?;
        let own = events.iter().filter(|e| **e >> 56 == who.owner);
        Ok(own.eq(who.numbers(key, s).iter()))
    }

    fn excess(&self, all: &[(Who<'_>, Vec<State>)]) -> Result<Option<String>> {
        let expected = all.iter().flat_map(|(_, s)| s).map(|s| s.len()).sum();
        Ok(counted("events", self.events.lock()?.len(), expected))
    }
}
