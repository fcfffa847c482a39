//! The log of a seat: what to undo, and what to do once a commit is made (`docs/design.md`, section 5).
//!
//! A log is a stack of records under one head word. Every change of the head is one 8-byte store, and every state between two stores
//! is one that recovery turns into "the operation happened" or "it did not":
//!
//! | head | meaning | recovery |
//! |---|---|---|
//! | n, not COMMITTED | n records of operations that are not final | undo them from the top |
//! | n, base, COMMITTED | records base..n are final, those with intents from n down are still to be carried out | carry out, pop |
//!
//! Only the owner of the seat, or who buries it, touches a log. Its stores need compiler order only: a burier has the kernel's lock
//! after all of them.

mod chunk;
mod concern;
mod held;
mod old;
mod op;
mod pair;
mod record;
mod recover;
mod resolved;
mod taken;

use chunk::chunk_records;
pub use op::Op;
pub use pair::Pair;
pub use record::{Kind, RecordView};
pub use resolved::ResolvedTable;
use resolved::{Resolved, Table};

use crate::error::{Error, Result};
use crate::layout::{LOG_BARE, LOG_INLINE, LOG_INNER, Log, PAGE, Record};
use crate::plant::{commit_store, planted};
use crate::raw::Inner;
use crate::seat::SeatCtx;
use crate::upper::Progress;
use std::cell::Cell;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicU64, Ordering, compiler_fence};

const N: u64 = (1 << 31) - 1;
const BASE_SHIFT: u32 = 32;
const COMMITTED: u64 = 1 << 63;

/// Whether the head of a log says that intents are still to be carried out.
pub const fn is_committed(head: u64) -> bool {
    head & COMMITTED != 0
}

/// One log as its owner, or a burier, sees it. Private to a thread; its address is the context word of places.
#[derive(Debug)]
pub struct LogCx {
    log: *const Log,
    seat: *const SeatCtx,
    index: usize,
    /// LOANED, LEFT, and the number of holders times [`HOLD`]: not 0 keeps the log open.
    state: Cell<u32>,
    /// First record of what is held open; `u32::MAX` when nothing is.
    from: Cell<u32>,
    /// Operations under way that began while the log was held open.
    within: Cell<u32>,
    /// Index + 1 of the highest intent that was pushed and is not carried out, or more.
    intents: Cell<u32>,
    /// Records that operations may push before a further chunk is needed: all but [`SPARE`].
    room: Cell<u32>,
    /// First index and first record of the last chunk used.
    recent: Cell<(u32, *const Record)>,
    /// Whether its intents are being carried out: damaged logs may join each other.
    carrying: Cell<bool>,
    /// Whether no memory could be had to make the log longer while intents were carried out: it is not asked for again until the next commit.
    short: Cell<bool>,
    /// Length of the log behind the last `Join` or `Cancel` that the open operation pushed, 0: none. The operation began below.
    took: Cell<u32>,
    /// Length of the log behind the last operation that was done, or loan that was made, while the log was held open, 0: none that is not final. Undoing one
    /// that began below would undo it too.
    done: Cell<u32>,
    /// Whether an operation under way, or one before it, is about locks: see [`LogCx::note_locks`].
    locks: Cell<bool>,
    /// Whether something of this log stands in `crate::siblings`.
    noted: Cell<bool>,
    resolved: Resolved,
    table: Table,
    /// The pool's, which never changes.
    hash_seed: [u64; 2],
}

const LOANED: u32 = 1;
/// The last hold ended within an operation that began under it: it lasts until that operation ends. Cut there, the log would be shorter than
/// where the operation began, and what that logs from then on would neither be undone nor become final with it.
const LEFT: u32 = 2;
const HOLD: u32 = 4;
/// Records that operations leave to the carrying out of their intents, which therefore needs no memory: see [`LogCx::push_all`].
const SPARE: u32 = 3;

/// Whether this build keeps no log, and so undoes nothing: only to measure what the log costs (`tests/log-cost.sh`). Nested values leak then.
const UNLOGGED: bool = cfg!(aquifer_unlogged);

/// Records that an operation may push without any memory from the heap.
pub const FIXED: u32 = LOG_INLINE as u32 - SPARE;
/// Bytes that are saved in one record.
const BYTES: usize = size_of::<Record>();

/// Records that saving `len` bytes takes.
#[inline(always)]
pub const fn bytes_records(len: usize) -> u32 {
    if len <= 8 { 1 } else { 1 + len.div_ceil(BYTES) as u32 }
}

impl Log {
    #[inline(always)]
    fn set_head(&self, head: u64) {
        if UNLOGGED {
            return;
        }
        // All stores before it, of data and records, are made before it: compiler order (Release is that on x86-64, and costs little elsewhere).
        self.head.store(head, Ordering::Release);
        compiler_fence(Ordering::SeqCst);
    }
}

impl Record {
    #[inline(always)]
    fn set(&self, r: RecordView) {
        self.head.store(r.kind as u64 | (r.size as u64) << 8 | r.aux << 16, Ordering::Relaxed);
        self.offset.store(r.offset, Ordering::Relaxed);
        self.value.store(r.value, Ordering::Relaxed);
    }
}

impl LogCx {
    pub(crate) fn new(log: *const Log, seat: *const SeatCtx, index: usize, hash_seed: [u64; 2]) -> LogCx {
        LogCx {
            log,
            seat,
            index,
            state: Cell::new(0),
            from: Cell::new(u32::MAX),
            within: Cell::new(0),
            intents: Cell::new(0),
            room: Cell::new(LOG_INLINE as u32 - SPARE),
            recent: Cell::new((u32::MAX, std::ptr::null())),
            carrying: Cell::new(false),
            short: Cell::new(false),
            took: Cell::new(0),
            done: Cell::new(0),
            locks: Cell::new(false),
            noted: Cell::new(false),
            resolved: Resolved::none(),
            table: Table::none(),
            hash_seed,
        }
    }

    /// The context word of this log.
    #[inline(always)]
    pub fn word(&self) -> usize {
        std::ptr::from_ref(self).expose_provenance()
    }

    /// The log behind a context word.
    ///
    /// # Safety
    /// `word` comes from [`LogCx::word`] of a log whose seat this thread still sits on for `'a`.
    #[inline(always)]
    pub unsafe fn from_word<'a>(word: usize) -> &'a LogCx {
        // SAFETY: the caller's contract; the provenance was exposed by `word`.
        unsafe { &*std::ptr::with_exposed_provenance::<LogCx>(word) }
    }

    /// The seat this log belongs to.
    #[inline(always)]
    pub fn seat(&self) -> &SeatCtx {
        // SAFETY: the seat owns this log context and outlives it.
        unsafe { &*self.seat }
    }

    /// The pool.
    #[inline(always)]
    pub fn pool(&self) -> &Inner {
        self.seat().pool()
    }

    /// Seed of the pool's keyed hash.
    #[inline(always)]
    pub fn hash_seed(&self) -> [u64; 2] {
        self.hash_seed
    }

    /// Number of this log in its seat.
    pub fn index(&self) -> usize {
        self.index
    }

    #[inline(always)]
    fn log(&self) -> &Log {
        // SAFETY: points into a window that stays mapped while the seat's context lives.
        unsafe { &*self.log }
    }

    #[inline(always)]
    fn head(&self) -> u64 {
        if UNLOGGED {
            return 0;
        }
        self.log().head.load(Ordering::Relaxed)
    }

    #[inline(always)]
    fn set_head(&self, head: u64) {
        self.log().set_head(head);
    }

    /// Records now in the log.
    #[inline(always)]
    pub fn len(&self) -> u32 {
        (self.head() & N) as u32
    }

    /// Whether there is nothing in the log.
    #[inline(always)]
    pub fn is_empty(&self) -> bool {
        self.head() == 0
    }

    /// Whether operations end without becoming final: a transaction runs, a `Taken` is alive or plain data is on loan.
    #[inline(always)]
    pub fn is_open(&self) -> bool {
        !UNLOGGED && self.state.get() != 0
    }

    /// Begins an operation. Dropping it without [`Op::commit`] undoes it.
    #[inline(always)]
    pub fn begin(&self) -> Op<'_> {
        let head = self.head();
        if head & COMMITTED != 0 {
            self.carry_out_all(); // what a panic over a damaged pool has left
        }
        let before = self.state.get();
        if before != 0 {
            self.within.set(self.within.get() + 1);
        }
        Op { cx: self, base: (head & N) as u32, before, thread: PhantomData }
    }

    // ---- records

    /// Makes sure that `count` further records fit.
    ///
    /// # Errors
    /// `OutOfMemory` and the like when the heap has no room for a longer log.
    #[inline]
    pub fn reserve(&self, count: u32) -> Result<()> {
        while self.len() as u64 + count as u64 > self.room.get() as u64 {
            self.add_chunk()?;
        }
        Ok(())
    }

    /// Pushes a record and publishes it: what it speaks of may be changed afterwards.
    ///
    /// Panics when the log is full and no memory can be had; [`reserve`](Self::reserve) first where that must be an error.
    #[inline(always)]
    pub fn push(&self, r: RecordView) {
        if UNLOGGED {
            self.forget_resolved();
            if r.kind == Kind::Free {
                self.pool().upper.carry_out(self, r);
            }
            return;
        }
        self.forget_resolved();
        let head = self.head();
        let n = (head & N) as u32;
        if n >= self.room.get() {
            self.room_or_panic();
        }
        self.write(n, r);
        if r.kind.is_intent() {
            self.intents.set(n + 1);
        }
        if planted("unlogged") && r.kind == Kind::Old {
            return;
        }
        // Dead before this store: the record does not exist. After: it is undone, and its change was not made yet.
        self.set_head(head + 1);
        if planted("free-before-commit") && r.kind == Kind::Free {
            self.pool().upper.carry_out(self, r);
        }
    }

    /// Writes records on top of a committed log and publishes them all by one store (see `Upper::carry_out`). At most
    /// [`left`](Self::left) fit.
    pub fn push_all(&self, records: &[RecordView]) {
        assert!(records.len() as u32 <= self.left(), "a log of full length");
        let head = self.head();
        for (i, r) in records.iter().enumerate() {
            self.write((head & N) as u32 + i as u32, *r);
        }
        self.set_head(head + records.len() as u64);
    }

    /// Takes the top records, none of which takes more than its own place, off a committed log that has more than those.
    pub fn pop(&self, count: u32) {
        let head = self.head();
        assert!(
            (head & N) > (head >> BASE_SHIFT & N) + count as u64,
            "a record below those that are taken off"
        );
        self.set_head(head - count as u64);
    }

    /// Whether `count` further records fit besides those that are kept for carrying out, in a longer log if it can be had.
    pub fn has_room(&self, count: u32) -> bool {
        if self.len() as u64 + count as u64 <= self.room.get() as u64 {
            return true;
        }
        if !self.short.get() {
            self.short.set(self.reserve(count).is_err());
        }
        !self.short.get()
    }

    /// Records that fit now, those included that are kept for carrying out: three at least while that has pushed none.
    pub fn left(&self) -> u32 {
        (self.room.get() + SPARE).saturating_sub(self.len())
    }

    /// Makes sure that `count` further records fit, for a call that has no `Result`: before it has changed anything.
    ///
    /// # Panics
    /// When the log must be longer, and no memory can be had. Up to [`FIXED`] records in a log that was empty always fit.
    #[inline]
    pub fn reserve_or_panic(&self, count: u32) {
        while self.len() as u64 + count as u64 > self.room.get() as u64 {
            self.room_or_panic();
        }
    }

    #[cold]
    #[inline(never)]
    fn room_or_panic(&self) {
        if let Err(e) = self.add_chunk() {
            panic!("no memory for the log: {e}");
        }
    }

    #[inline(always)]
    fn write(&self, i: u32, r: RecordView) {
        if !UNLOGGED {
            self.record(i).set(r);
        }
    }

    /// Reads record `i`.
    pub fn read(&self, i: u32) -> RecordView {
        let at = self.record(i);
        let head = at.head.load(Ordering::Relaxed);
        RecordView {
            kind: Kind::of(head),
            size: (head >> 8) as u8,
            aux: head >> 16,
            offset: at.offset.load(Ordering::Relaxed),
            value: at.value.load(Ordering::Relaxed),
        }
    }

    /// Stores `value` in record `i`: progress of an intent that is being carried out.
    pub fn set_value(&self, i: u32, value: u64) {
        if UNLOGGED {
            return;
        }
        self.record(i).value.store(value, Ordering::Release);
        compiler_fence(Ordering::SeqCst);
    }

    #[inline(always)]
    fn record(&self, i: u32) -> &Record {
        if (i as usize) < LOG_INLINE {
            return &self.log().records[i as usize];
        }
        let (first, start) = self.recent.get();
        if i >= first && i - first < chunk_records(first) {
            // SAFETY: record i - first of the chunk whose first record is `start`; found by `find_chunk`.
            return unsafe { &*start.add((i - first) as usize) };
        }
        self.find_chunk(i)
    }

    // ---- commit

    #[inline(always)]
    fn commit_from(&self, base: u32) {
        if self.intents.get() > base {
            self.commit_with_intents(base);
        } else if self.len() > base {
            // Dead before this store: all is undone. After: all is final.
            self.set_head(base as u64);
            commit_store("log-cut");
        }
    }

    #[cold]
    #[inline(never)]
    fn commit_with_intents(&self, base: u32) {
        if self.make_final(base) {
            self.carry_out_all();
        }
    }

    /// Whether there is something to carry out.
    fn make_final(&self, base: u32) -> bool {
        let n = self.len();
        self.intents.set(base);
        self.short.set(false);
        if n == base {
            return false;
        }
        // Dead before this store: all is undone. After: all is final, and whoever buries us carries out the intents.
        self.set_head(COMMITTED | (base as u64) << BASE_SHIFT | n as u64);
        commit_store("log-committed");
        // Before anything is freed, where others may have locks then.
        self.forget_noted();
        true
    }

    /// Carries out the intents of a committed log. Needs no memory.
    fn carry_out_all(&self) {
        let outer = self.carrying.replace(true);
        self.carry_out_each();
        self.carrying.set(outer);
    }

    fn carry_out_each(&self) {
        loop {
            let head = self.head();
            let (n, base) = ((head & N) as u32, (head >> BASE_SHIFT & N) as u32);
            if head & COMMITTED == 0 {
                return;
            }
            if n <= base {
                // Dead before this store: nothing is left to carry out. After: the log is as before the operation.
                return self.set_head(base as u64);
            }
            let r = self.read(n - 1);
            match r.kind {
                Kind::Free if r.aux != 0 => self.free_named(r),
                Kind::Free | Kind::DropVec | Kind::DropTable => match self.pool().upper.carry_out(self, r) {
                    Progress::Pushed => continue,
                    Progress::Done => {}
                },
                Kind::Join => self.join(r.offset as usize, r.value as u32),
                Kind::Cancel => self.cancel(r, n - 1),
                _ => {}
            }
            let below = n.saturating_sub(r.records());
            // Dead before this store: the intent is carried out again, which changes nothing. After: it is done.
            self.set_head(if below <= base { base as u64 } else { head - r.records() as u64 });
            commit_store("log-carried-out");
        }
    }

    /// Frees a block that a dead value names, unless the word that names it was cleared.
    fn free_named(&self, r: RecordView) {
        let Ok(word) = self.pool().at(r.aux << 3, 8) else { return };
        // SAFETY: in bounds by `at`, a multiple of 8; in a value that a committed operation has unlinked.
        let word = unsafe { &*word.cast::<AtomicU64>() };
        if word.load(Ordering::Relaxed) != 0 {
            self.pool().upper.carry_out(self, r);
            compiler_fence(Ordering::SeqCst);
            // Dead before this store: the block is freed once more, to the same effect. After: the record is only popped.
            word.store(0, Ordering::Relaxed);
            commit_store("freed-by-name");
        }
    }

    fn join(&self, other: usize, from: u32) {
        let Some(other) = self.seat().logs().get(other).filter(|l| !l.carrying.get() && l.is_whole()) else {
            return;
        };
        if other.head() & COMMITTED == 0 {
            // Of a damaged log, all.
            other.intents.set(u32::MAX);
            other.commit_from(if from <= other.len() { from } else { 0 });
        } else {
            other.carry_out_all();
        }
    }
}
