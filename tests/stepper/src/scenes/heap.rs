//! The paths of the heap, by way of collections.

use super::*;
use aquifer::Named;
use std::alloc::Layout;
use std::path::Path;

pub fn scenes() -> Vec<Scene> {
    let mut scenes = by_hand();
    scenes.extend(slabs());
    scenes.extend(of_others());
    scenes.extend(runs());
    scenes.extend(growth());
    scenes
}

fn by_hand() -> Vec<Scene> {
    vec![
        act!(quick "by hand: alloc, of the slab in hand", with_numbers, blocks_by_hand, 2, |stage| {
            let pool = stage.join()?;
            pool.alloc(SMALL)?;
        } => pool.alloc(SMALL).map(drop)),
        act!(long "by hand: alloc, of a new slab", with_numbers, blocks_by_hand, 2, |stage| {
            let pool = stage.join()?;
        } => pool.alloc(SMALL).map(drop)),
        act!(long "by hand: alloc, a run", with_numbers, blocks_by_hand, 2, |stage| {
            let pool = stage.join()?;
        } => pool.alloc(LARGE).map(drop)),
        act!(quick "by hand: free, of an own slab", with_numbers, blocks_by_hand, 2, |stage| {
            let pool = stage.join()?;
            let [_, block] = [pool.alloc(SMALL)?, pool.alloc(SMALL)?];
            // SAFETY: allocated just above, freed once.
        } => unsafe { pool.free(block) }),
        act!(quick "by hand: free, of another seat's slab", with_a_block, blocks_by_hand, 2, |stage| {
            let pool = stage.join_behind()?;
            let block = pool.check()?.by_hand[0].handle;
            // SAFETY: allocated by the setup, freed once.
        } => unsafe { pool.free(block) }),
        act!(long "by hand: free, a run", with_numbers, blocks_by_hand, 2, |stage| {
            let pool = stage.join()?;
            let block = pool.alloc(LARGE)?;
            // SAFETY: allocated just above, freed once.
        } => unsafe { pool.free(block) }),
    ]
}

const SMALL: Layout = Layout::new::<[u64; 8]>();
const LARGE: Layout = Layout::new::<[u64; 1024]>();

fn with_a_block(pool: &Pool) -> Result<(), Error> {
    with_numbers(pool)?;
    (0..3).try_for_each(|_| pool.alloc(SMALL).map(drop))
}

fn blocks_by_hand(pool: &Pool) -> Result<String, Error> {
    Ok(format!("{} blocks", pool.check()?.by_hand.len()))
}

fn slabs() -> Vec<Scene> {
    vec![
        change!(long "slab: block of a new slab", with_text, Text, 2, |g| g.push_str(&"x".repeat(700))),
        change!(long "slab: the slab in hand is full", with_lists_of_lists::<9, 8>, Lists, 1, |g| g[8].reserve(PART)),
        change!(quick "slab: emptied, and given back", with_lists_of_lists::<18, 18>, Lists, 2, |g| g.clear()),
        act!(long "slab: adopted with the seat", with_names, show::<Names>, 2, |stage| {
            let pool = crate::judge::open(&stage.path)?;
        } => {
            let names = the::<Names>(&pool)?;
            names.lock()?.push(LONG[0])?;
            std::mem::forget(names);
        }),
    ]
}

fn of_others() -> Vec<Scene> {
    vec![
        act!(quick "free: a block of another seat's", with_names, show::<Names>, 2, |stage| {
            let pool = stage.join_behind()?;
            let names = the::<Names>(&pool)?;
        } => names.lock()?.remove(1)),
        act!(quick "free: many blocks of another seat's", with_names, show::<Names>, 2, |stage| {
            let pool = stage.join_behind()?;
            let names = the::<Names>(&pool)?;
        } => names.lock()?.clear()),
        act!(long "free: nested blocks of another seat's", with_deep, show::<Deep>, 2, |stage| {
            let pool = stage.join_behind()?;
            let deep = the::<Deep>(&pool)?;
        } => deep.lock()?.clear()),
        change!(quick "collect: what others have freed", freed_by_another, Names, 2, |g| g.push(LONG[0])),
        change!(long "collect: a slab that others have emptied", slabs_freed_by_another, Lists, 1, |g| g[17].reserve(PART)),
        act!(quick "reclaim: a slab with room of a free seat's", with_a_slab_elsewhere, show::<Lists>, 1, |stage| {
            let pool = stage.join()?;
            let lists = the::<Lists>(&pool)?;
        } => lists.lock()?[1].reserve(PART)).limited(400 << 10),
    ]
}

fn runs() -> Vec<Scene> {
    vec![
        act!(quick "run: split from a longer one", with_a_hole, lists, 1, |stage| {
            let pool = stage.join()?;
            let list = list(&pool, "d")?;
        } => list.lock()?.reserve(600)),
        act!(quick "run: merged with both neighbours", with_two_holes, lists, 1, |stage| {
            let pool = stage.join()?;
            let list = list(&pool, "b")?;
        } => list.lock()?.shrink_to_fit()),
        act!(long "run: made longer in place", with_a_hole, lists, 1, |stage| {
            let pool = stage.join()?;
            let list = list(&pool, "a")?;
        } => list.lock()?.reserve(1500)),
        act!(quick "run: kept when freed, and taken again", with_lists, lists, 1, |stage| {
            let pool = stage.join()?;
            let list = list(&pool, "b")?;
        } => {
            let mut list = list.lock()?;
            list.shrink_to_fit()?;
            list.reserve(1024)
        }),
        act!(long "run: moved to grow", with_lists, lists, 1, |stage| {
            let pool = stage.join()?;
            let list = list(&pool, "a")?;
        } => list.lock()?.reserve(1500)),
        act!(long "run: of another seat's freed", with_lists, lists, 1, |stage| {
            let pool = stage.join_behind()?;
            let list = list(&pool, "b")?;
        } => list.lock()?.shrink_to_fit()),
    ]
}

fn growth() -> Vec<Scene> {
    vec![
        change!(quick "growth of the pool", with_numbers, Numbers, 1, |g| g.reserve(60_000)),
        change!(quick "growth into another territory", with_numbers, Numbers, 1, |g| g.reserve(300_000)),
        change!(quick "growth of the pool with its last run", with_room_for_many, Numbers, 1, |g| {
            let at = g.as_ptr();
            g.reserve(60_000)?;
            if g.as_ptr() == at { Ok(()) } else { Err(Error::abort("it was moved")) }
        }),
        act!(quick "growth: refused", with_numbers, show::<Numbers>, 1, |stage| {
            let pool = stage.join()?;
            let numbers = the::<Numbers>(&pool)?;
        } => match numbers.lock()?.reserve(60_000) {
            Err(Error::HardLimit { .. }) => Ok(()),
            other => other.and(Err(Error::abort("it was not refused"))),
        })
        .limited(400 << 10),
    ]
}

/// The run stands at the end of the pool.
fn with_room_for_many(pool: &Pool) -> Result<(), Error> {
    with_numbers(pool)?;
    pool.named::<Numbers>("numbers")?.lock()?.reserve(40_000)
}

/// Elements of a list that takes an eighth of a slab.
const PART: usize = 500;

/// `N` lists, the first `M` of them with room.
fn with_lists_of_lists<const N: usize, const M: usize>(pool: &Pool) -> Result<(), Error> {
    sit(pool)?;
    let lists = pool.named::<Lists>("lists")?;
    let mut guard = lists.lock()?;
    guard.reserve(N + 8)?;
    (0..N).try_for_each(|_| guard.push([]))?;
    (0..M).try_for_each(|i| guard[i].reserve(PART))
}

/// Removes strings on another seat than that which allocated them.
fn freed_by_another(pool: &Pool) -> Result<(), Error> {
    with_names(pool)?;
    elsewhere::<Names>(pool, |names| names.lock().map(|mut g| g.truncate(2)))
}

/// The same with all the blocks of a slab and a half.
fn slabs_freed_by_another(pool: &Pool) -> Result<(), Error> {
    with_lists_of_lists::<18, 17>(pool)?;
    elsewhere::<Lists>(pool, |lists| {
        let mut guard = lists.lock()?;
        (0..12).try_for_each(|i| guard[i].shrink_to_fit())
    })
}

fn elsewhere<T: Object>(pool: &Pool, work: impl FnOnce(Named<T>) -> Result<(), Error>) -> Result<(), Error> {
    let name = pool.info().name;
    Other::sitting(Path::new(&name), |pool| work(the::<T>(pool)?))?.leave()
}

/// Another seat, on which nobody sits, has a slab with room; all else is in use.
fn with_a_slab_elsewhere(pool: &Pool) -> Result<(), Error> {
    with_lists_of_lists::<2, 0>(pool)?;
    elsewhere::<Lists>(pool, |lists| lists.lock()?[0].reserve(PART))?;
    fill(pool);
    Ok(())
}

/// Takes all pages that are left, but for one.
fn fill(pool: &Pool) {
    while pool.alloc(Layout::new::<[u64; 513]>()).is_ok() {}
}

fn list(pool: &Pool, name: &str) -> Result<Named<Numbers>, Error> {
    pool.named::<Numbers>(name)
}

const LISTS: [&str; 4] = ["a", "b", "c", "d"];

fn lists(pool: &Pool) -> Result<String, Error> {
    let shown = LISTS.iter().map(|name| list(pool, name)?.show()).collect::<Result<Vec<_>, Error>>()?;
    Ok(shown.join(" "))
}

/// Three runs of two pages, one behind the other.
fn with_lists(pool: &Pool) -> Result<(), Error> {
    sit(pool)?;
    for name in &LISTS[..3] {
        list(pool, name)?.lock()?.reserve(1024)?;
    }
    list(pool, "d").map(drop)
}

fn with_a_hole(pool: &Pool) -> Result<(), Error> {
    with_lists(pool)?;
    list(pool, "b")?.lock()?.shrink_to_fit()
}

fn with_two_holes(pool: &Pool) -> Result<(), Error> {
    with_lists(pool)?;
    list(pool, "a")?.lock()?.shrink_to_fit()?;
    list(pool, "c")?.lock()?.shrink_to_fit()
}
