//! The operations that are stepped through.

use aquifer::{Error, Pool, ShMap, ShMutex, ShRwLock, ShSet, ShString, ShVec};

mod more;

type Act = fn(&Pool) -> Result<(), Error>;

/// One operation: what was there before, what is done, and how to tell what came of it.
pub struct Scene {
    pub name: &'static str,
    pub quick: bool,
    pub setup: Act,
    /// In the child, before the first step.
    pub prepare: Act,
    pub operation: Act,
    pub observe: fn(&Pool) -> Result<String, Error>,
    /// How many outcomes there are, the first (nothing happened) included.
    pub outcomes: usize,
}

type Words = ShRwLock<ShMap<ShString, ShVec<u64>>>;
type Numbers = ShMutex<ShVec<u64>>;
type Names = ShMutex<ShVec<ShString>>;
type Keys = ShMutex<ShMap<u64, u64>>;
type Ids = ShMutex<ShSet<u64>>;
type Text = ShMutex<ShString>;

/// Sits down and touches what the operation will need, so that only the operation is stepped through.
fn sit(pool: &Pool) -> Result<(), Error> {
    pool.named::<Numbers>("warm")?.lock()?.push(1)
}

fn words(pool: &Pool) -> Result<String, Error> {
    let words = pool.named::<Words>("words")?;
    let guard = words.read()?;
    let mut all: Vec<String> = guard.iter().map(|(k, v)| format!("{}={:?}", k.as_str(), &v[..])).collect();
    all.sort();
    Ok(all.join(" "))
}

fn numbers(pool: &Pool) -> Result<String, Error> {
    Ok(format!("{:?}", pool.named::<Numbers>("numbers")?.lock()?.as_slice()))
}

fn names(pool: &Pool) -> Result<String, Error> {
    Ok(format!("{:?}", pool.named::<Names>("names")?.lock()?.iter().map(|s| s.as_str()).collect::<Vec<_>>()))
}

fn keys(pool: &Pool) -> Result<String, Error> {
    let keys = pool.named::<Keys>("keys")?;
    let guard = keys.lock()?;
    let mut all: Vec<(u64, u64)> = guard.iter().map(|(k, v)| (*k, *v)).collect();
    all.sort_unstable();
    Ok(format!("{} {all:?}", guard.len()))
}

fn ids(pool: &Pool) -> Result<String, Error> {
    let ids = pool.named::<Ids>("ids")?;
    let guard = ids.lock()?;
    let mut all: Vec<u64> = guard.iter().copied().collect();
    all.sort_unstable();
    Ok(format!("{all:?}"))
}

fn text(pool: &Pool) -> Result<String, Error> {
    Ok(pool.named::<Text>("text")?.lock()?.as_str().to_string())
}

fn objects(pool: &Pool) -> Result<String, Error> {
    let mut names: Vec<String> = pool.names()?.into_iter().map(|n| n.name).filter(|n| n != "warm").collect();
    names.sort();
    Ok(names.join(" "))
}

fn with_words(pool: &Pool) -> Result<(), Error> {
    sit(pool)?;
    let words = pool.named::<Words>("words")?;
    let mut guard = words.write()?;
    guard.insert("bolts", [500, 250])?;
    guard.insert("a name that is too long to stand in its place", [1, 2, 3])?;
    Ok(())
}

fn with_numbers(pool: &Pool) -> Result<(), Error> {
    sit(pool)?;
    let numbers = pool.named::<Numbers>("numbers")?;
    let mut guard = numbers.lock()?;
    for i in 0..8 {
        guard.push(i)?;
    }
    guard.reserve(8)
}

fn with_full_numbers(pool: &Pool) -> Result<(), Error> {
    sit(pool)?;
    let numbers = pool.named::<Numbers>("numbers")?;
    let mut guard = numbers.lock()?;
    guard.push(0)?;
    while guard.len() < guard.capacity() {
        let n = guard.len() as u64;
        guard.push(n)?;
    }
    Ok(())
}

fn with_names(pool: &Pool) -> Result<(), Error> {
    sit(pool)?;
    let names = pool.named::<Names>("names")?;
    let mut guard = names.lock()?;
    guard.push("short")?;
    guard.push("a name that is too long to stand in its place")?;
    guard.push("another name that is too long to stand in place")
}

fn with_keys(n: u64, pool: &Pool) -> Result<(), Error> {
    sit(pool)?;
    let keys = pool.named::<Keys>("keys")?;
    let mut guard = keys.lock()?;
    for k in 0..n {
        guard.insert(k, k * 10)?;
    }
    Ok(())
}

fn prepare_words(pool: &Pool) -> Result<(), Error> {
    sit(pool)?;
    pool.named::<Words>("words")?.write().map(drop)
}

macro_rules! scene {
    ($name:literal, $setup:expr, $operation:expr, $observe:expr, $outcomes:expr, $quick:expr) => {
        Scene {
            name: $name,
            quick: $quick,
            setup: $setup,
            prepare: sit,
            operation: $operation,
            observe: $observe,
            outcomes: $outcomes,
        }
    };
}

/// All scenes.
pub fn all() -> Vec<Scene> {
    let mut scenes = locks_and_names();
    scenes.extend(vectors());
    scenes.extend(maps());
    scenes.extend(more::all());
    scenes
}

fn locks_and_names() -> Vec<Scene> {
    vec![
        scene!(
            "write lock and unlock",
            with_numbers,
            |p| p.named::<Numbers>("numbers")?.lock().map(drop),
            numbers,
            1,
            true
        ),
        scene!(
            "read lock and unlock",
            with_words,
            |p| p.named::<Words>("words")?.read().map(drop),
            words,
            1,
            false
        ),
        Scene {
            name: "join and take a seat",
            quick: false,
            setup: with_numbers,
            prepare: |_| Ok(()),
            operation: |p| p.named::<Numbers>("numbers")?.lock().map(drop),
            observe: numbers,
            outcomes: 1,
        },
        scene!(
            "make a named object",
            with_numbers,
            |p| p.named::<Words>("words").map(drop),
            objects,
            2,
            true
        ),
        scene!("remove a named object", with_words, |p| p.remove("words").map(drop), objects, 2, true),
    ]
}

fn vectors() -> Vec<Scene> {
    vec![
        scene!(
            "vec: push with room",
            with_numbers,
            |p| p.named::<Numbers>("numbers")?.lock()?.push(99),
            numbers,
            2,
            true
        ),
        scene!(
            "vec: push that grows",
            with_full_numbers,
            |p| p.named::<Numbers>("numbers")?.lock()?.push(99),
            numbers,
            2,
            true
        ),
        scene!(
            "vec: pop",
            with_numbers,
            |p| p.named::<Numbers>("numbers")?.lock().map(|mut g| {
                let _ = g.pop();
            }),
            numbers,
            2,
            false
        ),
        scene!(
            "vec: insert in the middle",
            with_numbers,
            |p| p.named::<Numbers>("numbers")?.lock()?.insert(2, 99),
            numbers,
            2,
            true
        ),
        scene!(
            "vec: remove from the middle",
            with_numbers,
            |p| p.named::<Numbers>("numbers")?.lock().map(|mut g| {
                let _ = g.remove(2);
            }),
            numbers,
            2,
            true
        ),
        scene!(
            "vec: clear",
            with_numbers,
            |p| p.named::<Numbers>("numbers")?.lock().map(|mut g| g.clear()),
            numbers,
            2,
            false
        ),
        scene!(
            "vec of strings: push a long one",
            with_names,
            |p| p.named::<Names>("names")?.lock()?.push("yet another name that is far too long"),
            names,
            2,
            true
        ),
        scene!(
            "vec of strings: remove the first",
            with_names,
            |p| p.named::<Names>("names")?.lock().map(|mut g| {
                let _ = g.remove(1);
            }),
            names,
            2,
            true
        ),
        scene!(
            "vec of strings: clear",
            with_names,
            |p| p.named::<Names>("names")?.lock().map(|mut g| g.clear()),
            names,
            2,
            true
        ),
        scene!(
            "string: grow to the heap",
            |p| {
                sit(p)?;
                p.named::<Text>("text")?.lock()?.push_str("short")
            },
            |p| p.named::<Text>("text")?.lock()?.push_str(" and then so long that it needs a block"),
            text,
            2,
            true
        ),
        scene!(
            "transaction of four pushes",
            with_numbers,
            |p| p.named::<Numbers>("numbers")?.transaction(|n| {
                for i in 0..4 {
                    n.push(i)?;
                }
                n.pop();
                Ok(())
            }),
            numbers,
            2,
            true
        ),
    ]
}

fn maps() -> Vec<Scene> {
    vec![
        scene!(
            "map: insert new",
            |p| with_keys(3, p),
            |p| p.named::<Keys>("keys")?.lock()?.insert(99, 1).map(drop),
            keys,
            2,
            true
        ),
        scene!(
            "map: insert that rehashes",
            |p| with_keys(14, p),
            |p| p.named::<Keys>("keys")?.lock()?.insert(99, 1).map(drop),
            keys,
            2,
            true
        ),
        scene!(
            "map: overwrite",
            |p| with_keys(3, p),
            |p| p.named::<Keys>("keys")?.lock()?.insert(1, 99).map(drop),
            keys,
            2,
            false
        ),
        scene!(
            "map: remove",
            |p| with_keys(6, p),
            |p| p.named::<Keys>("keys")?.lock().map(|mut g| {
                let _ = g.remove(&1);
            }),
            keys,
            2,
            true
        ),
        scene!(
            "set: insert",
            |p| {
                sit(p)?;
                p.named::<Ids>("ids")?.lock()?.insert(1).map(drop)
            },
            |p| p.named::<Ids>("ids")?.lock()?.insert(2).map(drop),
            ids,
            2,
            false
        ),
        Scene {
            name: "map of vecs: insert new",
            quick: true,
            setup: with_words,
            prepare: prepare_words,
            operation: |p| {
                p.named::<Words>("words")?
                    .write()?
                    .insert("a new name that needs a block of its own", [7, 8, 9])
                    .map(drop)
            },
            observe: words,
            outcomes: 2,
        },
        scene!(
            "map of vecs: overwrite",
            with_words,
            |p| p.named::<Words>("words")?.write()?.insert("bolts", [7; 40]).map(drop),
            words,
            2,
            true
        ),
        scene!(
            "map of vecs: remove",
            with_words,
            |p| p.named::<Words>("words")?.write().map(|mut g| {
                let _ = g.remove("bolts");
            }),
            words,
            2,
            true
        ),
        scene!(
            "map of vecs: clear",
            with_words,
            |p| p.named::<Words>("words")?.write().map(|mut g| g.clear()),
            words,
            2,
            true
        ),
        scene!(
            "map of vecs: entry and push",
            with_words,
            |p| p.named::<Words>("words")?.write()?.entry("bolts").or_default()?.push(1),
            words,
            2,
            false
        ),
    ]
}
