//! Does one operation again and again: what `tests/log-cost.sh` counts, in a build with the log and in one without.
//!
//!     cargo run --release --example log-cost -- insert 20000

use aquifer::{Error, Pool, ShMap, ShMutex, ShString, ShVec};
use std::hint::black_box;
use std::time::Instant;

const LONG: &str = "a text too long to stand in its string";
/// Entries of the map that is worked on: it stays in the caches.
const ENTRIES: u64 = 1000;

fn main() -> Result<(), Error> {
    let mut arguments = std::env::args().skip(1);
    let (Some(operation), Some(times)) = (arguments.next(), arguments.next().and_then(|n| n.parse().ok()))
    else {
        eprintln!("log-cost push|insert|overwrite|remove|allocate|free TIMES");
        std::process::exit(2);
    };
    let pool = Pool::options().size(64 << 20).memfd()?;
    let nanos = run(&pool, &operation, times)?;
    println!("{:.2}", nanos / times as f64);
    Ok(())
}

/// Prepares, then measures so many operations; how long they took, in nanoseconds.
fn run(pool: &Pool, operation: &str, times: u64) -> Result<f64, Error> {
    let numbers = pool.named::<ShMutex<ShVec<u64>>>("numbers")?;
    let texts = pool.named::<ShMutex<ShVec<ShString>>>("texts")?;
    let map = pool.named::<ShMutex<ShMap<u64, u64>>>("map")?;
    let rounds = times.div_ceil(ENTRIES);
    map.lock()?.reserve(2 * ENTRIES as usize)?;
    texts.lock()?.reserve(2 * times as usize)?;
    let mut spent = 0.0;
    match operation {
        "push" => {
            let mut numbers = numbers.lock()?;
            numbers.reserve(times as usize)?;
            spent += timed(|| (0..times).try_for_each(|i| numbers.push(black_box(i))))?;
        }
        "allocate" => {
            let mut texts = texts.lock()?;
            spent += timed(|| (0..times).try_for_each(|_| texts.push(black_box(LONG))))?;
        }
        "free" => {
            let mut texts = texts.lock()?;
            (0..times).try_for_each(|_| texts.push(LONG))?;
            spent += timed(|| {
                (0..times).for_each(|_| drop(black_box(texts.pop())));
                Ok(())
            })?;
        }
        "overwrite" => {
            let mut map = map.lock()?;
            for round in 0..rounds + 1 {
                let mut insert = || (0..ENTRIES).try_for_each(|k| map.insert(black_box(k), round).map(drop));
                spent += if round == 0 { insert().map(|()| 0.0)? } else { timed(&mut insert)? };
            }
        }
        "insert" | "remove" => {
            let mut map = map.lock()?;
            for _ in 0..rounds {
                let mut insert = || (0..ENTRIES).try_for_each(|k| map.insert(black_box(k), k).map(drop));
                match operation {
                    "insert" => spent += timed(&mut insert)?,
                    _ => insert()?,
                }
                let mut remove = || {
                    (0..ENTRIES).for_each(|k| {
                        black_box(map.remove(&black_box(k)));
                    });
                    Ok(())
                };
                match operation {
                    "remove" => spent += timed(&mut remove)?,
                    _ => remove()?,
                }
            }
        }
        other => return Err(Error::Unsupported(format!("the operation {other}"))),
    }
    Ok(spent)
}

#[inline(never)]
fn timed(work: impl FnOnce() -> Result<(), Error>) -> Result<f64, Error> {
    let begin = Instant::now();
    measured(work)?;
    Ok(begin.elapsed().as_nanos() as f64)
}

/// What callgrind counts.
#[inline(never)]
#[unsafe(no_mangle)]
#[allow(unsafe_code)]
fn log_cost_measured(work: &mut dyn FnMut()) {
    work();
}

fn measured(work: impl FnOnce() -> Result<(), Error>) -> Result<(), Error> {
    let (mut work, mut result) = (Some(work), Ok(()));
    log_cost_measured(&mut || {
        if let Some(work) = work.take() {
            result = work();
        }
    });
    result
}
