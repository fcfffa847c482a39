//! A queue: whoever takes an item out frees what another process had made.

use super::super::random::Random;
use super::super::state::State;
use super::super::who::Who;
use super::Subject;
use aquifer::{Named, Pool, Relocatable, Result, ShMap, ShMutex, ShString, ShVec};

const SITE: usize = 12;
/// A thread's first key counts what it has put in, the second what it has taken out.
const PUT: usize = 0;

/// Items, and counts that belong to them, changed in the same transactions.
#[derive(Relocatable)]
#[repr(C)]
pub struct Items {
    items: ShVec<ShString>,
    /// How many each owner has put in and taken out, by owner and key.
    counts: ShMap<(u64, u64), u64>,
    /// Sum of the numbers of the items that were taken out.
    taken: u64,
}

pub struct Queue {
    queue: Named<ShMutex<Items>>,
}

impl Queue {
    pub fn of(pool: &Pool) -> Result<Queue> {
        let empty = || ItemsNew { items: ShVec::new(), counts: ShMap::new(), taken: 0u64 };
        Ok(Queue { queue: pool.named_with("queue", || ShMutex::new(empty()))? })
    }
}

fn number(owner: u64, i: u64) -> u64 {
    owner << 40 | i
}

fn number_of(item: &str) -> u64 {
    item.split(' ').next().and_then(|n| n.parse().ok()).unwrap_or(u64::MAX)
}

impl Subject for Queue {
    fn name(&self) -> &'static str {
        "queue"
    }

    fn keys(&self) -> usize {
        2
    }

    fn next(&self, s: State, _: &mut Random) -> State {
        State { edition: s.edition + 1, ..s }
    }

    fn change(&self, who: &Who<'_>, key: usize, _: State, to: State, random: &mut Random) -> Result<()> {
        let count = to.edition as u64;
        let item = number(who.owner, count).to_string() + &" and more".repeat(random.below(5) as usize);
        let at = random.next() as usize;
        who.want(SITE);
        self.queue.transaction(|queue| {
            who.have(SITE);
            let queue = queue.fields_mut();
            // An empty queue gives nothing, a full one takes nothing; the attempt counts all the same.
            let len = queue.items.len();
            if key == PUT {
                let item = if len < 500 { item } else { 0.to_string() };
                *queue.taken = queue.taken.wrapping_add(if len < 500 { 0 } else { number(who.owner, count) });
                queue.items.push(item)?;
            } else if len > 0 {
                let item = queue.items.swap_remove(at % len);
                *queue.taken = queue.taken.wrapping_add(number_of(&item));
            }
            queue.counts.insert((who.owner, key as u64), count).map(drop)
        })
    }

    fn is(&self, who: &Who<'_>, key: usize, s: State) -> Result<bool> {
        let queue = self.queue.lock()?;
        Ok(queue.counts.get(&(who.owner, key as u64)).copied().unwrap_or(0) == s.edition as u64)
    }

    fn waits_by_itself(&self) -> bool {
        true
    }

    fn excess(&self, all: &[(Who<'_>, Vec<State>)]) -> Result<Option<String>> {
        let queue = self.queue.lock()?;
        let put = |(who, states): &(Who<'_>, Vec<State>)| {
            (1..=states[PUT].edition as u64).fold(0, |sum: u64, i| sum.wrapping_add(number(who.owner, i)))
        };
        let put = all.iter().map(put).fold(0, u64::wrapping_add);
        let left = queue.items.iter().map(|i| number_of(i)).fold(0, u64::wrapping_add);
        let found = queue.taken.wrapping_add(left);
        Ok((put != found).then(|| format!("items of a sum of {put} put in, {found} found")))
    }
}
