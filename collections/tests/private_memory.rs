//! A little of everything in the memory of one process: small enough for Miri, which knows neither files nor other processes.
#![allow(clippy::unwrap_used)] // a failure of what surrounds a test is a failure of the test

use aquifer_collections::{
    Error, NONE, Named, Pool, Result, ShBox, ShMap, ShMutex, ShRwLock, ShSet, ShString, ShVec, from_iter,
};

fn pool() -> Pool {
    Pool::options().size(0).growth(64 << 10, 64 << 10).private().unwrap()
}

fn check(pool: &Pool) {
    let report = pool.check().unwrap();
    assert!(report.is_clean(), "{report}");
}

#[test]
fn vectors_of_plain_and_of_owning_elements() -> Result<()> {
    let pool = pool();
    let numbers: Named<ShRwLock<ShVec<u64>>> = pool.named("numbers")?;
    let texts: Named<ShRwLock<ShVec<ShString>>> = pool.named("texts")?;
    {
        let mut v = numbers.write()?;
        for i in 0..40 {
            v.push(i * 7 % 11)?;
        }
        v.sort()?;
        v.dedup()?;
        v[3] += 10;
        v.as_mut_slice()?.reverse();
        v.insert(2, 99)?;
        assert_eq!(v.remove(0), 10);
        v.retain(|n| n % 2 == 1)?;
        v.iter_mut().for_each(|n| *n += 1);
        v.extend_from_slice(&[1, 2, 3])?;
        assert_eq!(v.as_slice(), [10, 100, 8, 6, 14, 2, 1, 2, 3].as_slice());
    }
    {
        let mut v = texts.write()?;
        v.extend(["short", "just short enough here", "much longer than would fit into the string itself"])?;
        v[0].push_str(", and then so long that it needs a block of its own")?;
        let taken = v.pop().expect("three were pushed");
        assert_eq!(taken.len(), 49);
        drop(taken);
        v.insert(0, "first")?;
        v.swap(0, 2);
        v.sort()?;
        drop(v.swap_remove(0));
        v.truncate(1);
        v.shrink_to_fit()?;
    }
    assert_eq!(texts.read()?.len(), 1);
    check(&pool);
    texts.write()?.clear();
    check(&pool);
    Ok(())
}

#[test]
fn vectors_that_are_pushed_to_in_turns_and_moved_meanwhile() -> Result<()> {
    let pool = pool();
    let lists: Named<ShMutex<ShVec<ShMutex<ShVec<u64>>>>> = pool.named("lists")?;
    let mut guard = lists.lock()?;
    guard.extend([ShMutex::new([0u64]), ShMutex::new([0])])?;
    let place = &mut *guard;
    for i in 1..60 {
        for list in [0, 1] {
            match i % 3 {
                0 => place[list].lock()?.push(i)?,
                _ => place[list].get_mut()?.push(i)?,
            }
        }
        place.swap(0, 1);
    }
    for list in [0, 1] {
        assert!(place[list].lock()?.iter().copied().eq(0..60));
    }
    drop(guard);
    check(&pool);
    Ok(())
}

#[test]
fn maps_and_sets_that_grow_and_shrink() -> Result<()> {
    let pool = pool();
    let lists: Named<ShRwLock<ShMap<ShString, ShVec<u64>>>> = pool.named("lists")?;
    let seen: Named<ShMutex<ShSet<u64>>> = pool.named("seen")?;
    {
        let mut m = lists.write()?;
        for i in 0..30u64 {
            m.entry(format!("a key that does not fit inline, number {}", i % 10)).or_default()?.push(i)?;
        }
        assert_eq!(m["a key that does not fit inline, number 3"].as_slice(), [3, 13, 23].as_slice());
        assert!(m.insert("short", [1, 2, 3])?.is_none());
        let old = m.insert("short", from_iter(0..5))?.expect("it was there");
        assert_eq!(old.as_slice(), [1, 2, 3].as_slice());
        drop(old);
        let taken = m.remove("short").expect("it is there");
        assert_eq!(taken.len(), 5);
        drop(taken);
        m.retain(|key, list| {
            list[0] += 1;
            !key.ends_with('4')
        });
        m.iter_mut().for_each(|(_, list)| list.truncate(2));
        m.shrink_to_fit()?;
        assert_eq!(m.len(), 9);
    }
    {
        let mut s = seen.lock()?;
        s.extend(0..50u64)?;
        s.retain(|n| n % 3 == 0);
        assert!(s.remove(&3) && !s.contains(&4) && s.contains(&6));
    }
    check(&pool);
    lists.write()?.clear();
    check(&pool);
    Ok(())
}

#[test]
fn transactions_that_are_kept_and_given_up() -> Result<()> {
    let pool = pool();
    let from: Named<ShRwLock<ShVec<ShString>>> = pool.named("from")?;
    let to: Named<ShRwLock<ShMap<u64, ShString>>> = pool.named("to")?;
    from.write()?.extend(["one", "two, which is longer than fits into a string itself"])?;
    let before = from.read()?.iter().map(|s| s.as_str().to_owned()).collect::<Vec<_>>();
    let given_up = pool.transaction(|tx| {
        let (from, to) = (tx.write(&from)?, tx.write(&to)?);
        let taken = from.pop().expect("two are there");
        to.insert(2, taken)?;
        from.push("three")?;
        from[0].push_str(" and more than what fits into a string")?;
        Err::<(), _>(Error::abort("enough"))
    });
    assert!(matches!(given_up, Err(Error::Aborted(_))));
    assert_eq!(from.read()?.iter().map(|s| s.as_str().to_owned()).collect::<Vec<_>>(), before);
    assert!(to.read()?.is_empty());
    check(&pool);
    pool.transaction(|tx| {
        let (from, to) = (tx.write(&from)?, tx.write(&to)?);
        let taken = from.pop().expect("two are there");
        to.insert(2, taken)?;
        Ok(())
    })?;
    assert_eq!((from.read()?.len(), to.read()?.len()), (1, 1));
    check(&pool);
    Ok(())
}

#[test]
fn boxes_options_and_nested_collections() -> Result<()> {
    type Nested = ShMap<u64, ShVec<ShMap<ShString, ShBox<ShVec<u64>>>>>;
    let pool = pool();
    let nested: Named<ShRwLock<Nested>> = pool.named("nested")?;
    let maybe: Named<ShRwLock<ShVec<Option<ShString>>>> = pool.named("maybe")?;
    {
        let mut m = nested.write()?;
        for i in 0..4 {
            let list = m.entry(i % 2).or_default()?;
            list.push(ShMap::new())?;
            list.last_mut().expect("just pushed").insert("box", ShBox::new(from_iter(0..i)))?;
        }
        m.get_mut(&1).expect("of 1 and 3")[1].get_mut("box").expect("just put there").get_mut().push(77)?;
        assert_eq!(m[&1][1]["box"].as_slice(), [0, 1, 2, 77].as_slice());
        drop(m.remove(&0));
    }
    {
        let mut v = maybe.write()?;
        v.push(Some("a string that is too long to stand in place"))?;
        v.push(NONE)?;
        assert!(v[0].is_some() && v[1].is_none());
        v[0].set(NONE)?;
    }
    check(&pool);
    assert!(pool.remove("nested")?);
    drop(nested);
    check(&pool);
    Ok(())
}
