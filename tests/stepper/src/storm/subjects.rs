//! What the storm is about: collections that all threads share, each with keys of its own.

mod accounts;
mod boxes;
mod cells;
mod events;
mod heaps;
mod lists;
mod names;
mod nested;
mod queue;
mod tags;

use super::board::KEYS;
use super::random::Random;
use super::state::State;
use super::who::Who;
use aquifer::{Pool, Result};

/// Collections of one kind, and how a key of them gets from one state to another.
pub trait Subject: Sync {
    fn name(&self) -> &'static str;

    /// How many keys each thread has here.
    fn keys(&self) -> usize;

    /// A state that the key may be brought into from this one.
    fn next(&self, state: State, random: &mut Random) -> State;

    /// Brings the key from a state to the next in one operation, or one transaction.
    fn change(&self, who: &Who<'_>, key: usize, from: State, to: State, random: &mut Random) -> Result<()>;

    /// Whether the key is in this state, whole.
    fn is(&self, who: &Who<'_>, key: usize, state: State) -> Result<bool>;

    /// Whether a change waits for locks in other ways than by [`Who::lock`] and [`Who::write`].
    fn waits_by_itself(&self) -> bool {
        false
    }

    /// Takes guards and forgets them.
    fn leak(&self, _who: &Who<'_>) -> Result<()> {
        Ok(())
    }

    /// What is here besides the keys that should be: all owners, and the states of their keys here.
    fn excess(&self, all: &[(Who<'_>, Vec<State>)]) -> Result<Option<String>>;
}

/// Bits of those locks on the board that are also taken for reading.
pub const SHARED: u64 = 1 << lists::SITES[0]
    | 1 << lists::SITES[1]
    | 1 << nested::SITE
    | 1 << accounts::BANK
    | 1 << cells::SITE
    | 1 << heaps::SITE;

/// All subjects of a pool.
pub struct World {
    subjects: Vec<Box<dyn Subject>>,
    /// Subject, and number within it, of each key.
    keys: Vec<(usize, usize)>,
}

impl World {
    /// Finds them, or makes them.
    pub fn of(pool: &Pool) -> Result<World> {
        let subjects: Vec<Box<dyn Subject>> = vec![
            Box::new(lists::Lists::of(pool)?),
            Box::new(tags::Tags::of(pool)?),
            Box::new(boxes::Boxes::of(pool)?),
            Box::new(names::Names::of(pool)),
            Box::new(nested::Nested::of(pool)?),
            Box::new(events::Events::of(pool)?),
            Box::new(accounts::Accounts::of(pool)?),
            Box::new(cells::Cells::of(pool)?),
            Box::new(queue::Queue::of(pool)?),
            Box::new(heaps::Heaps::of(pool)?), // the last: see `largest`
        ];
        let keys: Vec<_> =
            subjects.iter().enumerate().flat_map(|(s, x)| (0..x.keys()).map(move |k| (s, k))).collect();
        assert!(keys.len() <= KEYS, "room on the board for all keys");
        Ok(World { subjects, keys })
    }

    pub fn keys(&self) -> usize {
        self.keys.len()
    }

    /// The key whose value takes most memory.
    pub fn largest(&self) -> usize {
        self.keys.len() - 1
    }

    pub fn next(&self, key: usize, state: State, random: &mut Random) -> State {
        self.subjects[self.keys[key].0].next(state, random)
    }

    pub fn change(
        &self,
        who: &Who<'_>,
        key: usize,
        from: State,
        to: State,
        random: &mut Random,
    ) -> Result<()> {
        let (subject, k) = self.keys[key];
        let subject = &self.subjects[subject];
        match subject.waits_by_itself() {
            true => who.noted(|| subject.change(who, k, from, to, random)),
            false => subject.change(who, k, from, to, random),
        }
    }

    /// Finds each key of `who` in one of its two possible states, and notes which. Else says which key is in neither.
    pub fn settle(&self, who: &Who<'_>) -> Result<Option<String>> {
        for (key, (subject, k)) in self.keys.iter().enumerate() {
            let subject = &self.subjects[*subject];
            let states = who.states(key);
            let found = if subject.is(who, *k, states[0])? {
                states[0]
            } else if states[0] != states[1] && subject.is(who, *k, states[1])? {
                states[1]
            } else {
                return Ok(Some(format!(
                    "{} {}: key {k} of owner {} is in none of the states {states:?}",
                    subject.name(),
                    who.name(*k),
                    who.owner
                )));
            };
            [0, 1].into_iter().for_each(|which| who.set(key, which, found));
        }
        Ok(None)
    }

    /// Forgets guards.
    pub fn leak(&self, who: &Who<'_>) -> Result<()> {
        self.subjects.iter().try_for_each(|s| s.leak(who))
    }

    /// What is in the pool that nobody put there, and what is missing.
    pub fn excess(&self, all: Vec<Who<'_>>) -> Result<Option<String>> {
        let mut all: Vec<(Who<'_>, Vec<State>)> = all.into_iter().map(|w| (w, Vec::new())).collect();
        for (s, subject) in self.subjects.iter().enumerate() {
            for (who, states) in &mut all {
                *states = (0..self.keys.len())
                    .filter(|key| self.keys[*key].0 == s)
                    .map(|key| who.states(key)[0])
                    .collect();
            }
            if let Some(what) = subject.excess(&all)? {
                return Ok(Some(format!("{}: {what}", subject.name())));
            }
        }
        Ok(None)
    }
}

/// How many keys should be in the collection of number `place`.
fn expected(all: &[(Who<'_>, Vec<State>)], place: u8) -> usize {
    all.iter().flat_map(|(_, states)| states).filter(|s| s.place == place).count()
}

/// Compares a count with what should be.
fn counted(what: &str, found: usize, expected: usize) -> Option<String> {
    (found != expected).then(|| format!("{found} {what} instead of {expected}"))
}
