//! Several steps, or several objects, that happen all or not at all; and values on their way between guards.

use super::*;

pub fn scenes() -> Vec<Scene> {
    vec![
        act!(quick "transaction: four pushes and a pop", with_numbers, show::<Numbers>, 2, |stage| {
            let pool = stage.join()?;
            let numbers = the::<Numbers>(&pool)?;
        } => numbers.transaction(|n| {
            (0..4).try_for_each(|i| n.push(i))?;
            n.pop();
            Ok(())
        })),
        act!(quick "transaction: of all kinds of steps", with_names, show::<Names>, 2, |stage| {
            let pool = stage.join()?;
            let names = the::<Names>(&pool)?;
        } => names.transaction(|n| {
            n.push(LONG[0])?;
            drop(n.remove(1));
            n.insert(0, LONG[1])?;
            n[2].set("short")?;
            n.sort()
        })),
        act!(quick "transaction: rolled back", with_names, show::<Names>, 1, |stage| {
            let pool = stage.join()?;
            let names = the::<Names>(&pool)?;
        } => {
            let given_up = names.transaction(|n| {
                n.push(LONG[0])?;
                drop(n.remove(0));
                n.clear();
                Err::<(), _>(Error::abort("given up"))
            });
            if given_up.is_err() { Ok(()) } else { Err(Error::abort("it was not given up")) }
        }),
        act!(quick "transaction: over two locks, a value moved", with_two_lists, two_lists, 2, |stage| {
            let pool = stage.join()?;
            let (names, others) = (the::<Names>(&pool)?, pool.named::<Names>("others")?);
        } => pool.transaction(|t| {
            let (from, to) = (t.lock(&names)?, t.lock(&others)?);
            to.push(from.remove(1))
        })),
        act!(long "transaction: one inside another", with_two_lists, two_lists, 2, |stage| {
            let pool = stage.join()?;
            let (names, others) = (the::<Names>(&pool)?, pool.named::<Names>("others")?);
        } => pool.transaction(|t| {
            t.lock(&names)?.push(LONG[0])?;
            others.transaction(|o| o.push(LONG[1]))
        })),
        act!(long "transaction: with a lock for reading", with_words_and_numbers, show::<Numbers>, 2, |stage| {
            let pool = stage.join()?;
            let (stock, numbers) = (the::<Stock>(&pool)?, the::<Numbers>(&pool)?);
        } => pool.transaction(|t| {
            let (stock, numbers) = (t.read(&stock)?, t.lock(&numbers)?);
            numbers.extend_from_slice(&stock["bolts"])
        })),
        act!(quick "transaction: longer than its log", with_numbers, show::<Numbers>, 2, |stage| {
            let pool = stage.join()?;
            let numbers = the::<Numbers>(&pool)?;
        } => numbers.transaction(|n| {
            for i in 0..10 {
                n.push(i)?;
                n.pop();
            }
            n.push(99)
        })),
        act!(quick "value moved between two guards", with_two_lists, two_lists, 2, |stage| {
            let pool = stage.join()?;
            let (names, others) = (the::<Names>(&pool)?, pool.named::<Names>("others")?);
        } => {
            let (mut from, mut to) = (names.lock()?, others.lock()?);
            to.push(from.remove(1))
        }),
    ]
}

fn with_words_and_numbers(pool: &Pool) -> Result<(), Error> {
    with_stock(pool)?;
    with_numbers(pool)
}
