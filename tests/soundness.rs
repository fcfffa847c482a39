//! Programs without `unsafe` that tried to get two owners of one block, or a reference to what is gone.
#![forbid(unsafe_code)]
#![allow(missing_docs, clippy::unwrap_used)]

use aquifer::{
    DefaultInPool, Error, MappedWriteGuard, MutexGuard, Named, Place, Pool, Relocatable, ShBox, ShMutex,
    ShString, ShVec,
};
use std::os::unix::process::ExitStatusExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;

type Nested = ShMutex<ShVec<ShMutex<ShVec<u64>>>>;

fn pool() -> Pool {
    Pool::options().private().unwrap()
}

fn nested(pool: &Pool, name: &str) -> aquifer::Named<Nested> {
    let outer = pool.named::<Nested>(name).unwrap();
    for i in 0..3 {
        outer.lock().unwrap().push(ShMutex::new([i, i])).unwrap();
    }
    outer
}

#[test]
fn a_closure_of_retain_that_panics_after_changing_what_a_lock_guards() {
    let pool = pool();
    let outer = nested(&pool, "outer");
    let mut guard = outer.lock().unwrap();
    let result = catch_unwind(AssertUnwindSafe(|| {
        guard.retain(|inner| {
            inner.lock().unwrap().extend(0..100u64).unwrap();
            panic!("on purpose");
        })
    }));
    assert!(result.is_err());
    drop(guard);
    let report = pool.check().unwrap();
    assert!(report.is_clean(), "{report:?}");
}

#[test]
fn values_without_size_are_aligned() {
    let pool = pool();
    let v = pool.named::<ShMutex<ShVec<[u64; 0]>>>("v").unwrap();
    let mut v = v.lock().unwrap();
    for _ in 0..3 {
        v.push([]).unwrap();
    }
    v.reverse().unwrap();
    v.retain(|_| true).unwrap();
    v.sort().unwrap();
    let b = pool.named_with::<ShMutex<ShBox<[u64; 0]>>, _>("b", || ShMutex::new(ShBox::new([]))).unwrap();
    assert_eq!(b.lock().unwrap().len(), 0);
}

#[test]
fn a_guard_from_before_a_transaction_and_a_lock_within() {
    let pool = pool();
    let outer = nested(&pool, "outer");
    let mut guard = outer.lock().unwrap();
    let result = pool.transaction(|_| {
        guard[0].lock()?.extend(0..100u64)?;
        guard[0].get_mut()?.extend(0..1000u64)?;
        Err::<(), _>(Error::abort("undo"))
    });
    assert!(result.is_err());
    drop(guard);
    let report = pool.check().unwrap();
    assert!(report.is_clean(), "{report:?}");
}

#[test]
fn a_guard_from_before_a_transaction_frees_a_lock_within() {
    let pool = pool();
    let outer = nested(&pool, "outer");
    let mut guard = outer.lock().unwrap();
    let result = catch_unwind(AssertUnwindSafe(|| {
        pool.transaction(|_| {
            guard[2].lock()?.extend(0..100u64)?;
            drop(guard.pop());
            Err::<(), _>(Error::abort("undo"))
        })
    }));
    assert!(!matches!(result, Ok(Ok(()))));
    drop(guard);
    let report = pool.check().unwrap();
    assert!(report.is_clean(), "{report:?}");
}

#[test]
fn a_guard_from_before_a_transaction_frees_a_lock_deep_within() {
    let pool = pool();
    let outer = pool.named::<ShMutex<ShVec<ShBox<ShMutex<ShVec<u64>>>>>>("outer").unwrap();
    let mut guard = outer.lock().unwrap();
    guard.push(ShBox::new(ShMutex::new([1, 2]))).unwrap();
    let result = catch_unwind(AssertUnwindSafe(|| {
        pool.transaction(|_| {
            guard[0].lock()?.extend(0..100u64)?;
            drop(guard.pop());
            Err::<(), _>(Error::abort("undo"))
        })
    }));
    assert!(!matches!(result, Ok(Ok(()))));
    drop(guard);
    let report = pool.check().unwrap();
    assert!(report.is_clean(), "{report:?}");
}

#[test]
fn a_part_that_left_its_transaction_is_used_in_another() {
    let pool = pool();
    let names = pool.named::<ShMutex<ShVec<ShString>>>("names").unwrap();
    names.lock().unwrap().push("a name that is long enough for a block of its own").unwrap();
    let mut part: MappedWriteGuard<'_, Place<ShVec<ShString>>> =
        pool.transaction(|_| Ok(aquifer::WriteGuard::map(names.lock()?, |v| v))).unwrap();
    let mut left = None;
    let (place, out) = (&mut *part, &mut left);
    let result = pool.transaction(move |_| {
        *out = place.pop();
        Err::<(), _>(Error::abort("undo"))
    });
    assert!(result.is_err());
    drop(left);
    drop(part);
    let report = pool.check().unwrap();
    assert!(report.is_clean(), "{report:?}");
}

#[derive(Relocatable, DefaultInPool)]
#[repr(C)]
struct Two {
    lists: ShVec<ShVec<u64>>,
    names: ShVec<ShString>,
}

/// Takes a name out within a `push` that then panics, and keeps it.
fn keep_what_a_failing_call_took() {
    let pool = pool();
    let two = pool.named::<ShMutex<Two>>("two").unwrap();
    let mut guard = two.lock().unwrap();
    guard.names_mut().push("a name that is long enough for a block of its own").unwrap();
    let mut stash = None;
    let fields = guard.fields_mut();
    let (lists, names, out) = (fields.lists, fields.names, &mut stash);
    let source = std::iter::once_with(move || -> u64 {
        *out = names.pop();
        panic!("on purpose");
    });
    let _ = catch_unwind(AssertUnwindSafe(|| lists.push(aquifer::from_iter(source))));
    assert!(stash.is_some(), "never seen: undone, and still here");
}

/// Runs the test of that name in a process of its own, where it does `work`, which must end it by an abort.
fn ends_the_process(test: &str, why: &str, work: impl FnOnce()) {
    const CHILD: &str = "AQUIFER_TEST_CHILD";
    if std::env::var_os(CHILD).is_some() {
        return work();
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(CHILD, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.signal() == Some(6) && said.contains(why), "{output:?}");
}

#[test]
fn what_was_taken_out_within_a_call_that_fails_ends_the_process() {
    let name = "what_was_taken_out_within_a_call_that_fails_ends_the_process";
    ends_the_process(name, "a value taken within a call", keep_what_a_failing_call_took);
}

/// Keeps a reference to what a source puts elsewhere, within a call that panics.
fn keep_a_reference_into_what_a_failing_call_put_elsewhere() {
    let pool = pool();
    let two = pool.named::<ShMutex<Two>>("two").unwrap();
    let _ = two.transaction(|t| {
        let fields = t.fields_mut();
        let (lists, names) = (fields.lists, fields.names);
        let mut kept = None;
        let out = &mut kept;
        let source = std::iter::once_with(move || -> u64 {
            names.push("a name that is long enough for a block of its own").unwrap();
            *out = Some(&names[0]);
            panic!("on purpose");
        });
        let _ = catch_unwind(AssertUnwindSafe(|| lists.push(aquifer::from_iter(source))));
        panic!("never seen: {:?} is undone, and still here", kept.map(ToString::to_string));
        #[expect(unreachable_code, reason = "says what a transaction returns")]
        Ok(())
    });
}

#[test]
fn what_a_source_has_done_within_a_call_that_fails_ends_the_process() {
    let name = "what_a_source_has_done_within_a_call_that_fails_ends_the_process";
    ends_the_process(name, "a call has failed", keep_a_reference_into_what_a_failing_call_put_elsewhere);
}

#[test]
fn a_source_that_only_reads_may_fail_within_a_transaction() {
    let pool = pool();
    let two = pool.named::<ShMutex<Two>>("two").unwrap();
    let done = two.transaction(|t| {
        t.names_mut().push("before")?;
        let fields = t.fields_mut();
        let (lists, names) = (fields.lists, fields.names);
        let source = std::iter::once_with(|| -> u64 { panic!("on purpose, {} names", names.len()) });
        assert!(catch_unwind(AssertUnwindSafe(|| lists.push(aquifer::from_iter(source)))).is_err());
        lists.push([7])
    });
    assert!(done.is_ok(), "{done:?}");
    let guard = two.lock().unwrap();
    assert_eq!((guard.lists.len(), guard.names.len()), (1, 1));
}

/// Moves a guard out of a transaction that fails, and a reference to what was put in there.
fn keep_a_guard_of_a_transaction_that_fails(leak: bool) {
    let pool = pool();
    let list: Named<ShMutex<ShVec<u64>>> = pool.named("list").unwrap();
    let (mut left, mut part) = (None, None);
    let result = pool.transaction(|_| {
        let mut guard = list.lock()?;
        guard.extend_from_slice(&[1; 100])?;
        if leak {
            part = Some(&Box::leak(Box::new(guard))[0]);
        } else {
            left = Some(MutexGuard::map(guard, |list| &mut list.as_mut_slice().unwrap()[0]));
        }
        Err::<(), _>(Error::abort("no"))
    });
    unreachable!("never seen: {result:?}, and {:?} or {:?} is still here", left.as_deref(), part);
}

#[test]
fn a_part_of_what_a_failing_transaction_made_ends_the_process() {
    let name = "a_part_of_what_a_failing_transaction_made_ends_the_process";
    ends_the_process(name, "a guard taken inside", || keep_a_guard_of_a_transaction_that_fails(false));
}

#[test]
fn a_reference_to_what_a_failing_transaction_made_ends_the_process() {
    let name = "a_reference_to_what_a_failing_transaction_made_ends_the_process";
    ends_the_process(name, "a guard taken inside", || keep_a_guard_of_a_transaction_that_fails(true));
}

#[test]
fn a_guard_may_leave_a_failing_transaction_that_has_changed_nothing() {
    let pool = pool();
    let list: Named<ShMutex<ShVec<u64>>> = pool.named_with("list", || ShMutex::new([1])).unwrap();
    let mut left = None;
    let result = pool.transaction(|_| {
        left = Some(list.lock()?);
        Err::<(), _>(Error::abort("no"))
    });
    assert!(result.is_err());
    let mut guard = left.unwrap();
    guard.push(2).unwrap();
    drop(guard);
    assert_eq!(list.lock().unwrap().as_slice(), [1, 2]);
}

#[test]
fn closures_may_use_the_locks_they_see() {
    let pool = pool();
    let outer = nested(&pool, "outer");
    let mut guard = outer.lock().unwrap();
    guard
        .retain(|inner| {
            inner.lock().unwrap().extend(0..100u64).unwrap();
            std::mem::forget(inner.lock());
            inner.try_lock().is_ok()
        })
        .unwrap();
    guard.push(ShMutex::new([1])).unwrap();
    drop(guard);
    let report = pool.check().unwrap();
    assert!(report.is_clean(), "{report:?}");
}

#[test]
fn sorting_plain_data_compares_outside_of_any_operation() {
    let pool = pool();
    let numbers = pool.named::<ShMutex<ShVec<u64>>>("numbers").unwrap();
    let other = pool.named::<ShMutex<ShVec<ShString>>>("other").unwrap();
    numbers.lock().unwrap().extend([3, 1, 2]).unwrap();
    let before = pool.stats().blocks;
    let during = std::cell::Cell::new(0);
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let _ = numbers.lock().unwrap().sort_by(|a, b| {
            other.lock().unwrap().clear();
            during.set(pool.stats().blocks);
            assert!(*a != 1 && *b != 1, "the comparison fails");
            a.cmp(b)
        });
    }));
    assert!(panicked.is_err());
    assert_eq!(during.get(), before, "the sort had allocated its block before it compared");
    assert_eq!(**numbers.lock().unwrap(), [3, 1, 2]);
    numbers.lock().unwrap().sort_by(|a, b| b.cmp(a)).unwrap();
    assert_eq!(**numbers.lock().unwrap(), [3, 2, 1]);
}

#[derive(Relocatable, DefaultInPool)]
#[repr(C)]
struct Sheet {
    lists: ShVec<ShVec<u64>>,
    name: ShString,
    numbers: ShVec<[u64; 4]>,
}

/// Keeps a reference to what a source changes in place, within a call that panics.
fn keep_a_reference_to_what_a_failing_call_changed_in_place(text: bool) {
    let pool = pool();
    let sheet = pool.named::<ShMutex<Sheet>>("sheet").unwrap();
    sheet.lock().unwrap().name_mut().reserve(100).unwrap();
    sheet.lock().unwrap().numbers_mut().push([1; 4]).unwrap();
    let work = |s: SheetFields<'_>| -> aquifer::Result<()> {
        let SheetFields { lists, name, numbers } = s;
        let (mut kept, mut number) = (None, None);
        let (out, out_number) = (&mut kept, &mut number);
        let source = std::iter::once_with(move || -> u64 {
            if text {
                name.push_str("\u{e9}").unwrap();
                *out = Some(name.as_str());
            } else {
                numbers[0][0] = 7;
                *out_number = Some(&numbers[0][0]);
            }
            panic!("on purpose");
        });
        let _ = catch_unwind(AssertUnwindSafe(|| lists.push(aquifer::from_iter(source))));
        panic!("never seen: {kept:?} or {number:?} is undone, and still here");
    };
    let _ = match text {
        true => sheet.transaction(|s| work(s.fields_mut())),
        false => work(sheet.lock().unwrap().fields_mut()),
    };
}

#[test]
fn text_that_a_source_has_appended_within_a_call_that_fails_ends_the_process() {
    let name = "text_that_a_source_has_appended_within_a_call_that_fails_ends_the_process";
    ends_the_process(name, "a call has failed", || {
        keep_a_reference_to_what_a_failing_call_changed_in_place(true)
    });
}

#[test]
fn plain_data_that_a_source_has_changed_within_a_call_that_fails_ends_the_process() {
    let name = "plain_data_that_a_source_has_changed_within_a_call_that_fails_ends_the_process";
    ends_the_process(name, "a call has failed", || {
        keep_a_reference_to_what_a_failing_call_changed_in_place(false)
    });
}

#[test]
fn a_source_may_panic_after_other_objects_were_named() {
    let pool = pool();
    let first: Named<ShMutex<ShVec<u64>>> = pool.named_with("first", || ShMutex::new([1])).unwrap();
    let source =
        || ShMutex::new(aquifer::from_iter(std::iter::once_with(|| -> u64 { panic!("on purpose") })));
    let made = catch_unwind(AssertUnwindSafe(|| pool.named_with::<ShMutex<ShVec<u64>>, _>("other", source)));
    assert!(made.is_err());
    assert_eq!(first.lock().unwrap().as_slice(), [1]);
}
