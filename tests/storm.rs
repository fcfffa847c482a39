//! A storm in small: processes with threads work on nested collections and are killed at random, again and again.
//!
//! Each thread has keys of its own in tables that all share. Before an operation it notes in memory of its own, which is no part of the pool,
//! which state its key should have afterwards; after it, that this is so. Whoever follows a dead thread, and the test at the end, finds each
//! key in the state before or after the operation that was under way, and in no other: whole, with every element.
//!
//! `AQUIFER_STORM_KILLS` and `AQUIFER_SEED` make it longer and other.

#![allow(unsafe_code, missing_docs, clippy::unwrap_used)]

mod support;

use aquifer::{Error, Named, Pool, Result, ShMap, ShRwLock, ShString, ShVec, from_iter};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;
use support::{Board, Child, PATIENCE, Random, Scratch};

const PROCESSES: usize = 4;
const THREADS: usize = 2;
const KEYS: usize = 6;

type Table = ShRwLock<ShMap<ShString, ShVec<ShString>>>;

/// What a key should hold: in which table (2: none), which edition of its list, how many elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct State {
    table: usize,
    edition: u64,
    len: u64,
}

const NO_TABLE: usize = 2;

impl State {
    const FIRST: State = State { table: NO_TABLE, edition: 0, len: 0 };

    fn pack(self) -> u64 {
        (self.table as u64) << 60 | self.edition << 24 | self.len
    }

    fn unpack(word: u64) -> State {
        State { table: (word >> 60) as usize, edition: word >> 24 & 0xf_ffff_ffff, len: word & 0xff_ffff }
    }
}

/// One thread's notes: for each key its state before and after the operation under way; and how many operations are over.
struct Ledger<'a> {
    thread: usize,
    words: &'a [AtomicU64],
}

impl<'a> Ledger<'a> {
    const WORDS: usize = KEYS * 2 + 1;

    fn of(board: &'a Board, thread: usize) -> Ledger<'a> {
        Ledger { thread, words: &board[thread * Self::WORDS..][..Self::WORDS] }
    }

    fn states(&self, key: usize) -> [State; 2] {
        [0, 1].map(|i| State::unpack(self.words[key * 2 + i].load(Ordering::SeqCst)))
    }

    fn set(&self, key: usize, which: usize, state: State) {
        self.words[key * 2 + which].store(state.pack(), Ordering::SeqCst);
    }

    fn done(&self) -> &AtomicU64 {
        &self.words[KEYS * 2]
    }

    fn name(&self, key: usize) -> String {
        // Some names fit into a string's value, others have blocks of their own.
        format!("{}/{key}{}", self.thread, "/long".repeat(key * 2))
    }

    fn element(&self, key: usize, edition: u64, i: u64) -> String {
        format!("{}.{key}.{edition}.{i}{}", self.thread, " and more".repeat((i % 4) as usize))
    }

    fn elements(&self, key: usize, edition: u64, len: u64) -> Vec<String> {
        (0..len).map(|i| self.element(key, edition, i)).collect()
    }
}

struct Tables {
    pool: Pool,
    tables: [Named<Table>; 2],
}

impl Tables {
    fn of(pool: &Pool) -> Tables {
        let mut tables = ["one", "other"].map(|name| pool.named::<Table>(name).unwrap());
        // Everyone takes them in the order in which they lie in the pool, as transactions do.
        tables.sort_by_key(|t| std::ptr::from_ref::<Table>(t).addr());
        Tables { pool: pool.clone(), tables }
    }

    /// Finds each key in one of its two possible states, and notes which.
    fn compare(&self, ledger: &Ledger<'_>) {
        // Once both are had, whoever died with one of them is buried.
        let tables = [self.tables[0].read().unwrap(), self.tables[1].read().unwrap()];
        for key in 0..KEYS {
            let name = ledger.name(key);
            let found = |s: &State| {
                let list = |t: usize| tables[t].get(name.as_str());
                match s.table {
                    NO_TABLE => list(0).is_none() && list(1).is_none(),
                    t => {
                        list(1 - t).is_none()
                            && list(t).is_some_and(|l| *l == ledger.elements(key, s.edition, s.len))
                    }
                }
            };
            let states = ledger.states(key);
            let Some(state) = states.iter().find(|s| found(s)) else {
                panic!(
                    "`{name}` should be one of {states:?}, but is {:?} {:?}",
                    tables[0].get(name.as_str()),
                    tables[1].get(name.as_str())
                );
            };
            ledger.set(key, 0, *state);
            ledger.set(key, 1, *state);
        }
    }

    /// Puts a key into another state; the same operation leads from a state to the next in one way only.
    fn change(&self, ledger: &Ledger<'_>, key: usize, from: State, to: State) -> Result<()> {
        let name = ledger.name(key);
        let name = name.as_str();
        match (from.table, to.table) {
            (NO_TABLE, t) => self.tables[t]
                .write()?
                .insert(name, from_iter(ledger.elements(key, to.edition, to.len)))
                .map(drop),
            (t, NO_TABLE) => self.tables[t].write().map(|mut t| drop(t.remove(name))),
            (a, b) if a != b => self.carry(name, a, b),
            (t, _) if from.edition != to.edition => self.replace(ledger, key, t, to),
            (t, _) => {
                let mut table = self.tables[t].write()?;
                let list = table.get_mut(name).unwrap();
                match to.len {
                    0 => list.clear(),
                    l if l < from.len => drop(list.pop()),
                    _ => list.push(ledger.element(key, to.edition, from.len))?,
                }
                Ok(())
            }
        }
    }

    fn carry(&self, name: &str, from: usize, to: usize) -> Result<()> {
        self.pool.transaction(|tx| {
            let from = tx.write(&self.tables[from])?;
            let to = tx.write(&self.tables[to])?;
            let list = from.remove(name).unwrap();
            to.insert(name, list)?;
            Ok(())
        })
    }

    /// In steps that would be seen if the transaction did not hide them.
    fn replace(&self, ledger: &Ledger<'_>, key: usize, table: usize, to: State) -> Result<()> {
        let name = ledger.name(key);
        self.tables[table].transaction(|t| {
            t.get_mut(name.as_str()).unwrap().clear();
            t.insert("for a moment", ["and never seen outside"])?;
            drop(t.remove("for a moment"));
            t.insert(name.as_str(), from_iter(ledger.elements(key, to.edition, to.len)))?;
            Ok(())
        })
    }
}

/// The next state of a key.
fn next(state: State, random: &mut Random) -> State {
    let renewed = State { edition: state.edition + 1, len: random.below(6), ..state };
    if state.table == NO_TABLE {
        return State { table: random.below(2) as usize, ..renewed };
    }
    match random.below(10) {
        0 => State { table: NO_TABLE, ..state },
        1 => renewed,
        2 | 3 => State { table: 1 - state.table, ..state },
        4 => State { len: 0, ..state },
        5 | 6 => State { len: state.len.saturating_sub(1), ..state },
        _ => State { len: (state.len + 1).min(40), ..state },
    }
}

fn work(pool: &Pool, ledger: &Ledger<'_>, stop: &AtomicU64, seed: u64) {
    let tables = Tables::of(pool);
    tables.compare(ledger);
    let mut random = Random::new(seed);
    while stop.load(Ordering::SeqCst) == 0 {
        let key = random.below(KEYS as u64) as usize;
        let from = ledger.states(key)[0];
        let to = next(from, &mut random);
        if to == from {
            continue;
        }
        ledger.set(key, 1, to);
        while let Err(e) = tables.change(ledger, key, from, to) {
            // Two transactions wanted the same locks in different order.
            assert!(matches!(e, Error::WouldDeadlock(_) | Error::WouldBlock(_)), "{e}");
        }
        ledger.set(key, 0, to);
        ledger.done().fetch_add(1, Ordering::SeqCst);
    }
}

struct Storm<'a> {
    pool: &'a Pool,
    board: &'a Board,
    children: Vec<Child>,
}

impl Storm<'_> {
    fn stop(&self) -> &AtomicU64 {
        &self.board[PROCESSES * THREADS * Ledger::WORDS]
    }

    fn start(&self, process: usize, seed: u64) -> Child {
        Child::fork(|_| {
            std::thread::scope(|s| {
                for thread in 0..THREADS {
                    let ledger = Ledger::of(self.board, process * THREADS + thread);
                    s.spawn(move || work(self.pool, &ledger, self.stop(), seed + thread as u64));
                }
            });
        })
    }

    fn done(&self) -> u64 {
        (0..PROCESSES * THREADS).map(|t| Ledger::of(self.board, t).done().load(Ordering::SeqCst)).sum()
    }

    /// Waits for some operations; tells who waits when there are none.
    fn await_operations(&self, count: u64) {
        let begin = Instant::now();
        let goal = self.done() + count;
        while self.done() < goal {
            if let Some(i) = self.children.iter().position(Child::has_ended) {
                panic!("process {i} failed");
            }
            if begin.elapsed() > PATIENCE {
                self.tell_who_waits();
                panic!("no progress");
            }
            std::thread::yield_now();
        }
    }

    fn tell_who_waits(&self) {
        for child in &self.children {
            for task in std::fs::read_dir(format!("/proc/{}/task", child.pid())).unwrap().flatten() {
                let of = |f: &str| std::fs::read_to_string(task.path().join(f)).unwrap_or_default();
                println!("thread {:?}: {} {}", task.file_name(), of("wchan"), of("syscall").trim());
            }
        }
        for (i, table) in Tables::of(self.pool).tables.iter().enumerate() {
            println!("table {i}: read: {:?} write: {:?}", table.try_read().err(), table.try_write().err());
        }
        println!("{:?}", self.pool.info());
    }
}

#[test]
fn kills_at_random_lose_nothing_leak_nothing_and_stop_nobody() {
    let kills: u64 = std::env::var("AQUIFER_STORM_KILLS").ok().and_then(|k| k.parse().ok()).unwrap_or(400);
    let mut random = Random::from_environment(1);
    let scratch = Scratch::new();
    let pool = Pool::options().size(0).growth(64 << 10, 1 << 20).create(scratch.name()).unwrap();
    let board = Board::new(PROCESSES * THREADS * Ledger::WORDS + 1);
    for thread in 0..PROCESSES * THREADS {
        (0..KEYS).for_each(|k| {
            [0, 1].into_iter().for_each(|i| Ledger::of(&board, thread).set(k, i, State::FIRST))
        });
    }
    let begin = Instant::now();
    let mut storm = Storm { pool: &pool, board: &board, children: Vec::new() };
    for process in 0..PROCESSES {
        let child = storm.start(process, random.next());
        storm.children.push(child);
    }
    for _ in 0..kills {
        storm.await_operations(random.below(300));
        let victim = random.below(PROCESSES as u64) as usize;
        storm.children.remove(victim).kill();
        let child = storm.start(victim, random.next());
        storm.children.insert(victim, child);
    }
    storm.await_operations(100);
    storm.stop().store(1, Ordering::SeqCst);
    std::mem::take(&mut storm.children).into_iter().for_each(Child::finish);
    println!("{kills} kills and {} operations in {:?}", storm.done(), begin.elapsed());

    let tables = Tables::of(&pool);
    (0..PROCESSES * THREADS).for_each(|t| tables.compare(&Ledger::of(&board, t)));
    let expected = |t: usize| {
        let ledgers = (0..PROCESSES * THREADS).map(|t| Ledger::of(&board, t));
        ledgers.map(|l| (0..KEYS).filter(|k| l.states(*k)[0].table == t).count()).sum::<usize>()
    };
    for t in 0..2 {
        assert_eq!(
            tables.tables[t].read().unwrap().len(),
            expected(t),
            "nothing but the threads' keys is in table {t}"
        );
    }
    let report = pool.check().unwrap();
    assert!(report.is_clean(), "{report}");
    assert_eq!(pool.info().processes, 1, "all the dead are buried");
}
