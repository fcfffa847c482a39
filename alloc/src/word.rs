//! The heap's lock words: one seat at a time, and whoever waits for a dead one settles what it left.
//!
//! | bits | meaning |
//! |---|---|
//! | 0..16 | seat + 1 of the owner, 0: free |
//! | 31 | somebody sleeps on the low half |

use crate::actor::Actor;
use crate::settle::settle;
use aquifer_pool::lock::{NAP, low_half};
use aquifer_pool::{Inner, futex};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

pub(crate) const OWNER: u64 = 0xffff;
const WAIT: u64 = 1 << 31;
const SPINS: u32 = 100;
/// How often a word is waited for before it is asked whether anybody sits on the seat that it names.
const NOBODY: u32 = 20;

/// A word that is held.
#[derive(Debug)]
pub(crate) struct Held<'a> {
    word: &'a AtomicU64,
}

/// Waits until the word is free and takes it.
pub(crate) fn acquire<'a>(word: &'a AtomicU64, actor: Actor<'a>) -> Held<'a> {
    let own = actor.name() as u64;
    let (mut spins, mut waits) = (0, 0);
    loop {
        let w = word.load(Ordering::Relaxed);
        // Naming us, who wait for it, it is a leftover that could not be settled, or damage.
        if w & OWNER == 0 || w & OWNER == own {
            // Dead before: not ours. After: whoever waits settles us and frees the word, which names us.
            if word.compare_exchange_weak(w, w & WAIT | own, Ordering::Acquire, Ordering::Relaxed).is_ok() {
                return Held { word };
            }
        } else if spins < SPINS {
            spins += 1;
            std::hint::spin_loop();
        } else {
            waits += 1;
            wait(word, w, actor.pool);
            if waits > NOBODY && actor.pool.is_nobody((w & OWNER) as u32 - 1) {
                free_of_nobody(word, w, actor.pool);
            }
        }
    }
}

/// Only damage names a seat on which nobody sits. Sitting there ourselves, we are whom it names.
#[cold]
fn free_of_nobody(word: &AtomicU64, seen: u64, pool: &Inner) {
    let owner = (seen & OWNER) as u32 - 1;
    let free = || {
        let _ = word.compare_exchange(seen, 0, Ordering::AcqRel, Ordering::Acquire);
        futex::wake_all(low_half(word));
    };
    if owner >= pool.seat_count() {
        return free();
    }
    pool.with_free_seat(owner, |seat| {
        settle(seat);
        if word.load(Ordering::Acquire) & OWNER == seen & OWNER {
            free();
        }
    });
}

/// Waits for a while, or until somebody else or nobody has the word.
pub(crate) fn wait_for_change(word: &AtomicU64, pool: &Inner) {
    let w = word.load(Ordering::Acquire);
    if w & OWNER != 0 {
        wait(word, w, pool);
    }
}

/// Leaves `value` in a word that names seat `name - 1`, and wakes those who wait; does nothing if it names another. Repeatable.
pub(crate) fn leave(word: &AtomicU64, name: u32, value: u64) {
    let mut w = word.load(Ordering::Acquire);
    while w & OWNER == name as u64 {
        match word.compare_exchange(w, value, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => return futex::wake_all(low_half(word)),
            Err(now) => w = now,
        }
    }
}

#[cold]
fn wait(word: &AtomicU64, seen: u64, pool: &Inner) {
    let owner = (seen & OWNER) as u32 - 1;
    let still = || word.load(Ordering::Relaxed) & OWNER == seen & OWNER;
    if seen & WAIT == 0
        && word.compare_exchange(seen, seen | WAIT, Ordering::Relaxed, Ordering::Relaxed).is_err()
    {
        return;
    }
    if pool.settle_if_dead(owner) || !still() {
        return;
    }
    futex::wait(low_half(word), (seen | WAIT) as u32, NAP);
    if still() {
        pool.settle_if_dead(owner);
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        // Dead before: the word names us, and is freed by who settles us. After: it is free; a waiter that is not woken wakes by itself.
        if self.word.swap(0, Ordering::Release) & WAIT != 0 {
            futex::wake_all(low_half(self.word));
        }
    }
}

/// Whether the word names the seat of the actor.
pub(crate) fn names(word: &AtomicU64, actor: Actor<'_>) -> bool {
    word.load(Ordering::Acquire) & OWNER == actor.name() as u64
}

/// Frees the word if it names the dead seat. Repeatable.
pub(crate) fn free_of_dead(word: &AtomicU64, dead: Actor<'_>) {
    leave(word, dead.name(), 0);
}

/// Takes the page lock of a descriptor, which the caller has named in its `SeatHeap::page_lock` before.
#[inline]
pub(crate) fn acquire_page(word: &AtomicU32, actor: Actor<'_>) {
    let mut waits = 0;
    while let Err(owner) = word.compare_exchange(0, actor.name(), Ordering::Acquire, Ordering::Relaxed) {
        if owner == actor.name() {
            return; // damage: we wait for it, and cannot have it
        }
        wait_for_page(word, owner, actor.pool);
        waits += 1;
        if waits > NOBODY && actor.pool.is_nobody(owner - 1) {
            free_page_of_nobody(word, owner, actor.pool);
        }
    }
}

/// As [`free_of_nobody`].
#[cold]
fn free_page_of_nobody(word: &AtomicU32, owner: u32, pool: &Inner) {
    let free = || {
        let _ = word.compare_exchange(owner, 0, Ordering::AcqRel, Ordering::Acquire);
    };
    match owner > pool.seat_count() {
        true => free(),
        false => drop(pool.with_free_seat(owner - 1, |_| free())),
    }
}

#[cold]
fn wait_for_page(word: &AtomicU32, owner: u32, pool: &Inner) {
    for _ in 0..SPINS {
        if word.load(Ordering::Relaxed) != owner {
            return;
        }
        std::hint::spin_loop();
    }
    if !pool.settle_if_dead(owner.wrapping_sub(1)) {
        // Nobody wakes us: the lock is held for a few instructions, unless its owner does not run.
        futex::wait(word, owner, Duration::from_millis(1));
    }
}

/// Gives a page lock back that the actor has.
#[inline]
pub(crate) fn release_page(word: &AtomicU32) {
    word.store(0, Ordering::Release);
}
