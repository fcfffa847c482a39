//! Amounts that are moved between objects: each move counts in the mover's entry, and the sum of all amounts stays as it is.

use super::super::random::Random;
use super::super::state::State;
use super::super::who::Who;
use super::{Subject, counted};
use aquifer::{Error, Named, Pool, Result, ShMap, ShMutex, ShRwLock, ShString};

/// Numbers of the locks on the board: the purses', the bank's, the counts'.
const PURSES: [usize; 3] = [6, 7, 8];
pub const BANK: usize = 9;
const COUNTS: usize = 10;
const SUM: u64 = 1_000_000;

pub struct Accounts {
    pool: Pool,
    purses: [Named<ShMutex<u64>>; 3],
    bank: Named<ShRwLock<ShMap<ShString, u64>>>,
    counts: Named<ShMutex<ShMap<u64, u64>>>,
}

impl Accounts {
    pub fn of(pool: &Pool) -> Result<Accounts> {
        let purse = |name, amount: u64| pool.named_with(name, || ShMutex::new(amount));
        Ok(Accounts {
            pool: pool.clone(),
            purses: [purse("purse", SUM)?, purse("second purse", 0)?, purse("third purse", 0)?],
            bank: pool.named("bank")?,
            counts: pool.named("counts")?,
        })
    }

    fn between_purses(&self, who: &Who<'_>, count: u64, random: &mut Random) -> Result<()> {
        let a = random.below(3) as usize;
        let b = (a + 1 + random.below(2) as usize) % 3;
        let share = random.below(100);
        self.pool.transaction(|tx| {
            [PURSES[a], PURSES[b], COUNTS].into_iter().for_each(|site| who.want(site));
            let from = tx.lock(&self.purses[a])?;
            who.have(PURSES[a]);
            let to = tx.lock(&self.purses[b])?;
            who.have(PURSES[b]);
            let amount = *from * share / 100;
            *from -= amount;
            *to += amount;
            let counts = tx.lock(&self.counts)?;
            who.have(COUNTS);
            counts.insert(who.owner, count).map(drop)
        })
    }

    /// The same with an account that is made by the first payment and removed when it is empty.
    fn with_bank(&self, who: &Who<'_>, count: u64, random: &mut Random) -> Result<()> {
        let a = random.below(3) as usize;
        let account = format!("account {}", random.below(20));
        let share = random.below(100);
        self.pool.transaction(|tx| {
            [PURSES[a], BANK, COUNTS].into_iter().for_each(|site| who.want(site));
            let bank = tx.write(&self.bank)?;
            who.have(BANK);
            let purse = tx.lock(&self.purses[a])?;
            who.have(PURSES[a]);
            if let Some(amount) = bank.remove(account.as_str()) {
                *purse += amount;
            } else {
                let amount = *purse * share / 100;
                *purse -= amount;
                *bank.entry(account.as_str()).or_insert(0)? += amount;
            }
            let counts = tx.lock(&self.counts)?;
            who.have(COUNTS);
            *counts.entry(who.owner).or_insert(0)? = count;
            Ok(())
        })
    }

    /// Moves an amount, then fails: nothing of it may be seen.
    fn in_vain(&self, who: &Who<'_>, random: &mut Random) -> Result<()> {
        let a = random.below(3) as usize;
        let failed = self.pool.transaction(|tx| -> Result<()> {
            who.want(BANK);
            let bank = tx.write(&self.bank)?;
            who.have(BANK);
            bank.insert("nobody's", 5)?;
            *tx.lock(&self.purses[a])? += 1;
            bank.clear();
            Err(Error::abort("in vain"))
        });
        match failed {
            Err(Error::WouldDeadlock(_)) | Ok(()) => Ok(()),
            Err(e) if e.to_string().contains("in vain") => Ok(()),
            Err(e) => Err(e),
        }
    }

    fn sum(&self) -> Result<u64> {
        let bank = self.bank.read()?;
        let mut sum: u64 = bank.values().sum();
        for purse in &self.purses {
            sum += *purse.lock()?;
        }
        Ok(sum)
    }
}

impl Subject for Accounts {
    fn name(&self) -> &'static str {
        "accounts"
    }

    fn keys(&self) -> usize {
        1
    }

    fn next(&self, s: State, _: &mut Random) -> State {
        State { edition: s.edition + 1, place: 1, ..s }
    }

    fn change(&self, who: &Who<'_>, _: usize, _: State, to: State, random: &mut Random) -> Result<()> {
        if random.once_in(8) {
            self.in_vain(who, random)?;
        }
        let count = to.edition as u64;
        match random.below(2) {
            0 => self.between_purses(who, count, random),
            _ => self.with_bank(who, count, random),
        }
    }

    fn is(&self, who: &Who<'_>, _: usize, s: State) -> Result<bool> {
        Ok(self.counts.lock()?.get(&who.owner).copied().unwrap_or(0) == s.edition as u64)
    }

    fn waits_by_itself(&self) -> bool {
        true
    }

    fn excess(&self, all: &[(Who<'_>, Vec<State>)]) -> Result<Option<String>> {
        let sum = self.sum()?;
        if sum != SUM {
            return Ok(Some(format!("a sum of {sum} instead of {SUM}")));
        }
        Ok(counted("counts", self.counts.lock()?.len(), super::expected(all, 1)))
    }
}
