//! Checking seats and process records, and the blocks that logs have.

use super::claims::Claims;
use super::path::Path;
use crate::memory_view::word;
use crate::report::Problem;
use aquifer_pool::Inner;
use aquifer_pool::layout::{LIVE, Seat};
use aquifer_pool::retire::lock_of;
use std::rc::Rc;
use std::sync::atomic::Ordering;

/// Records that a log may have at most (the width of its head's fields).
const COUNT: u64 = (1 << 31) - 1;
const COMMITTED: u64 = 1 << 63;

pub(super) fn check(pool: &Inner, claims: &mut Claims<'_>) {
    for number in 0..pool.seat_count() {
        let path = Path::root(&format!("seat {number}"));
        match pool.seat_at(number) {
            Some(seat) => check_seat(pool, claims, seat, &path),
            None => claims.find(&path, 0, Problem::Seat("is outside of the pool")),
        }
    }
}

fn check_seat(pool: &Inner, claims: &mut Claims<'_>, seat: &Seat, path: &Rc<Path>) {
    let record = seat.record.load(Ordering::SeqCst);
    let offset = pool.offset_of(std::ptr::from_ref(seat).cast()).unwrap_or(0);
    if record != 0 {
        let known = record <= pool.record_count() as u64;
        // Looked at twice: its process may be leaving, seats first.
        if !known
            || (pool.record_state(record as u32 - 1) & LIVE == 0
                && seat.record.load(Ordering::SeqCst) == record)
        {
            claims.find(path, offset, Problem::Seat("belongs to a process that has not joined"));
        }
    } else if is_in_use(seat) && seat.record.load(Ordering::SeqCst) == 0 {
        claims.find(path, offset, Problem::Seat("is free, but holds locks or has an operation under way"));
    }
    for held in seat.held.iter().map(|h| lock_of(h.load(Ordering::SeqCst))) {
        if held % 8 != 0 || pool.at(held, 8).is_err() {
            claims.find(path, offset, Problem::Seat("holds a lock where none can be"));
        }
    }
    for log in &seat.logs {
        let head = log.head.load(Ordering::SeqCst);
        claims.report.open_logs += (head != 0) as u64;
        let base = head >> 32 & COUNT;
        if (head & COMMITTED != 0 && base > head & COUNT) || (head & COMMITTED == 0 && base != 0) {
            claims.find(path, offset, Problem::Seat("has a log whose head contradicts itself"));
        }
        chunks(pool, claims, log.chunk.load(Ordering::SeqCst), path);
    }
}

fn is_in_use(seat: &Seat) -> bool {
    let locks = seat.held.iter().chain(&seat.marks.0);
    locks.chain(seat.logs.iter().map(|l| &l.head)).any(|w| w.load(Ordering::SeqCst) != 0)
}

/// The chunks of a log, each of which begins with the offset of the next. Ends: a block that comes again is not followed.
fn chunks(pool: &Inner, claims: &mut Claims<'_>, first: u64, path: &Rc<Path>) {
    let mut chunk = first;
    while chunk != 0 && claims.claim(chunk, 8, chunk, path) {
        chunk = word(pool, chunk).unwrap_or(0);
    }
}
