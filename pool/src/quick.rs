//! What the fast paths of locks need of a seat, on one line, and how a thread finds it from the address of a lock.
//!
//! A lock is mostly taken by a thread that runs no transaction and used the same window last time. One comparison tells
//! all of that: how far the lock lies from the start of that window, beside the window's length, of which the slot has a copy for readers and one for
//! writers. A copy is 0 as long as anything stands in the way, and in a child of a fork, where all of the slot is 0 (see `wiped`). What fails it takes
//! the general path, which looks at everything.
//!
//! A thread's slots are its own as long as it lives: one that it used last is never another thread's (see `wiped` again).
//!
//! The fast paths use mark 0, or place 0 of the held locks, and nothing private tells that these are in use: their shared words do. So taking and giving
//! back a lock stores to the shared words alone. A store more, or one that waits for a load, would be waited for by the next lock's atomic instruction.

use crate::fork;
use crate::hand::Hands;
use crate::layout::{Header, MARKS, OFFSET_BITS, Seat};
use crate::protocol;
use crate::raw::Inner;
use crate::seat::{SeatCtx, thread_key};
use crate::siblings;
use crate::wiped;
use std::cell::Cell;
use std::mem::offset_of;
use std::ptr::{null, null_mut};
use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering};

/// Mark 0 is nested.
const NESTED: u32 = 1;
/// A transaction runs.
const TRANSACTION: u32 = 1 << 1;
/// The lock last released was waited for.
const CONTENDED: u32 = 1 << 2;
/// Somebody sits here: 0 in a child of a fork.
const ALIVE: u32 = 1 << 3;
/// A lock is held through another place than 0 (or was: see [`Quick::note_further`]): its log may be held open, and concern the lock to be taken.
const FURTHER: u32 = 1 << 4;
/// The log for work under no lock is held open.
const BARE: u32 = 1 << 5;

/// Bit 0 of [`Quick::summary`]: the pool's locks are asymmetric. A word that is looked at for the summary has no bit below 16.
const ASYMMETRIC: u64 = 1;

/// See the module. Belongs to one thread; another one may close its pool, and stores to the atomics then.
#[repr(C, align(128))]
#[derive(Debug)]
pub struct Quick {
    /// Number of the join of the pool in which the seat is, never used again, if work under no lock is final at once; else, and where nobody sits, 0.
    id: AtomicU64,
    /// The window that the seat was last used in. Every window begins with the header.
    window: AtomicPtr<Header>,
    /// Length of that window if the seat may read at once through mark 0, else 0.
    readable: AtomicUsize,
    /// The same for writing through place 0.
    writable: AtomicUsize,
    /// Mark 0, if it may be given back at once, else null.
    mark: AtomicPtr<AtomicU64>,
    shared: *const Seat,
    /// Own bit of the summary in a lock word, and [`ASYMMETRIC`].
    summary: u64,
    /// How much of the pool is known to be usable.
    limit: Cell<u64>,
    /// Epoch of the process (see `fork`).
    epoch: u64,
    seat: *const SeatCtx,
    /// Null: nobody sits here.
    pool: AtomicPtr<Inner>,
    /// Length of the window.
    len: Cell<usize>,
    /// What stands in the way.
    state: AtomicU32,
    /// The seat's number + 1, which names it in a lock word.
    own: u32,
    /// How many more times than once this thread has read-locked the lock of each mark.
    pub(crate) nest: [Cell<u32>; MARKS],
    /// Slabs in hand, for the heap.
    pub hands: Hands,
}

const _: () = assert!(offset_of!(Quick, nest) <= 128);

impl Quick {
    /// A slot without a seat.
    const fn empty() -> Quick {
        Quick {
            id: AtomicU64::new(0),
            window: AtomicPtr::new(null_mut()),
            readable: AtomicUsize::new(0),
            writable: AtomicUsize::new(0),
            mark: AtomicPtr::new(null_mut()),
            shared: null(),
            summary: 0,
            limit: Cell::new(0),
            epoch: 0,
            seat: null(),
            pool: AtomicPtr::new(null_mut()),
            len: Cell::new(0),
            state: AtomicU32::new(0),
            own: 0,
            nest: [const { Cell::new(0) }; MARKS],
            hands: Hands::empty(),
        }
    }
}

/// Owner of a slot.
#[derive(Debug)]
pub(crate) struct OwnedQuick {
    slot: *mut Quick,
    thread: u64,
}

impl OwnedQuick {
    /// The slot of a seat that the calling thread has just taken; `None` for want of memory.
    pub(crate) fn new(pool: &Inner, shared: &Seat, number: u32, seat: *const SeatCtx) -> Option<OwnedQuick> {
        let thread = thread_key();
        let slot = wiped::take(thread)?;
        let quick = Quick {
            shared,
            summary: protocol::summary_bit(number) | if pool.is_asymmetric() { ASYMMETRIC } else { 0 },
            limit: Cell::new(pool.windows.limit()),
            id: AtomicU64::new(pool.id()),
            epoch: fork::epoch(),
            seat,
            pool: AtomicPtr::new(std::ptr::from_ref(pool).cast_mut()),
            state: AtomicU32::new(ALIVE),
            own: number + 1,
            ..Quick::empty()
        };
        if NEAR.get() == slot.cast_const() {
            // Of a seat that was given up. This one may be a dead one's, which its burier must not take for its own.
            NEAR.set(&raw const NOWHERE.0);
        }
        // SAFETY: ours alone: no other thread has had it near, and this one does not look at it now. All but the hands, which are many and mostly never used:
        // zeros, or what the last owner left.
        unsafe {
            let front = (&raw const quick).cast::<u8>();
            slot.cast::<u8>().copy_from_nonoverlapping(front, offset_of!(Quick, hands));
            (*slot).hands.set_tag(pool.header().tag << OFFSET_BITS);
            (*slot).hands.forget();
        }
        Some(OwnedQuick { slot, thread })
    }

    pub(crate) fn as_ptr(&self) -> *const Quick {
        self.slot
    }
}

impl Drop for OwnedQuick {
    fn drop(&mut self) {
        // SAFETY: a slot stays readable for ever, and is ours until given back below.
        unsafe { &*self.slot }.vacate();
        wiped::give_back(self.slot, self.thread);
    }
}

/// Where a lock stands, and the seat to take it with.
#[derive(Clone, Copy)]
pub(crate) struct Spot<'a> {
    pub(crate) quick: &'a Quick,
    window: *const Header,
    pub(crate) offset: u64,
}

impl Spot<'_> {
    /// Whether all of the pool is known to be usable in this process.
    #[inline(always)]
    pub(crate) fn is_up_to_date(&self) -> bool {
        // SAFETY: the window that a lock lies in, which stays mapped as long as the pool is open; the length is atomic.
        let length = unsafe { &(*self.window).length };
        length.load(Ordering::Acquire) <= self.quick.limit.get()
    }
}

/// The slot of a thread that has no seat.
struct Nowhere(Quick);

// SAFETY: nobody stores to it: only a seat's owner does, and it belongs to none.
unsafe impl Sync for Nowhere {}

static NOWHERE: Nowhere = Nowhere(Quick::empty());

thread_local! {
    /// The slot that the thread used last. No destructor: usable until the thread is gone.
    static NEAR: Cell<*const Quick> = const { Cell::new(&raw const NOWHERE.0) };
}

/// The slot that the calling thread used last, whose owner may have left it meanwhile.
#[inline(always)]
fn near<'a>() -> &'a Quick {
    // SAFETY: slots stay readable for ever, and this one is no other thread's (see the module).
    unsafe { &*NEAR.get() }
}

/// Whether `address` lies in the window that the calling thread used last.
#[inline(always)]
pub fn is_near(address: usize) -> bool {
    within(address, |quick| quick.len.get()).is_some()
}

/// Whether the calling thread's slot knows that this is the epoch of the process. False may mean that the thread has no seat.
#[inline(always)]
pub fn knows_epoch(epoch: u64) -> bool {
    near().epoch == epoch
}

/// The calling thread has no slot near any more: it is about to end.
pub(crate) fn leave_thread() {
    NEAR.set(&raw const NOWHERE.0);
    wiped::leave(thread_key());
}

/// Where what lies at `address` stands in the window that the thread used last, if it may have so much of it.
#[inline(always)]
pub(crate) fn within<'a>(address: usize, length: impl FnOnce(&Quick) -> usize) -> Option<Spot<'a>> {
    let quick = near();
    let window = quick.window.load(Ordering::Relaxed);
    let offset = address.wrapping_sub(window.addr());
    // Within the window that the slot names, if it names one: so there is a seat, of this process, whose pool is open.
    (offset < length(quick)).then_some(Spot { quick, window, offset: offset as u64 })
}

/// The seat to read-lock what lies at `address` with, through mark 0: that is free, and no transaction runs.
#[inline(always)]
pub(crate) fn to_read<'a>(address: usize) -> Option<Spot<'a>> {
    within(address, Quick::readable).filter(|spot| spot.quick.first_mark().load(Ordering::Relaxed) == 0)
}

/// The seat to write-lock what lies at `address` with, through place 0: that is free, no transaction runs, and nothing is noted in `siblings`.
#[inline(always)]
pub(crate) fn to_write<'a>(address: usize) -> Option<Spot<'a>> {
    within(address, Quick::writable).filter(|spot| {
        let shared = spot.quick.shared();
        // The log too: see `crate::retire`.
        let (held, head) = (&shared.held[0], &shared.logs[0].head);
        held.load(Ordering::Relaxed) | head.load(Ordering::Relaxed) | siblings::unsettled() == 0
    })
}

/// The calling thread's seat in `pool`, if it is the one used last.
#[inline(always)]
pub(crate) fn seat_of(pool: &Inner) -> Option<&SeatCtx> {
    let quick = near();
    std::ptr::eq(quick.pool.load(Ordering::Relaxed), pool).then(|| quick.seat())
}

/// The calling thread's part of its seat in the pool that was joined as number `id`, which is not 0, if it is the one used last and its log for work under no lock
/// is not held open. Not in a child of a fork, whose slots are zeros.
#[inline(always)]
pub fn in_pool<'a>(id: u64) -> Option<&'a Quick> {
    let quick = near();
    (quick.id.load(Ordering::Relaxed) == id).then_some(quick)
}

/// The calling thread gives its seat up: what it has in hand is not its own any more.
pub(crate) fn forget_pool() {
    if near().id.load(Ordering::Relaxed) != 0 {
        near().id.store(0, Ordering::Relaxed);
    }
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
        let quick = near();
        assert!(quick.is_alive(), "the thread has no seat");
        quick
    }

    /// Whether somebody sits here and runs no transaction.
    #[inline(always)]
    pub fn is_plain(&self) -> bool {
        self.state() & (ALIVE | TRANSACTION) == ALIVE
    }

    /// Whether the pool's readers store their marks plainly.
    #[inline(always)]
    pub(crate) fn is_asymmetric(&self) -> bool {
        self.summary & ASYMMETRIC != 0
    }

    #[inline(always)]
    pub(crate) fn readable(&self) -> usize {
        self.readable.load(Ordering::Relaxed)
    }

    #[inline(always)]
    pub(crate) fn writable(&self) -> usize {
        self.writable.load(Ordering::Relaxed)
    }

    /// Length of the window if the seat may write at once beside other locks, else 0.
    #[inline]
    pub(crate) fn writable_beside(&self) -> usize {
        let may = self.state() & (ALIVE | TRANSACTION | CONTENDED) == ALIVE && siblings::unsettled() == 0;
        if may { self.len.get() } else { 0 }
    }

    /// Nobody sits here any more.
    fn vacate(&self) {
        for length in [&self.readable, &self.writable] {
            length.store(0, Ordering::Relaxed);
        }
        self.mark.store(null_mut(), Ordering::Relaxed);
        self.pool.store(null_mut(), Ordering::Relaxed);
        self.id.store(0, Ordering::Relaxed);
        self.state.store(0, Ordering::Relaxed);
    }

    #[inline(always)]
    fn state(&self) -> u32 {
        self.state.load(Ordering::Relaxed)
    }

    fn set(&self, bit: u32, on: bool) {
        let old = self.state();
        let new = if on { old | bit } else { old & !bit };
        if new != old {
            self.state.store(new, Ordering::Relaxed);
            self.allow();
        }
    }

    /// Lets the fast paths have the window, as the state allows.
    fn allow(&self) {
        let unless = |bits| if self.state() & bits == 0 { self.len.get() } else { 0 };
        self.readable.store(unless(NESTED | TRANSACTION), Ordering::Relaxed);
        self.writable.store(unless(TRANSACTION | CONTENDED | FURTHER), Ordering::Relaxed);
        let mark = match self.state() & (NESTED | TRANSACTION) {
            0 => std::ptr::from_ref(self.first_mark()).cast_mut(),
            _ => null_mut(),
        };
        self.mark.store(mark, Ordering::Relaxed);
        let id = if self.state() & (ALIVE | BARE) == ALIVE { self.seat().pool().id() } else { 0 };
        self.id.store(id, Ordering::Relaxed);
    }

    /// Notes whether the log for work under no lock is held open.
    pub(crate) fn note_bare(&self, open: bool) {
        if self.is_alive() {
            self.set(BARE, open);
        }
    }

    /// Notes whether mark 0 is nested, after a mark was taken or given back.
    pub(crate) fn note_nesting(&self) {
        self.set(NESTED, self.nest[0].get() > 0);
    }

    pub(crate) fn note_transaction(&self, runs: bool) {
        self.set(TRANSACTION, runs);
    }

    /// Notes whether a lock is held through another place than 0. Others may free such a place (`crate::retire`), which is noticed the next time.
    #[inline]
    pub(crate) fn note_further(&self) {
        self.set(FURTHER, self.shared().held[1..].iter().any(|place| place.load(Ordering::Relaxed) != 0));
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

    #[inline(always)]
    pub(crate) fn first_mark(&self) -> &AtomicU64 {
        &self.shared().marks.0[0]
    }

    /// Mark 0 if somebody sits here, runs no transaction and has not nested it.
    #[inline(always)]
    pub(crate) fn mark_read_once(&self) -> Option<&AtomicU64> {
        // SAFETY: null or a part of the seat, for which the same holds as for `shared`.
        unsafe { self.mark.load(Ordering::Relaxed).as_ref() }
    }

    /// Own bit of the summary in a lock word, and what no word has that is looked at for it.
    #[inline(always)]
    pub(crate) fn summary(&self) -> u64 {
        self.summary
    }

    /// The seat's number + 1.
    #[inline(always)]
    pub(crate) fn own(&self) -> u64 {
        self.own as u64
    }

    /// Makes the state agree with the shared words again: a lock that was freed under a forgotten guard is not nested any more. Notes how
    /// far the pool is usable.
    pub(crate) fn rederive(&self) {
        self.limit.set(self.seat().pool().windows.limit());
        if self.nest[0].get() > 0 && self.first_mark().load(Ordering::Relaxed) == 0 {
            self.nest[0].set(0);
            self.note_nesting();
        }
    }

    /// Notes that the calling thread, whose seat this is, uses it for what lies in the window at `start`.
    pub(crate) fn note_near(&self, start: usize, len: usize) {
        self.window.store(std::ptr::with_exposed_provenance_mut(start), Ordering::Relaxed);
        self.len.set(len);
        self.allow();
        NEAR.set(self);
    }
}
