//! Threads and processes at work on one map and one vector, compared with a model.
//!
//! Every operation takes a number from a counter behind the same lock, and is noted with what it saw in memory of its process's own.
//! Afterwards all notes are played in the order of their numbers to a model, which must have seen the same.

#![allow(unsafe_code, missing_docs, clippy::unwrap_used)]

mod support;

use aquifer::{DefaultInPool, Named, Pool, Relocatable, ShMap, ShRwLock, ShVec};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use support::{Board, Child, Random, Scratch};

const PROCESSES: usize = 3;
const THREADS: usize = 2;
const OPERATIONS: usize = 3000;
const KEYS: u64 = 97;

/// The counter stands behind the same lock as what is counted: one lock, one order.
#[derive(Relocatable, DefaultInPool)]
#[repr(C)]
struct CountedMap {
    number: u64,
    map: ShMap<u64, u64>,
}

#[derive(Relocatable, DefaultInPool)]
#[repr(C)]
struct CountedList {
    number: u64,
    list: ShVec<u64>,
}

type Map = ShRwLock<CountedMap>;
type List = ShRwLock<CountedList>;

/// What one operation was and saw.
#[derive(Debug, Clone, Copy)]
struct Note {
    number: u64,
    what: u64,
    key: u64,
    value: u64,
    seen: u64,
}

const WORDS: usize = 5;
const NOTHING: u64 = u64::MAX;

impl Note {
    fn write(self, to: &[AtomicU64]) {
        for (word, value) in to.iter().zip([self.number, self.what, self.key, self.value, self.seen]) {
            word.store(value, Ordering::SeqCst);
        }
    }

    fn read(from: &[AtomicU64]) -> Note {
        let [number, what, key, value, seen] = std::array::from_fn(|i| from[i].load(Ordering::SeqCst));
        Note { number, what, key, value, seen }
    }
}

fn on_map(map: &Named<Map>, random: &mut Random) -> Note {
    let (what, key, value) = (random.below(4), random.below(KEYS), random.next());
    if what == 3 {
        let guard = map.read().unwrap();
        let seen = guard.map.get(&key).copied().unwrap_or(NOTHING);
        // A look happens between two changes: after the last one whose number it saw.
        return Note { number: guard.number * 2 + 1, what, key, value, seen };
    }
    let mut guard = map.write().unwrap();
    let CountedMapFields { number, map } = guard.fields_mut();
    *number += 1;
    let number = *number * 2;
    let seen = match what {
        0 => map.insert(key, value).unwrap(),
        1 => map.remove(&key),
        _ => {
            let count = map.entry(key).or_insert(0).unwrap();
            *count = count.wrapping_add(1) % NOTHING;
            Some(*count)
        }
    };
    Note { number, what, key, value, seen: seen.unwrap_or(NOTHING) }
}

fn on_list(list: &Named<List>, random: &mut Random) -> Note {
    let (what, key, value) = (4 + random.below(5), random.next(), random.next());
    let mut guard = list.write().unwrap();
    let CountedListFields { number, list } = guard.fields_mut();
    *number += 1;
    let number = *number * 2;
    let len = list.len() as u64;
    let seen = match what {
        4 | 5 => list.push(value).map(|()| None).unwrap(),
        6 => list.pop(),
        7 if len > 0 => Some(list.remove((key % len) as usize)),
        8 => list.insert((key % (len + 1)) as usize, value).map(|()| None).unwrap(),
        _ => None,
    };
    Note { number, what, key, value, seen: seen.unwrap_or(NOTHING) }
}

fn work(pool: &Pool, notes: &[AtomicU64], seed: u64) {
    let map: Named<Map> = pool.named("map").unwrap();
    let list: Named<List> = pool.named("list").unwrap();
    let mut random = Random::new(seed);
    for slot in notes.chunks_exact(WORDS) {
        let note = if random.below(2) == 0 { on_map(&map, &mut random) } else { on_list(&list, &mut random) };
        note.write(slot);
    }
}

fn play_map(notes: &[Note]) -> HashMap<u64, u64> {
    let mut model = HashMap::new();
    for note in notes {
        let seen = match note.what {
            0 => model.insert(note.key, note.value),
            1 => model.remove(&note.key),
            2 => {
                let count = model.entry(note.key).or_insert(0);
                *count = count.wrapping_add(1) % NOTHING;
                Some(*count)
            }
            _ => model.get(&note.key).copied(),
        };
        assert_eq!(seen.unwrap_or(NOTHING), note.seen, "{note:?}");
    }
    model
}

fn play_list(notes: &[Note]) -> Vec<u64> {
    let mut model = Vec::new();
    for note in notes {
        let len = model.len() as u64;
        let mut seen = None;
        match note.what {
            4 | 5 => model.push(note.value),
            6 => seen = model.pop(),
            7 if len > 0 => seen = Some(model.remove((note.key % len) as usize)),
            8 => model.insert((note.key % (len + 1)) as usize, note.value),
            _ => {}
        }
        assert_eq!(seen.unwrap_or(NOTHING), note.seen, "{note:?}");
    }
    model
}

#[test]
fn threads_and_processes_see_one_order_of_all_operations() {
    let scratch = Scratch::new();
    let pool = Pool::options().size(0).growth(64 << 10, 1 << 20).create(scratch.name()).unwrap();
    let map: Named<Map> = pool.named("map").unwrap();
    let list: Named<List> = pool.named("list").unwrap();
    let board = Board::new((PROCESSES + 1) * THREADS * OPERATIONS * WORDS);
    let parts: Vec<&[AtomicU64]> = board.chunks_exact(OPERATIONS * WORDS).collect();
    let run = |process: usize| {
        std::thread::scope(|s| {
            for thread in 0..THREADS {
                let (pool, part) = (&pool, parts[process * THREADS + thread]);
                s.spawn(move || work(pool, part, 1 + (process * THREADS + thread) as u64));
            }
        });
    };
    let children: Vec<Child> = (1..=PROCESSES).map(|p| Child::fork(move |_| run(p))).collect();
    run(0);
    children.into_iter().for_each(Child::finish);

    let mut notes: Vec<Note> = board.chunks_exact(WORDS).map(Note::read).collect();
    notes.sort_by_key(|n| n.number);
    let (on_map, on_list): (Vec<Note>, Vec<Note>) = notes.iter().partition(|n| n.what < 4);
    assert!(
        on_list.iter().enumerate().all(|(i, n)| n.number == 2 * (i as u64 + 1)),
        "no number is missing or given twice"
    );
    assert_eq!(map.read().unwrap().map, play_map(&on_map));
    assert_eq!(list.read().unwrap().list, play_list(&on_list));
    assert!(pool.check().unwrap().is_clean());
}
