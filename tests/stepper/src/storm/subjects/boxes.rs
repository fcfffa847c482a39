//! Structs in boxes, all of whose fields belong to one edition.

use super::super::random::Random;
use super::super::state::State;
use super::super::who::{Who, linger};
use super::{Subject, counted, expected};
use aquifer::{Error, Named, Pool, Relocatable, Result, ShBox, ShMap, ShMutex, ShString, ShVec, from_iter};

const SITE: usize = 3;

/// What a box holds.
#[derive(Relocatable)]
#[repr(C)]
pub struct Item {
    edition: u32,
    label: ShString,
    parts: Option<ShVec<u64>>,
}

pub struct Boxes {
    boxes: Named<ShMutex<ShMap<u64, ShBox<Item>>>>,
}

impl Boxes {
    pub fn of(pool: &Pool) -> Result<Boxes> {
        Ok(Boxes { boxes: pool.named("boxes")? })
    }
}

/// Editions without a remainder have no parts at all.
fn parts(who: &Who<'_>, key: usize, s: State) -> Option<Vec<u64>> {
    (!s.edition.is_multiple_of(3)).then(|| who.numbers(key, s))
}

impl Subject for Boxes {
    fn name(&self) -> &'static str {
        "boxes"
    }

    fn keys(&self) -> usize {
        3
    }

    fn next(&self, s: State, random: &mut Random) -> State {
        match s.place {
            0 => s.renewed(random, 30).at(1),
            _ if random.once_in(4) => s.removed(),
            _ => s.renewed(random, 30),
        }
    }

    fn change(&self, who: &Who<'_>, key: usize, from: State, to: State, random: &mut Random) -> Result<()> {
        let number = who.number(key, 0, 0);
        if to.place == 0 {
            let mut boxes = who.lock(SITE, &self.boxes)?;
            linger(random);
            drop(boxes.remove(&number));
            return Ok(());
        }
        let label = who.text(key, to.edition, to.hi);
        let parts = parts(who, key, to);
        if from.place == 0 {
            let item = ItemNew { edition: to.edition, label, parts: parts.map(from_iter) };
            return who.lock(SITE, &self.boxes)?.insert(number, ShBox::new(item)).map(drop);
        }
        who.want(SITE);
        self.boxes.transaction(|boxes| {
            who.have(SITE);
            let item = boxes.get_mut(&number).ok_or(Error::abort("the box is not there"))?.get_mut();
            *item.edition_mut() = to.edition;
            item.set_label(label)?;
            item.set_parts(parts.map(from_iter))
        })
    }

    fn is(&self, who: &Who<'_>, key: usize, s: State) -> Result<bool> {
        let boxes = self.boxes.lock()?;
        Ok(match boxes.get(&who.number(key, 0, 0)) {
            Some(item) => {
                s.place == 1
                    && item.edition == s.edition
                    && *item.label == *who.text(key, s.edition, s.hi)
                    && item.parts.as_ref().map(|p| p.to_vec()) == parts(who, key, s)
            }
            None => s.place == 0,
        })
    }

    fn excess(&self, all: &[(Who<'_>, Vec<State>)]) -> Result<Option<String>> {
        Ok(counted("boxes", self.boxes.lock()?.len(), expected(all, 1)))
    }
}
