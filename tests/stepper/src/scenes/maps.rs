//! Maps, their entries, and nested values.

use super::*;

pub fn scenes() -> Vec<Scene> {
    let mut scenes = plain();
    scenes.extend(entries());
    scenes.extend(owning());
    scenes.extend(nested());
    scenes
}

fn plain() -> Vec<Scene> {
    vec![
        change!(quick "map: insert new", with_keys::<3>, Keys, 2, |g| g.insert(99, 1)),
        change!(long "map: insert, the first", with_keys::<0>, Keys, 2, |g| g.insert(99, 1)),
        change!(quick "map: insert that grows", with_keys::<14>, Keys, 2, |g| g.insert(99, 1)),
        change!(long "map: insert that rehashes", with_graves, Keys, 2, |g| g.insert(199, 1)),
        change!(quick "map: overwrite", with_keys::<3>, Keys, 2, |g| g.insert(1, 99)),
        change!(quick "map: remove", with_keys::<6>, Keys, 2, |g| g.remove(&1)),
        change!(long "map: remove from a full group", with_keys::<14>, Keys, 2, |g| g.remove(&1)),
        change!(long "map: get_mut", with_keys::<3>, Keys, 2, |g| g.get_mut(&1).map(|v| *v = 99)),
        change!(long "map: iter_mut, one by one", with_keys::<3>, Keys, 4, |g| g.iter_mut().for_each(|(_, v)| *v += 50)),
        change!(long "map: values_mut, one by one", with_keys::<3>, Keys, 4, |g| g.values_mut().for_each(|v| *v += 50)),
        change!(long "map: retain, one by one", with_keys::<4>, Keys, 3, |g| g.retain(|k, _| k % 2 == 0)),
        change!(long "map: clear", with_keys::<4>, Keys, 2, |g| g.clear()),
        change!(long "map: reserve", with_keys::<4>, Keys, 1, |g| g.reserve(100)),
        change!(long "map: shrink_to_fit", with_room, Keys, 1, |g| g.shrink_to_fit()),
        change!(long "map: extend, one by one", with_keys::<2>, Keys, 3, |g| g.extend([(7u64, 1u64), (8, 2)])),
        change!(long "map: set", with_keys::<4>, Keys, 2, |g| g.set([(7u64, 1u64), (8, 2)])),
    ]
}

fn entries() -> Vec<Scene> {
    use aquifer::entry::Entry;
    vec![
        change!(quick "entry: or_insert", with_keys::<3>, Keys, 2, |g| g.entry(9).or_insert(1)),
        change!(long "entry: or_insert_with", with_keys::<3>, Keys, 2, |g| g.entry(9).or_insert_with(|| 1)),
        change!(long "entry: or_default and push", with_words, Words, 2, |g| g.entry("bolts").or_default()?.push(1)),
        change!(long "entry: or_default, new, and push", with_words, Words, 3, |g| g.entry(LONG[1]).or_default()?.push(1)),
        change!(long "entry: and_modify", with_keys::<3>, Keys, 2, |g| g.entry(1).and_modify(|v| *v = 99).or_insert(1)),
        change!(long "entry: insert, occupied", with_words, Words, 2, |g| match g.entry("bolts") {
            Entry::Occupied(e) => e.insert([7; 40]).map(drop),
            Entry::Vacant(_) => Err(Error::abort("vacant")),
        }),
        change!(long "entry: get_mut", with_words, Words, 2, |g| match g.entry("bolts") {
            Entry::Occupied(mut e) => e.get_mut().push(7),
            Entry::Vacant(_) => Err(Error::abort("vacant")),
        }),
        change!(long "entry: into_mut", with_words, Words, 2, |g| match g.entry("bolts") {
            Entry::Occupied(e) => e.into_mut().push(7),
            Entry::Vacant(_) => Err(Error::abort("vacant")),
        }),
        change!(long "entry: insert, vacant", with_words, Words, 2, |g| match g.entry(LONG[1]) {
            Entry::Occupied(_) => Err(Error::abort("occupied")),
            Entry::Vacant(e) => e.insert([7; 40]).map(drop),
        }),
        change!(long "entry: remove", with_words, Words, 2, |g| match g.entry(LONG[0]) {
            Entry::Occupied(e) => {
                drop(e.remove());
                Ok(())
            }
            Entry::Vacant(_) => Err(Error::abort("vacant")),
        }),
    ]
}

fn owning() -> Vec<Scene> {
    vec![
        change!(quick "map of vecs: insert new", with_words, Words, 2, |g| g.insert(LONG[1], [7, 8, 9])),
        change!(quick "map of vecs: overwrite", with_words, Words, 2, |g| g.insert("bolts", [7; 40])),
        change!(quick "map of vecs: remove", with_words, Words, 2, |g| g.remove(LONG[0])),
        change!(quick "map of vecs: clear", with_words, Words, 2, |g| g.clear()),
        change!(long "map of vecs: retain, one by one", with_words, Words, 3, |g| g.retain(|_, _| false)),
        change!(long "map of vecs: a vec grows", with_words, Words, 2, |g| g["bolts"].extend_from_slice(&[1; 30])),
        change!(long "map of vecs: shrink_to_fit", with_words, Words, 1, |g| g.shrink_to_fit()),
        change!(long "map of vecs: replace", with_words, Words, 2, |g| g.replace([("nuts", [1u64, 2])])),
    ]
}

fn nested() -> Vec<Scene> {
    vec![
        change!(long "nested: insert", with_deep, Deep, 2, |g| g.insert("b", [[(1, LONG[0])], [(2, "x")]])),
        change!(long "nested: overwrite", with_deep, Deep, 2, |g| g.insert("a", [[(1, LONG[0])]])),
        change!(quick "nested: remove", with_deep, Deep, 2, |g| g.remove("a")),
        change!(long "nested: clear", with_deep, Deep, 2, |g| g.clear()),
        change!(long "nested: change of the innermost", with_deep, Deep, 2, |g| g["a"][1][&3].push_str(LONG[2])),
    ]
}

/// Full of removed entries, so that the next new one makes the table anew in the same size.
fn with_graves(pool: &Pool) -> Result<(), Error> {
    with_keys::<14>(pool)?;
    let keys = pool.named::<Keys>("keys")?;
    let mut guard = keys.lock()?;
    for k in 0..12 {
        guard.remove(&k);
    }
    Ok(())
}

fn with_room(pool: &Pool) -> Result<(), Error> {
    with_keys::<4>(pool)?;
    pool.named::<Keys>("keys")?.lock()?.reserve(100)
}
