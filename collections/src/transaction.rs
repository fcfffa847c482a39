//! Transactions: many operations under many locks that happen together or not at all.
//!
//! All of them go to one log, the seat's bare one, which is kept open until the end. Then it is committed by one store, or undone; and only
//! after that the locks are given back, all of them, whatever guards were dropped meanwhile: nobody sees what may yet be undone.
//!
//! # Order of locks
//!
//! The first lock is waited for, and so is each lock that lies behind all others that the thread holds. A lock that lies before one of them is
//! only tried, since two transactions that wait for each other would wait for ever: [`Error::WouldDeadlock`] says so, and everything is undone.
//!
//! # Guards from before
//!
//! None for writing may be held when a transaction begins: see `refuse_held_locks`.
//!
//! # Guards that leave
//!
//! A guard that was taken inside may be moved out: it keeps its lock then, and its later changes are its own. A `Taken` must not follow it: undoing
//! its removal would give its memory two owners. Nor may the transaction fail behind it: what the guard, or a reference that it has lent for good, refers to may
//! lie in what is undone. In both cases the process is aborted, as if it had been killed, which undoes everything.

use crate::cx::Cx;
use crate::hold::{Exclusive, Home, NotSend_GuardBelongsToItsThread, Shared};
use crate::lock::{ShMutex, ShRwLock};
use crate::relocatable::Relocatable;
use aquifer_pool::lock::{Patience, RawLock, Recovered};
use aquifer_pool::log::{LogCx, Op};
use aquifer_pool::seat::SeatCtx;
use aquifer_pool::{Error, Result, fork};
use std::cell::{Cell, RefCell};
use std::marker::PhantomData;
use std::sync::atomic::Ordering;

/// The transaction that runs on a seat.
pub(crate) struct Running {
    seat: *const SeatCtx,
    /// Unlike that of any other transaction of this thread, and not 0.
    number: u64,
    kept: RefCell<Vec<Kept>>,
    /// Whether a lock was taken or asked for: the first is waited for.
    begun: Cell<bool>,
    /// A transaction inside this one has failed: so does this one.
    doomed: Cell<bool>,
}

/// A lock that is held until the end of the transaction.
struct Kept {
    lock: *const RawLock,
    offset: u64,
    how: How,
    /// Guards alive: -1 one for writing, n for reading through a write lock.
    guards: i32,
    /// The same for what [`Tx`] has lent, which ends with the transaction.
    lent: i32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum How {
    Write(usize),
    Read(usize),
}

thread_local! {
    static LAST: Cell<u64> = const { Cell::new(0) };
}

impl Running {
    /// The transaction that runs on the calling thread's seat.
    #[inline(always)]
    pub(crate) fn on(seat: &SeatCtx) -> Option<&Running> {
        // SAFETY: null, or set by `Session::begin` to what lives until the session's end, which clears it. Both on this thread, and no
        // caller keeps the reference beyond its own call.
        unsafe { seat.transaction().cast::<Running>().as_ref() }
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    pub(crate) fn seat(&self) -> &SeatCtx {
        // SAFETY: the seat of this thread, which is not given up while the log is in use.
        unsafe { &*self.seat }
    }

    pub(crate) fn log(&self) -> &LogCx {
        self.seat().bare()
    }

    /// Locks for writing, or gives a lock again whose guard was dropped.
    pub(crate) fn take_for_writing(
        &self,
        lock: &RawLock,
        offset: u64,
        patience: Patience,
    ) -> Result<(usize, Recovered)> {
        if let Some(kept) = self.kept.borrow_mut().iter_mut().find(|k| k.offset == offset) {
            let How::Write(held) = kept.how else {
                return Err(Error::WouldDeadlock("the transaction reads the lock already"));
            };
            if kept.guards != 0 || kept.lent != 0 {
                return Err(Error::WouldDeadlock("the transaction uses the lock already"));
            }
            kept.guards = -1;
            return Ok((held, Recovered::No));
        }
        let hold = self.in_order(offset, patience, |p| lock.write(self.seat(), offset, p))?;
        self.kept.borrow_mut().push(Kept { lock, offset, how: How::Write(hold.held), guards: -1, lent: 0 });
        Ok((hold.held, hold.recovered))
    }

    /// Locks for reading and gives the mark; none when the lock is held for writing already.
    pub(crate) fn take_for_reading(
        &self,
        lock: &RawLock,
        offset: u64,
        patience: Patience,
    ) -> Result<Option<usize>> {
        if let Some(kept) =
            self.kept.borrow_mut().iter_mut().find(|k| k.offset == offset && matches!(k.how, How::Write(_)))
        {
            if kept.guards < 0 || kept.lent < 0 {
                return Err(Error::WouldDeadlock("the transaction uses the lock already"));
            }
            kept.guards += 1;
            return Ok(None);
        }
        self.in_order(offset, patience, |p| lock.read(self.seat(), offset, p)).map(Some)
    }

    /// Waits only for a lock behind all others that this thread holds, or for the first of the transaction.
    fn in_order<R>(
        &self,
        offset: u64,
        patience: Patience,
        take: impl FnOnce(Patience) -> Result<R>,
    ) -> Result<R> {
        let seat = self.seat().seat();
        let behind =
            || seat.held.iter().chain(&seat.marks.0).all(|w| w.load(Ordering::Relaxed) & !1 < offset);
        let first = !self.begun.replace(true);
        if first || patience != Patience::Forever || behind() {
            return take(patience);
        }
        take(Patience::Try).map_err(|e| match e {
            Error::WouldBlock(_) => Error::WouldDeadlock(
                "another thread holds a lock that the transaction should have taken earlier",
            ),
            e => e,
        })
    }

    /// A guard was dropped: the lock stays, and may be had again.
    pub(crate) fn give_back(&self, offset: u64) {
        if let Some(kept) =
            self.kept.borrow_mut().iter_mut().find(|k| k.offset == offset && matches!(k.how, How::Write(_)))
        {
            kept.guards = if kept.guards > 0 { kept.guards - 1 } else { 0 };
        }
    }

    /// A guard from before the transaction was dropped inside it.
    pub(crate) fn keep_written(&self, lock: &RawLock, offset: u64, held: usize) {
        self.kept.borrow_mut().push(Kept { lock, offset, how: How::Write(held), guards: 0, lent: 0 });
    }

    /// A read guard was dropped.
    pub(crate) fn keep_read(&self, lock: &RawLock, offset: u64, mark: usize) {
        let mut kept = self.kept.borrow_mut();
        if kept.iter().any(|k| k.offset == offset && k.how == How::Read(mark)) {
            RawLock::unlock_read(self.seat(), mark); // once is enough
        } else {
            kept.push(Kept { lock, offset, how: How::Read(mark), guards: 0, lent: 0 });
        }
    }

    /// What a guard had is lent until the transaction's end.
    pub(crate) fn lend_write(&self, offset: u64) {
        if let Some(kept) = self.kept.borrow_mut().iter_mut().find(|k| k.offset == offset) {
            (kept.guards, kept.lent) = (0, -1);
        }
    }

    pub(crate) fn lend_read(&self, offset: u64) {
        if let Some(kept) = self.kept.borrow_mut().iter_mut().find(|k| k.offset == offset) {
            (kept.guards, kept.lent) = (kept.guards - 1, kept.lent + 1);
        }
    }

    /// What was lent by a [`Tx`] that ends before the transaction does.
    fn take_back(&self, offset: u64) {
        if let Some(kept) = self.kept.borrow_mut().iter_mut().find(|k| k.offset == offset) {
            kept.lent = (kept.lent - 1).max(0);
        }
    }

    /// Whether a guard that was taken inside has left.
    fn has_guards(&self) -> bool {
        self.kept.borrow().iter().any(|k| k.guards != 0)
    }

    /// Gives the locks back whose guards are gone.
    fn unlock_all(&self) {
        for kept in self.kept.take().into_iter().rev().filter(|k| k.guards == 0) {
            self.unlock(&kept);
        }
    }

    fn unlock(&self, kept: &Kept) {
        match kept.how {
            How::Read(mark) => RawLock::unlock_read(self.seat(), mark),
            // A lock that was freed with its value is not ours any more: see `Inner::retire_lock`.
            How::Write(held) if self.seat().seat().held[held].load(Ordering::Relaxed) == kept.offset => {
                // SAFETY: in a window that stays mapped, and still the lock that was taken: `held` names it, and whoever frees or moves
                // a lock makes it forgotten first.
                unsafe { &*kept.lock }.unlock_write(self.seat(), held);
            }
            How::Write(_) => {}
        }
    }

    /// Before the undo: gives the locks back in whose place it puts other bytes, or whose memory it frees. Who has forgotten a guard that read one, this
    /// thread or a scoped one, would pass for a reader of what stands there then.
    fn unlock_undone(&self) {
        let mut kept = self.kept.borrow_mut();
        let takes_back = |offset| self.log().takes_back(offset);
        let is_undone = |k: &Kept| takes_back(k.offset);
        kept.iter().filter(|k| is_undone(k)).for_each(|k| self.unlock(k));
        kept.retain(|k| !is_undone(k));
        self.seat().pool().retire_readers(takes_back);
    }

    /// Gives the locks in these bytes back, of which the transaction needs none any more to keep others away; but for scoped threads, to whom those that do
    /// not move may be lent: what was done under them is not final.
    pub(crate) fn unlock_within(&self, offset: u64, len: u64) {
        let here = |k: &Kept| k.offset.wrapping_sub(offset) < len;
        let mut kept = self.kept.borrow_mut();
        for k in kept.iter().filter(|k| here(k)) {
            if matches!(k.how, How::Write(_)) {
                self.log().note_lent(k.offset);
            }
            self.unlock(k);
        }
        kept.retain(|k| !here(k));
    }
}

/// Whether the seat's transaction keeps a lock whose guards are gone.
pub(crate) fn keeps(seat: &SeatCtx, lock: &RawLock) -> bool {
    Running::on(seat)
        .is_some_and(|r| r.kept.borrow().iter().any(|k| std::ptr::eq(k.lock, lock) && k.guards == 0))
}

/// The transaction that runs on a seat, from its begin to its end.
struct Session<'s> {
    running: &'s Running,
    op: Option<Op<'s>>,
    before: u32,
    epoch: u64,
}

impl<'s> Session<'s> {
    fn begin(running: &'s Running) -> Session<'s> {
        let op = running.log().begin();
        let before = running.log().keep();
        running.seat().set_transaction(std::ptr::from_ref(running).cast());
        Session { running, op: Some(op), before, epoch: fork::epoch() }
    }

    /// Commits or undoes, then unlocks.
    fn end(&mut self, commit: bool) -> Result<()> {
        let Some(op) = self.op.take() else { return Ok(()) };
        if self.epoch != fork::epoch() {
            std::mem::forget(op); // the parent's
            return Err(Error::Forked);
        }
        let log = self.running.log();
        if self.running.has_guards() {
            if log.holders() > 1 {
                has_left("a value taken inside a transaction has left it");
            }
            if !commit && op.has_records() {
                has_left(
                    "a guard taken inside a transaction that has failed was moved out of it, or forgotten",
                );
            }
        }
        self.running.seat().set_transaction(std::ptr::null());
        log.restore(self.before);
        match commit {
            // Killed before the store in here: everything is undone. After: everything is final.
            true => op.commit(),
            false => {
                self.running.unlock_undone();
                // Before memory is given back, where others may have locks then. Who could be lent any of it has ended: no guard is left.
                log.settle();
                op.roll_back();
            }
        }
        log.settle();
        log.forget_locks();
        self.running.unlock_all();
        Ok(())
    }
}

#[cold]
fn has_left(what: &str) -> ! {
    eprintln!("aquifer: {what}; the process ends, so that the transaction is undone");
    std::process::abort();
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        // Panicking, or an error: nothing can fail but in a child.
        let _ = self.end(false);
    }
}

/// Dooms a transaction unless the one inside it ends well.
struct Doom<'a>(&'a Running);

impl Drop for Doom<'_> {
    fn drop(&mut self) {
        self.0.doomed.set(true);
    }
}

/// Runs `f` in the seat's transaction, or in a new one.
pub(crate) fn run<R, E: From<Error>>(
    seat: &SeatCtx,
    f: impl FnOnce(&Running) -> Result<R, E>,
) -> Result<R, E> {
    if let Some(outer) = Running::on(seat) {
        let doom = Doom(outer);
        let result = f(outer)?;
        std::mem::forget(doom);
        return Ok(result);
    }
    refuse_open_log(seat)?;
    refuse_held_locks(seat)?;
    LAST.set(LAST.get() + 1);
    let running = Running {
        seat,
        number: LAST.get(),
        kept: RefCell::default(),
        begun: Cell::new(false),
        doomed: Cell::new(false),
    };
    let mut session = Session::begin(&running);
    let result = f(&running)?;
    if running.doomed.get() {
        return Err(Error::abort("a transaction inside this one has failed").into());
    }
    session.end(true)?;
    Ok(result)
}

/// Whether work under no lock may begin on the seat: nothing that left a transaction may still be in use there.
#[inline]
pub(crate) fn refuse_open_log(seat: &SeatCtx) -> Result<()> {
    match seat.bare().is_open() && Running::on(seat).is_none() {
        true => Err(Error::Unsupported("a value that was lent inside a transaction is still in use".into())),
        false => Ok(()),
    }
}

/// A guard for writing from before a transaction would have a log of its own: what is done under it would be final at once, also to locks within it
/// that the transaction takes, and undoing the transaction would then write over what is freed.
fn refuse_held_locks(seat: &SeatCtx) -> Result<()> {
    match seat.seat().held.iter().all(|w| w.load(Ordering::Relaxed) == 0) {
        true => Ok(()),
        false => Err(Error::Unsupported("a transaction while this thread holds a guard for writing".into())),
    }
}

/// A transaction over several locks: see [`Pool::transaction`](crate::Pool::transaction).
pub struct Tx<'t, 'env: 't> {
    running: &'t Running,
    /// Offsets of the locks that were lent here, for a transaction inside another.
    lent: RefCell<Vec<u64>>,
    _env: PhantomData<&'env mut &'env ()>,
    _thread: NotSend_GuardBelongsToItsThread,
}

impl<'t, 'env> Tx<'t, 'env> {
    pub(crate) fn new(running: &'t Running) -> Tx<'t, 'env> {
        Tx {
            running,
            lent: RefCell::default(),
            _env: PhantomData,
            _thread: NotSend_GuardBelongsToItsThread::default(),
        }
    }

    /// Locks for writing until the transaction ends.
    ///
    /// # Errors
    /// `WouldDeadlock` when the transaction uses the lock already, or another thread holds it and it lies before one that this thread holds;
    /// `OtherPool`; those of [`ShRwLock::write`].
    #[expect(clippy::mut_from_ref, reason = "each lock is lent once: asking for it again is an error")]
    pub fn write<T: Relocatable>(&'t self, lock: &'env ShRwLock<T>) -> Result<&'t mut T::Access> {
        self.exclusive(lock.raw())?;
        // SAFETY: the lock is held until the transaction ends, which is after `'t`; given out once, since it is lent now.
        Ok(unsafe { T::access(lock.value(), Cx::of(self.running.log())) })
    }

    /// Locks a mutex until the transaction ends.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    #[expect(clippy::mut_from_ref, reason = "each lock is lent once: asking for it again is an error")]
    pub fn lock<T: Relocatable>(&'t self, lock: &'env ShMutex<T>) -> Result<&'t mut T::Access> {
        self.exclusive(lock.raw())?;
        // SAFETY: as in `write`.
        Ok(unsafe { T::access(lock.value(), Cx::of(self.running.log())) })
    }

    /// Locks for reading until the transaction ends.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn read<T: Relocatable>(&'t self, lock: &'env ShRwLock<T>) -> Result<&'t T> {
        let home = Home::of(lock.raw())?;
        self.refuse_other_pool(home.seat)?;
        Shared::take(lock.raw(), Patience::Forever)?.leave_to(self.running);
        self.lent.borrow_mut().push(home.offset);
        // SAFETY: the lock is held until the transaction ends, which is after `'t`.
        Ok(unsafe { &*lock.value() })
    }

    fn exclusive(&self, lock: &RawLock) -> Result<()> {
        let home = Home::of(lock)?;
        self.refuse_other_pool(home.seat)?;
        Exclusive::take(lock, Patience::Forever)?.leave_to(self.running);
        self.lent.borrow_mut().push(home.offset);
        Ok(())
    }

    fn refuse_other_pool(&self, seat: &SeatCtx) -> Result<()> {
        match std::ptr::eq(seat, self.running.seat()) {
            true => Ok(()),
            false => Err(Error::OtherPool),
        }
    }
}

impl Drop for Tx<'_, '_> {
    fn drop(&mut self) {
        self.lent.take().into_iter().for_each(|offset| self.running.take_back(offset));
    }
}

impl std::fmt::Debug for Tx<'_, '_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tx").field("locks", &self.running.kept.borrow().len()).finish()
    }
}
