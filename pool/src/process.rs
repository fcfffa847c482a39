//! This process's join of a pool: its record, the proof that it lives, and the seats of its threads.

use crate::bury::{BURYING, UNDOING};
use crate::error::{Error, Result};
use crate::fork::{Side, free_lock};
use crate::layout::{LIVE, PAGE, ProcessRecord, RECORDS_FIRST, SEATS_FIRST, Seat};
use crate::plant::commit_store;
use crate::raw::Inner;
use crate::seat::{OwnedSeat, SeatCtx};
use crate::sys::{liveness::Liveness, ofd};
use parking_lot::{Mutex, MutexGuard};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering, fence};

/// See the module.
#[derive(Debug, Default)]
pub struct Process {
    /// Own record + 1; 0: not joined.
    record: AtomicU32,
    /// Fork epoch in which the record was taken, and that in which a child's first thread has begun to join anew.
    epoch: AtomicU64,
    claimed: AtomicU64,
    /// Whether this process knows the pool to be whole; so do the children of its forks.
    pub(crate) trusts: AtomicBool,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    alive: Option<Liveness>,
    /// Seats by thread key.
    seats: Vec<(u64, OwnedSeat)>,
}

// SAFETY: the boxed contexts are used by their own threads only; the table moves no more than the boxes' addresses between threads,
// and frees a context only when its thread gives it up or the pool is closed.
unsafe impl Send for Table {}

impl Process {
    pub(crate) fn new() -> Process {
        Process::default()
    }

    pub(crate) fn is_own(&self, record: u32) -> bool {
        self.record.load(Ordering::SeqCst) == record + 1
            && self.epoch.load(Ordering::SeqCst) == crate::fork::epoch()
    }
}

impl Inner {
    /// Index of this process's record.
    pub fn own_record(&self) -> Option<u32> {
        self.process.record.load(Ordering::SeqCst).checked_sub(1)
    }

    /// Makes a full memory barrier in all threads of a process that has joined, as they are when they next do anything; false if that cannot be done.
    pub fn barrier_reaches(&self, record: u64) -> bool {
        let reached = |r: &ProcessRecord| r.reached.load(Ordering::SeqCst) == 1;
        u32::try_from(record).is_ok_and(|r| self.record_at(r).is_some_and(reached))
            && crate::sys::membarrier::everywhere()
    }

    /// Joins the pool: takes a record, buries the dead.
    ///
    /// # Errors
    /// `TooMany` when all process records are taken, system errors.
    pub(crate) fn join(&self) -> Result<()> {
        let epoch = crate::fork::epoch();
        self.process.claimed.store(epoch, Ordering::SeqCst);
        let mut table = self.process.table.lock();
        self.take_record(&mut table, epoch)?;
        drop(table);
        self.bury_dead();
        if (0..self.record_count()).all(|r| self.record_state(r) & LIVE != 0) {
            // Ours was the last record: on its seat a thread makes more (`add_chunks`). If it cannot, who comes next is told.
            let _ = self.seat();
        }
        Ok(())
    }

    fn take_record(&self, table: &mut Table, epoch: u64) -> Result<()> {
        // Before any lock is taken: the barrier of a writer would not reach us, and it would not see what we read.
        if self.is_asymmetric() && !crate::sys::membarrier::register() {
            return Err(Error::Unsupported(format!(
                "`{}` has asymmetric locks, for which each process must register with membarrier: the system refuses this one",
                self.backing.name
            )));
        }
        // A child made between the lock and `Liveness::keep` would keep us alive beyond our death.
        let _no_fork = crate::fork::no_fork();
        let Some(fd) = self.backing.reopen()? else {
            // Private memory: nobody else can be in it, nor outlive us. A child of a fork has a copy, in which threads that it does not
            // have may hold locks: they are buried like the dead.
            if self.record_state(0) & LIVE != 0 && !self.finish(0) {
                return Err(Error::OutOfMemory(
                    "what other threads had begun before the fork cannot be finished".into(),
                ));
            }
            return self.enter(0, None, table, epoch);
        };
        for attempt in 0..100 {
            // Records whose process has left come first: the others may have to be buried.
            for wanted in [0, LIVE] {
                let candidates = (0..self.record_count()).filter(|i| self.record_state(*i) & LIVE == wanted);
                for index in candidates {
                    let taken = ofd::try_lock(fd.as_fd(), index)
                        .map_err(|e| Error::system("lock", "process record", e))?;
                    if !taken {
                        continue;
                    }
                    if self.record_state(index) & LIVE != 0 && !self.finish(index) {
                        let _ = ofd::unlock(fd.as_fd(), index);
                        continue;
                    }
                    let alive = Liveness::keep(fd).map_err(|e| Error::system("map", "process record", e))?;
                    return self.enter(index, Some(alive), table, epoch);
                }
            }
            // A burier may hold a byte for a moment.
            if attempt > 3 {
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
        }
        Err(Error::TooMany("process records"))
    }

    fn enter(&self, index: u32, alive: Option<Liveness>, table: &mut Table, epoch: u64) -> Result<()> {
        let Some(r) = self.record_at(index) else {
            return Err(Error::Damaged(format!("process record {index} is missing")));
        };
        r.pid.store(std::process::id(), Ordering::Relaxed);
        r.reached.store(crate::sys::membarrier::register() as u32, Ordering::Relaxed);
        r.trusts.store(self.process.trusts.load(Ordering::SeqCst) as u32, Ordering::SeqCst);
        // Dead before: the record was never ours. After: whoever gets the byte buries us.
        let last = r.state.load(Ordering::SeqCst) & !(LIVE | BURYING | UNDOING);
        r.state.store(last.wrapping_add(2) & !(BURYING | UNDOING) | LIVE, Ordering::SeqCst);
        commit_store("record-joined");
        table.alive = alive;
        self.process.record.store(index + 1, Ordering::SeqCst);
        self.process.epoch.store(epoch, Ordering::SeqCst);
        Ok(())
    }

    /// Leaves the pool: what guards that were forgotten had open is undone, as if this process had died. True if nobody else is in it.
    pub(crate) fn leave(&self) -> bool {
        let mut table = self.process.table.lock();
        let Some(own) = self.own_record() else { return false };
        if self.process.epoch.load(Ordering::SeqCst) != crate::fork::epoch() {
            std::mem::forget(std::mem::take(&mut table.seats)); // the parent's
            std::mem::forget(table.alive.take());
            return false;
        }
        self.finish(own);
        table.seats.clear();
        self.process.record.store(0, Ordering::SeqCst);
        let last = (0..self.record_count()).all(|r| self.record_state(r) & LIVE == 0);
        table.alive = None; // lets the byte go, after everything else
        last
    }

    /// Joins anew in a child of a fork or clone, which has neither record nor seats.
    #[cold]
    fn rejoin(&self, epoch: u64) -> Result<()> {
        let p = &self.process;
        let old = p.claimed.load(Ordering::SeqCst);
        if old != epoch && p.claimed.compare_exchange(old, epoch, Ordering::SeqCst, Ordering::SeqCst).is_ok()
        {
            // First in this child. The table may have been locked by a thread that a raw `clone` did not bring along.
            if p.table.is_locked() {
                // SAFETY: no other thread of this child is past `claimed` before `epoch` is stored below, so nobody of it holds the lock.
                unsafe { free_lock(p.table.raw(), Side::Child) };
            }
            let mut table = p.table.lock();
            std::mem::forget(std::mem::take(&mut table.seats)); // the parent's: its memory image, not our seats
            std::mem::forget(table.alive.take()); // not mapped here (MADV_DONTFORK)
            let joined = self.take_record(&mut table, epoch);
            drop(table);
            if joined.is_err() {
                p.claimed.store(old, Ordering::SeqCst);
            }
            joined?;
            self.bury_dead();
            return self.upper.rejoined(self);
        }
        while p.claimed.load(Ordering::SeqCst) == epoch && p.epoch.load(Ordering::SeqCst) != epoch {
            crate::sys::yield_now();
        }
        if p.epoch.load(Ordering::SeqCst) == epoch { Ok(()) } else { Err(Error::Forked) }
    }

    /// The seat of thread `key`, taken if it has none.
    pub(crate) fn sit(&self, epoch: u64, key: u64) -> Result<*const SeatCtx> {
        if self.process.epoch.load(Ordering::SeqCst) != epoch {
            self.rejoin(epoch)?;
        }
        let mut table = self.process.table.lock();
        if let Some((_, ctx)) = table.seats.iter().find(|(k, _)| *k == key) {
            return Ok(ctx.as_ptr());
        }
        let number = self.find_seat()?;
        let ctx = SeatCtx::on(self, number, false)?;
        ctx.seat().thread.store(crate::sys::thread_id(), Ordering::Relaxed);
        // Before anything is read from here: a check tells by it whether somebody has sat here meanwhile.
        ctx.seat().builds.fetch_add(2, Ordering::SeqCst);
        // Who closed the seat while it was free, without a barrier (see the heap's `turn`), is seen by our first turn.
        fence(Ordering::SeqCst);
        let at = ctx.as_ptr();
        table.seats.push((key, ctx));
        drop(table);
        // SAFETY: in the table, which keeps it until this thread gives it up.
        self.add_chunks(unsafe { &*at });
        Ok(at)
    }

    /// A free seat. Whoever took the last one is adding more at this very moment, or died of it: so there is a second's patience.
    fn find_seat(&self) -> Result<u32> {
        let begin = std::time::Instant::now();
        loop {
            if let Some(number) = self.take_seat() {
                return Ok(number);
            }
            if begin.elapsed() > std::time::Duration::from_secs(1) {
                return Err(Error::TooMany("seats"));
            }
            self.bury_dead();
            crate::sys::yield_now();
        }
    }

    fn take_seat(&self) -> Option<u32> {
        let own = self.own_record()? as u64 + 1;
        (0..self.seat_count()).find(|s| {
            // Dead before: the seat is free. After: it belongs to our record, and is buried with it.
            let taken = self.seat_at(*s).is_some_and(|s| {
                s.record.compare_exchange(0, own, Ordering::SeqCst, Ordering::Relaxed).is_ok()
            });
            if taken {
                commit_store("seat-taken");
            }
            taken
        })
    }

    /// Gives up the seat of thread `key` if nothing is held on it; else it stays taken until the process leaves.
    pub(crate) fn rise(&self, key: u64) {
        if self.process.epoch.load(Ordering::SeqCst) != crate::fork::epoch() {
            return; // the parent's
        }
        let mut table = self.process.table.lock();
        let Some(i) = table.seats.iter().position(|(k, c)| *k == key && c.is_idle()) else { return };
        let (_, ctx) = table.seats.swap_remove(i);
        ctx.seat().thread.store(0, Ordering::Relaxed);
        // Dead before: buried with our record. After: anyone may take it, with its slabs.
        ctx.seat().record.store(0, Ordering::SeqCst);
        commit_store("seat-given-up");
    }

    /// Whoever takes the last free seat, or the last free record, makes more: who comes next could not, having no seat.
    fn add_chunks(&self, ctx: &SeatCtx) {
        let free_seat = (0..self.seat_count())
            .any(|s| self.seat_at(s).is_some_and(|s| s.record.load(Ordering::Relaxed) == 0));
        if !free_seat {
            self.add_chunk(ctx, &self.header().seat_chunks, SEATS_FIRST, size_of::<Seat>() as u64);
        }
        let free_record = (0..self.record_count()).any(|r| self.record_state(r) & LIVE == 0);
        if !free_record {
            self.add_chunk(
                ctx,
                &self.header().record_chunks,
                RECORDS_FIRST,
                size_of::<ProcessRecord>() as u64,
            );
        }
    }

    /// Adds a chunk twice as large as the last. For want of memory there is none, and who finds no free place is told.
    #[cold]
    fn add_chunk(&self, ctx: &SeatCtx, chunks: &[AtomicU64], first: u32, size: u64) {
        let Some(k) = chunks.iter().position(|c| c.load(Ordering::SeqCst) == 0) else { return };
        let bytes = ((first as u64) << k).saturating_mul(size).next_multiple_of(PAGE);
        let op = ctx.bare().begin();
        let Ok(offset) = self.upper.permanent(ctx.bare(), bytes) else { return };
        let Ok(at) = self.at(offset, bytes) else { return };
        // SAFETY: a fresh block of `bytes`, not linked in yet.
        unsafe { at.write_bytes(0, bytes as usize) };
        // Dead before: the block is given back. After: it is linked, which undo sees (`LogCx::is_permanent`).
        if chunks[k].compare_exchange(0, offset, Ordering::SeqCst, Ordering::SeqCst).is_ok() {
            commit_store("chunk");
            op.commit();
        }
    }

    // ---- fork: the table is locked over it, so that the child finds it whole

    pub(crate) fn fork_prepare(&self) {
        MutexGuard::leak(self.process.table.lock());
    }

    /// # Safety
    /// After `fork_prepare` by the same thread, in the parent or in the child.
    pub(crate) unsafe fn fork_done(&self, side: Side) {
        // SAFETY: locked by `fork_prepare` on this thread (in the child: on the thread it is the image of).
        unsafe { free_lock(self.process.table.raw(), side) };
    }
}
