//! Locks beside parking_lot's and POSIX's.

use super::bare::Mark;
use super::map::{ours_of, theirs_of};
use crate::keys::queries;
use crate::machine::Cores;
use crate::measure::{median, timed, tried};
use crate::partner::{Partner, busy_rate, rate, shared_memory};
use crate::peers::pthread;
use crate::row::{Row, Side, Target::*, Trial, Unit};
use crate::{Result, ours};
use aquifer::{Named, ShMutex, ShRwLock};
use std::cell::{Cell, RefCell};
use std::hint::black_box;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::thread::{self, JoinHandle};
use std::time::Duration;

const PAIRS: usize = 1 << 20;
/// How long two processes work at a time.
const TOGETHER: Duration = Duration::from_millis(100);

pub fn rows() -> Vec<Row> {
    let mut rows = vec![
        Row::new(
            "locks",
            "mutex pair",
            "parking_lot Mutex",
            AtMost(0.9),
            || mutex_pairs(parking_lot_mutex()),
        ),
        Row::new("locks", "mutex pair", "pthread robust", AtMost(0.5), || mutex_pairs(pthread_mutex()?)),
        Row::new("locks", "read lock pair", "parking_lot RwLock", AtMost(0.7), || {
            read_pairs(parking_lot_read())
        }),
        Row::new("locks", "read lock pair", "pthread rwlock", AtMost(0.55), || read_pairs(pthread_read()?)),
        Row::new("locks", "asymmetric read lock pair", "pthread rwlock", AtMost(0.12), asymmetric_read_pairs)
            .note("our writers pay for it by a system call"),
    ];
    for (seats, target) in [(2, AtMost(1.5)), (64, Shown), (1024, Shown)] {
        let name = format!("write lock pair, {seats} seats taken");
        rows.push(Row::new("locks", name, "parking_lot RwLock", target, move || write_pairs(seats)));
    }
    rows.push(
        Row::new("locks", "gets under a read lock each, 100k", "itself, alone", AtLeast(1.8), together)
            .unit(Unit::Mops)
            .note("two processes together over one; the limit is two that take no lock"),
    );
    rows.push(
        Row::new("locks", "counter, two processes", "pthread mutex", AtMost(0.35), contended)
            .note("each process must do at least 30 %; theirs is not robust"),
    );
    rows
}

fn pairs(mut pair: impl FnMut() + 'static) -> Side {
    Box::new(move || Ok(timed(PAIRS, || (0..PAIRS).for_each(|_| pair()))))
}

fn parking_lot_mutex() -> Side {
    let lock = parking_lot::Mutex::new(0u64);
    pairs(move || *lock.lock() += black_box(1))
}

fn pthread_mutex() -> Result<Side> {
    let lock = pthread::Mutex::new(true)?;
    Ok(pairs(move || lock.add(black_box(1))))
}

fn parking_lot_read() -> Side {
    let lock = parking_lot::RwLock::new(0u64);
    pairs(move || {
        black_box(*lock.read());
    })
}

fn pthread_read() -> Result<Side> {
    let lock = pthread::RwLock::new()?;
    Ok(pairs(move || {
        black_box(lock.get());
    }))
}

/// Two atomic words: the least that a lock of this kind does.
fn bare_mutex() -> Side {
    let (lock, number) = (AtomicU64::new(0), AtomicU64::new(0));
    pairs(move || {
        black_box(&lock).compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed).ok();
        number.store(number.load(Ordering::Relaxed) + black_box(1), Ordering::Relaxed);
        black_box(&lock).store(0, Ordering::Release);
    })
}

fn mutex_pairs(theirs: Side) -> Result<Trial> {
    let lock: Named<ShMutex<u64>> = ours::object()?;
    let ours = move || {
        tried(PAIRS, || {
            (0..PAIRS).try_for_each(|_| {
                *lock.lock()? += black_box(1);
                Ok::<(), aquifer::Error>(())
            })
        })
    };
    Ok(Trial::new(ours, theirs).limit(bare_mutex()))
}

fn read_pairs(theirs: Side) -> Result<Trial> {
    let lock: Named<ShRwLock<u64>> = ours::object()?;
    let mut mark = Mark::default();
    let limit = pairs(move || {
        black_box(mark.around(|| ()));
    });
    Ok(Trial::new(ours_read(lock), theirs).limit(limit))
}

fn asymmetric_read_pairs() -> Result<Trial> {
    let lock: Named<ShRwLock<u64>> = ours::asymmetric_pool()?.named("object")?;
    let mut mark = Mark::default();
    let limit = pairs(move || {
        black_box(mark.around_plainly(|| ()));
    });
    Ok(Trial::new(ours_read(lock), pthread_read()?).limit(limit))
}

fn ours_read(lock: Named<ShRwLock<u64>>) -> Side {
    Box::new(move || {
        tried(PAIRS, || {
            (0..PAIRS).try_for_each(|_| {
                black_box(*lock.read()?);
                Ok::<(), aquifer::Error>(())
            })
        })
    })
}

/// Threads that have used a lock and hold seats, but do nothing.
struct Seated {
    leave: Arc<Barrier>,
    threads: Vec<JoinHandle<()>>,
}

impl Seated {
    fn new(lock: &Named<ShRwLock<u64>>, count: usize) -> Result<Seated> {
        let (ready, leave) = (Arc::new(Barrier::new(count + 1)), Arc::new(Barrier::new(count + 1)));
        let mut threads = Vec::new();
        for _ in 0..count {
            let (lock, ready, leave) = (lock.clone(), ready.clone(), leave.clone());
            let thread = thread::Builder::new().stack_size(64 << 10).spawn(move || {
                let read = lock.read().is_ok();
                ready.wait();
                leave.wait();
                assert!(read, "a thread could not lock");
            })?;
            threads.push(thread);
        }
        ready.wait();
        Ok(Seated { leave, threads })
    }
}

impl Drop for Seated {
    fn drop(&mut self) {
        self.leave.wait();
        self.threads.drain(..).for_each(|thread| drop(thread.join()));
    }
}

fn write_pairs(seats: usize) -> Result<Trial> {
    let lock: Named<ShRwLock<u64>> = ours::object()?;
    let seated = Seated::new(&lock, seats - 1)?;
    let ours = move || {
        let _ = &seated;
        tried(PAIRS, || {
            (0..PAIRS).try_for_each(|_| {
                *lock.write()? += black_box(1);
                Ok::<(), aquifer::Error>(())
            })
        })
    };
    let theirs = parking_lot::RwLock::new(0u64);
    Ok(Trial::new(ours, pairs(move || *theirs.write() += black_box(1))).limit(bare_mutex()))
}

const BATCH: usize = 256;

/// Asks the questions for a while; millions per second.
fn ask_on<R>(questions: &[u64], mut get: impl FnMut(&u64) -> Result<R>) -> Result<f64> {
    let mut batches = questions.chunks(BATCH).cycle();
    // Readers wait for nobody: what others run on the same processor is left out.
    let rate = busy_rate(TOGETHER, || {
        let batch = batches.next().unwrap_or_default();
        for key in batch {
            black_box(get(key)?);
        }
        Ok(batch.len() as u64)
    })?;
    Ok(rate / 1e6)
}

fn together() -> Result<Trial> {
    const N: u64 = 100_000;
    let (map, bare, questions) = (ours_of(N)?, Rc::new(theirs_of(N)), queries(0..N));
    let asked = questions.clone();
    let locked = move || ask_on(&asked, |key| Ok(map.read()?.get(key).copied()));
    let lockless = move || ask_on(&questions, |key| Ok(bare.get(key).copied()));

    let cpu = Cores::get()?.second;
    let mut second = Partner::fork(cpu, locked.clone())?;
    let mut second_lockless = Partner::fork(cpu, lockless.clone())?;
    let alone = locked.clone();
    // What two reach that take no lock, as so many times what one of ours reaches.
    let last_alone = Rc::new(Cell::new(1.0));
    let rate_alone = last_alone.clone();
    Ok(Trial::new(
        move || second.together(|_| locked()).map(|(a, b)| a + b),
        move || alone().inspect(|rate| last_alone.set(*rate)),
    )
    .limit(move || {
        let one = lockless()?;
        let (a, b) = second_lockless.together(|_| lockless())?;
        Ok((a + b) / one * rate_alone.get())
    }))
}

/// Two processes add one to the same number for a while; nanoseconds of an addition by either.
fn contend(partner: &mut Partner, mine: impl Fn() -> Result<f64>) -> Result<(f64, f64)> {
    let (a, b) = partner.together(|_| mine())?;
    Ok((1e9 / (a + b), a.min(b) / (a + b)))
}

fn contended() -> Result<Trial> {
    let cpu = Cores::get()?.second;
    let lock: Named<ShMutex<u64>> = ours::object()?;
    let ours = move || {
        rate(TOGETHER, || {
            for _ in 0..BATCH {
                *lock.lock()? += 1;
            }
            Ok(BATCH as u64)
        })
    };
    let posix = pthread::Mutex::new(false)?;
    let theirs = move || {
        rate(TOGETHER, || {
            (0..BATCH).for_each(|_| posix.add(1));
            Ok(BATCH as u64)
        })
    };
    // SAFETY: zeroed, aligned to a page, and never unmapped.
    let word: &'static AtomicU64 = unsafe { &*shared_memory(size_of::<AtomicU64>())?.cast() };
    let limit = move || {
        rate(TOGETHER, || {
            (0..BATCH).for_each(|_| {
                word.fetch_add(1, Ordering::Relaxed);
            });
            Ok(BATCH as u64)
        })
    };
    let mut our_partner = Partner::fork(cpu, ours.clone())?;
    let mut their_partner = Partner::fork(cpu, theirs)?;
    let mut limit_partner = Partner::fork(cpu, limit)?;
    let shares = Rc::new(RefCell::new(Vec::new()));
    let seen = shares.clone();
    Ok(Trial::new(
        move || {
            let (ns, share) = contend(&mut our_partner, &ours)?;
            shares.borrow_mut().push(share);
            Ok(ns)
        },
        move || Ok(contend(&mut their_partner, theirs)?.0),
    )
    .limit(move || Ok(contend(&mut limit_partner, limit)?.0))
    .condition(move || {
        let share = median(&seen.borrow());
        if share >= 0.3 { Ok(()) } else { Err(format!("one process did only {:.0} %", share * 100.0)) }
    }))
}
