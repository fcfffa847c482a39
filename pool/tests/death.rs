//! Real processes, really killed, in the middle of holding and waiting for locks.
#![allow(clippy::unwrap_used)] // a failure of what surrounds a test is a failure of the test

mod support;

use aquifer_pool::granule::granule;
use aquifer_pool::lock::{Patience, RawLock, Recovered};
use aquifer_pool::log::{Kind, RecordView};
use aquifer_pool::{Error, Inner, RawPool, Result};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use support::{Child, HEAP, pool, until};

/// Lock `i` of the test's own area.
fn lock(pool: &Inner, i: u64) -> (&RawLock, u64) {
    let offset = HEAP + i * 64;
    // SAFETY: within the pool, aligned, zero (a free lock) at first and used only as a lock.
    (unsafe { &*pool.at(offset, 8).unwrap().cast::<RawLock>() }, offset)
}

/// Word `i` of the test's own area.
fn word(pool: &Inner, i: u64) -> &AtomicU64 {
    // SAFETY: within the pool, aligned, used only as an atomic.
    unsafe { &*pool.at(HEAP + 4096 + i * 64, 8).unwrap().cast::<AtomicU64>() }
}

fn write(pool: &Inner, i: u64) -> Result<(usize, Recovered)> {
    let (l, offset) = lock(pool, i);
    let hold = l.write(pool.seat()?, offset, Patience::Until(Instant::now() + Duration::from_secs(60)))?;
    Ok((hold.held, hold.recovered))
}

fn unlock(pool: &Inner, i: u64, held: usize) {
    let (l, _) = lock(pool, i);
    let seat = pool.seat().unwrap();
    seat.log(held).close();
    l.unlock_write(seat, held);
}

fn read(pool: &Inner, i: u64) -> Result<usize> {
    let (l, offset) = lock(pool, i);
    l.read(pool.seat()?, offset, Patience::Until(Instant::now() + Duration::from_secs(60)))
}

fn unread(pool: &Inner, mark: usize) {
    RawLock::unlock_read(pool.seat().unwrap(), mark);
}

/// Sets `word` to `value`, logged as an operation of lock `held`, and leaves the operation open.
fn change(pool: &Inner, held: usize, w: &AtomicU64, value: u64) {
    let log = pool.seat().unwrap().log(held);
    log.save_word(w);
    w.store(value, Ordering::Release);
}

/// Prints how long it took from the kill until the lock was had.
fn timed(what: &str, child: Child, wait: impl FnOnce()) {
    let begin = Instant::now();
    child.kill();
    let reaped = begin.elapsed();
    wait();
    println!("{what}: the kernel took {reaped:?}, then we {:?}", begin.elapsed() - reaped);
}

#[test]
fn a_killed_writer_lets_the_others_go_on_and_its_operation_is_undone() {
    let pool = pool();
    word(&pool, 0).store(7, Ordering::SeqCst);
    let child = Child::run(&pool, |pool, ready| {
        let (held, _) = write(pool, 0).unwrap();
        change(pool, held, word(pool, 0), 8);
        ready();
    });
    assert_eq!(word(&pool, 0).load(Ordering::SeqCst), 8);
    timed("write lock", child, || {
        let (held, recovered) = write(&pool, 0).unwrap();
        assert_eq!(recovered, Recovered::Undone);
        assert_eq!(word(&pool, 0).load(Ordering::SeqCst), 7);
        unlock(&pool, 0, held);
    });
    let (held, recovered) = write(&pool, 0).unwrap();
    assert_eq!(recovered, Recovered::No, "the news is told once");
    unlock(&pool, 0, held);
}

#[test]
fn a_killed_reader_lets_a_writer_in() {
    let pool = pool();
    let child = Child::run(&pool, |pool, ready| {
        read(pool, 0).unwrap();
        ready();
    });
    timed("read lock", child, || {
        let (held, recovered) = write(&pool, 0).unwrap();
        assert_eq!(recovered, Recovered::No);
        unlock(&pool, 0, held);
    });
}

#[test]
fn a_writer_killed_while_it_waits_for_a_reader_keeps_the_reader_guarded() {
    let pool = pool();
    let mark = read(&pool, 0).unwrap();
    let child = Child::run(&pool, |pool, ready| {
        ready();
        write(pool, 0).unwrap();
    });
    until(|| lock(&pool, 0).0.writer().is_some());
    child.kill();
    let child = Child::run(&pool, |pool, ready| {
        let (l, offset) = lock(pool, 0);
        let seat = pool.seat().unwrap();
        assert!(matches!(l.write(seat, offset, Patience::Try), Err(Error::WouldBlock(_))));
        ready();
    });
    child.kill();
    unread(&pool, mark);
    let (held, _) = write(&pool, 0).unwrap();
    unlock(&pool, 0, held);
}

#[test]
fn a_writer_that_timed_out_leaves_the_lock_to_the_reader_and_names_it() {
    let pool = pool();
    let child = Child::run(&pool, |pool, ready| {
        read(pool, 0).unwrap();
        ready();
    });
    let (l, offset) = lock(&pool, 0);
    let seat = pool.seat().unwrap();
    let soon = Patience::Until(Instant::now() + Duration::from_millis(20));
    match l.write(seat, offset, soon) {
        Err(Error::Timeout(holder)) => assert_eq!(holder.process, child.pid() as u32),
        other => panic!("{other:?}"),
    }
    assert!(l.writer().is_none());
    let mark = read(&pool, 0).unwrap();
    unread(&pool, mark);
    child.kill();
}

#[test]
fn nested_read_locks_released_out_of_order_keep_the_lock_until_the_last() {
    let pool = pool();
    let (a, b) = (read(&pool, 0).unwrap(), read(&pool, 1).unwrap());
    let again = read(&pool, 0).unwrap();
    assert_eq!(a, again);
    unread(&pool, a);
    unread(&pool, b);
    let child = Child::run(&pool, |pool, ready| {
        let (l, offset) = lock(pool, 0);
        assert!(l.write(pool.seat().unwrap(), offset, Patience::Try).is_err());
        ready();
    });
    child.kill();
    unread(&pool, again);
    let (held, _) = write(&pool, 0).unwrap();
    unlock(&pool, 0, held);
}

#[test]
fn more_read_locks_than_marks_and_more_write_locks_than_places_are_errors() {
    let pool = pool();
    let marks: Vec<usize> = (0..8).map(|i| read(&pool, i).unwrap()).collect();
    assert!(matches!(read(&pool, 8), Err(Error::TooManyReadLocks(8))));
    marks.into_iter().for_each(|m| unread(&pool, m));
    let held: Vec<usize> = (0..8).map(|i| write(&pool, i).unwrap().0).collect();
    assert!(matches!(write(&pool, 8), Err(Error::TooManyWriteLocks(8))));
    held.into_iter().enumerate().for_each(|(i, h)| unlock(&pool, i as u64, h));
}

#[test]
fn waiting_for_oneself_is_an_error() {
    let pool = pool();
    let mark = read(&pool, 0).unwrap();
    assert!(matches!(write(&pool, 0), Err(Error::WouldDeadlock(_))));
    unread(&pool, mark);
    let (held, _) = write(&pool, 0).unwrap();
    assert!(matches!(write(&pool, 0), Err(Error::WouldDeadlock(_))));
    assert!(matches!(read(&pool, 0), Err(Error::WouldDeadlock(_))));
    unlock(&pool, 0, held);
}

#[test]
fn a_stopped_holder_is_alive() {
    let pool = pool();
    let child = Child::run(&pool, |pool, ready| {
        write(pool, 0).unwrap();
        ready();
    });
    child.stop();
    let (l, offset) = lock(&pool, 0);
    let soon = Patience::Until(Instant::now() + Duration::from_millis(30));
    assert!(matches!(l.write(pool.seat().unwrap(), offset, soon), Err(Error::Timeout(_))));
    child.kill();
    let (held, recovered) = write(&pool, 0).unwrap();
    assert_eq!(recovered, Recovered::Died);
    unlock(&pool, 0, held);
}

#[test]
fn an_inner_lock_on_a_siblings_seat_is_freed_before_the_outer_mark() {
    let pool = pool();
    let child = Child::run(&pool, |pool, ready| {
        read(pool, 0).unwrap();
        let pool = pool.clone();
        let inner = std::thread::spawn(move || {
            let (held, _) = write(&pool, 1).unwrap();
            change(&pool, held, word(&pool, 1), 5);
            // The thread stays: its seat is the process's as long as it lives.
            (pool, std::thread::current().id())
        });
        // A thread that ends with a lock held keeps its seat taken.
        std::mem::forget(inner.join().unwrap());
        ready();
    });
    child.kill();
    let (held, _) = write(&pool, 0).unwrap();
    assert_eq!(lock(&pool, 1).0.writer(), None, "burying freed the inner word before the outer mark");
    assert_eq!(word(&pool, 1).load(Ordering::SeqCst), 0);
    unlock(&pool, 0, held);
}

#[test]
fn a_lock_leaked_by_a_thread_that_ended_lasts_as_long_as_its_process() {
    let pool = pool();
    let child = Child::run(&pool, |pool, ready| {
        let other = pool.clone();
        std::thread::spawn(move || write(&other, 0).map(drop).unwrap()).join().unwrap();
        ready();
    });
    let (l, offset) = lock(&pool, 0);
    assert!(matches!(l.write(pool.seat().unwrap(), offset, Patience::Try), Err(Error::WouldBlock(_))));
    child.kill();
    let (held, _) = write(&pool, 0).unwrap();
    unlock(&pool, 0, held);
}

#[test]
fn seats_are_given_up_when_threads_end_and_chunks_grow_with_need() {
    let pool = pool();
    pool.seat().unwrap();
    let before = pool.seat_count();
    for _ in 0..before * 3 {
        let other = pool.clone();
        std::thread::spawn(move || other.seat().map(drop).unwrap()).join().unwrap();
    }
    assert_eq!(pool.seat_count(), before, "one seat after the other was used again");
    let barrier = std::sync::Barrier::new(before as usize + 4);
    std::thread::scope(|s| {
        for _ in 0..before + 4 {
            s.spawn(|| {
                let seat = pool.seat().map(|s| s.number());
                barrier.wait();
                seat.unwrap();
            });
        }
    });
    assert!(pool.seat_count() > before);
}

#[test]
fn a_child_of_a_fork_has_a_seat_of_its_own_and_the_parents_lock_stays_the_parents() {
    let pool = pool();
    let (held, _) = write(&pool, 0).unwrap();
    let mine = pool.seat().unwrap().number();
    let child = Child::run(&pool, move |pool, ready| {
        assert_ne!(pool.seat().unwrap().number(), mine);
        let (l, offset) = lock(pool, 0);
        assert!(matches!(l.write(pool.seat().unwrap(), offset, Patience::Try), Err(Error::WouldBlock(_))));
        let (held, _) = write(pool, 1).unwrap();
        unlock(pool, 1, held);
        ready();
    });
    child.kill();
    assert_eq!(lock(&pool, 0).0.writer(), Some(mine));
    unlock(&pool, 0, held);
}

#[test]
fn a_parent_is_dead_even_while_a_child_that_inherited_everything_lives() {
    let pool = pool();
    let child = Child::run(&pool, |pool, ready| {
        write(pool, 0).unwrap();
        let grandchild = Child::run(pool, |_, ready| ready());
        word(pool, 3).store(grandchild.pid() as u64, Ordering::SeqCst);
        std::mem::forget(grandchild);
        ready();
    });
    child.kill();
    let (held, recovered) = write(&pool, 0).unwrap();
    assert_eq!(recovered, Recovered::Died);
    unlock(&pool, 0, held);
    Child::of(word(&pool, 3).load(Ordering::SeqCst) as i32).kill();
}

#[test]
fn a_burier_that_is_killed_is_followed_by_the_next() {
    let pool = pool();
    for delay in 0..40 {
        let victim = Child::run(&pool, |pool, ready| {
            let (held, _) = write(pool, 0).unwrap();
            change(pool, held, word(pool, 0), 99);
            read(pool, 1).unwrap();
            ready();
        });
        let burier = Child::run(&pool, |pool, ready| {
            pool.seat().unwrap();
            ready();
            loop {
                pool.bury_dead();
            }
        });
        victim.kill();
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_micros(delay * 3) {
            std::hint::spin_loop();
        }
        burier.kill();
        let (held, recovered) = write(&pool, 0).unwrap();
        assert_ne!(recovered, Recovered::No);
        assert_ne!(word(&pool, 0).load(Ordering::SeqCst), 99);
        unlock(&pool, 0, held);
        let (held, _) = write(&pool, 1).unwrap();
        unlock(&pool, 1, held);
    }
    pool.bury_dead();
    assert_eq!(pool.info().processes, 1, "the last buriers are buried too");
}

#[test]
fn ones_own_record_is_never_buried() {
    let pool = pool();
    let (held, _) = write(&pool, 0).unwrap();
    assert!(!pool.bury_record(pool.own_record().unwrap()));
    assert_eq!(pool.bury_dead(), 0);
    assert_eq!(lock(&pool, 0).0.writer(), Some(pool.seat().unwrap().number()));
    unlock(&pool, 0, held);
}

#[test]
fn a_lock_retired_while_a_forgotten_guard_names_it_is_never_touched_by_the_burier() {
    let pool = pool();
    let child = Child::run(&pool, |pool, ready| {
        write(pool, 0).unwrap();
        read(pool, 1).unwrap();
        ready();
    });
    let names_child = lock(&pool, 0).0.word().load(Ordering::SeqCst);
    pool.retire_lock(HEAP);
    pool.retire_lock(HEAP + 64);
    // The memory is used for something else, which happens to look like the lock.
    lock(&pool, 0).0.word().store(names_child, Ordering::SeqCst);
    child.kill();
    assert_eq!(pool.bury_dead(), 1);
    assert_eq!(lock(&pool, 0).0.word().load(Ordering::SeqCst), names_child);
}

#[test]
fn what_a_forgotten_guard_saved_is_not_written_back_once_its_lock_is_retired() {
    for goes_on in [false, true] {
        let pool = pool();
        let saved = word(&pool, 0);
        let child = Child::run(&pool, |pool, ready| {
            let (held, _) = write(pool, 0).unwrap();
            change(pool, held, word(pool, 0), 8);
            // As if another process freed the lock and its value.
            pool.retire_lock(HEAP);
            if goes_on {
                let (other, _) = write(pool, 1).unwrap();
                assert_eq!(other, held, "what was done under it is final, and its place free");
                change(pool, other, word(pool, 1), 8);
            }
            ready();
        });
        saved.store(9, Ordering::SeqCst);
        child.kill();
        assert_eq!(pool.bury_dead(), 1);
        assert_eq!(saved.load(Ordering::SeqCst), 9, "memory that was used again");
        assert_eq!(word(&pool, 1).load(Ordering::SeqCst), 0, "undone");
    }
}

#[test]
fn damaged_logs_stop_a_burial_and_nothing_else() {
    for damage in 0..4 {
        let pool = pool();
        let child = Child::run(&pool, |pool, ready| {
            write(pool, 0).unwrap();
            let logs = &pool.seat().unwrap().seat().logs;
            let committed = 1 << 63;
            let (first, second) = match damage {
                // More records than there are.
                0 => ((1 << 31) - 1, 0),
                1 => (committed | 5 << 32 | 3, 0),
                // Logs that join each other, or themselves.
                _ => (committed | 1, committed | 1),
            };
            for (i, head) in [(1u64, first), (2, second)] {
                let r = &logs[i as usize].records[0];
                r.head.store(Kind::Join as u64, Ordering::SeqCst);
                r.offset.store(if damage == 2 { 3 - i } else { i }, Ordering::SeqCst);
                logs[i as usize].head.store(head, Ordering::SeqCst);
            }
            ready();
        });
        child.kill();
        let buried = pool.bury_dead();
        assert_eq!(buried, usize::from(damage >= 2));
        // Retiring waits for no burial that does not go on.
        pool.retire_lock(HEAP);
    }
}

#[test]
fn nested_operations_end_one_by_one_and_an_outer_one_is_undone_alone() {
    let pool = pool();
    let log = pool.seat().unwrap().bare();
    let (a, b) = (word(&pool, 0), word(&pool, 1));
    {
        let _outer = log.begin();
        log.save_word(a);
        a.store(1, Ordering::Relaxed);
        let inner = log.begin();
        log.save_word(b);
        b.store(2, Ordering::Relaxed);
        inner.commit();
        assert_eq!(log.len(), 1);
    }
    assert_eq!((a.load(Ordering::Relaxed), b.load(Ordering::Relaxed)), (0, 2));
    assert!(log.is_empty());
}

#[test]
fn a_log_held_open_is_committed_or_rolled_back_whole() {
    let pool = pool();
    let log = pool.seat().unwrap().bare();
    let w = word(&pool, 0);
    for (commit, expected) in [(true, 3), (false, 3)] {
        log.hold();
        for i in 1..=3 {
            let op = log.begin();
            log.save_word(w);
            w.store(i + if commit { 0 } else { 10 }, Ordering::Relaxed);
            op.commit();
        }
        assert_eq!(log.len(), 3);
        if commit {
            log.release()
        } else {
            log.roll_back()
        }
        assert!(log.is_empty());
        assert_eq!(w.load(Ordering::Relaxed), expected);
    }
}

#[test]
fn shifted_elements_are_moved_back() {
    use aquifer_pool::shift::{Direction, shift};
    let pool = pool();
    let log = pool.seat().unwrap().bare();
    let slots = pool.at(HEAP + 8192, 80).unwrap().cast::<u64>();
    let all = || (0..10).map(|i| word_at(slots, i)).collect::<Vec<u64>>();
    // SAFETY: the test's own area, 10 slots of 8 bytes.
    unsafe {
        (0..10).for_each(|i| slots.add(i).write(i as u64));
        for direction in [Direction::Down, Direction::Up] {
            let op = log.begin();
            log.save(slots.cast(), 8);
            log.save(slots.add(9).cast(), 8);
            shift(log, slots.cast(), 9, 8, direction);
            match direction {
                Direction::Down => assert_eq!(all(), [1, 2, 3, 4, 5, 6, 7, 8, 9, 9]),
                Direction::Up => assert_eq!(all(), [0, 0, 1, 2, 3, 4, 5, 6, 7, 8]),
            }
            drop(op);
            assert_eq!(all(), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
        }
    }
}

#[test]
fn an_undo_of_a_shift_that_is_killed_halfway_is_finished_by_the_next() {
    use aquifer_pool::shift::{Direction, shift};
    let pool = pool();
    let slots = HEAP + 8192;
    // The test's own area: 4,000 slots of 8 bytes.
    let slot = |pool: &RawPool, i: u64| pool.at(slots + i * 8, 8).unwrap().cast::<u64>();
    for delay in 0..60 {
        // SAFETY: as above.
        (0..4000).for_each(|i| unsafe { slot(&pool, i).write(i) });
        let victim = Child::run(&pool, move |pool, ready| {
            let (held, _) = write(pool, 0).unwrap();
            let log = pool.seat().unwrap().log(held);
            // SAFETY: as above.
            unsafe {
                log.save(slot(pool, 0).cast(), 8);
                shift(log, slot(pool, 0).cast(), 3999, 8, Direction::Down);
            }
            ready();
        });
        let burier = Child::run(&pool, |pool, ready| {
            pool.seat().unwrap();
            ready();
            while pool.bury_dead() == 0 {}
        });
        victim.kill();
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_micros(delay * 2) {
            std::hint::spin_loop();
        }
        burier.kill();
        let (held, _) = write(&pool, 0).unwrap();
        // SAFETY: as above.
        assert!((0..4000).all(|i| unsafe { slot(&pool, i).read() } == i), "after {delay}");
        unlock(&pool, 0, held);
    }
}

fn word_at(slots: *const u64, i: usize) -> u64 {
    // SAFETY: one of the ten slots of the only caller.
    unsafe { slots.add(i).read() }
}

#[test]
fn long_operations_get_more_room_for_their_log_and_undo_all_of_it() {
    let pool = pool();
    let log = pool.seat().unwrap().bare();
    let w = word(&pool, 0);
    w.store(0, Ordering::Relaxed);
    {
        let _op = log.begin();
        for i in 1..=2000 {
            log.save_word(w);
            w.store(i, Ordering::Relaxed);
        }
        assert_eq!(log.len(), 2000);
    }
    assert_eq!(w.load(Ordering::Relaxed), 0);
    log.push(RecordView::new(Kind::Nothing, 0, 0));
    log.close();
}

#[test]
fn an_address_leads_to_its_pool() {
    let pool: RawPool = pool();
    let at = pool.at(HEAP, 8).unwrap();
    let g = granule(at.addr());
    assert_eq!(g.offset(at.addr()), Some(HEAP));
    // SAFETY: `pool` is alive.
    assert!(std::ptr::eq(unsafe { g.pool() }.unwrap(), &*pool));
}

#[test]
fn a_log_that_is_half_undone_is_undone_by_the_next_burier_though_its_lock_was_retired() {
    const UNDOING: u64 = 3 << 62;
    let pool = pool();
    let child = Child::run(&pool, |pool, ready| {
        let (held, _) = write(pool, 0).unwrap();
        change(pool, held, word(pool, 0), 8);
        change(pool, held, word(pool, 1), 8);
        ready();
    });
    let number = lock(&pool, 0).0.writer().unwrap();
    child.kill();
    // As a burier leaves it that is killed when it has undone the second change.
    let record = pool.record_at(pool.record_of_seat(number).unwrap()).unwrap();
    record.state.fetch_or(UNDOING, Ordering::SeqCst);
    word(&pool, 1).store(0, Ordering::SeqCst);
    pool.seat_at(number).unwrap().logs[0].head.fetch_sub(1, Ordering::SeqCst);
    pool.retire_lock(HEAP);
    assert_eq!(pool.info().processes, 1, "it waits for the burial");
    assert_eq!(word(&pool, 0).load(Ordering::SeqCst), 0, "as before, like the other");
}
