//! What a round left in its pool, against what all ledgers say.

use super::Total;
use super::director::Director;
use super::subjects::World;
use aquifer::{Named, Pool, Result, ShMutex, ShVec, from_iter};
use std::sync::atomic::Ordering::SeqCst;

/// Compares everything; an error says what is wrong first.
pub fn judge(
    director: &Director<'_>,
    pool: &Pool,
    used: u64,
    total: &mut Total,
) -> std::result::Result<(), String> {
    let said = |e: aquifer::Error| e.to_string();
    match ledgers(director, pool).map_err(said)? {
        Some(wrong) => return Err(wrong),
        None => director.board.beat(),
    }
    let report = pool.check().map_err(said)?;
    director.board.beat();
    total.leaked += report.leaked_bytes;
    total.blocks += report.blocks;
    if !report.is_clean() {
        return Err(format!("check: {report}"));
    }
    same("logs with an operation under way", report.open_logs, 0)?;
    same("live processes", pool.info().processes as u64, 1)?;
    same("bytes allocated, against those that are reachable:", pool.stats().used, report.bytes)?;
    remove_all(pool).map_err(said)?;
    let report = pool.check().map_err(said)?;
    if !report.is_clean() {
        return Err(format!("check, with all names removed: {report}"));
    }
    same("objects, with all names removed,", report.roots, 1)?; // the directory
    let left = allocated(pool);
    // The directory's tables may have grown with the number of names.
    if left > used + DIRECTORY {
        total.leaked += left - used;
        return Err(format!("{left} bytes are allocated when all names are removed, {used} were at first"));
    }
    Ok(())
}

/// Room for the names and pins of all keys, which tables keep once they have it.
const DIRECTORY: u64 = 64 << 10;

/// Bytes of allocated blocks but those by which logs were lengthened: these stay with their seats.
pub fn allocated(pool: &Pool) -> u64 {
    let inner = pool.raw();
    let seats = (0..inner.seat_count()).filter_map(|s| inner.seat_at(s));
    let mut of_logs = 0;
    for log in seats.flat_map(|s| &s.logs) {
        let mut chunk = log.chunk.load(SeqCst);
        while let Some(bytes) = aquifer_alloc::block_size(inner, chunk) {
            of_logs += bytes;
            // SAFETY: a chunk of a log, which begins with the offset of the next, and which nobody changes now.
            chunk = inner.at(chunk, 8).map_or(0, |p| unsafe { p.cast::<u64>().read() });
        }
    }
    pool.stats().used - of_logs
}

fn same(what: &str, found: u64, expected: u64) -> std::result::Result<(), String> {
    if found == expected { Ok(()) } else { Err(format!("{what} {found} instead of {expected}")) }
}

fn ledgers(director: &Director<'_>, pool: &Pool) -> Result<Option<String>> {
    let world = World::of(pool)?;
    for who in director.owners() {
        let wrong = world.settle(&who)?;
        if wrong.is_some() {
            return Ok(wrong);
        }
    }
    world.excess(director.owners())
}

/// Memory that is set aside, so that there is some for the verdict on a pool that may not grow.
pub struct Reserve(Named<ShMutex<ShVec<u64>>>);

impl Reserve {
    const NAME: &str = "reserve";

    pub fn of(pool: &Pool) -> Result<Reserve> {
        let numbers = from_iter(0..16_384);
        Ok(Reserve(pool.named_with(Self::NAME, || ShMutex::new(numbers))?))
    }

    pub fn give_back(self, pool: &Pool) -> Result<()> {
        drop(self.0);
        pool.remove(Self::NAME).map(drop)
    }
}

/// Removes all named objects.
pub fn remove_all(pool: &Pool) -> Result<()> {
    for name in pool.names()? {
        pool.remove(&name.name)?;
    }
    Ok(())
}
