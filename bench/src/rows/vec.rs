//! Vectors of `u64` beside `Vec`.

use crate::keys::splitmix;
use crate::measure::{timed, tried};
use crate::peers::mapping::{Mapping, TempFile};
use crate::row::{Row, Side, Target::*, Trial};
use crate::{Result, ours};
use aquifer::{Named, ShRwLock, ShVec};
use std::hint::black_box;

pub type Ours = Named<ShRwLock<ShVec<u64>>>;

const N: usize = 10_000_000;
const WARM_TABLE: &str = "both write to memory that was used before";

pub fn rows() -> Vec<Row> {
    vec![
        Row::new("vec", "push 10M growing", "Vec", AtMost(1.25), || pushes(N, 0)).note(WARM_TABLE),
        Row::new("vec", "push 10M reserved", "Vec", AtMost(1.25), || pushes(N, N)).note(WARM_TABLE),
        Row::new("vec", "index 10M", "Vec", AtMost(1.02), || indexes(N)),
        Row::new("vec", "iterate 10M", "Vec", AtMost(1.02), || iterations(N)),
        Row::new("vec", "sort 10M", "Vec", AtMost(1.3), || sorts(N))
            .note("ours is undone as a whole if the process dies in it; both are the stable sort"),
    ]
}

fn ours_of(n: usize) -> Result<Ours> {
    let vec: Ours = ours::object()?;
    vec.write()?.extend((0..n as u64).map(splitmix))?;
    Ok(vec)
}

fn theirs_of(n: usize) -> Vec<u64> {
    (0..n as u64).map(splitmix).collect()
}

pub fn ours_pushing(n: usize, room: usize) -> Result<Side> {
    let vec: Ours = ours::object()?;
    Ok(Box::new(move || {
        let mut vec = vec.write()?;
        vec.clear();
        vec.shrink_to_fit()?;
        tried(n, || {
            vec.reserve(room)?;
            (0..n as u64).try_for_each(|i| vec.push(black_box(i)))
        })
    }))
}

fn pushes(n: usize, room: usize) -> Result<Trial> {
    let theirs = move || {
        let mut vec: Vec<u64> = Vec::new();
        Ok(timed(n, || {
            vec.reserve(room);
            for i in 0..n as u64 {
                vec.push(black_box(i));
            }
            vec
        }))
    };
    Ok(Trial::new(ours_pushing(n, room)?, theirs).limit(bare_pushes(n)))
}

/// The least there is to do: as many stores into memory that is there.
pub fn bare_pushes(n: usize) -> Side {
    let mut memory = vec![1u64; n];
    Box::new(move || {
        Ok(timed(n, || {
            for (i, place) in memory.iter_mut().enumerate() {
                *place = black_box(i as u64);
            }
        }))
    })
}

fn indexes(n: usize) -> Result<Trial> {
    let (ours, theirs) = (ours_of(n)?, theirs_of(n));
    Ok(Trial::new(
        move || {
            let vec = ours.read()?;
            let n = black_box(n);
            Ok(timed(n, || (0..n).fold(0u64, |sum, i| sum.wrapping_add(vec[i]))))
        },
        move || {
            let n = black_box(n);
            Ok(timed(n, || (0..n).fold(0u64, |sum, i| sum.wrapping_add(theirs[i]))))
        },
    )
    .limit(bare_sums(n)?))
}

fn iterations(n: usize) -> Result<Trial> {
    let (ours, theirs) = (ours_of(n)?, theirs_of(n));
    Ok(Trial::new(
        move || {
            let vec = ours.read()?;
            Ok(timed(n, || vec.iter().fold(0u64, |sum, x| sum.wrapping_add(*x))))
        },
        move || Ok(timed(n, || theirs.iter().fold(0u64, |sum, x| sum.wrapping_add(*x)))),
    )
    .limit(bare_sums(n)?))
}

/// The least there is to do: as many numbers added up that stand one after the other in shared memory.
fn bare_sums(n: usize) -> Result<Side> {
    let mut memory = Mapping::new(TempFile::new()?, n * size_of::<u64>())?;
    let bytes = memory.bytes();
    for (i, place) in bytes.chunks_exact_mut(size_of::<u64>()).enumerate() {
        place.copy_from_slice(&splitmix(i as u64).to_ne_bytes());
    }
    Ok(Box::new(move || {
        // SAFETY: any bytes are numbers.
        let (_, numbers, _) = unsafe { memory.bytes().align_to::<u64>() };
        Ok(timed(numbers.len(), || numbers.iter().fold(0u64, |sum, x| sum.wrapping_add(*x))))
    }))
}

fn sorts(n: usize) -> Result<Trial> {
    let unsorted = theirs_of(n);
    let (ours, mut theirs, again) = (ours_of(n)?, unsorted.clone(), unsorted.clone());
    Ok(Trial::new(
        move || {
            let mut vec = ours.write()?;
            vec.as_mut_slice()?.copy_from_slice(&unsorted);
            vec.commit();
            tried(n, || vec.sort())
        },
        move || {
            theirs.copy_from_slice(&again);
            Ok(timed(n, || theirs.sort()))
        },
    ))
}
