//! What the fast paths of locks need of a seat, on one line, and how a thread finds it from the address of a lock.
//!
//! A lock is mostly taken by a thread that holds no other, runs no transaction, and used the same window last time. One comparison tells
//! all of that: the seat's `state` has a number that no other seat ever had, and bits for whatever stands in the way. It also tells a child of a fork,
//! where it is 0 (see `wiped`). What fails it takes the general path, which looks at everything.
//!
//! The fast paths use mark 0, or place 0 of the held locks, and nothing private tells that these are in use: their shared words do. So taking and giving
//! back a lock stores to the shared words alone. A store more, or one that waits for a load, would be waited for by the next lock's atomic instruction.

use crate::hand::Hands;
use crate::layout::{HELD, MARKS, Seat};
use crate::protocol;
use crate::raw::Inner;
use crate::seat::SeatCtx;
use crate::wiped;
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

/// First of the bits of held locks.
const HELD_SHIFT: usize = MARKS;
/// A transaction runs.
const TRANSACTION: u64 = 1 << 16;
/// The lock last released was waited for.
const CONTENDED: u64 = 1 << 17;
/// The pool's locks are asymmetric.
const ASYMMETRIC: u64 = 1 << 18;
/// Somebody sits here: 0 in a child of a fork.
const ALIVE: u64 = 1 << 23;
const NUMBER_SHIFT: u32 = 24;

const ANY_MARK: u64 = (1 << MARKS) - 1;
const ANY_HELD: u64 = ((1 << HELD) - 1) << HELD_SHIFT;

/// See the module. Belongs to one thread; other threads that once had the slot may look at `state`.
#[repr(C, align(128))]
#[derive(Debug)]
pub struct Quick {
    /// Bit 0: mark 0 is nested; bits 1..8: that mark is in use; bits 9..16: that place of the held locks is in use (or was: see
    /// [`rederive`](Self::rederive)); then what else stands in the way; bits 24..64 a number of this occupation of the slot, never used again.
    state: AtomicU64,
    shared: *const Seat,
    /// Own bit of the summary in a lock word.
    summary: u64,
    /// The seat's number + 1, which names it in a lock word.
    own: u64,
    /// Published length of the pool, and how much of it is known to be usable.
    length: *const AtomicU64,
    limit: Cell<u64>,
    seat: *const SeatCtx,
    pool: *const Inner,
    /// How many more times than once this thread has read-locked the lock of each mark.
    pub(crate) nest: [Cell<u32>; MARKS],
    /// Slabs in hand, for the heap.
    pub hands: Hands,
}

/// Owner of a slot.
#[derive(Debug)]
pub(crate) struct OwnedQuick(*mut Quick);

impl OwnedQuick {
    /// The slot of a seat that was just taken; `None` for want of memory.
    pub(crate) fn new(pool: &Inner, shared: &Seat, number: u32, seat: *const SeatCtx) -> Option<OwnedQuick> {
        static NUMBER: AtomicU64 = AtomicU64::new(1);
        let at = wiped::take()?;
        let mode = if pool.is_asymmetric() { ASYMMETRIC } else { 0 };
        let state = NUMBER.fetch_add(1, Ordering::Relaxed) << NUMBER_SHIFT | ALIVE | mode;
        // SAFETY: ours alone but for `state`, which is atomic and written last.
        unsafe {
            (&raw mut (*at).shared).write(shared);
            (&raw mut (*at).summary).write(protocol::summary_bit(number));
            (&raw mut (*at).own).write(number as u64 + 1);
            (&raw mut (*at).length).write(&raw const pool.header().length);
            (&raw mut (*at).limit).write(Cell::new(pool.windows.limit()));
            (&raw mut (*at).seat).write(seat);
            (&raw mut (*at).pool).write(pool);
            (&raw mut (*at).nest).write([const { Cell::new(0) }; MARKS]);
            (*at).hands.forget();
            (*at).state.store(state, Ordering::Relaxed);
        }
        Some(OwnedQuick(at))
    }

    pub(crate) fn as_ptr(&self) -> *const Quick {
        self.0
    }
}

impl Drop for OwnedQuick {
    fn drop(&mut self) {
        // SAFETY: a slot stays readable for ever, and is ours until given back below.
        unsafe { &*self.0 }.state.store(0, Ordering::Relaxed);
        wiped::give_back(self.0);
    }
}

/// Where a lock stands, and the seat to take it with.
pub(crate) struct Spot<'a> {
    pub(crate) quick: &'a Quick,
    pub(crate) offset: u64,
    /// Whether the pool's readers store their marks plainly.
    pub(crate) asymmetric: bool,
}

/// The window and seat that a thread used last.
struct Near {
    start: Cell<usize>,
    len: Cell<usize>,
    quick: Cell<*const Quick>,
    /// The seat's state when nothing stands in the way.
    state: Cell<u64>,
    /// Number of the join of the pool in which the seat is, 0: none, or it was given up.
    pool: Cell<u64>,
}

thread_local! {
    /// No destructor: usable until the thread is gone.
    static NEAR: Near = const {
        Near {
            start: Cell::new(0),
            len: Cell::new(0),
            quick: Cell::new(std::ptr::null()),
            state: Cell::new(0),
            pool: Cell::new(0),
        }
    };
}

#[inline(always)]
fn same_number(a: u64, b: u64) -> bool {
    (a ^ b) >> NUMBER_SHIFT == 0
}

/// The calling thread's seat for what lies at `address`, if it is the one used last and its state is as it should be but for `ignored` bits.
#[inline(always)]
fn near<'a>(address: usize, ignored: u64) -> Option<Spot<'a>> {
    NEAR.with(|near| {
        let offset = address.wrapping_sub(near.start.get());
        if offset >= near.len.get() {
            return None;
        }
        let at = near.quick.get();
        // SAFETY: `len` is not 0, so it was noted: a slot, which stays readable for ever. Only `state` is looked at before it proves that the
        // slot is still that of this thread's seat, in this process, and its pool not closed.
        let state = unsafe { &(*at).state }.load(Ordering::Relaxed);
        if state & !ignored != near.state.get() {
            return None;
        }
        // SAFETY: as proven.
        Some(Spot { quick: unsafe { &*at }, offset: offset as u64, asymmetric: state & ASYMMETRIC != 0 })
    })
}

/// The seat to read-lock what lies at `address` with, through mark 0: nothing is read, and no transaction runs.
#[inline(always)]
pub(crate) fn to_read<'a>(address: usize) -> Option<Spot<'a>> {
    let spot = near(address, ANY_HELD | CONTENDED | ASYMMETRIC)?;
    (spot.quick.mark().load(Ordering::Relaxed) == 0).then_some(spot)
}

/// The seat to write-lock what lies at `address` with, through place 0: nothing is held or read, and no transaction runs.
#[inline(always)]
pub(crate) fn to_write<'a>(address: usize) -> Option<Spot<'a>> {
    let spot = near(address, ASYMMETRIC)?;
    let shared = spot.quick.shared();
    // The log too: see `Inner::retire_lock`.
    let free = shared.held[0].load(Ordering::Relaxed)
        | shared.marks.0[0].load(Ordering::Relaxed)
        | shared.logs[0].head.load(Ordering::Relaxed);
    (free == 0).then_some(spot)
}

/// The calling thread's seat in `pool`, if it is the one used last.
#[inline(always)]
pub(crate) fn seat_of(pool: &Inner) -> Option<&SeatCtx> {
    NEAR.with(|near| {
        if near.len.get() == 0 {
            return None;
        }
        let at = near.quick.get();
        // SAFETY: as in `near`.
        let state = unsafe { &(*at).state }.load(Ordering::Relaxed);
        if !same_number(state, near.state.get()) {
            return None;
        }
        // SAFETY: as in `near`.
        let quick = unsafe { &*at };
        std::ptr::eq(quick.pool, pool).then(|| quick.seat())
    })
}

/// The calling thread's part of its seat in the pool that was joined as number `id`, if it is the one used last.
///
/// In a child of a fork it is the parent's, and all zeros: there is nothing in hand. Whoever finds something in hand may use the rest.
#[inline(always)]
pub(crate) fn in_pool<'a>(id: u64) -> Option<&'a Quick> {
    NEAR.with(|near| match near.pool.get() == id {
        // SAFETY: a slot, which stays readable for ever. The pool is joined (`id` is asked of it, and never used again), so that the seat was not taken from this
        // thread, which forgets the number when it gives the seat up: the slot is its own, or, in a child, what the parent had, which nobody uses.
        true => Some(unsafe {
            std::hint::assert_unchecked(!near.quick.get().is_null());
            &*near.quick.get()
        }),
        false => None,
    })
}

/// The calling thread gives a seat up.
pub(crate) fn forget_pool() {
    NEAR.with(|near| near.pool.set(0));
}

impl Quick {
    /// The rest of what this process keeps of the seat.
    #[inline(always)]
    pub fn seat(&self) -> &SeatCtx {
        // SAFETY: the seat owns the slot, and clears its state before it goes; who has a reference has seen the state since, on this thread.
        unsafe {
            std::hint::assert_unchecked(!self.seat.is_null());
            &*self.seat
        }
    }

    /// Whether somebody sits here: not in a child of a fork, which has the parent's guards but not its seats.
    #[inline(always)]
    pub fn is_alive(&self) -> bool {
        self.state() & ALIVE != 0
    }

    /// The calling thread's part of the seat that it used last: not in a child of a fork, nor when it was given up since.
    ///
    /// # Panics
    /// Then.
    pub fn seated<'a>() -> &'a Quick {
        NEAR.with(|near| {
            let at = near.quick.get();
            assert!(!at.is_null(), "the thread has no seat");
            // SAFETY: a slot, as in `near`.
            let state = unsafe { &(*at).state }.load(Ordering::Relaxed);
            assert!(same_number(state, near.state.get()), "the thread has no seat");
            // SAFETY: as in `near`.
            unsafe { &*at }
        })
    }

    /// Whether somebody sits here and runs no transaction.
    #[inline(always)]
    pub fn is_plain(&self) -> bool {
        self.state() & (ALIVE | TRANSACTION) == ALIVE
    }

    #[inline(always)]
    fn state(&self) -> u64 {
        self.state.load(Ordering::Relaxed)
    }

    fn set(&self, bit: u64, on: bool) {
        let state = self.state();
        self.state.store(if on { state | bit } else { state & !bit }, Ordering::Relaxed);
    }

    /// Notes how a mark is used now.
    pub(crate) fn note_mark(&self, mark: usize, used: bool) {
        self.set(1 << mark, if mark == 0 { self.nest[0].get() > 0 } else { used });
    }

    /// Notes whether a place of the held locks is used.
    pub(crate) fn note_held(&self, held: usize, used: bool) {
        if held > 0 {
            self.set(1 << (HELD_SHIFT + held), used);
        }
    }

    pub(crate) fn note_transaction(&self, runs: bool) {
        self.set(TRANSACTION, runs);
    }

    pub(crate) fn note_contended(&self, yes: bool) {
        self.set(CONTENDED, yes);
    }

    /// The shared part of the seat.
    #[inline(always)]
    pub fn shared(&self) -> &Seat {
        // SAFETY: a whole seat, whose window stays mapped as long as the pool is open.
        unsafe { &*self.shared }
    }

    /// Mark 0.
    #[inline(always)]
    pub(crate) fn mark(&self) -> &AtomicU64 {
        &self.shared().marks.0[0]
    }

    /// Whether somebody sits here, runs no transaction and has not nested mark 0.
    #[inline(always)]
    pub(crate) fn reads_once(&self) -> bool {
        self.state() & (ALIVE | TRANSACTION | 1) == ALIVE
    }

    /// Own bit of the summary in a lock word.
    #[inline(always)]
    pub(crate) fn summary(&self) -> u64 {
        self.summary
    }

    /// The seat's number + 1.
    #[inline(always)]
    pub(crate) fn own(&self) -> u64 {
        self.own
    }

    /// Whether all of the pool is known to be usable in this process.
    #[inline(always)]
    pub(crate) fn is_up_to_date(&self) -> bool {
        // SAFETY: in the header, in a window that stays mapped as long as the pool is open.
        unsafe { &*self.length }.load(Ordering::Acquire) <= self.limit.get()
    }

    /// Makes the state agree with the shared words again: locks that were freed under forgotten guards are not held any more. Notes how
    /// far the pool is usable.
    #[cold]
    pub(crate) fn rederive(&self) {
        self.limit.set(self.seat().pool().windows.limit());
        let state = self.state();
        for k in (0..MARKS).filter(|k| state >> k & 1 != 0) {
            if self.shared().marks.0[k].load(Ordering::Relaxed) == 0 {
                self.nest[k].set(0);
                self.note_mark(k, false);
            }
        }
        for h in (1..HELD).filter(|h| state >> (HELD_SHIFT + h) & 1 != 0) {
            if self.shared().held[h].load(Ordering::Relaxed) == 0 && self.seat().log(h).is_vacant() {
                self.note_held(h, false);
            }
        }
    }

    /// Notes that the calling thread uses this seat for what lies in the window at `start`.
    pub(crate) fn note_near(&self, start: usize, len: usize) {
        let id = self.seat().pool().id();
        NEAR.with(|near| {
            near.pool.set(id);
            near.start.set(start);
            near.len.set(len);
            near.quick.set(self);
            near.state.set(self.state() & !(ANY_MARK | ANY_HELD | TRANSACTION | CONTENDED | ASYMMETRIC));
        });
    }
}
