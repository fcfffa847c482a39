//! The least that an open hash table needs, so that a row can show where the machine's limit is.

use super::map::LOOKUPS;
use crate::keys::{keys, queries};
use crate::measure::timed;
use crate::peers::hash::SameHash;
use crate::row::Side;
use aquifer::hash::ShHash;
use std::hint::black_box;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering, compiler_fence};

/// A byte for each slot, and the slots: as large as a table of `n` entries, with nothing to compare, and no second probe.
struct Table {
    control: Vec<u8>,
    slots: Vec<(u64, u64)>,
    mask: usize,
    items: usize,
}

impl Table {
    fn new(n: u64) -> Table {
        let slots = (n as usize * 8 / 7).next_power_of_two();
        Table { control: vec![1; slots], slots: vec![(1, 1); slots], mask: slots - 1, items: n as usize }
    }

    #[inline(always)]
    fn place(&self, key: u64) -> usize {
        key.hash(SameHash::default().0) as usize & self.mask
    }

    #[inline(always)]
    fn look(&self, key: u64) -> u64 {
        u64::from(self.control[self.place(key)])
    }

    #[inline(always)]
    fn get(&self, key: u64) -> u64 {
        let i = self.place(key);
        if self.control[i] == 1 { self.slots[i].1 } else { 0 }
    }

    #[inline(always)]
    fn put(&mut self, key: u64) -> u64 {
        let i = self.place(key);
        if self.control[i] == 1 { std::mem::replace(&mut self.slots[i], (key, key)).1 } else { 0 }
    }

    /// Its byte changes, and an item less is counted. Also of a place from which another key was taken before, so that none costs less.
    #[inline(always)]
    fn take(&mut self, key: u64) -> u64 {
        let i = self.place(key);
        if std::mem::replace(&mut self.control[i], 2) == 0 {
            return 0;
        }
        self.items -= 1;
        self.slots[i].1
    }

    fn put_back(&mut self, key: u64) {
        let i = self.place(key);
        self.control[i] = 1;
        self.slots[i] = (key, !key);
        self.items += 1;
    }
}

/// What is done to the place where a key would stand.
#[derive(Debug, Clone, Copy)]
pub enum Touch {
    /// Its byte is read.
    Look,
    /// Byte and slot are read.
    Get,
    /// The byte is read, the slot written.
    Put,
    /// Byte and slot are read under a mark.
    MarkedGet,
    /// The same with a mark set by plain stores.
    PlainlyMarkedGet,
    /// Byte and slot are written under a lock that nobody else wants.
    LockedPut,
}

/// The least that a reader does so that a writer sees it: a mark of its own, set before the lock is looked at, and taken back.
#[derive(Default)]
pub struct Mark {
    mark: AtomicU64,
    lock: AtomicU64,
}

impl Mark {
    #[inline(always)]
    pub fn around<R>(&mut self, read: impl FnOnce() -> R) -> (R, u64) {
        let this = black_box(&*self);
        this.mark.swap(1, Ordering::SeqCst);
        let result = (read(), this.lock.load(Ordering::Acquire));
        this.mark.store(0, Ordering::Release);
        result
    }

    /// Where the writer has all readers' stores done by a system call.
    #[inline(always)]
    pub fn around_plainly<R>(&mut self, read: impl FnOnce() -> R) -> (R, u64) {
        let this = black_box(&*self);
        this.mark.store(1, Ordering::Relaxed);
        compiler_fence(Ordering::SeqCst);
        let result = (read(), this.lock.load(Ordering::Acquire));
        this.mark.store(0, Ordering::Release);
        result
    }

    /// The least that a writer does.
    #[inline(always)]
    fn locked<R>(&mut self, write: impl FnOnce() -> R) -> R {
        let this = black_box(&*self);
        while this.lock.compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed).is_err() {}
        let result = write();
        this.lock.store(0, Ordering::Release);
        result
    }
}

/// Touches the places of keys of `asked` in a table of `n`.
pub fn bare_table(n: u64, asked: Range<u64>, touch: Touch) -> Side {
    let (mut table, questions, mut mark) = (Table::new(n), queries(asked), Mark::default());
    let rounds = LOOKUPS.div_ceil(questions.len());
    Box::new(move || {
        let all = (0..rounds).flat_map(|_| questions.iter());
        Ok(timed(rounds * questions.len(), || match touch {
            Touch::Look => all.fold(0u64, |sum, key| sum.wrapping_add(table.look(*key))),
            Touch::Get => all.fold(0u64, |sum, key| sum.wrapping_add(table.get(*key))),
            Touch::Put => all.fold(0u64, |sum, key| sum.wrapping_add(table.put(*key))),
            Touch::MarkedGet => {
                all.fold(0, |sum: u64, key| sum.wrapping_add(mark.around(|| table.get(*key)).0))
            }
            Touch::PlainlyMarkedGet => {
                all.fold(0, |sum: u64, key| sum.wrapping_add(mark.around_plainly(|| table.get(*key)).0))
            }
            Touch::LockedPut => {
                all.fold(0, |sum: u64, key| sum.wrapping_add(mark.locked(|| table.put(*key))))
            }
        }))
    })
}

/// Takes the keys `0..n` out of a table of them, and puts them back outside of the time.
pub fn bare_removals(n: u64) -> Side {
    let mut table = Table::new(n);
    Box::new(move || {
        let ns = timed(n as usize, || keys(0..n).map(|key| table.take(key)).fold(0, u64::wrapping_add));
        if black_box(table.items) != 0 {
            return Err("keys were left".into());
        }
        keys(0..n).for_each(|key| table.put_back(key));
        Ok(ns)
    })
}
