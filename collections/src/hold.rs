//! Locks as a thread holds them: what guards and transactions stand on.

use crate::cx::Cx;
use crate::lock_words::TAKEN_OUT;
use crate::transaction::Running;
use aquifer_pool::granule::granule;
use aquifer_pool::lock::{Patience, RawLock, Recovered};
use aquifer_pool::log::LogCx;
use aquifer_pool::seat::SeatCtx;
use aquifer_pool::{Error, Result, fork};
use std::marker::PhantomData;

/// Makes a guard `!Send`: seat, log and read marks are those of the thread that took the lock.
///
/// If the compiler names this type: use the guard on the thread that took it, and end its scope before an `.await`.
#[allow(non_camel_case_types)]
#[derive(Debug, Default)]
pub struct NotSend_GuardBelongsToItsThread(PhantomData<*mut ()>);

/// A seat, for types whose only reason not to be `Send` shall be [`NotSend_GuardBelongsToItsThread`].
#[derive(Clone, Copy)]
struct Seated<'a>(&'a SeatCtx);

// SAFETY: the types that hold one are not `Send` by their marker, and touch it through `&self` only on their own thread.
unsafe impl Send for Seated<'_> {}
// SAFETY: as above; `Shared`, which may be looked at by other threads, uses it in its destructor alone.
unsafe impl Sync for Seated<'_> {}

/// The calling thread's seat in the pool that a lock lies in, and where it lies.
#[derive(Clone, Copy)]
pub(crate) struct Home<'a> {
    pub(crate) seat: &'a SeatCtx,
    pub(crate) offset: u64,
}

impl<'a> Home<'a> {
    /// # Errors
    /// `Unsupported` when the lock was taken out of its pool; those of taking a seat.
    #[inline]
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
}

/// Number of transaction of a lock that takes no part in any.
const APART: u64 = u64::MAX;

/// A lock held for writing.
pub(crate) struct Exclusive<'a> {
    lock: &'a RawLock,
    seat: Seated<'a>,
    offset: u64,
    /// Place among the seat's held locks, and number of the log that is used outside of transactions.
    held: usize,
    recovered: Recovered,
    epoch: u64,
    /// The transaction that it was taken in; 0: none.
    transaction: u64,
    _thread: NotSend_GuardBelongsToItsThread,
}

impl<'a> Exclusive<'a> {
    /// Locks, as part of the transaction that runs on this thread, if one does.
    #[inline]
    pub(crate) fn take(lock: &'a RawLock, patience: Patience) -> Result<Exclusive<'a>> {
        let home = Home::of(lock)?;
        match Running::on(home.seat) {
            None => {
                let hold = lock.write(home.seat, home.offset, patience)?;
                Ok(Self::new(lock, home, hold.held, hold.recovered, 0))
            }
            Some(running) => {
                let (held, recovered) = running.take_for_writing(lock, home.offset, patience)?;
                Ok(Self::new(lock, home, held, recovered, running.number()))
            }
        }
    }

    /// Locks, and unlocks when dropped, whether or not a transaction runs.
    pub(crate) fn apart(lock: &'a RawLock, home: Home<'a>) -> Result<Exclusive<'a>> {
        let hold = lock.write(home.seat, home.offset, Patience::Forever)?;
        Ok(Self::new(lock, home, hold.held, hold.recovered, APART))
    }

    #[inline]
    fn new(
        lock: &'a RawLock,
        home: Home<'a>,
        held: usize,
        recovered: Recovered,
        transaction: u64,
    ) -> Exclusive<'a> {
        Exclusive {
            lock,
            seat: Seated(home.seat),
            offset: home.offset,
            held,
            recovered,
            epoch: fork::epoch(),
            transaction,
            _thread: NotSend_GuardBelongsToItsThread::default(),
        }
    }

    /// Hands the lock to the running transaction, until its end.
    pub(crate) fn leave_to(self, running: &Running) {
        running.lend_write(self.offset);
        std::mem::forget(self);
    }

    pub(crate) fn recovered(&self) -> Recovered {
        self.recovered
    }

    /// The log of what is done under the lock.
    #[inline]
    pub(crate) fn log(&self) -> &'a LogCx {
        if self.transaction != 0
            && let Some(running) = Running::on(self.seat.0)
            && running.number() == self.transaction
        {
            return self.seat.0.bare();
        }
        self.seat.0.log(self.held)
    }

    #[inline]
    pub(crate) fn cx(&self) -> Cx {
        Cx::of(self.log())
    }

    /// Ends the loans of plain data: whoever had one has given it back.
    ///
    /// # Panics
    /// In a child of a fork: the lock is the parent's.
    #[inline]
    pub(crate) fn end_loans(&self) {
        self.refuse_in_child();
        self.log().end_loans();
    }

    #[inline]
    pub(crate) fn refuse_in_child(&self) {
        if self.epoch != fork::epoch() {
            belongs_to_parent();
        }
    }
}

#[cold]
fn belongs_to_parent() -> ! {
    panic!("a guard that the parent process took cannot be used to write in a child");
}

impl Drop for Exclusive<'_> {
    #[inline]
    fn drop(&mut self) {
        if self.epoch != fork::epoch() {
            return;
        }
        let seat = self.seat.0;
        match Running::on(seat).filter(|_| self.transaction != APART) {
            Some(running) if running.number() == self.transaction => running.give_back(self.offset),
            running => {
                if !matches!(self.transaction, 0 | APART) && running.is_none() {
                    seat.bare().close(); // it has left its transaction, perhaps with plain data on loan
                }
                // Killed before: the operations on loan are undone. After: everything done under the lock is final.
                seat.log(self.held).close();
                match running {
                    Some(running) => running.keep_written(self.lock, self.offset, self.held),
                    // Killed before: the burier frees the lock, and says so to the next writer. After: it is free.
                    None => self.lock.unlock_write(seat, self.offset, self.held),
                }
            }
        }
    }
}

/// A lock held for reading.
pub(crate) struct Shared<'a> {
    lock: &'a RawLock,
    seat: Seated<'a>,
    offset: u64,
    /// The read mark; none when the running transaction has the lock for writing already.
    mark: Option<usize>,
    epoch: u64,
    transaction: u64,
    _thread: NotSend_GuardBelongsToItsThread,
}

impl<'a> Shared<'a> {
    /// Locks, as part of the transaction that runs on this thread, if one does.
    #[inline]
    pub(crate) fn take(lock: &'a RawLock, patience: Patience) -> Result<Shared<'a>> {
        let home = Home::of(lock)?;
        match Running::on(home.seat) {
            None => Ok(Self::new(lock, home, Some(lock.read(home.seat, home.offset, patience)?), 0)),
            Some(running) => {
                let mark = running.take_for_reading(lock, home.offset, patience)?;
                Ok(Self::new(lock, home, mark, running.number()))
            }
        }
    }

    /// Locks, and unlocks when dropped, whether or not a transaction runs.
    pub(crate) fn apart(lock: &'a RawLock, home: Home<'a>) -> Result<Shared<'a>> {
        let mark = lock.read(home.seat, home.offset, Patience::Forever)?;
        Ok(Self::new(lock, home, Some(mark), APART))
    }

    #[inline]
    fn new(lock: &'a RawLock, home: Home<'a>, mark: Option<usize>, transaction: u64) -> Shared<'a> {
        Shared {
            lock,
            seat: Seated(home.seat),
            offset: home.offset,
            mark,
            epoch: fork::epoch(),
            transaction,
            _thread: NotSend_GuardBelongsToItsThread::default(),
        }
    }

    /// Hands the lock to the running transaction, until its end.
    pub(crate) fn leave_to(self, running: &Running) {
        match self.mark {
            Some(mark) => running.keep_read(self.lock, self.offset, mark),
            None => running.lend_read(self.offset),
        }
        std::mem::forget(self);
    }
}

impl Drop for Shared<'_> {
    #[inline]
    fn drop(&mut self) {
        if self.epoch != fork::epoch() {
            return;
        }
        match (self.mark, Running::on(self.seat.0).filter(|_| self.transaction != APART)) {
            (Some(mark), None) => RawLock::unlock_read(self.seat.0, mark),
            (Some(mark), Some(running)) => running.keep_read(self.lock, self.offset, mark),
            (None, Some(running)) if running.number() == self.transaction => running.give_back(self.offset),
            // It has left the transaction that wrote under the lock: the lock stays taken as long as the process (see `transaction`).
            (None, _) => {}
        }
    }
}
