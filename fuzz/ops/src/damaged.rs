//! Images of real pools, damaged, opened, checked, repaired and read: never a crash, never a hang.
//!
//! An input is bytes: the first chooses the image and how it is opened, each four or more that follow a piece of damage. What [`Pool::check`]
//! finds nothing wrong with must be readable without a panic.

mod image;
mod subjects;

use aquifer::{Pool, Report, Result};
use arbitrary::{Arbitrary, Unstructured};
use image::{IMAGES, Image};

/// Pieces of damage of one input at most.
const MOST: usize = 12;

/// One piece of damage. Places are numbers of words that are not 0, modulo how many there are, or any bytes of the pool.
#[derive(Clone, Copy, Debug, Arbitrary)]
pub enum Damage {
    /// A bit of a word in use.
    Flip { word: u16, bit: u8 },
    /// A word in use becomes a number.
    Number { word: u16, number: Number },
    /// A word in use becomes what another one is.
    Copy { word: u16, from: u16 },
    /// Two words in use change places.
    Swap { word: u16, with: u16 },
    /// Any byte.
    Byte { place: u32, value: u8 },
    /// Zeros, up to 64 bytes or up to four pages.
    Zero { place: u32, len: u8, pages: bool },
    /// Bytes from elsewhere in the pool.
    Splice { from: u32, to: u32, len: u16 },
    /// The file ends.
    Truncate { place: u32 },
    /// The file goes on.
    Lengthen { pages: u8 },
}

/// Numbers that are likely to lead somewhere.
#[derive(Clone, Copy, Debug, Arbitrary)]
pub enum Number {
    Zero,
    One,
    All,
    Small(u8),
    Page(u8),
    High(u8),
    Any(u64),
}

impl Number {
    fn value(self) -> u64 {
        match self {
            Number::Zero => 0,
            Number::One => 1,
            Number::All => u64::MAX,
            Number::Small(n) => n.into(),
            Number::Page(n) => u64::from(n) * 4096,
            Number::High(n) => u64::MAX >> (n % 64),
            Number::Any(n) => n,
        }
    }
}

/// What the first byte chooses.
#[derive(Clone, Copy, Debug)]
struct Way {
    image: u8,
    verify: bool,
    repair_first: bool,
    /// Whether the file says that it was closed in order, so that opening it does not check all of it.
    trusted: bool,
}

impl<'a> Arbitrary<'a> for Way {
    fn arbitrary(input: &mut Unstructured<'a>) -> arbitrary::Result<Way> {
        let bits = u8::arbitrary(input)?;
        Ok(Way {
            image: bits & 7,
            verify: bits & 8 != 0,
            repair_first: bits & 16 != 0,
            trusted: bits & 32 != 0,
        })
    }
}

/// Runs one input.
pub fn run(data: &[u8]) {
    let _ = outcome(data);
}

/// The same, and what became of it.
pub fn outcome(data: &[u8]) -> Outcome {
    let mut input = Unstructured::new(data);
    let Ok(way) = Way::arbitrary(&mut input) else { return Outcome::Refused };
    let mut damage = Vec::new();
    while !input.is_empty() && damage.len() < MOST {
        match Damage::arbitrary(&mut input) {
            Ok(d) => damage.push(d),
            Err(_) => break,
        }
    }
    let mut image = IMAGES[way.image as usize % IMAGES.len()].clone();
    damage.iter().for_each(|d| image.apply(*d));
    if way.trusted {
        image.close();
    }
    examine(&image, way.verify, way.repair_first)
}

/// Opens what an image says, and does all that may be done with it. What must not happen is a panic or a hang.
fn examine(image: &Image, verify: bool, repair_first: bool) -> Outcome {
    let file = image.file();
    let Ok(pool) = Pool::options().window(1).verify(verify).open(file.path()) else {
        return Outcome::Refused;
    };
    if verify {
        subjects::read_all(&pool, &Report::default());
    }
    if repair_first {
        let _ = pool.repair();
    }
    let Ok(first) = pool.check() else { return Outcome::Refused };
    let _ = first.to_string();
    subjects::read_all(&pool, &first);
    look_around(&pool);
    let _ = pool.repair();
    let Ok(second) = pool.check() else { return Outcome::Refused };
    subjects::read_all(&pool, &second);
    if second.findings.is_empty() && pool.check().is_ok_and(|r| r.is_clean()) {
        let _ = subjects::change_all(&pool);
    }
    if first.is_clean() { Outcome::Clean } else { Outcome::Found }
}

/// What became of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It was not opened.
    Refused,
    /// Something was found to be wrong.
    Found,
    /// Nothing was.
    Clean,
}

fn look_around(pool: &Pool) {
    let _ = (pool.info(), pool.stats(), pool.names());
    let _: Result<Option<_>> = pool.look_up::<subjects::Stock>("no such object");
}
