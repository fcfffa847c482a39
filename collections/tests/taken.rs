//! Values that were taken out: dropped, forgotten, put elsewhere under the same lock and another, with every way to fail.
#![allow(clippy::unwrap_used)] // a failure of what surrounds a test is a failure of the test

use aquifer_collections::cx::Cx;
use aquifer_collections::*;
use std::panic::{AssertUnwindSafe, catch_unwind};

const LONG: &str = "a text that needs a block of its own since it does not fit the header";

/// Two texts in a row.
#[derive(Relocatable, DefaultInPool)]
#[aquifer(crate = aquifer_collections)]
#[repr(C)]
struct Two {
    a: ShVec<ShString>,
    b: ShVec<ShString>,
}

type Map = ShMap<u64, ShString>;

/// A source that cannot be built.
struct Fails;

impl Emplace<Fails> for ShString {
    unsafe fn emplace(_: Fails, _: *mut Self, _: Cx) -> Result<()> {
        Err(Error::abort("as it should"))
    }
}

fn pool() -> Pool {
    Pool::options().private().unwrap()
}

fn assert_clean(pool: &Pool) {
    let report = pool.check().unwrap();
    assert!(report.is_clean(), "{report:?}");
}

fn two(pool: &Pool, name: &str) -> Named<ShMutex<Two>> {
    let two = pool.named::<ShMutex<Two>>(name).unwrap();
    two.lock().unwrap().set(TwoNew { a: [LONG, "short"], b: ShVec::new() }).unwrap();
    two
}

#[test]
fn it_moves_between_fields_of_one_guard() {
    let pool = pool();
    let two = two(&pool, "two");
    let mut guard = two.lock().unwrap();
    let fields = guard.fields_mut();
    fields.b.push(fields.a.remove(0)).unwrap();
    fields.b.push(fields.a.pop().unwrap()).unwrap();
    assert!(fields.a.pop().is_none());
    assert_eq!(guard.b, [LONG, "short"]);
    guard.b_mut().push("later").unwrap();
    drop(guard);
    assert_clean(&pool);
}

#[test]
fn it_moves_between_guards() {
    let pool = pool();
    let (x, y) = (two(&pool, "x"), two(&pool, "y"));
    let (mut gx, mut gy) = (x.lock().unwrap(), y.lock().unwrap());
    gy.b_mut().push(gx.a_mut().remove(0)).unwrap();
    // Both guards go on as before.
    gx.a_mut().push("more").unwrap();
    gy.a_mut().clear();
    drop(gx);
    gy.b_mut().push(LONG).unwrap();
    drop(gy);
    assert_eq!(x.lock().unwrap().a, ["short", "more"]);
    assert_eq!(y.lock().unwrap().b, [LONG, LONG]);
    assert_clean(&pool);
}

#[test]
fn several_at_once_from_several_guards() {
    let pool = pool();
    let (x, y, z) = (two(&pool, "x"), two(&pool, "y"), two(&pool, "z"));
    let (mut gx, mut gy, mut gz) = (x.lock().unwrap(), y.lock().unwrap(), z.lock().unwrap());
    let both = [gx.a_mut().remove(0), gy.a_mut().remove(0)];
    gz.b_mut().set(both).unwrap();
    let fields = gz.fields_mut();
    fields.a.set([fields.b.remove(0), gx.a_mut().remove(0)]).unwrap();
    assert_eq!((gx.a.len(), gy.a.len()), (0, 1));
    assert_eq!(gz.a, [LONG, "short"]);
    assert_eq!(gz.b, [LONG]);
    drop((gx, gy, gz));
    assert_clean(&pool);
}

#[test]
fn what_it_replaces_is_handed_out() {
    let pool = pool();
    let (x, y) = (pool.named::<ShMutex<Map>>("x").unwrap(), pool.named::<ShMutex<Map>>("y").unwrap());
    let (mut gx, mut gy) = (x.lock().unwrap(), y.lock().unwrap());
    gx.insert(1, format!("new {LONG}")).unwrap();
    gy.insert(1, format!("old {LONG}")).unwrap();
    let old = gy.insert(1, gx.remove(&1).unwrap()).unwrap().unwrap();
    assert!(old.starts_with("old"));
    drop(gx);
    assert!(old.starts_with("old"));
    drop(old);
    assert!(gy[&1].starts_with("new"));
    drop(gy);
    assert!(x.lock().unwrap().is_empty());
    assert_clean(&pool);
}

#[test]
fn it_is_dropped_when_its_new_neighbour_cannot_be_built() {
    let pool = pool();
    let (x, y) = (two(&pool, "x"), pool.named::<ShMutex<ShVec<(ShString, ShString)>>>("y").unwrap());
    let (mut gx, mut gy) = (x.lock().unwrap(), y.lock().unwrap());
    assert!(gy.push((gx.a_mut().remove(0), Fails)).is_err());
    assert!(gy.push((Fails, gx.a_mut().remove(0))).is_err());
    assert_eq!((gx.a.len(), gy.len()), (0, 0));
    gx.a_mut().push(LONG).unwrap();
    let fields = gx.fields_mut();
    assert!(fields.b.extend([Fails]).is_err());
    assert!(
        catch_unwind(AssertUnwindSafe(|| {
            let mut taken = fields.a.pop();
            fields.b.set(from_iter(std::iter::from_fn(|| Some(taken.take().expect("only one"))))).unwrap();
        }))
        .is_err()
    );
    assert_eq!((gx.a.len(), gx.b.len()), (0, 0));
    drop((gx, gy));
    assert_clean(&pool);
}

#[test]
fn an_error_that_a_transaction_overlooks_frees_it_with_the_rest() {
    let pool = pool();
    let x = two(&pool, "x");
    x.transaction(|x| {
        let fields = x.fields_mut();
        let taken = fields.a.remove(0);
        assert!(fields.b.set([Ok(taken), Err(Fails)].map(Either)).is_err());
        fields.b.push(fields.a.remove(0))
    })
    .unwrap();
    assert_eq!(x.lock().unwrap().b, ["short"]);
    assert_clean(&pool);
    let failed = x.transaction(|x| {
        x.a_mut().push(LONG)?;
        let fields = x.fields_mut();
        fields.a.push(fields.b.remove(0))?;
        drop(fields.a.remove(0));
        Err::<(), _>(Error::abort("no"))
    });
    assert!(failed.is_err());
    assert_eq!(x.lock().unwrap().b, ["short"]);
    assert!(x.lock().unwrap().a.is_empty());
    assert_clean(&pool);
}

/// A source that is one of two.
struct Either<'a>(std::result::Result<Taken<'a, ShString>, Fails>);

impl Emplace<Either<'_>> for ShString {
    unsafe fn emplace(source: Either<'_>, dst: *mut Self, cx: Cx) -> Result<()> {
        // SAFETY: the caller's contract.
        unsafe {
            match source.0 {
                Ok(taken) => ShString::emplace(taken, dst, cx),
                Err(fails) => ShString::emplace(fails, dst, cx),
            }
        }
    }
}

#[test]
fn two_of_one_guard_cannot_go_to_another() {
    let pool = pool();
    let (x, y) = (two(&pool, "x"), two(&pool, "y"));
    let (mut gx, mut gy) = (x.lock().unwrap(), y.lock().unwrap());
    gx.b_mut().push(LONG).unwrap();
    let fields = gx.fields_mut();
    let (first, second) = (fields.a.remove(0), fields.b.remove(0));
    assert!(matches!(gy.b_mut().push(first), Err(Error::TakenElsewhere(_))));
    gy.b_mut().push(second).unwrap();
    drop((gx, gy));
    assert_clean(&pool);
}

#[test]
fn it_cannot_go_to_another_pool() {
    let (one, other) = (pool(), pool());
    let (x, y) = (two(&one, "x"), two(&other, "y"));
    let (mut gx, mut gy) = (x.lock().unwrap(), y.lock().unwrap());
    assert!(matches!(gy.b_mut().push(gx.a_mut().remove(0)), Err(Error::OtherPool)));
    drop((gx, gy));
    assert_clean(&one);
    assert_clean(&other);
}

#[test]
fn options_are_taken_from_and_filled() {
    let pool = pool();
    let x = pool.named::<ShMutex<Option<ShVec<ShString>>>>("x").unwrap();
    let mut gx = x.lock().unwrap();
    assert!(gx.take().is_none() && gx.as_mut().is_none());
    gx.get_or_insert([LONG]).unwrap().push(LONG).unwrap();
    gx.insert([LONG, "x"]).unwrap();
    let old = gx.replace(NONE).unwrap();
    assert_eq!(old.as_ref().unwrap().len(), 2);
    drop(old);
    gx.set(Some([LONG])).unwrap();
    assert_eq!(gx.take().unwrap(), [LONG]);
    assert!(gx.is_none());
    drop(gx);
    assert_clean(&pool);
}

#[test]
fn plain_data_and_atomics_of_all_kinds_go_in_and_out() {
    use std::net::{Ipv4Addr, Ipv6Addr};
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;
    type Row = (u64, [u16; 3], Option<char>, Duration, Ipv4Addr, Ipv6Addr, bool, f64);
    let pool = pool();
    let rows = pool.named::<ShMutex<ShVec<Row>>>("rows").unwrap();
    let row: Row =
        (1, [2, 3, 4], Some('x'), Duration::new(5, 6), Ipv4Addr::LOCALHOST, Ipv6Addr::LOCALHOST, true, 0.5);
    let mut guard = rows.lock().unwrap();
    guard.push(row).unwrap();
    guard[0].1[2] += 1;
    guard[0].3 += Duration::from_secs(1);
    assert_eq!(guard.pop(), Some((1, [2, 3, 5], Some('x'), Duration::new(6, 6), row.4, row.5, true, 0.5)));
    guard.push(row).unwrap();
    drop(guard);
    let counts = pool.named::<ShMutex<ShVec<AtomicU64>>>("counts").unwrap();
    let mut guard = counts.lock().unwrap();
    guard.push(3).unwrap();
    guard[0].fetch_add(2, Ordering::Relaxed);
    let twice = guard[0].load(Ordering::Relaxed) * 2;
    guard[0].set(twice).unwrap();
    assert_eq!(guard.pop().unwrap().load(Ordering::Relaxed), 10);
    drop(guard);
    assert_clean(&pool);
}
