//! The operations that are stepped through, by subject.

use crate::scene::*;
use crate::{act, change};
use aquifer::{Error, Pool, ShBox, ShMutex};

mod boxes;
mod guests;
mod heap;
mod locks;
mod maps;
mod pools;
mod retired;
mod sets;
mod strings;
mod transactions;
mod vecs;

/// All scenes.
pub fn all() -> Vec<Scene> {
    let subjects = [
        locks::scenes,
        pools::scenes,
        vecs::scenes,
        strings::scenes,
        boxes::scenes,
        maps::scenes,
        sets::scenes,
        transactions::scenes,
        guests::scenes,
        retired::scenes,
        heap::scenes,
    ];
    subjects.iter().flat_map(|s| s()).collect()
}

const LONG: [&str; 3] = [
    "a text that is too long to stand in its place",
    "another text that is too long to stand in place",
    "yet another text that is far too long for that",
];

fn with_numbers(pool: &Pool) -> Result<(), Error> {
    sit(pool)?;
    let numbers = pool.named::<Numbers>("numbers")?;
    let mut guard = numbers.lock()?;
    guard.extend([4u64, 4, 7, 1, 1, 8, 2, 6])?;
    guard.reserve(8)
}

fn with_full_numbers(pool: &Pool) -> Result<(), Error> {
    with_numbers(pool)?;
    let numbers = pool.named::<Numbers>("numbers")?;
    let mut guard = numbers.lock()?;
    while guard.len() < guard.capacity() {
        guard.push(5)?;
    }
    Ok(())
}

fn with_names(pool: &Pool) -> Result<(), Error> {
    sit(pool)?;
    let names = pool.named::<Names>("names")?;
    let mut guard = names.lock()?;
    guard.push("short")?;
    LONG.iter().try_for_each(|text| guard.push(*text))?;
    guard.push(LONG[2])
}

fn with_keys<const N: u64>(pool: &Pool) -> Result<(), Error> {
    sit(pool)?;
    let keys = pool.named::<Keys>("keys")?;
    let mut guard = keys.lock()?;
    (0..N).try_for_each(|k| guard.insert(k, k * 10).map(drop))
}

fn with_words(pool: &Pool) -> Result<(), Error> {
    sit(pool)?;
    let words = pool.named::<Words>("words")?;
    let mut guard = words.lock()?;
    guard.insert("bolts", [500, 250])?;
    guard.insert(LONG[0], [1, 2, 3])?;
    Ok(())
}

fn with_stock(pool: &Pool) -> Result<(), Error> {
    sit(pool)?;
    let stock = pool.named::<Stock>("stock")?;
    stock.write()?.insert("bolts", [500, 250])?;
    Ok(())
}

fn with_ids(pool: &Pool) -> Result<(), Error> {
    sit(pool)?;
    pool.named::<Ids>("ids")?.lock()?.extend([1u64, 2, 3])
}

fn with_tags(pool: &Pool) -> Result<(), Error> {
    sit(pool)?;
    pool.named::<Tags>("tags")?.lock()?.extend(["one", LONG[0], LONG[1]])
}

fn with_text(pool: &Pool) -> Result<(), Error> {
    sit(pool)?;
    pool.named::<Text>("text")?.lock()?.push_str("grüß dich")
}

fn with_long_text(pool: &Pool) -> Result<(), Error> {
    sit(pool)?;
    pool.named::<Text>("text")?.lock()?.push_str(LONG[0])
}

fn with_scalar(pool: &Pool) -> Result<(), Error> {
    sit(pool)?;
    *pool.named::<Scalar>("scalar")?.lock()? = 7;
    Ok(())
}

fn with_box(pool: &Pool) -> Result<(), Error> {
    sit(pool)?;
    pool.named_with::<Boxed, _>("box", || ShMutex::new(ShBox::new(LONG[0]))).map(drop)
}

fn with_nothing(pool: &Pool) -> Result<(), Error> {
    sit(pool)?;
    pool.named::<Maybe>("maybe").map(drop)
}

fn with_something(pool: &Pool) -> Result<(), Error> {
    with_nothing(pool)?;
    pool.named::<Maybe>("maybe")?.lock()?.insert(LONG[0]).map(drop)
}

fn with_deep(pool: &Pool) -> Result<(), Error> {
    sit(pool)?;
    let deep = pool.named::<Deep>("deep")?;
    let mut guard = deep.lock()?;
    guard.insert("a", [[(1, LONG[0]), (2, "short")], [(3, LONG[1]), (4, LONG[2])]])?;
    guard.insert(LONG[0], [[(5, LONG[1])]])?;
    Ok(())
}

fn with_two_lists(pool: &Pool) -> Result<(), Error> {
    with_names(pool)?;
    pool.named::<Names>("others").map(drop)
}

fn two_lists(pool: &Pool) -> Result<String, Error> {
    Ok(format!("{} {}", show::<Names>(pool)?, pool.named::<Names>("others")?.show()?))
}

/// Without any object: the directory itself is still to be made.
fn empty(_: &Pool) -> Result<(), Error> {
    Ok(())
}
