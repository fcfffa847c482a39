//! Plain data that is overwritten through `&mut`: all of it belongs to one edition.

use super::super::random::Random;
use super::super::state::State;
use super::super::who::Who;
use super::{Subject, counted};
use crate::storm::board::{PROCESSES, THREADS};
use aquifer::{Error, Named, Pool, Result, ShRwLock, ShVec, from_iter};

pub const SITE: usize = 11;

pub type Cell = [u64; 6];

pub struct Cells {
    cells: Named<ShRwLock<ShVec<Cell>>>,
}

impl Cells {
    pub fn of(pool: &Pool) -> Result<Cells> {
        let empty = vec![[0; 6]; PROCESSES * THREADS];
        Ok(Cells { cells: pool.named_with("cells", || ShRwLock::new(from_iter(empty)))? })
    }
}

impl Subject for Cells {
    fn name(&self) -> &'static str {
        "cells"
    }

    fn keys(&self) -> usize {
        1
    }

    fn next(&self, s: State, _: &mut Random) -> State {
        State { edition: s.edition + 1, ..s }
    }

    fn change(&self, who: &Who<'_>, _: usize, _: State, to: State, random: &mut Random) -> Result<()> {
        let mut cells = who.write(SITE, &self.cells)?;
        let owner = who.owner as usize;
        match random.below(3) {
            0 => cells.as_mut_slice()?[owner] = [to.edition as u64; 6],
            1 => {
                // One field after the other.
                let cell = cells.get_mut(owner).ok_or(Error::abort("the cell is not there"))?;
                cell.iter_mut().for_each(|c| *c = to.edition as u64);
            }
            _ => {
                let cell = cells.get_mut(owner).ok_or(Error::abort("the cell is not there"))?;
                *cell = [to.edition as u64; 6];
            }
        }
        cells.commit();
        Ok(())
    }

    fn is(&self, who: &Who<'_>, _: usize, s: State) -> Result<bool> {
        Ok(self.cells.read()?.get(who.owner as usize) == Some(&[s.edition as u64; 6]))
    }

    fn leak(&self, who: &Who<'_>) -> Result<()> {
        who.want(SITE);
        let mut cells = self.cells.write()?;
        who.have(SITE);
        if let Some(cell) = cells.get_mut(who.owner as usize) {
            // Not final before the guard is used again: undone.
            *cell = [u64::MAX; 6];
        }
        std::mem::forget(cells);
        Ok(())
    }

    fn excess(&self, _: &[(Who<'_>, Vec<State>)]) -> Result<Option<String>> {
        Ok(counted("cells", self.cells.read()?.len(), PROCESSES * THREADS))
    }
}
