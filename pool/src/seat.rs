//! A seat as the thread on it sees it, and how a thread finds its own.

use crate::error::{Error, Result};
use crate::granule::Granule;
use crate::hand::Hands;
use crate::layout::{HELD, LOG_BARE, LOGS, MARKS, SEAT_CHUNKS, SEATS_FIRST, Seat, chunk_of};
use crate::log::LogCx;
use crate::quick::{self, OwnedQuick, Quick};
use crate::raw::Inner;
use std::cell::Cell;
use std::sync::atomic::Ordering;

/// What a thread keeps of its seat in private memory. Never moves; belongs to one thread.
///
/// A burier makes one for the dead seat it acts as.
#[derive(Debug)]
pub struct SeatCtx {
    pool: *const Inner,
    seat: *const Seat,
    number: u32,
    quick: OwnedQuick,
    /// Offset of the lock last released while others waited, 0: none. If this thread wants it again, it lets them pass.
    pub(crate) contended: Cell<u64>,
    /// The seat that was last waited for, and how often in a row nobody sat there.
    pub(crate) nobody: Cell<(u32, u32)>,
    /// Since when the thread has waited for the lock that it wants now; 0: it does not sleep.
    pub(crate) waits_since: Cell<u64>,
    logs: [LogCx; LOGS],
    /// The transaction that runs on this seat, as the crates above know it; null: none.
    transaction: Cell<*const ()>,
    /// Whether this context stands for a dead seat.
    pub(crate) burying: bool,
}

/// Owner of a context. Its logs keep the address, which a `Box` that is moved would claim for itself alone.
#[derive(Debug)]
pub(crate) struct OwnedSeat(*mut SeatCtx);

impl OwnedSeat {
    /// The address that stays the same.
    pub(crate) fn as_ptr(&self) -> *const SeatCtx {
        self.0
    }
}

impl std::ops::Deref for OwnedSeat {
    type Target = SeatCtx;
    fn deref(&self) -> &SeatCtx {
        // SAFETY: made and initialised in `SeatCtx::new`, freed only by `drop`.
        unsafe { &*self.0 }
    }
}

impl Drop for OwnedSeat {
    fn drop(&mut self) {
        self.logs.iter().for_each(LogCx::settle);
        // SAFETY: came from a box in `SeatCtx::new`, and is initialised; nobody else frees it.
        drop(unsafe { Box::from_raw(self.0) });
    }
}

impl SeatCtx {
    /// A context for seat `number`, which the caller has taken or is burying.
    pub(crate) fn on(pool: &Inner, number: u32, burying: bool) -> Result<OwnedSeat> {
        let seat: *const Seat =
            pool.seat_at(number).ok_or_else(|| Error::Damaged(format!("seat {number} is missing")))?;
        let at = Box::into_raw(Box::<SeatCtx>::new_uninit()).cast::<SeatCtx>();
        // SAFETY: as below.
        let Some(quick) = OwnedQuick::new(pool, unsafe { &*seat }, number, at) else {
            // SAFETY: the box just made, of which nothing needs to be dropped.
            drop(unsafe { Box::from_raw(at.cast::<std::mem::MaybeUninit<SeatCtx>>()) });
            return Err(Error::OutOfMemory("no memory for a thread's seat".into()));
        };
        let log = |i: usize| {
            // SAFETY: `seat` points to a whole seat: `seat_at` checked it.
            LogCx::new(unsafe { &raw const (*seat).logs[i] }, at.cast_const(), i, pool.header().hash_seed)
        };
        let value = SeatCtx {
            pool,
            seat,
            number,
            quick,
            contended: Cell::new(0),
            nobody: Cell::new((0, 0)),
            waits_since: Cell::new(0),
            logs: std::array::from_fn(log),
            transaction: Cell::new(std::ptr::null()),
            burying,
        };
        // SAFETY: the box just made, writable and of that type.
        unsafe { at.write(value) };
        Ok(OwnedSeat(at))
    }

    /// The pool.
    #[inline(always)]
    pub fn pool(&self) -> &Inner {
        // SAFETY: contexts are dropped before their pool's `Inner`, and found only through a pool that is alive.
        unsafe { &*self.pool }
    }

    /// The shared part.
    #[inline(always)]
    pub fn seat(&self) -> &Seat {
        // SAFETY: checked by `seat_at` in `new`; its window stays mapped until the pool is closed.
        unsafe { &*self.seat }
    }

    /// What the fast paths need.
    #[inline(always)]
    pub fn quick(&self) -> &Quick {
        // SAFETY: the slot is the seat's as long as it lives.
        unsafe { &*self.quick.as_ptr() }
    }

    /// Slabs in hand, for the heap.
    #[inline(always)]
    pub fn hands(&self) -> &Hands {
        &self.quick().hands
    }

    /// Notes that the calling thread, whose seat this is, uses it for what lies in the window of `granule`: next time it is found at once.
    pub fn note_near(&self, granule: &Granule) {
        let (start, len) = granule.window();
        self.quick().note_near(start, len);
    }

    /// The transaction that runs on this seat, as the crates above know it; null: none.
    #[inline(always)]
    pub fn transaction(&self) -> *const () {
        self.transaction.get()
    }

    /// Notes that it runs; null: none does.
    pub fn set_transaction(&self, running: *const ()) {
        self.transaction.set(running);
        self.quick().note_transaction(!running.is_null());
    }

    /// Number of the seat; `number + 1` names it in shared words.
    #[inline(always)]
    pub fn number(&self) -> u32 {
        self.number
    }

    /// Whether a burier acts as this seat.
    pub fn is_burying(&self) -> bool {
        self.burying
    }

    /// Log `i` of the seat.
    #[inline(always)]
    pub fn log(&self, i: usize) -> &LogCx {
        &self.logs[i]
    }

    /// The log for work under no lock.
    #[inline(always)]
    pub fn bare(&self) -> &LogCx {
        &self.logs[LOG_BARE]
    }

    /// All logs of the seat.
    pub fn logs(&self) -> &[LogCx] {
        &self.logs
    }

    /// Whether nothing is held and nothing is under way, so that the seat may be given up.
    pub(crate) fn is_idle(&self) -> bool {
        let s = self.seat();
        (0..HELD).all(|i| s.held[i].load(Ordering::Relaxed) == 0)
            && (0..MARKS).all(|i| s.marks.0[i].load(Ordering::Relaxed) == 0)
            && self.logs.iter().all(|l| l.is_empty() && !l.is_open())
    }
}

/// The thread builds an object under no lock, until this is dropped: a check leaves its blocks alone.
#[derive(Debug)]
pub struct Building<'a>(&'a SeatCtx);

impl SeatCtx {
    /// Begins to build an object under no lock.
    pub fn build(&self) -> Building<'_> {
        let builds = &self.seat().builds;
        // Dead from here on: its burier ends it.
        builds.store(builds.load(Ordering::Relaxed) | 1, Ordering::SeqCst);
        Building(self)
    }
}

impl Drop for Building<'_> {
    fn drop(&mut self) {
        if !self.0.quick().is_alive() {
            return; // in a child of a fork: the parent builds on
        }
        let builds = &self.0.seat().builds;
        builds.store((builds.load(Ordering::Relaxed) | 1).wrapping_add(1), Ordering::SeqCst);
    }
}

impl Inner {
    /// Seat `number`, or `None` when there is no such chunk (or its offset is damaged).
    #[inline]
    pub fn seat_at(&self, number: u32) -> Option<&Seat> {
        let (k, i) = chunk_of(number, SEATS_FIRST);
        if k >= SEAT_CHUNKS {
            return None;
        }
        let offset = self.header().seat_chunks[k].load(Ordering::Acquire);
        if offset == 0 || !offset.is_multiple_of(128) {
            return None;
        }
        let p = self
            .at(offset.checked_add(i as u64 * size_of::<Seat>() as u64)?, size_of::<Seat>() as u64)
            .ok()?;
        // SAFETY: in bounds by `at`, aligned as checked; all fields are atomics or padding.
        Some(unsafe { &*p.cast::<Seat>() })
    }

    /// Number of seats in all chunks there are.
    pub fn seat_count(&self) -> u32 {
        let chunks = &self.header().seat_chunks;
        // SeqCst: a writer that has just taken a lock must see the chunk of every reader that got in before (see `protocol`).
        let n = chunks.iter().take_while(|c| c.load(Ordering::SeqCst) != 0).count();
        (SEATS_FIRST << n) - SEATS_FIRST
    }

    /// The calling thread's seat, taken now if it has none.
    ///
    /// # Errors
    /// `TooMany` when all seats are taken, `OutOfMemory` when no more can be made, and the errors of joining anew after a fork.
    #[inline]
    pub fn seat(&self) -> Result<&SeatCtx> {
        match quick::seat_of(self) {
            Some(seat) => Ok(seat),
            None => self.seat_slow(),
        }
    }

    /// The calling thread's seat, if it is the one used last.
    #[inline(always)]
    pub fn known_seat(&self) -> Option<&SeatCtx> {
        quick::seat_of(self)
    }

    #[inline(never)]
    fn cached_seat(&self) -> Option<&SeatCtx> {
        CACHE.with(|cache| {
            let cached = &cache[self.way()];
            // No entry that names a pool has epoch 0.
            if cached.pool.get() != self.id || cached.epoch.get() != crate::fork::known_epoch() {
                return None;
            }
            // SAFETY: cached by this thread for this pool, which is alive (`self`), in this process (`epoch`); contexts live until
            // their thread gives the seat up, which clears the cache, or the pool is closed, whose id is never used again.
            Some(unsafe { &*cached.seat.get() })
        })
    }

    fn way(&self) -> usize {
        (self.id % WAYS as u64) as usize
    }

    #[cold]
    #[inline(never)]
    fn seat_slow(&self) -> Result<&SeatCtx> {
        let seat = match self.cached_seat() {
            Some(seat) => seat,
            None => self.sit_down()?,
        };
        let (start, len) = self.windows.newest();
        seat.quick().note_near(start, len);
        Ok(seat)
    }

    fn sit_down(&self) -> Result<&SeatCtx> {
        let epoch = crate::fork::epoch();
        let seat = self.sit(epoch, thread_key())?;
        CACHE.with(|cache| cache[self.way()].set(self.id, epoch, seat));
        // A thread whose destructors have run keeps its seat as long as the process: nothing would tell us of its end.
        let _ = AT_END.try_with(|e| e.note(self.id));
        // SAFETY: `sit` returned a context that its table keeps alive until the thread gives it up.
        Ok(unsafe { &*seat })
    }

    /// Gives up the calling thread's seat if nothing is held on it.
    pub fn give_up_seat(&self) {
        CACHE.with(|cache| cache[self.way()].set(0, 0, std::ptr::null()));
        quick::forget_pool();
        self.rise(thread_key());
    }
}

const WAYS: usize = 4;

/// Cells of their own, so that a look at one copies no other.
struct Cached {
    pool: Cell<u64>,
    epoch: Cell<u64>,
    seat: Cell<*const SeatCtx>,
}

impl Cached {
    const fn none() -> Cached {
        Cached { pool: Cell::new(0), epoch: Cell::new(0), seat: Cell::new(std::ptr::null()) }
    }

    fn set(&self, pool: u64, epoch: u64, seat: *const SeatCtx) {
        self.pool.set(pool);
        self.epoch.set(epoch);
        self.seat.set(seat);
    }
}

thread_local! {
    /// The seats used last, by pool. No destructor: usable until the thread is gone.
    static CACHE: [Cached; WAYS] = const { [const { Cached::none() }; WAYS] };
    static KEY: Cell<u64> = const { Cell::new(0) };
    static AT_END: AtEnd = const { AtEnd { pools: std::cell::RefCell::new(Vec::new()) } };
}

/// A number of its own for each thread of this process, never used again.
pub(crate) fn thread_key() -> u64 {
    static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1);
    if KEY.get() == 0 {
        KEY.set(NEXT.fetch_add(1, Ordering::Relaxed));
    }
    KEY.get()
}

/// Gives the thread's seats up when it ends.
struct AtEnd {
    pools: std::cell::RefCell<Vec<u64>>,
}

impl AtEnd {
    fn note(&self, pool: u64) {
        let mut pools = self.pools.borrow_mut();
        if !pools.contains(&pool) {
            pools.push(pool);
        }
    }
}

impl Drop for AtEnd {
    fn drop(&mut self) {
        for id in self.pools.take() {
            if let Some(pool) = crate::registry::find(id) {
                pool.give_up_seat();
            }
        }
        quick::leave_thread();
    }
}
