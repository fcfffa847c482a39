//! Locks in the pool: [`crate::protocol`] with seats, futexes and the dead.

use crate::atomic::{AtomicU64, Ordering};
use crate::error::{Error, Result};
use crate::layout::{HELD, MARKS};
use crate::protocol::{self, Left, RECOVERED, Refusal, UNDONE, World};
use crate::quick::{self, Quick, Spot};
use crate::seat::SeatCtx;
use std::cell::Cell;
use std::hint::cold_path;
use std::sync::atomic::AtomicU32;
use std::time::{Duration, Instant};

/// The longest sleep: a lost wake-up, or the death of who should have woken us, costs no more.
pub const NAP: Duration = Duration::from_millis(3);
/// The same where locks are asymmetric.
pub const SHORT_NAP: Duration = Duration::from_millis(1);

/// Nanoseconds from finding a lock taken to looking again; later looks are up to four times as far apart. Who has the lock takes it some hundred times
/// in that time if nobody looks; and to be woken takes far longer.
const FIRST_LOOK: u64 = 3000;

/// How long to wait for a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// Not at all.
    Try,
    /// Until then.
    Until(Instant),
    /// As long as it takes.
    Forever,
}

/// What the death of a lock's last writer left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Recovered {
    /// It did not die.
    #[default]
    No,
    /// It died; all its operations were finished.
    Died,
    /// It died, and its unfinished operation was undone.
    Undone,
}

/// A write lock that was had: what its release needs.
#[derive(Debug, Clone, Copy)]
pub struct WriteHold {
    /// Place among the seat's held locks; also the number of the log to use.
    pub held: usize,
    /// What the last writer left.
    pub recovered: Recovered,
}

/// A readers-writer lock of one word that many processes share; 0 is free.
#[repr(transparent)]
#[derive(Debug, Default)]
pub struct RawLock {
    word: AtomicU64,
}

impl RawLock {
    /// A free lock.
    pub const fn new() -> RawLock {
        RawLock { word: AtomicU64::new(0) }
    }

    /// Locks for reading through mark 0, where nothing stands in the way: no writer, no other use of that mark, no transaction.
    ///
    /// This thread may read the lock already, through another mark. Only where a writer waits must both be one (see [`protocol::read`]), and here there
    /// is none.
    #[inline(always)]
    pub fn read_at_once<'a>(&'a self) -> Option<&'a Quick> {
        let spot = quick::to_read::<'a>(self.address())?;
        let Spot { quick, offset, .. } = spot;
        let had = protocol::read_at_once(
            quick.first_mark(),
            &self.word,
            offset,
            quick.summary(),
            quick.is_asymmetric(),
        );
        if had && spot.is_up_to_date() {
            return Some(quick);
        }
        cold_path();
        leave(quick.first_mark());
        None
    }

    /// Locks for writing through place 0, where nothing stands in the way: nobody has the lock or has read it since the last writer, who did not die,
    /// and this thread runs no transaction, and holds no lock through another place. What else it reads is another lock, whose word would say so.
    #[inline(always)]
    pub fn write_at_once<'a>(&'a self) -> Option<&'a SeatCtx> {
        let spot = quick::to_write::<'a>(self.address())?;
        let Spot { quick, offset, .. } = spot;
        if !protocol::write_at_once(&quick.shared().held[0], &self.word, offset, quick.own()) {
            return None;
        }
        let seat = quick.seat();
        if spot.is_up_to_date() {
            return Some(seat);
        }
        self.unlock_first(seat);
        None
    }

    /// The same as [`read_at_once`](Self::read_at_once) through another mark, which is returned, while mark 0 is in use for another lock.
    #[inline]
    pub fn read_beside(&self) -> Option<usize> {
        let spot = quick::within(self.address(), Quick::readable)?;
        let Spot { quick, offset, .. } = spot;
        let marks = &quick.shared().marks.0;
        // What it reads already, it nests; and what is not to be had through mark 0 is not through another.
        if marks.iter().any(|m| m.load(Ordering::Relaxed) & !1 == offset)
            || marks[0].load(Ordering::Relaxed) == 0
        {
            return None;
        }
        let k = marks.iter().position(|m| m.load(Ordering::Relaxed) == 0)?;
        quick.nest[k].set(0);
        let had =
            protocol::read_at_once(&marks[k], &self.word, offset, quick.summary(), quick.is_asymmetric());
        if had && spot.is_up_to_date() {
            return Some(k);
        }
        leave(&marks[k]);
        None
    }

    /// The same as [`write_at_once`](Self::write_at_once) through another place, which is returned, while this thread holds other locks. Not while one of
    /// their logs, or the bare one that guards which left a transaction use, is held open: it may concern this lock (`log::concern`).
    #[inline]
    pub fn write_beside(&self) -> Option<usize> {
        let spot = quick::within(self.address(), Quick::writable_beside)?;
        let Spot { quick, offset, .. } = spot;
        let (places, seat) = (&quick.shared().held, quick.seat());
        let is_used = |k: usize| places[k].load(Ordering::Relaxed) != 0;
        // What is not to be had through place 0 is not through another.
        let is_open = || seat.bare().is_open() || (0..HELD).any(|k| is_used(k) && seat.log(k).is_open());
        if !(0..HELD).any(is_used) || is_open() {
            return None;
        }
        let is_free = |k: usize| !is_used(k) && !seat.log(k).is_open() && seat.log(k).is_vacant();
        let k = (0..HELD).find(|k| is_free(*k))?;
        if !protocol::write_at_once(&places[k], &self.word, offset, quick.own()) {
            return None;
        }
        quick.note_further();
        if spot.is_up_to_date() {
            return Some(k);
        }
        self.unlock_write(seat, k);
        None
    }

    #[inline(always)]
    fn address(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    /// Locks for reading and returns the mark to release. `offset` is the place of this lock in the pool.
    ///
    /// # Errors
    /// `TooManyReadLocks`; `WouldDeadlock` when this thread holds it for writing; `WouldBlock` or `Timeout` naming the holder.
    pub fn read(&self, seat: &SeatCtx, offset: u64, patience: Patience) -> Result<usize> {
        seat.quick().rederive();
        let floor = Floor { seat, patience };
        seat.waits_since.set(0);
        let mark = match protocol::read(&floor, &self.word, offset) {
            Ok(mark) => mark,
            Err(refusal) => return Err(floor.error(refusal, Error::TooManyReadLocks(MARKS))),
        };
        seat.quick().note_nesting();
        // What the lock guards may lie in what was grown before it was taken: make that reachable, or fail now.
        if let Err(e) = seat.pool().follow() {
            seat.quick().unlock_read(mark);
            return Err(e);
        }
        Ok(mark)
    }

    /// Gives a read lock back.
    pub fn unlock_read(seat: &SeatCtx, mark: usize) {
        seat.quick().unlock_read(mark);
    }

    /// Locks for writing.
    ///
    /// # Errors
    /// `TooManyWriteLocks`; `WouldDeadlock` when this thread holds it already; `WouldBlock` or `Timeout` naming the holder.
    pub fn write(&self, seat: &SeatCtx, offset: u64, patience: Patience) -> Result<WriteHold> {
        seat.quick().rederive();
        let contended = seat.contended.replace(0);
        if contended != 0 {
            seat.quick().note_contended(false);
            if contended == offset {
                // Others waited when this thread released it last: let one of them have it.
                crate::sys::yield_now();
            }
        }
        let floor = Floor { seat, patience };
        seat.waits_since.set(0);
        let written = match protocol::write(&floor, &self.word, offset) {
            Ok(written) => written,
            Err(refusal) => return Err(floor.error(refusal, Error::TooManyWriteLocks(HELD))),
        };
        if written.flags & RECOVERED != 0
            && let Some(dead) = floor.await_burials()
        {
            protocol::give_up(&floor, &self.word, written);
            return Err(floor.error(Refusal::Expired(dead), Error::TooManyWriteLocks(HELD)));
        }
        seat.quick().note_further();
        if let Err(e) = seat.pool().follow() {
            self.unlock_write(seat, written.held);
            return Err(e);
        }
        let recovered = match written.flags {
            f if f & UNDONE != 0 => Recovered::Undone,
            f if f & RECOVERED != 0 => Recovered::Died,
            _ => Recovered::No,
        };
        Ok(WriteHold { held: written.held, recovered })
    }

    /// Gives a write lock back. What was done under it must be committed.
    #[inline(always)]
    pub fn unlock_write(&self, seat: &SeatCtx, held: usize) {
        if protocol::unlock_write(&self.word, &seat.seat().held[held]) {
            self.wake_waiters(seat);
        }
        if held > 0 {
            seat.quick().note_further();
        }
    }

    /// The same for what [`write_at_once`](Self::write_at_once) took.
    #[inline(always)]
    pub fn unlock_first(&self, seat: &SeatCtx) {
        self.unlock_write(seat, 0);
    }

    #[cold]
    fn wake_waiters(&self, seat: &SeatCtx) {
        crate::sys::futex::wake_all(low_half(&self.word));
        seat.contended.set(seat.pool().offset_of(std::ptr::from_ref(self).cast()).unwrap_or(0));
        seat.quick().note_contended(true);
    }

    /// Seat number of the writer.
    #[inline]
    pub fn writer(&self) -> Option<u32> {
        (self.word.load(Ordering::SeqCst) & protocol::OWNER).checked_sub(1).map(|s| s as u32)
    }

    /// The word.
    pub fn word(&self) -> &AtomicU64 {
        &self.word
    }
}

impl Quick {
    /// Gives what [`RawLock::read_at_once`] took back; false if there is more to do than that, and nothing was done.
    #[inline(always)]
    pub fn unlock_read_at_once(&self) -> bool {
        let mark = self.mark_read_once();
        mark.is_some_and(|mark| {
            leave(mark);
            true
        })
    }

    /// Gives the read lock of a mark back.
    pub(crate) fn unlock_read(&self, mark: usize) {
        let at = &self.shared().marks.0[mark];
        let left = protocol::unlock_read(&self.nest[mark], at);
        self.note_nesting();
        if left == Left::Awaited {
            wake(at);
        }
    }
}

/// Gives the read lock of a mark back that is not nested.
#[inline(always)]
fn leave(mark: &AtomicU64) {
    if protocol::take_mark_back(mark) {
        wake(mark);
    }
}

#[cold]
fn wake(word: &AtomicU64) {
    crate::sys::futex::wake_all(low_half(word));
}

/// The protocol's world: one pool, seen from one seat.
pub(crate) struct Floor<'a> {
    pub(crate) seat: &'a SeatCtx,
    pub(crate) patience: Patience,
}

impl Floor<'_> {
    /// See [`Inner::await_burials`](crate::raw::Inner::await_burials). Who has no patience waits for a nap, of which a burial needs far less.
    #[cold]
    fn await_burials(&self) -> Option<u32> {
        let begin = Instant::now();
        self.seat.pool().await_burials(|| begin.elapsed() >= NAP && self.expired())
    }

    #[cold]
    fn error(&self, refusal: Refusal, full: Error) -> Error {
        match refusal {
            Refusal::Deadlock => Error::WouldDeadlock("this thread holds the lock already"),
            Refusal::Full => full,
            Refusal::Expired(seat) if self.waits_for_nobody() => {
                self.seat.nobody.set((seat, 0));
                Error::Damaged(format!(
                    "a lock names seat {seat}, on which nobody sits; `Pool::repair` frees it"
                ))
            }
            Refusal::Expired(seat) if self.patience == Patience::Try => {
                Error::WouldBlock(self.seat.pool().holder(seat))
            }
            Refusal::Expired(seat) => Error::Timeout(self.seat.pool().holder(seat)),
            Refusal::NoBarrier => Error::Unsupported(
                "this process may not call membarrier any more, which the pool's asymmetric locks need"
                    .into(),
            ),
            // No room for a larger window, or a damaged table of seats.
            Refusal::Unseen(seat) => match self.seat.pool().follow() {
                Err(e) => e,
                Ok(()) => Error::Damaged(format!("seat {seat} is missing")),
            },
        }
    }
}

/// Says in the seat, while the thread sleeps, what it waits for and since when: for those who want to know ([`crate::sys::clock`]).
struct Waiting<'a>(&'a SeatCtx);

impl<'a> Waiting<'a> {
    fn begin(seat: &'a SeatCtx, word: &AtomicU64, seen: u64) -> Waiting<'a> {
        let shared = seat.seat();
        let at = seat.pool().offset_of(std::ptr::from_ref(word).cast()).unwrap_or(0);
        // A writer may sleep on a reader's mark, which names the lock.
        let reader = seen & !1;
        let on_mark = shared.held.iter().any(|h| h.load(Ordering::Relaxed) == reader);
        if seat.waits_since.get() == 0 {
            seat.waits_since.set(crate::sys::clock::now());
        }
        shared.waits_since.store(seat.waits_since.get(), Ordering::Relaxed);
        shared.waits_for.store(if on_mark && reader != 0 { reader } else { at }, Ordering::Release);
        Waiting(seat)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.seat().waits_for.store(0, Ordering::Release);
    }
}

/// How often in a row a lock may be found to name a seat on which nobody sits before it is taken for damaged. A thread that has just
/// unlocked and left is seen so once.
const NOBODY: u32 = 20;

impl Floor<'_> {
    /// Whether nobody will ever free what is waited for.
    fn waits_for_nobody(&self) -> bool {
        self.seat.nobody.get().1 > NOBODY
    }
}

impl World for Floor<'_> {
    #[inline(always)]
    fn me(&self) -> u32 {
        self.seat.number()
    }

    fn seats(&self) -> u32 {
        self.seat.pool().seat_count()
    }

    #[inline(always)]
    fn marks(&self, seat: u32) -> Option<&[AtomicU64]> {
        if seat == self.seat.number() {
            return Some(&self.seat.seat().marks.0);
        }
        self.seat.pool().seat_at(seat).map(|s| &s.marks.0[..])
    }

    #[inline(always)]
    fn held(&self) -> &[AtomicU64] {
        &self.seat.seat().held
    }

    /// The log of a forgotten guard whose lock was retired is final: see [`crate::retire`].
    #[inline(always)]
    fn vacant(&self, held: usize) -> bool {
        let log = self.seat.log(held);
        if log.is_open() || !log.is_vacant() {
            std::hint::cold_path();
            log.close();
        }
        true
    }

    #[inline(always)]
    fn nest(&self, mark: usize) -> &Cell<u32> {
        &self.seat.quick().nest[mark]
    }

    fn asymmetric(&self) -> bool {
        self.seat.pool().is_asymmetric()
    }

    fn taken(&self, seat: u32) -> bool {
        // `Inner::take_seat` takes it by CAS.
        self.seat.pool().seat_at(seat).is_none_or(|s| s.record.load(Ordering::SeqCst) != 0)
    }

    fn barrier(&self) -> bool {
        crate::sys::membarrier::everywhere()
    }

    fn spin(&self, turn: u32) {
        let (begin, least) = (Instant::now(), FIRST_LOOK << turn.min(2));
        while begin.elapsed() < Duration::from_nanos(least) {
            (0..8).for_each(|_| std::hint::spin_loop());
        }
    }

    fn sleep(&self, word: &AtomicU64, seen: u64) {
        self.seat.pool().counters.waits.fetch_add(1, Ordering::Relaxed);
        let longest = if self.asymmetric() { SHORT_NAP } else { NAP };
        let _waiting = Waiting::begin(self.seat, word, seen);
        let nap = match self.patience {
            Patience::Until(end) => end.saturating_duration_since(Instant::now()).min(longest),
            _ => longest,
        };
        crate::sys::futex::wait(low_half(word), seen as u32, nap);
    }

    fn wake(&self, word: &AtomicU64) {
        wake(word);
    }

    fn ask(&self, seat: u32) {
        let (asked, times) = self.seat.nobody.get();
        if !self.seat.pool().is_nobody(seat) {
            self.seat.nobody.set((seat, 0));
            if let Some(record) = self.seat.pool().record_of_seat(seat) {
                self.seat.pool().bury_record(record);
            }
        } else if asked != seat {
            self.seat.nobody.set((seat, 1));
        } else {
            self.seat.nobody.set((seat, times + 1));
        }
    }

    fn expired(&self) -> bool {
        if self.waits_for_nobody() {
            return true;
        }
        match self.patience {
            Patience::Try => true,
            Patience::Until(end) => Instant::now() >= end,
            Patience::Forever => false,
        }
    }
}

/// The futex of a word: its low half.
pub fn low_half(word: &AtomicU64) -> &AtomicU32 {
    let half = if cfg!(target_endian = "big") { 1 } else { 0 };
    // SAFETY: half of an 8-byte atomic, which is aligned for 4; used by the kernel and for no store.
    unsafe { &*std::ptr::from_ref(word).cast::<AtomicU32>().add(half) }
}
