//! Burying the dead: undo or finish what a dead process had open, then free its locks, marks, seats and record.
//!
//! Who may: only who has got the record's byte (`sys::ofd`), which the kernel gives when the dead process's memory is gone. Every step can be
//! done again from the start: a burier that dies lets go of the byte, and the next begins anew.
//!
//! The passes, each over all seats of the record before the next (its seats depend on each other):
//! 1. heap: the heap's own structures and locks; waits for nothing;
//! 2. logs: committed ones are finished; then locks within what is to be undone are freed, and the other logs undone;
//! 3. words of the locks the seats held for writing;
//! 4. read marks; then the seats and the record are free.
//!
//! Undo comes before words and words before marks, so that the memory of an inner lock stays pinned by the outer one while it is touched: one held
//! for reading by its mark, one held for writing by who gets it next, who waits for the burials under way (`RawLock::write`).

use crate::error::{Holder, Result};
use crate::fork::NoFork;
use crate::layout::{
    HELD, LIVE, LOG_BARE, LOG_INNER, ProcessRecord, RECORD_CHUNKS, RECORDS_FIRST, Seat, chunk_of,
};
use crate::lock::{Floor, Patience};
use crate::plant::{commit_store, planted};
use crate::protocol;
use crate::raw::Inner;
use crate::retire::lock_of;
use crate::seat::{OwnedSeat, SeatCtx};
use crate::sys::ofd;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};

/// `ProcessRecord::state`: a burier looks at the locks that it held (see [`crate::retire`]).
pub const BURYING: u64 = 1 << 63;

/// `ProcessRecord::state`: it has looked, and undoes. A lock that is retired from now on has its log undone all the same, by the next burier if this one
/// dies: half of it may be undone. Who retires the lock waits for that.
pub const UNDOING: u64 = 1 << 62;

impl Inner {
    /// Record `index`, or `None` when there is no such chunk.
    pub fn record_at(&self, index: u32) -> Option<&ProcessRecord> {
        let (k, i) = chunk_of(index, RECORDS_FIRST);
        if k >= RECORD_CHUNKS {
            return None;
        }
        let offset = self.header().record_chunks[k].load(Ordering::Acquire);
        if offset == 0 || !offset.is_multiple_of(64) {
            return None;
        }
        let size = size_of::<ProcessRecord>() as u64;
        let p = self.at(offset.checked_add(i as u64 * size)?, size).ok()?;
        // SAFETY: in bounds by `at`, aligned as checked; all fields are atomics.
        Some(unsafe { &*p.cast::<ProcessRecord>() })
    }

    /// Number of records in all chunks there are.
    pub fn record_count(&self) -> u32 {
        let chunks = &self.header().record_chunks;
        let n = chunks.iter().take_while(|c| c.load(Ordering::Acquire) != 0).count();
        (RECORDS_FIRST << n) - RECORDS_FIRST
    }

    /// `ProcessRecord::state` of record `index`, 0 when there is none: generation and LIVE tell whether a process is still the same.
    pub fn record_state(&self, index: u32) -> u64 {
        self.record_at(index).map_or(0, |r| r.state.load(Ordering::SeqCst) & !(BURYING | UNDOING))
    }

    /// The record whose process sits on a seat.
    pub fn record_of_seat(&self, seat: u32) -> Option<u32> {
        self.seat_at(seat)?.record.load(Ordering::SeqCst).checked_sub(1).and_then(|r| u32::try_from(r).ok())
    }

    /// Who sits on a seat, for messages.
    pub fn holder(&self, seat: u32) -> Holder {
        let process = self
            .record_of_seat(seat)
            .and_then(|r| self.record_at(r))
            .map_or(0, |r| r.pid.load(Ordering::Relaxed));
        let thread = self.seat_at(seat).map_or(0, |s| s.thread.load(Ordering::Relaxed));
        Holder { process, thread }
    }

    /// Buries every dead process; returns how many. One system call for each live one.
    pub fn bury_dead(&self) -> usize {
        let live = (0..self.record_count()).filter(|r| self.record_state(*r) & LIVE != 0);
        live.filter(|r| self.bury_record(*r)).count()
    }

    /// Buries the process of `record` if it is dead.
    #[cold]
    pub fn bury_record(&self, record: u32) -> bool {
        match self.take_byte(record) {
            // The byte goes with the descriptor, when `_byte` is dropped.
            Some(_byte) => self.finish(record),
            None => false,
        }
    }

    /// Whether another process is in the pool, be it alive or stopped, that knows it to be whole.
    pub fn is_trusted_by_others(&self) -> bool {
        let Ok(Some(fd)) = self.backing.reopen() else { return false };
        (0..self.record_count()).any(|r| {
            !self.process.is_own(r)
                && self.record_state(r) & LIVE != 0
                && self.record_at(r).is_some_and(|x| x.trusts.load(Ordering::SeqCst) == 1)
                && ofd::is_free(fd.as_fd(), r).is_ok_and(|free| !free)
        })
    }

    /// Buries the dead whose logs are damaged, too: such a log is given up, so that its operation stays as it was left. Returns how many were buried,
    /// and how many logs were given up.
    pub fn bury_dead_by_force(&self) -> (usize, usize) {
        let (mut buried, mut given_up) = (self.bury_dead(), 0);
        for record in 0..self.record_count() {
            let Some(_byte) = self.take_byte(record) else { continue };
            let Ok(dead) = self.seats_of(record) else { continue };
            for log in dead.iter().flat_map(|s| s.logs()).filter(|l| !l.is_whole()) {
                log.give_up();
                given_up += 1;
            }
            drop(dead);
            buried += self.finish(record) as usize;
        }
        (buried, given_up)
    }

    /// The proof of death: the record's byte, through a descriptor opened afresh (one's own byte, and those that siblings are burying, are refused).
    fn take_byte(&self, record: u32) -> Option<(OwnedFd, NoFork)> {
        if self.record_state(record) & LIVE == 0 || self.process.is_own(record) || !self.may_be_free(record) {
            return None;
        }
        let no_fork = crate::fork::no_fork();
        let fd = self.backing.reopen().ok()??;
        (ofd::try_lock(fd.as_fd(), record).ok()? && self.record_state(record) & LIVE != 0)
            .then_some((fd, no_fork))
    }

    /// One system call, where opening the file afresh takes many, and leaves entries in `/proc` that the kernel must forget when this process dies.
    /// Only a hint: the descriptor may have been closed behind our back and be another file now, which `reopen` finds out.
    fn may_be_free(&self, record: u32) -> bool {
        self.backing.fd().is_some_and(|fd| ofd::is_free(fd, record).unwrap_or(true))
    }

    /// Settles the heap words that a dead seat left (pass 1 for all seats of its process), for those who wait for such a word, buriers too:
    /// at most two bytes are held by one thread, and pass 1 waits for nothing, so any order of burials works.
    #[cold]
    pub fn settle_if_dead(&self, seat: u32) -> bool {
        let Some(record) = self.record_of_seat(seat) else { return false };
        let Some(_byte) = self.take_byte(record) else { return false };
        if self.follow().is_err() {
            return false;
        }
        let Ok(dead) = self.seats_of(record) else { return false };
        for seat in &dead {
            self.upper.settle(seat);
        }
        true
    }

    fn seats_of(&self, record: u32) -> Result<Vec<OwnedSeat>> {
        let own =
            |s: &u32| self.seat_at(*s).is_some_and(|x| x.record.load(Ordering::SeqCst) == record as u64 + 1);
        (0..self.seat_count()).filter(own).map(|s| SeatCtx::on(self, s, true)).collect()
    }

    /// All passes for a record whose byte the caller has (or is giving up: leaving is burying oneself). False when it must be tried again later.
    pub(crate) fn finish(&self, record: u32) -> bool {
        // All that the dead could reach must be reachable from here: what is out of bounds then is damage, and may be passed over.
        if self.follow().is_err() {
            return false;
        }
        let Some(r) = self.record_at(record) else { return false };
        let Ok(dead) = self.seats_of(record) else { return false };
        dead.iter().for_each(|s| self.upper.settle(s));
        if r.state.load(Ordering::SeqCst) & UNDOING == 0 && !announce(r, &dead) {
            return false; // no memory to finish a commit, or a damaged log: everything stays as it is, and locked
        }
        dead.iter().for_each(|s| note_undone(s));
        free_undone(&dead);
        if !dead.iter().all(|s| s.logs().iter().all(|l| l.recover(false))) {
            r.state.fetch_and(!(BURYING | UNDOING), Ordering::SeqCst);
            return false;
        }
        dead.iter().for_each(|s| free_words(s));
        dead.iter().for_each(|s| free_marks(s));
        self.header().deaths.fetch_add(1, Ordering::SeqCst);
        for s in &dead {
            s.seat().waits_for.store(0, Ordering::Relaxed);
            end_build(s.seat());
            // Dead before: the next burier finds the seat empty, and frees it. After: anyone may take it, with its slabs.
            s.seat().record.store(0, Ordering::SeqCst);
            commit_store("seat-given-up");
        }
        // Dead before: the next burier finds no seats. After: the record may be taken by who gets its byte.
        r.state.store(r.state.load(Ordering::SeqCst) & !(LIVE | BURYING | UNDOING), Ordering::SeqCst);
        commit_store("record-buried");
        self.counters.buried.fetch_add(1, Ordering::Relaxed);
        true
    }

    /// The word of the lock at `offset`, if there can be one.
    pub(crate) fn lock_word(&self, offset: u64) -> Option<&AtomicU64> {
        if offset == 0 || !offset.is_multiple_of(8) {
            return None;
        }
        let p = self.at(offset, 8).ok()?;
        // SAFETY: in bounds and aligned; a lock word, which is an atomic. It is pinned by the outer lock that a dead process held (see `bury`), or had exclusively.
        Some(unsafe { &*p.cast::<AtomicU64>() })
    }

    /// Waits until a burial of the record under way is over.
    pub(crate) fn await_burial(&self, record: u32) {
        while self.is_being_buried(record) {
            self.bury_record(record); // if its burier died
            crate::sys::yield_now();
        }
    }

    fn is_being_buried(&self, record: u32) -> bool {
        let state = self.record_at(record).map_or(0, |r| r.state.load(Ordering::SeqCst));
        state & (BURYING | LIVE) == BURYING | LIVE
    }

    /// Waits for the burials under way, for who has got a lock whose writer died: it may have held locks within that one, whose words are freed one by one,
    /// and must not be moved before. The burier of that writer announced itself before it freed any.
    ///
    /// When patience ends before: a seat whose burial is not over, as that of a burier that was stopped.
    #[cold]
    pub(crate) fn await_burials(&self, expired: impl Fn() -> bool) -> Option<u32> {
        let others = (0..self.record_count()).filter(|r| !self.process.is_own(*r));
        for record in others {
            while self.is_being_buried(record) {
                self.bury_record(record); // as above
                if expired() && self.is_being_buried(record) {
                    return (0..self.seat_count()).find(|s| self.record_of_seat(*s) == Some(record));
                }
                crate::sys::yield_now();
            }
        }
        None
    }
}

/// What the thread was building was undone.
fn end_build(seat: &Seat) {
    let builds = seat.builds.load(Ordering::SeqCst);
    if builds & 1 != 0 {
        seat.builds.store(builds.wrapping_add(1), Ordering::SeqCst);
    }
}

/// Finishes what was committed, and says that the rest will be undone; false when a commit cannot be finished.
fn announce(r: &ProcessRecord, dead: &[OwnedSeat]) -> bool {
    loop {
        // Of a burier that died, or because one of their locks was retired just before.
        r.state.fetch_and(!BURYING, Ordering::SeqCst);
        if !dead.iter().all(|s| finish_commits(s)) {
            return false;
        }
        // Behind the commits: these may free values with locks in them, and so wait for other burials.
        r.state.fetch_or(BURYING, Ordering::SeqCst);
        if !dead.iter().any(|s| (0..HELD).any(|i| s.is_retired(i))) {
            // Dead before: the next burier looks again. After: who retires a lock, and was not seen, waits for the end of the burial; so the next one
            // does not look.
            r.state.fetch_or(UNDOING, Ordering::SeqCst);
            return true;
        }
    }
}

/// Pass 2 for one seat, first half: what was committed is finished; so is the log of a lock that was retired ([`crate::retire`]).
fn finish_commits(seat: &SeatCtx) -> bool {
    (0..HELD).filter(|i| seat.is_retired(*i)).for_each(|i| seat.log(i).declare_final());
    // The inner log first: the others may need it. They may join one another, and are final then.
    let inner = seat.log(LOG_INNER);
    inner.recover(true) && inner.recover(false) && seat.logs().iter().all(|l| l.recover(true))
}

/// Pass 2 for one seat, second half begins: notes in the locks' words what is about to be undone.
fn note_undone(seat: &SeatCtx) {
    let logs = seat.logs();
    for i in 0..HELD {
        match held_word(seat, i) {
            Some(word) if logs[i].was_undone() || logs[LOG_BARE].was_undone() || is_guest(seat, i) => {
                protocol::note_undone(word, seat.number())
            }
            _ => {}
        }
    }
}

/// Frees the locks whose words the undo takes back, and has the dead forget them, while their memory is still what it was: what stands there afterwards is
/// another value, or another process's memory, in which a number may by chance be that of the dead seat; and a shift that is undone carries words along.
fn free_undone(dead: &[OwnedSeat]) {
    let undone = || dead.iter().flat_map(|s| s.logs()).filter(|l| l.was_undone());
    for seat in dead {
        let floor = Floor { seat, patience: Patience::Forever };
        for (i, held) in seat.seat().held.iter().enumerate() {
            let (offset, word) = (lock_of(held.load(Ordering::SeqCst)), held_word(seat, i));
            // Neither had nor freed by a burier: a lock that was waited for, or a forgotten one that was moved away from here, and comes back.
            let was_had = word.is_some_and(|w| protocol::was_held_by(w, seat.number()));
            if undone().any(|l| l.frees(offset) || l.takes_back(offset) && was_had) {
                word.inspect(|w| protocol::bury_word(&floor, w, seat.number()));
                // Dead before: the next burier finds the word freed. After: the lock is passed over, and its log is undone all the same, as that of a place
                // of 0, whose lock was retired, is not.
                held.store(PASSED_OVER, Ordering::SeqCst);
            }
        }
    }
}

/// In a place of a dead seat's held locks: no lock, which is at a multiple of 8, until the burial ends.
const PASSED_OVER: u64 = 1;

/// Whether what was done under a held lock went to another of the seat's logs, and is undone with it.
fn is_guest(seat: &SeatCtx, i: usize) -> bool {
    let offset = lock_of(seat.seat().held[i].load(Ordering::SeqCst));
    seat.logs().iter().any(|l| l.was_undone() && l.concerns(offset))
}

fn held_word(seat: &SeatCtx, i: usize) -> Option<&AtomicU64> {
    seat.pool().lock_word(lock_of(seat.seat().held[i].load(Ordering::SeqCst)))
}

/// Pass 3 for one seat.
fn free_words(seat: &SeatCtx) {
    let floor = Floor { seat, patience: Patience::Forever };
    for i in 0..HELD {
        if let Some(word) = held_word(seat, i) {
            protocol::bury_word(&floor, word, seat.number());
        }
        seat.seat().held[i].store(0, Ordering::SeqCst);
    }
}

/// Pass 4 for one seat.
fn free_marks(seat: &SeatCtx) {
    if planted("forgotten-mark") {
        return;
    }
    let floor = Floor { seat, patience: Patience::Forever };
    seat.seat().marks.0.iter().for_each(|m| protocol::bury_mark(&floor, m));
}
