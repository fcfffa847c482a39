//! Lists of strings by name, in two tables between which they are carried.

use super::super::random::Random;
use super::super::state::State;
use super::super::who::Who;
use super::{Subject, counted, expected};
use aquifer::entry::Entry;
use aquifer::{Error, Named, Place, Pool, Result, ShMap, ShRwLock, ShString, ShVec, from_iter};

type Map = ShMap<ShString, ShVec<ShString>>;
type Table = ShRwLock<Map>;

/// Numbers of the tables' locks on the board.
pub const SITES: [usize; 2] = [0, 1];

pub struct Lists {
    pool: Pool,
    tables: [Named<Table>; 2],
}

impl Lists {
    pub fn of(pool: &Pool) -> Result<Lists> {
        let tables = [pool.named::<Table>("lists")?, pool.named::<Table>("other lists")?];
        Ok(Lists { pool: pool.clone(), tables })
    }

    fn put(&self, who: &Who<'_>, key: usize, to: State, random: &mut Random) -> Result<()> {
        let t = to.place as usize - 1;
        let (name, texts) = (who.name(key), who.texts(key, to));
        let mut table = who.write(SITES[t], &self.tables[t])?;
        match random.below(2) {
            0 => table.insert(name.as_str(), from_iter(texts)).map(drop),
            _ => table.entry(name.as_str()).or_insert(from_iter(texts)).map(drop),
        }
    }

    fn remove(&self, who: &Who<'_>, key: usize, from: State, random: &mut Random) -> Result<()> {
        let t = from.place as usize - 1;
        let name = who.name(key);
        let mut table = who.write(SITES[t], &self.tables[t])?;
        match random.below(3) {
            0 => table.retain(|k, _| **k != *name),
            1 => {
                if let Entry::Occupied(e) = table.entry(name.as_str()) {
                    drop(e.remove());
                }
            }
            _ => drop(table.remove(name.as_str())),
        }
        Ok(())
    }

    /// The locks may lie in either order: then it may have to give up, and is tried again.
    fn carry(&self, who: &Who<'_>, key: usize, from: State, to: State) -> Result<()> {
        let name = who.name(key);
        let [a, b] = [from, to].map(|s| s.place as usize - 1);
        self.pool.transaction(|tx| {
            [a, b].into_iter().for_each(|t| who.want(SITES[t]));
            let source = tx.write(&self.tables[a])?;
            who.have(SITES[a]);
            let target = tx.write(&self.tables[b])?;
            who.have(SITES[b]);
            let list = source.remove(name.as_str()).ok_or(Error::abort("the list is not there"))?;
            target.insert(name.as_str(), list).map(drop)
        })
    }

    fn replace(&self, who: &Who<'_>, key: usize, to: State, random: &mut Random) -> Result<()> {
        let t = to.place as usize - 1;
        let (name, texts) = (who.name(key), who.texts(key, to));
        if random.once_in(2) {
            let mut table = who.write(SITES[t], &self.tables[t])?;
            return table.insert(name.as_str(), from_iter(texts)).map(drop);
        }
        who.want(SITES[t]);
        // In steps that would be seen if the transaction did not hide them.
        self.tables[t].transaction(|table| {
            who.have(SITES[t]);
            list(table, &name)?.clear();
            table.insert("for a moment", ["and never seen outside"])?;
            drop(table.remove("for a moment"));
            list(table, &name)?.extend(texts)
        })
    }

    fn edit(&self, who: &Who<'_>, key: usize, from: State, to: State) -> Result<()> {
        let t = to.place as usize - 1;
        let mut table = who.write(SITES[t], &self.tables[t])?;
        let list = list(&mut table, &who.name(key))?;
        let text = |i| who.text(key, to.edition, i);
        match (to.lo, to.hi) {
            (lo, hi) if lo == hi => list.clear(),
            (lo, _) if lo < from.lo => list.insert(0, text(lo))?,
            (lo, _) if lo > from.lo => drop(list.remove(0)),
            (_, hi) if hi > from.hi => list.push(text(from.hi))?,
            (_, hi) if hi + 1 == from.hi => drop(list.pop()),
            _ => list.truncate(to.len()),
        }
        Ok(())
    }
}

fn list<'a>(table: &'a mut Place<Map>, name: &str) -> Result<&'a mut Place<ShVec<ShString>>> {
    table.get_mut(name).ok_or(Error::abort("the list is not there"))
}

impl Subject for Lists {
    fn name(&self) -> &'static str {
        "lists"
    }

    fn keys(&self) -> usize {
        4
    }

    fn next(&self, s: State, random: &mut Random) -> State {
        if s.place == 0 {
            return s.renewed(random, 5).at(1 + random.below(2) as u8);
        }
        match random.below(12) {
            0 => s.removed(),
            1 => s.renewed(random, 5),
            2 | 3 => s.at(3 - s.place),
            4 => State { hi: s.lo, ..s },
            5 => State { hi: s.lo + s.len() as u16 / 2, ..s },
            6 if s.len() > 0 => State { lo: s.lo + 1, ..s },
            7 if s.len() > 0 && s.len() < 40 => State { lo: s.lo - 1, ..s },
            8 if s.len() > 0 => State { hi: s.hi - 1, ..s },
            _ if s.len() < 40 => State { hi: s.hi + 1, ..s },
            _ => s,
        }
    }

    fn change(&self, who: &Who<'_>, key: usize, from: State, to: State, random: &mut Random) -> Result<()> {
        match (from.place, to.place) {
            (0, _) => self.put(who, key, to, random),
            (_, 0) => self.remove(who, key, from, random),
            (a, b) if a != b => self.carry(who, key, from, to),
            _ if from.edition != to.edition => self.replace(who, key, to, random),
            _ => self.edit(who, key, from, to),
        }
    }

    fn is(&self, who: &Who<'_>, key: usize, state: State) -> Result<bool> {
        // Once both are had, whoever died with one of them is buried.
        let tables = [self.tables[0].read()?, self.tables[1].read()?];
        let name = who.name(key);
        let texts = who.texts(key, state);
        Ok(tables.iter().zip(1..).all(|(table, place)| match table.get(name.as_str()) {
            Some(list) => place == state.place && *list == texts,
            None => place != state.place,
        }))
    }

    fn leak(&self, who: &Who<'_>) -> Result<()> {
        std::mem::forget(self.tables[0].read()?);
        who.want(SITES[1]);
        std::mem::forget(self.tables[1].write()?);
        who.have(SITES[1]);
        Ok(())
    }

    fn excess(&self, all: &[(Who<'_>, Vec<State>)]) -> Result<Option<String>> {
        for (table, place) in self.tables.iter().zip(1..) {
            let found = counted("lists", table.read()?.len(), expected(all, place));
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }
}
