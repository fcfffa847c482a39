//! A live adversary: a process of its own, as far as the pool can tell, that works between the kill and the burial.
//!
//! It joins while the dead still seem to live, so that it does not bury them; then they are dead, and it allocates in all sizes, by hand and for
//! texts, collects what was freed in the slabs of its seat, frees, and takes what became free again, also by growing the pool. Where a word of
//! the heap names the dead it settles that alone; where the dead have the directory's lock it buries them before its second half. Then
//! another process joins and buries. What the adversary has must be what it wrote, and nobody else's.

use crate::alive;
use crate::image::{self, Image};
use crate::judge::{Verdict, guarded, open, sound};
use crate::scene::{Names, Scene};
use aquifer::{Error, Handle, Pool};
use std::alloc::Layout;
use std::path::Path;

const SIZES: [usize; 9] = [46, 64, 80, 128, 224, 320, 1024, 4097, 9000];
const SMALL: usize = 5;
const EACH: usize = 6;

/// Recovers the image with an adversary at work.
pub fn meddle(scene: &Scene, path: &Path, image: &Image) -> Verdict {
    guarded(|| {
        image::put(path, image).map_err(io)?;
        let dead = alive::of(path, image).map_err(io)?;
        let adversary = match open(path) {
            Err(Error::TooMany(_)) => return recover_unmet(scene, path, dead),
            other => other?,
        };
        if adversary.info().processes != dead.count() + 1 {
            return Err(Error::abort("the dead were buried before the adversary could work"));
        }
        drop(dead);
        // First what needs no new pages: who grows the pool buries the dead before.
        words(&adversary, &SIZES[..SMALL])?;
        let blocks = work(&adversary)?;
        let words = words(&adversary, &SIZES[SMALL..])?;
        let burier = open(path)?;
        blocks.into_iter().try_for_each(|b| b.give_back(&adversary))?;
        if own(&adversary)? != words {
            return Err(Error::abort("a list of the adversary's has changed"));
        }
        sound(scene, &burier)
    })
}

/// There is no room for an adversary: all records are those of the dead.
fn recover_unmet(scene: &Scene, path: &Path, dead: alive::Alive) -> Result<String, Error> {
    drop(dead);
    sound(scene, &open(path)?)
}

fn io(e: std::io::Error) -> Error {
    Error::abort(e.to_string())
}

/// A block of the adversary's own, full of its own number.
struct Block {
    handle: Handle,
    size: usize,
}

impl Block {
    fn take(pool: &Pool, size: usize) -> Result<Block, Error> {
        let layout = Layout::from_size_align(size, 16).map_err(|e| Error::abort(e.to_string()))?;
        let handle = pool.alloc(layout)?;
        let at = pool.resolve_handle(handle)?;
        // SAFETY: a block of `size` bytes that was just allocated, and that nobody else knows.
        unsafe { at.as_ptr().write_bytes(handle.to_bits() as u8 ^ size as u8, size) };
        Ok(Block { handle, size })
    }

    fn give_back(self, pool: &Pool) -> Result<(), Error> {
        let at = pool.resolve_handle(self.handle)?;
        // SAFETY: the block is ours, and initialised by `take`.
        let bytes = unsafe { std::slice::from_raw_parts(at.as_ptr().cast_const(), self.size) };
        if bytes.iter().any(|b| *b != self.handle.to_bits() as u8 ^ self.size as u8) {
            return Err(Error::abort(format!("a block of the adversary's has changed: {:?}", self.handle)));
        }
        // SAFETY: allocated by `take`, freed once, since `self` goes.
        unsafe { pool.free(self.handle) }
    }
}

fn work(pool: &Pool) -> Result<Vec<Block>, Error> {
    let mut blocks = take(pool, EACH)?;
    // Every second one, so that slabs stay and runs leave holes.
    for i in (0..blocks.len()).rev().step_by(2) {
        blocks.swap_remove(i).give_back(pool)?;
    }
    blocks.extend(take(pool, EACH / 2)?);
    Ok(blocks)
}

/// So many blocks of each size, as far as the pool may grow.
fn take(pool: &Pool, count: usize) -> Result<Vec<Block>, Error> {
    let mut blocks = Vec::new();
    for size in SIZES.iter().flat_map(|size| std::iter::repeat_n(*size, count)) {
        match Block::take(pool, size) {
            Err(Error::HardLimit { .. }) => break,
            block => blocks.push(block?),
        }
    }
    Ok(blocks)
}

/// Changes a list of its own, whose texts come from the slabs that collections share.
fn words(pool: &Pool, sizes: &[usize]) -> Result<Vec<String>, Error> {
    match write_words(pool, sizes) {
        Ok(()) | Err(Error::HardLimit { .. }) => own(pool),
        Err(e) => Err(e),
    }
}

fn write_words(pool: &Pool, sizes: &[usize]) -> Result<(), Error> {
    let list = pool.named::<Names>("adversary")?;
    let mut list = list.lock()?;
    for size in sizes {
        let letter = char::from(b'a' + list.len() as u8 % 26);
        (0..EACH).try_for_each(|_| list.push(String::from(letter).repeat(*size).as_str()))?;
        let middle = list.len() / 2;
        drop(list.remove(middle));
    }
    Ok(())
}

fn own(pool: &Pool) -> Result<Vec<String>, Error> {
    let Some(list) = pool.look_up::<Names>("adversary")? else { return Ok(Vec::new()) };
    Ok(list.lock()?.iter().map(|s| s.to_string()).collect())
}
