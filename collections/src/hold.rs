//! Locks as a thread holds them: what guards and transactions stand on.

use crate::cx::Cx;
use crate::lock_words::TAKEN_OUT;
use crate::transaction::Running;
use aquifer_pool::granule::granule;
use aquifer_pool::lock::{Patience, RawLock, Recovered};
use aquifer_pool::log::LogCx;
use aquifer_pool::quick::{self, Quick};
use aquifer_pool::seat::SeatCtx;
use aquifer_pool::{Error, Result};
use std::hint::cold_path;
use std::marker::PhantomData;

/// Makes a guard `!Send`: seat, log and read marks are those of the thread that took the lock.
///
/// If the compiler names this type: use the guard on the thread that took it, and end its scope before an `.await`.
#[allow(non_camel_case_types)]
#[derive(Debug, Default)]
pub struct NotSend_GuardBelongsToItsThread(PhantomData<*mut ()>);

/// Something of a seat, for types whose only reason not to be `Send` shall be [`NotSend_GuardBelongsToItsThread`].
#[derive(Clone, Copy)]
struct Seated<'a, S>(&'a S);

// SAFETY: the types that hold one are not `Send` by their marker, and touch it through `&self` only on their own thread.
unsafe impl<S> Send for Seated<'_, S> {}
// SAFETY: as above; `Shared`, which may be looked at by other threads, uses it in its destructor alone.
unsafe impl<S> Sync for Seated<'_, S> {}

/// The calling thread's seat in the pool that a lock lies in, and where it lies.
#[derive(Clone, Copy)]
pub(crate) struct Home<'a> {
    pub(crate) seat: &'a SeatCtx,
    pub(crate) offset: u64,
}

impl<'a> Home<'a> {
    /// # Errors
    /// `Unsupported` when the lock was taken out of its pool; those of taking a seat.
    pub(crate) fn of(lock: &'a RawLock) -> Result<Home<'a>> {
        let address = std::ptr::from_ref(lock).addr();
        let granule = granule(address);
        // SAFETY: a lock in a pool is lent by a guard or handle that keeps the pool open; elsewhere there is no window, and `offset` is `None`.
        match (granule.offset(address), unsafe { granule.pool() }) {
            (Some(offset), Some(pool)) if lock.writer() != Some(TAKEN_OUT) => {
                Ok(Home { seat: pool.seat()?, offset })
            }
            _ => Err(Error::Unsupported("locking what was taken out of its pool".into())),
        }
    }

    /// The fast paths find the seat from now on, for locks in the same window; so does [`Quick::seated`].
    fn note(&self, lock: &RawLock) {
        let address = std::ptr::from_ref(lock).addr();
        if !quick::is_near(address) {
            self.seat.note_near(granule(address));
        }
    }
}

/// What the slow paths return: it fits into registers, so that what the fast paths return need not go through memory.
type Slow = Result<How, Box<Error>>;

#[cold]
#[inline(never)]
#[expect(clippy::boxed_local, reason = "unboxed out of line: the fast paths shall not move an error")]
fn unboxed(e: Box<Error>) -> Error {
    *e
}

/// How a lock is held. All zeros: by the fast path, through mark or place 0.
///
/// | bits | |
/// |---|---|
/// | 0..8 | place among the seat's held locks, which is also the number of the log to use outside of transactions; or read mark |
/// | 8..10 | for writing: what the last writer left |
/// | 10 | for reading: there is no mark, since the transaction has the lock for writing |
/// | 11..16 | for writing: number + 1 of the log of which the lock is a guest, 0: of none |
/// | 16..64 | the transaction that it was taken in, 0: none, [`APART`]: none, whatever runs |
#[derive(Clone, Copy)]
struct How(u64);

const APART: u64 = (1 << 48) - 1;
const WRITTEN: u64 = 1 << 10;
const HOST_SHIFT: u32 = 11;
const HOSTS: usize = 31;

impl How {
    const FAST: How = How(0);

    fn written(held: usize, recovered: Recovered, transaction: u64) -> How {
        How(held as u64 | (recovered as u64) << 8 | transaction << 16)
    }

    fn read(mark: Option<usize>, transaction: u64) -> How {
        How(mark.map_or(WRITTEN, |m| m as u64) | transaction << 16)
    }

    fn place(self) -> usize {
        self.0 as usize & 0xff
    }

    /// The same, as a guest of a log that is held open and concerns the lock: what is done under it becomes final, or is undone, with the rest of that log.
    fn guest_of(self, host: Option<usize>) -> How {
        How(self.0 | host.map_or(0, |log| (log as u64 + 1) << HOST_SHIFT))
    }

    fn host(self) -> Option<usize> {
        (self.0 as usize >> HOST_SHIFT & HOSTS).checked_sub(1)
    }

    /// The log to use outside of transactions.
    #[inline(always)]
    fn log(self) -> usize {
        self.host().unwrap_or(self.place())
    }

    fn recovered(self) -> Recovered {
        match self.0 >> 8 & 3 {
            0 => Recovered::No,
            1 => Recovered::Died,
            _ => Recovered::Undone,
        }
    }

    fn transaction(self) -> u64 {
        self.0 >> 16
    }
}

/// A lock held for writing.
pub(crate) struct Exclusive<'a> {
    lock: &'a RawLock,
    seat: Seated<'a, SeatCtx>,
    how: How,
    _thread: NotSend_GuardBelongsToItsThread,
}

impl<'a> Exclusive<'a> {
    /// Locks, as part of the transaction that runs on this thread, if one does.
    #[inline(always)]
    pub(crate) fn take(lock: &'a RawLock, patience: Patience) -> Result<Exclusive<'a>> {
        if let Some(seat) = lock.write_at_once() {
            return Ok(Self::new(lock, seat, How::FAST));
        }
        match Self::take_slowly(lock, patience) {
            Ok(how) => Ok(Self::new(lock, Quick::seated().seat(), how)),
            Err(e) => Err(unboxed(e)),
        }
    }

    #[cold]
    #[inline(never)]
    fn take_slowly(lock: &RawLock, patience: Patience) -> Slow {
        if let Some(held) = lock.write_beside() {
            return Ok(How::written(held, Recovered::No, 0));
        }
        let was_near = quick::is_near(std::ptr::from_ref(lock).addr());
        let home = Home::of(lock)?;
        home.note(lock);
        if !was_near && lock.write_at_once().is_some() {
            return Ok(How::FAST);
        }
        home.seat.refuse_unsettled(home.offset)?;
        let how = match Running::on(home.seat) {
            None => {
                let hold = lock.write(home.seat, home.offset, patience)?;
                How::written(hold.held, hold.recovered, 0).guest_of(home.seat.host(home.offset))
            }
            Some(running) => {
                let (held, recovered) = running.take_for_writing(lock, home.offset, patience)?;
                How::written(held, recovered, running.number())
            }
        };
        home.note(lock);
        Ok(how)
    }

    /// Locks, and unlocks when dropped, whether or not a transaction runs.
    pub(crate) fn apart(lock: &'a RawLock, home: Home<'a>) -> Result<Exclusive<'a>> {
        let hold = lock.write(home.seat, home.offset, Patience::Forever)?;
        Ok(Self::new(lock, home.seat, How::written(hold.held, hold.recovered, APART)))
    }

    #[inline(always)]
    fn new(lock: &'a RawLock, seat: &'a SeatCtx, how: How) -> Exclusive<'a> {
        // The log to use when no transaction runs; while one runs, its own is held open and knows none.
        seat.log(how.log()).forget_resolved();
        Exclusive { lock, seat: Seated(seat), how, _thread: NotSend_GuardBelongsToItsThread::default() }
    }

    /// Hands the lock to the running transaction, until its end.
    pub(crate) fn leave_to(self, running: &Running) {
        running.lend_write(self.offset());
        std::mem::forget(self);
    }

    fn offset(&self) -> u64 {
        self.seat.0.pool().offset_of(std::ptr::from_ref(self.lock).cast()).unwrap_or(0)
    }

    pub(crate) fn recovered(&self) -> Recovered {
        self.how.recovered()
    }

    /// The log of what is done under the lock.
    #[inline(always)]
    pub(crate) fn log(&self) -> &'a LogCx {
        match self.how.0 {
            0 => self.seat.0.log(0),
            _ => other_log(self.seat.0, self.how),
        }
    }

    #[inline(always)]
    pub(crate) fn cx(&self) -> Cx {
        Cx::of(self.log())
    }

    /// Ends the loans of plain data: whoever had one has given it back. The log of what is done from now on.
    ///
    /// A guest ends none: loans of its host, by whoever lends it, may last on.
    ///
    /// # Panics
    /// In a child of a fork: the lock is the parent's.
    #[inline(always)]
    pub(crate) fn end_loans(&self) -> &'a LogCx {
        let (seat, how) = (self.seat.0, self.how);
        let log = seat.log(0);
        if how.0 == 0 && seat.quick().is_alive() && !log.is_open() {
            return log;
        }
        cold_path();
        end_other_loans(seat, how)
    }

    #[inline(always)]
    pub(crate) fn refuse_in_child(&self) {
        refuse_in_child(self.seat.0);
    }

    #[cold]
    #[inline(never)]
    fn give_back_slowly(lock: &RawLock, seat: &SeatCtx, how: How) {
        if !seat.quick().is_alive() {
            return;
        }
        let offset = || seat.pool().offset_of(std::ptr::from_ref(lock).cast()).unwrap_or(0);
        let (transaction, held) = (how.transaction(), how.place());
        match Running::on(seat).filter(|_| transaction != APART) {
            Some(running) if running.number() == transaction => running.give_back(offset()),
            running => {
                if !matches!(transaction, 0 | APART) && running.is_none() {
                    // It has left its transaction, perhaps with plain data on loan. A value that another such guard lends keeps all of their log from being
                    // final: the lock stays taken as long as the process then.
                    if seat.bare().holders() > 0 {
                        return;
                    }
                    seat.bare().close();
                }
                // Killed before: the operations on loan are undone. After: everything done under the lock is final. That of a guest is empty.
                seat.log(held).close();
                match running {
                    Some(running) => running.keep_written(lock, offset(), held),
                    // As in `drop`.
                    None => lock.unlock_write(seat, held),
                }
            }
        }
    }
}

fn other_log(seat: &SeatCtx, how: How) -> &LogCx {
    match Running::on(seat) {
        Some(running) if running.number() == how.transaction() => seat.bare(),
        _ => seat.log(how.log()),
    }
}

/// By value: a guard of which nobody takes the address stays in registers.
#[inline(never)]
fn end_other_loans(seat: &SeatCtx, how: How) -> &LogCx {
    refuse_in_child(seat);
    let log = match how.0 {
        0 => seat.log(0),
        _ => other_log(seat, how),
    };
    if how.host().is_none() {
        log.end_loans();
    }
    log
}

#[inline(always)]
fn refuse_in_child(seat: &SeatCtx) {
    if !seat.quick().is_alive() {
        belongs_to_parent();
    }
}

#[cold]
fn belongs_to_parent() -> ! {
    panic!("a guard that the parent process took cannot be used to write in a child");
}

impl Drop for Exclusive<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        let (lock, seat) = (self.lock, self.seat.0);
        if self.how.0 == 0 && seat.quick().is_plain() && seat.log(0).is_untouched() {
            // Killed before: the burier frees the lock, and says so to the next writer. After: it is free.
            lock.unlock_first(seat);
        } else {
            Self::give_back_slowly(lock, seat, self.how);
        }
    }
}

/// A lock held for reading.
pub(crate) struct Shared<'a> {
    lock: &'a RawLock,
    quick: Seated<'a, Quick>,
    how: How,
    _thread: NotSend_GuardBelongsToItsThread,
}

impl<'a> Shared<'a> {
    /// Locks, as part of the transaction that runs on this thread, if one does.
    #[inline(always)]
    pub(crate) fn take(lock: &'a RawLock, patience: Patience) -> Result<Shared<'a>> {
        if let Some(quick) = lock.read_at_once() {
            return Ok(Self::new(lock, quick, How::FAST));
        }
        cold_path();
        match Self::take_slowly(lock, patience) {
            Ok(how) => Ok(Self::new(lock, Quick::seated(), how)),
            Err(e) => Err(unboxed(e)),
        }
    }

    #[cold]
    #[inline(never)]
    fn take_slowly(lock: &RawLock, patience: Patience) -> Slow {
        if let Some(mark) = lock.read_beside() {
            return Ok(How::read(Some(mark), 0));
        }
        let was_near = quick::is_near(std::ptr::from_ref(lock).addr());
        let home = Home::of(lock)?;
        home.note(lock);
        if !was_near && lock.read_at_once().is_some() {
            return Ok(How::FAST);
        }
        let how = match Running::on(home.seat) {
            None => How::read(Some(lock.read(home.seat, home.offset, patience)?), 0),
            Some(running) => {
                How::read(running.take_for_reading(lock, home.offset, patience)?, running.number())
            }
        };
        home.note(lock);
        Ok(how)
    }

    /// Locks, and unlocks when dropped, whether or not a transaction runs.
    pub(crate) fn apart(lock: &'a RawLock, home: Home<'a>) -> Result<Shared<'a>> {
        Self::apart_for(lock, home, Patience::Forever)
    }

    /// The same with less patience.
    pub(crate) fn apart_for(lock: &'a RawLock, home: Home<'a>, patience: Patience) -> Result<Shared<'a>> {
        let mark = lock.read(home.seat, home.offset, patience)?;
        Ok(Self::new(lock, home.seat.quick(), How::read(Some(mark), APART)))
    }

    #[inline(always)]
    fn new(lock: &'a RawLock, quick: &'a Quick, how: How) -> Shared<'a> {
        Shared { lock, quick: Seated(quick), how, _thread: NotSend_GuardBelongsToItsThread::default() }
    }

    /// Hands the lock to the running transaction, until its end.
    pub(crate) fn leave_to(self, running: &Running) {
        let seat = self.quick.0.seat();
        let offset = seat.pool().offset_of(std::ptr::from_ref(self.lock).cast()).unwrap_or(0);
        match self.how.0 & WRITTEN {
            0 => running.keep_read(self.lock, offset, self.how.place()),
            _ => running.lend_read(offset),
        }
        std::mem::forget(self);
    }

    #[cold]
    #[inline(never)]
    fn give_back_slowly(lock: &RawLock, quick: &Quick, how: How) {
        if !quick.is_alive() {
            return;
        }
        let seat = quick.seat();
        let offset = || seat.pool().offset_of(std::ptr::from_ref(lock).cast()).unwrap_or(0);
        match Running::on(seat).filter(|_| how.transaction() != APART) {
            Some(running) if how.0 & WRITTEN == 0 => running.keep_read(lock, offset(), how.place()),
            None if how.0 & WRITTEN == 0 => RawLock::unlock_read(seat, how.place()),
            Some(running) if running.number() == how.transaction() => running.give_back(offset()),
            // It has left the transaction that wrote under the lock: the lock stays taken as long as the process (see `transaction`).
            _ => {}
        }
    }
}

impl Drop for Shared<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        if self.how.0 != 0 || !self.quick.0.unlock_read_at_once() {
            cold_path();
            Self::give_back_slowly(self.lock, self.quick.0, self.how);
        }
    }
}
