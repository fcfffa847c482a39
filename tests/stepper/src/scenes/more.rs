//! The rest of the operations, one line each where it can be.

use super::*;
use aquifer::ShBox;

type Boxed = ShMutex<ShBox<ShString>>;
type Maybe = ShMutex<Option<ShString>>;

macro_rules! change {
    ($name:literal, $setup:expr, $type:ty, $object:literal, |$guard:ident| $body:expr, $observe:expr, $outcomes:expr) => {
        Scene {
            name: $name,
            quick: false,
            setup: $setup,
            prepare: sit,
            operation: |p| {
                let object = p.named::<$type>($object)?;
                let mut $guard = object.lock()?;
                $body
            },
            observe: $observe,
            outcomes: $outcomes,
        }
    };
}

pub(super) fn all() -> Vec<Scene> {
    let mut scenes = plain_vectors();
    scenes.extend(owning_vectors());
    scenes.extend(strings_and_boxes());
    scenes.extend(tables());
    scenes.extend(transactions());
    scenes.extend(heap());
    scenes
}

fn plain_vectors() -> Vec<Scene> {
    vec![
        change!(
            "vec: swap",
            with_numbers,
            Numbers,
            "numbers",
            |g| {
                g.swap(1, 5);
                Ok(())
            },
            numbers,
            2
        ),
        change!(
            "vec: swap_remove",
            with_numbers,
            Numbers,
            "numbers",
            |g| {
                g.swap_remove(1);
                Ok(())
            },
            numbers,
            2
        ),
        change!(
            "vec: truncate",
            with_numbers,
            Numbers,
            "numbers",
            |g| {
                g.truncate(3);
                Ok(())
            },
            numbers,
            2
        ),
        change!(
            "vec: extend, one by one",
            with_numbers,
            Numbers,
            "numbers",
            |g| g.extend([7u64, 8, 9]),
            numbers,
            4
        ),
        change!(
            "vec: extend_from_slice",
            with_numbers,
            Numbers,
            "numbers",
            |g| g.extend_from_slice(&[7, 8, 9]),
            numbers,
            2
        ),
        change!("vec: retain", with_numbers, Numbers, "numbers", |g| g.retain(|n| n % 3 != 0), numbers, 2),
        change!("vec: sort", with_numbers, Numbers, "numbers", |g| g.sort_by(|a, b| b.cmp(a)), numbers, 2),
        change!(
            "vec: reserve and shrink",
            with_numbers,
            Numbers,
            "numbers",
            |g| {
                g.reserve(100)?;
                g.shrink_to_fit()
            },
            numbers,
            1
        ),
        change!(
            "vec: one element through &mut",
            with_numbers,
            Numbers,
            "numbers",
            |g| {
                g[3] = 99;
                Ok(())
            },
            numbers,
            2
        ),
        change!(
            "vec: all elements through &mut",
            with_numbers,
            Numbers,
            "numbers",
            |g| {
                g.as_mut_slice()?.fill(1);
                Ok(())
            },
            numbers,
            2
        ),
    ]
}

fn owning_vectors() -> Vec<Scene> {
    vec![
        change!(
            "vec of strings: insert first",
            with_names,
            Names,
            "names",
            |g| g.insert(0, "a new name that is too long to stand in place"),
            names,
            2
        ),
        change!(
            "vec of strings: pop",
            with_names,
            Names,
            "names",
            |g| {
                let _ = g.pop();
                Ok(())
            },
            names,
            2
        ),
        change!(
            "vec of strings: swap_remove",
            with_names,
            Names,
            "names",
            |g| {
                let _ = g.swap_remove(0);
                Ok(())
            },
            names,
            2
        ),
        change!(
            "vec of strings: truncate",
            with_names,
            Names,
            "names",
            |g| {
                g.truncate(1);
                Ok(())
            },
            names,
            2
        ),
        change!(
            "vec of strings: retain",
            with_names,
            Names,
            "names",
            |g| g.retain(|s| s.len() < 10),
            names,
            2
        ),
        change!(
            "vec of strings: set an element",
            with_names,
            Names,
            "names",
            |g| g[1].set("another value that is too long to stand in place"),
            names,
            2
        ),
        change!(
            "vec of strings: swap",
            with_names,
            Names,
            "names",
            |g| {
                g.swap(0, 2);
                Ok(())
            },
            names,
            2
        ),
    ]
}

fn strings_and_boxes() -> Vec<Scene> {
    vec![
        change!("string: push a character", with_text, Text, "text", |g| g.push('x'), text, 2),
        change!(
            "string: pop and clear",
            with_text,
            Text,
            "text",
            |g| {
                g.pop();
                g.clear();
                Ok(())
            },
            text,
            3
        ),
        change!("string: insert_str", with_text, Text, "text", |g| g.insert_str(3, "inserted"), text, 2),
        change!("string: set", with_text, Text, "text", |g| g.set("short"), text, 2),
        Scene {
            name: "box: set",
            quick: false,
            setup: with_box,
            prepare: sit,
            operation: |p| {
                let Some(object) = p.look_up::<Boxed>("box")? else {
                    return Err(Error::NoSuchObject("box".into()));
                };
                object.lock()?.set(ShBox::new("another value that is too long to stand in place"))
            },
            observe: boxed,
            outcomes: 2,
        },
        change!(
            "option: insert",
            |p| sit(p).and(p.named::<Maybe>("maybe").map(drop)),
            Maybe,
            "maybe",
            |g| g.insert("a value that is too long to stand in place").map(drop),
            maybe,
            2
        ),
        change!(
            "option: take",
            with_maybe,
            Maybe,
            "maybe",
            |g| {
                let _ = g.take();
                Ok(())
            },
            maybe,
            2
        ),
    ]
}

fn tables() -> Vec<Scene> {
    vec![
        change!(
            "map: value through &mut",
            |p| with_keys(3, p),
            Keys,
            "keys",
            |g| {
                *g.get_mut(&1).ok_or(Error::NoSuchObject("1".into()))? += 5;
                Ok(())
            },
            keys,
            2
        ),
        change!(
            "map: entry, vacant",
            |p| with_keys(3, p),
            Keys,
            "keys",
            |g| g.entry(9).or_insert(1).map(drop),
            keys,
            2
        ),
        change!(
            "map: retain",
            |p| with_keys(4, p),
            Keys,
            "keys",
            |g| {
                g.retain(|k, _| k % 2 == 0);
                Ok(())
            },
            keys,
            3
        ),
        change!(
            "map: clear",
            |p| with_keys(4, p),
            Keys,
            "keys",
            |g| {
                g.clear();
                Ok(())
            },
            keys,
            2
        ),
        change!(
            "map: reserve and shrink",
            |p| with_keys(4, p),
            Keys,
            "keys",
            |g| {
                g.reserve(100)?;
                g.shrink_to_fit()
            },
            keys,
            1
        ),
        change!(
            "map: extend",
            |p| with_keys(2, p),
            Keys,
            "keys",
            |g| g.extend([(7u64, 1u64), (8, 2)]),
            keys,
            3
        ),
        change!(
            "set: remove",
            with_ids,
            Ids,
            "ids",
            |g| {
                g.remove(&2);
                Ok(())
            },
            ids,
            2
        ),
        change!(
            "set: clear",
            with_ids,
            Ids,
            "ids",
            |g| {
                g.clear();
                Ok(())
            },
            ids,
            2
        ),
    ]
}

fn transactions() -> Vec<Scene> {
    vec![
        Scene {
            name: "transaction that is rolled back",
            quick: true,
            setup: with_names,
            prepare: sit,
            operation: |p| {
                let names = p.named::<Names>("names")?;
                let given_up = names.transaction(|n| {
                    n.push("a name that goes again, and is too long to stand in place")?;
                    let _ = n.remove(0);
                    n.clear();
                    Err::<(), _>(Error::abort("given up"))
                });
                assert!(given_up.is_err());
                Ok(())
            },
            observe: names,
            outcomes: 1,
        },
        Scene {
            name: "transaction over two locks, a value moved",
            quick: true,
            setup: |p| with_names(p).and(p.named::<Names>("others").map(drop)),
            prepare: sit,
            operation: |p| {
                let (names, others) = (p.named::<Names>("names")?, p.named::<Names>("others")?);
                p.transaction(|t| {
                    let (from, to) = (t.lock(&names)?, t.lock(&others)?);
                    to.push(from.remove(1))
                })
            },
            observe: two_lists,
            outcomes: 2,
        },
        Scene {
            name: "value moved between two guards",
            quick: true,
            setup: |p| with_names(p).and(p.named::<Names>("others").map(drop)),
            prepare: sit,
            operation: |p| {
                let (names, others) = (p.named::<Names>("names")?, p.named::<Names>("others")?);
                let (mut from, mut to) = (names.lock()?, others.lock()?);
                to.push(from.remove(1))
            },
            observe: two_lists,
            outcomes: 2,
        },
    ]
}

fn heap() -> Vec<Scene> {
    vec![
        change!("growth of the pool", with_numbers, Numbers, "numbers", |g| g.reserve(60_000), numbers, 1),
        change!(
            "runs: made longer, moved, freed",
            with_numbers,
            Numbers,
            "numbers",
            |g| {
                g.reserve(2000)?;
                g.reserve(4000)?;
                g.shrink_to_fit()
            },
            numbers,
            1
        ),
        Scene {
            name: "bury a dead process",
            quick: true,
            setup: |p| {
                with_names(p)?;
                let pool = p.clone();
                die(move || {
                    pool.named::<Names>("names")?
                        .lock()?
                        .push("half a name, that is too long to stand in place")
                });
                Ok(())
            },
            prepare: sit,
            operation: |p| p.named::<Names>("names")?.lock().map(drop),
            observe: |p| {
                names(p).map(|s| s.replace(", \"half a name, that is too long to stand in place\"", ""))
            },
            outcomes: 1,
        },
        Scene {
            name: "look a name up, and let it go",
            quick: false,
            setup: with_ids,
            prepare: sit,
            operation: |p| p.look_up::<Ids>("ids").map(drop),
            observe: ids,
            outcomes: 1,
        },
    ]
}

/// Runs `f` in a child that dies without leaving.
fn die<R>(f: impl FnOnce() -> Result<R, Error>) {
    // SAFETY: this program has one thread; the child ends by a signal, and is waited for.
    unsafe {
        let child = libc::fork();
        if child == 0 {
            let result = f();
            std::mem::forget(result);
            libc::kill(libc::getpid(), libc::SIGKILL);
        }
        libc::waitpid(child, std::ptr::null_mut(), 0);
    }
}

fn with_text(pool: &Pool) -> Result<(), Error> {
    sit(pool)?;
    pool.named::<Text>("text")?.lock()?.push_str("a text that is too long to stand in its place")
}

fn with_ids(pool: &Pool) -> Result<(), Error> {
    sit(pool)?;
    pool.named::<Ids>("ids")?.lock()?.extend([1u64, 2, 3])
}

fn with_box(pool: &Pool) -> Result<(), Error> {
    sit(pool)?;
    pool.named_with::<Boxed, _>("box", || {
        ShMutex::new(ShBox::new("a value that is too long to stand in its place"))
    })
    .map(drop)
}

fn with_maybe(pool: &Pool) -> Result<(), Error> {
    sit(pool)?;
    pool.named::<Maybe>("maybe")?.lock()?.insert("a value that is too long to stand in its place").map(drop)
}

fn boxed(pool: &Pool) -> Result<String, Error> {
    let object = pool.look_up::<Boxed>("box")?.ok_or_else(|| Error::NoSuchObject("box".into()))?;
    let guard = object.lock()?;
    Ok(guard.to_string())
}

fn maybe(pool: &Pool) -> Result<String, Error> {
    Ok(format!("{:?}", &*pool.named::<Maybe>("maybe")?.lock()?))
}

fn two_lists(pool: &Pool) -> Result<String, Error> {
    let list = |name| {
        Ok::<_, Error>(pool.named::<Names>(name)?.lock()?.iter().map(|s| s.to_string()).collect::<Vec<_>>())
    };
    Ok(format!("{:?} {:?}", list("names")?, list("others")?))
}
