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

use crate::error::{Error, Result};
use crate::layout::{LOG_INLINE, LOG_INNER, Log, PAGE, Record};
use crate::plant::planted;
use crate::raw::Inner;
use crate::seat::SeatCtx;
use crate::upper::Progress;
use std::cell::Cell;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicU64, Ordering, compiler_fence};

const N: u64 = (1 << 31) - 1;
const BASE_SHIFT: u32 = 32;
const COMMITTED: u64 = 1 << 63;
/// Records in the first chunk beyond the inline ones; chunk k holds `CHUNK_FIRST << k`.
const CHUNK_FIRST: u32 = 168;
const CHUNK_HEAD: u64 = 16;

/// What a record asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Nothing: a place holder.
    Nothing = 0,
    /// Undo: write `size` bytes of `value` back at `offset`.
    Old = 1,
    /// Undo: give block `value` of the slab at page `offset` back.
    Alloc = 2,
    /// Undo: give the run at page `offset` with token `value` back.
    AllocRun = 3,
    /// Commit: free the block at `offset`; `value` is the token of a run, or 0.
    Free = 4,
    /// Commit: free what the first `value` elements at `offset` own, last first, then the block; `aux` is their schema.
    DropVec = 5,
    /// Commit: free what the entries of the table at `offset` own, then the block; `value` counts its slots, `aux` is the map's schema.
    DropTable = 6,
    /// Commit: commit log `offset` of the same seat too.
    Join = 7,
    /// Undo: move elements back that a shift has moved: see `shift`.
    Shift = 8,
    /// Commit: `value` becomes the count of the record just below, whose element was expanded above this one.
    Mark = 9,
    /// Undo: copy `value` bytes back from the block at `aux` to `offset`.
    OldBlock = 10,
    /// Commit: the `value` intents from record `offset` on, below this one, are void: their value has found another place.
    Cancel = 11,
}

impl Kind {
    fn of(head: u64) -> Kind {
        match head as u8 {
            1 => Kind::Old,
            2 => Kind::Alloc,
            3 => Kind::AllocRun,
            4 => Kind::Free,
            5 => Kind::DropVec,
            6 => Kind::DropTable,
            7 => Kind::Join,
            8 => Kind::Shift,
            9 => Kind::Mark,
            10 => Kind::OldBlock,
            11 => Kind::Cancel,
            _ => Kind::Nothing,
        }
    }

    /// Whether the commit has something to do for it.
    fn is_intent(self) -> bool {
        matches!(self, Kind::Free | Kind::DropVec | Kind::DropTable | Kind::Join | Kind::Mark | Kind::Cancel)
    }
}

/// A record read out of a log.
#[derive(Debug, Clone, Copy)]
pub struct RecordView {
    /// What it asks for.
    pub kind: Kind,
    /// Bytes of an `Old`, 0 else.
    pub size: u8,
    /// 48 bits of further information: an offset of a schema or block.
    pub aux: u64,
    /// What it speaks of.
    pub offset: u64,
    /// Old bytes, token or count.
    pub value: u64,
}

impl RecordView {
    /// A record without size and `aux`.
    #[inline(always)]
    pub fn new(kind: Kind, offset: u64, value: u64) -> RecordView {
        RecordView { kind, size: 0, aux: 0, offset, value }
    }

    /// The same with `aux`.
    #[inline(always)]
    pub fn with_aux(self, aux: u64) -> RecordView {
        RecordView { aux, ..self }
    }
}

/// One log as its owner, or a burier, sees it. Private to a thread; its address is the context word of places.
#[derive(Debug)]
pub struct LogCx {
    log: *const Log,
    seat: *const SeatCtx,
    index: usize,
    /// LOANED, and the number of holders times [`HOLD`]: not 0 keeps the log open.
    state: Cell<u32>,
    /// Index + 1 of the highest intent that was pushed and is not carried out, or more.
    intents: Cell<u32>,
    /// Records that fit without a further chunk.
    room: Cell<u32>,
    /// First index and first record of the last chunk used.
    recent: Cell<(u32, *const Record)>,
    /// Whether its intents are being carried out: damaged logs may join each other.
    carrying: Cell<bool>,
    /// Length of the log behind the last `Join` or `Cancel` that the open operation pushed, 0: none. The operation began below.
    took: Cell<u32>,
}

const LOANED: u32 = 1;
const HOLD: u32 = 2;

impl LogCx {
    pub(crate) fn new(log: *const Log, seat: *const SeatCtx, index: usize) -> LogCx {
        LogCx {
            log,
            seat,
            index,
            state: Cell::new(0),
            intents: Cell::new(0),
            room: Cell::new(LOG_INLINE as u32),
            recent: Cell::new((u32::MAX, std::ptr::null())),
            carrying: Cell::new(false),
            took: Cell::new(0),
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
        self.log().head.load(Ordering::Relaxed)
    }

    #[inline(always)]
    fn set_head(&self, head: u64) {
        // All stores before it, of data and records, are made before it: compiler order (Release is that on x86-64, and costs little elsewhere).
        self.log().head.store(head, Ordering::Release);
        compiler_fence(Ordering::SeqCst);
    }

    /// Records now in the log.
    #[inline(always)]
    pub fn len(&self) -> u32 {
        (self.head() & N) as u32
    }

    /// Whether there is nothing in the log.
    pub fn is_empty(&self) -> bool {
        self.head() == 0
    }

    /// Whether operations end without becoming final: a transaction runs, a `Taken` is alive or plain data is on loan.
    #[inline(always)]
    pub fn is_open(&self) -> bool {
        self.state.get() != 0
    }

    /// Begins an operation. Dropping it without [`Op::commit`] undoes it.
    #[inline(always)]
    pub fn begin(&self) -> Op<'_> {
        let head = self.head();
        if head & COMMITTED != 0 {
            self.finish_parked();
        }
        Op { cx: self, base: (head & N) as u32, thread: PhantomData }
    }

    /// An earlier commit could not get memory to carry out its intents: try again before anything else is logged.
    #[cold]
    fn finish_parked(&self) {
        assert!(self.carry_out_all(), "out of memory while freeing nested values");
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

    /// Writes records on top of a committed log and publishes them all by one store (see `Upper::carry_out`).
    ///
    /// # Errors
    /// `OutOfMemory` when the log cannot be made longer; nothing is published.
    pub fn push_all(&self, records: &[RecordView]) -> Result<()> {
        self.reserve(records.len() as u32)?;
        let head = self.head();
        for (i, r) in records.iter().enumerate() {
            self.write((head & N) as u32 + i as u32, *r);
        }
        self.set_head(head + records.len() as u64);
        Ok(())
    }

    #[cold]
    fn room_or_panic(&self) {
        if let Err(e) = self.add_chunk() {
            panic!("no memory for the log: {e}");
        }
    }

    #[inline(always)]
    fn write(&self, i: u32, r: RecordView) {
        let at = self.record(i);
        at.head.store(r.kind as u64 | (r.size as u64) << 8 | r.aux << 16, Ordering::Relaxed);
        at.offset.store(r.offset, Ordering::Relaxed);
        at.value.store(r.value, Ordering::Relaxed);
    }

    /// Reads record `i`.
    pub fn read(&self, i: u32) -> RecordView {
        let at = self.record(i);
        let head = at.head.load(Ordering::Relaxed);
        RecordView {
            kind: Kind::of(head),
            size: ((head >> 8) as u8).min(8),
            aux: head >> 16,
            offset: at.offset.load(Ordering::Relaxed),
            value: at.value.load(Ordering::Relaxed),
        }
    }

    /// Stores `value` in record `i`: progress of an intent that is being carried out.
    pub fn set_value(&self, i: u32, value: u64) {
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

    #[cold]
    fn find_chunk(&self, i: u32) -> &Record {
        let mut first = LOG_INLINE as u32;
        let mut link = &self.log().chunk;
        loop {
            let records = chunk_records(first);
            let chunk = self
                .chunk_at(link, records)
                .unwrap_or_else(|| panic!("the pool is damaged: record {i} of a log is missing"));
            if i - first < records {
                // SAFETY: `chunk_at` checked the chunk's whole length; its records begin behind its head.
                let start = unsafe { chunk.byte_add(CHUNK_HEAD as usize) }.cast::<Record>();
                self.recent.set((first, start));
                // SAFETY: i - first < records, as above.
                return unsafe { &*start.add((i - first) as usize) };
            }
            first += records;
            // SAFETY: a chunk begins with the offset of the next.
            link = unsafe { &*chunk };
        }
    }

    fn chunk_at(&self, link: &AtomicU64, records: u32) -> Option<*const AtomicU64> {
        let offset = link.load(Ordering::Relaxed);
        if offset == 0 || !offset.is_multiple_of(PAGE) {
            return None;
        }
        self.pool().at(offset, chunk_bytes(records)).ok().map(|p| p.cast_const().cast())
    }

    /// Lengthens the log by a chunk, which stays with the seat.
    #[cold]
    fn add_chunk(&self) -> Result<()> {
        let mut first = LOG_INLINE as u32;
        let mut link = &self.log().chunk;
        while let Some(chunk) = self.chunk_at(link, chunk_records(first)) {
            first += chunk_records(first);
            if first > self.room.get() {
                self.room.set(first);
                return Ok(()); // linked by an earlier occupant
            }
            // SAFETY: a chunk begins with the offset of the next.
            link = unsafe { &*chunk };
        }
        if self.index == LOG_INNER || first > N as u32 / 4 {
            return Err(Error::OutOfMemory("the log of one operation is too long".into()));
        }
        let records = chunk_records(first);
        let inner = self.seat().log(LOG_INNER);
        let op = inner.begin();
        let offset = self.pool().upper.log_chunk(inner, chunk_bytes(records))?;
        let at = self.pool().at(offset, chunk_bytes(records))?;
        // SAFETY: `at` is a fresh block of that length: its first word is the link to the next chunk.
        unsafe { at.cast::<u64>().write(0) };
        // Dead before this store: the inner log frees the chunk. After: it is linked, which its undo sees (`undo_one`).
        link.store(offset, Ordering::Release);
        op.commit();
        self.room.set(first + records);
        Ok(())
    }

    /// Whether the run at `offset` is linked in for good: a chunk of one of the seat's logs, of seats or of records, or the directory.
    fn is_permanent(&self, offset: u64) -> bool {
        let header = self.pool().header();
        let tables = header.seat_chunks.iter().chain(&header.record_chunks).chain([&header.directory]);
        if tables.into_iter().any(|c| c.load(Ordering::SeqCst) == offset) {
            return true;
        }
        self.seat().logs().iter().any(|l| {
            let (mut first, mut link) = (LOG_INLINE as u32, &l.log().chunk);
            while let Some(chunk) = l.chunk_at(link, chunk_records(first)) {
                if link.load(Ordering::Relaxed) == offset {
                    return true;
                }
                first = first.saturating_add(chunk_records(first));
                // SAFETY: a chunk begins with the offset of the next.
                link = unsafe { &*chunk };
            }
            false
        })
    }

    // ---- old bytes

    /// Saves `len` bytes at `at`, an address in the pool, so that undo writes them back.
    ///
    /// # Safety
    /// The bytes are readable, under a lock held until the commit (or not linked in), and initialised or padding.
    #[inline]
    pub unsafe fn save(&self, at: *const u8, len: usize) {
        if len == 0 {
            return; // such as nothing appended to an empty vector, which has no address
        }
        let offset = self.pool().offset_of(at).unwrap_or_else(|| panic!("saved bytes are not in the pool"));
        let mut done = 0;
        while done < len {
            let size = (len - done).min(8);
            let mut value = 0u64;
            // SAFETY: within the caller's bytes; copied as bytes, so that padding stays what it is.
            unsafe { std::ptr::copy_nonoverlapping(at.add(done), (&raw mut value).cast::<u8>(), size) };
            self.push(RecordView {
                kind: Kind::Old,
                size: size as u8,
                aux: 0,
                offset: offset + done as u64,
                value,
            });
            done += size;
        }
    }

    /// Saves one aligned word.
    #[inline(always)]
    pub fn save_word(&self, at: &AtomicU64) {
        let address = std::ptr::from_ref(at).cast::<u8>();
        let offset =
            self.pool().offset_of(address).unwrap_or_else(|| panic!("saved word is not in the pool"));
        let value = at.load(Ordering::Relaxed);
        self.push(RecordView { kind: Kind::Old, size: 8, aux: 0, offset, value });
    }

    // ---- holding open, commit, undo

    /// Keeps the log open until [`release`](Self::release): a transaction begins, or a `Taken` is made.
    pub fn hold(&self) {
        self.state.set(self.state.get() + HOLD);
    }

    /// Ends one [`hold`](Self::hold); what was done becomes final when nothing else keeps the log open.
    pub fn release(&self) {
        let s = self.state.get();
        debug_assert!(s >= HOLD);
        self.state.set(s.saturating_sub(HOLD));
        if self.state.get() == 0 {
            self.commit_from(0);
        }
    }

    /// Notes that old bytes of plain data on loan stand in the log.
    #[inline(always)]
    pub fn loan(&self) {
        self.state.set(self.state.get() | LOANED);
    }

    /// Ends loans: every `&mut` handed out before is over (the guard is dereferenced mutably again, committed or dropped).
    #[inline(always)]
    pub fn end_loans(&self) {
        if self.state.get() & LOANED != 0 {
            self.state.set(self.state.get() & !LOANED);
            if self.state.get() == 0 {
                self.commit_from(0);
            }
        }
    }

    /// Holds the log open from within an operation; [`restore`](Self::restore) brings the state before back, without a commit, so that the
    /// operation's own commit or undo decides about everything since it began.
    pub fn keep(&self) -> u32 {
        let before = self.state.get();
        self.hold();
        before
    }

    /// Ends [`keep`](Self::keep), and everything that has held the log open since.
    pub fn restore(&self, before: u32) {
        self.state.set(before);
    }

    /// How many transactions and `Taken`s hold the log open.
    pub fn holders(&self) -> u32 {
        self.state.get() / HOLD
    }

    /// Makes everything in the log final: the guard or transaction that held it open is over.
    #[inline]
    pub fn close(&self) {
        self.state.set(0);
        self.commit_from(0);
    }

    /// Undoes everything in the log: the transaction that held it open gives up.
    pub fn roll_back(&self) {
        self.state.set(0);
        self.undo_to(0);
    }

    #[inline(always)]
    fn commit_from(&self, base: u32) {
        if self.intents.get() > base {
            self.commit_with_intents(base);
        } else if self.len() > base {
            // Dead before this store: all is undone. After: all is final.
            self.set_head(base as u64);
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
        if n == base {
            return false;
        }
        // Dead before this store: all is undone. After: all is final, and whoever buries us carries out the intents.
        self.set_head(COMMITTED | (base as u64) << BASE_SHIFT | n as u64);
        true
    }

    /// Carries out the intents of a committed log; false when memory for that was missing (it stays committed).
    fn carry_out_all(&self) -> bool {
        let outer = self.carrying.replace(true);
        let done = self.carry_out_each();
        self.carrying.set(outer);
        done
    }

    fn carry_out_each(&self) -> bool {
        loop {
            let head = self.head();
            let (n, base) = ((head & N) as u32, (head >> BASE_SHIFT & N) as u32);
            if head & COMMITTED == 0 {
                return true;
            }
            if n <= base {
                // Dead before this store: nothing is left to carry out. After: the log is as before the operation.
                self.set_head(base as u64);
                return true;
            }
            let r = self.read(n - 1);
            match r.kind {
                Kind::Free | Kind::DropVec | Kind::DropTable => match self.pool().upper.carry_out(self, r) {
                    Progress::Done => {}
                    Progress::Pushed => continue,
                    // Records of the operation around it would come to stand above committed ones and count as such. Whoever buries us
                    // finishes the one and undoes the other.
                    Progress::Stuck if base > 0 && !self.seat().is_burying() => std::process::abort(),
                    Progress::Stuck => return false,
                },
                Kind::Join => self.join(r.offset as usize),
                Kind::Mark if n >= 2 => self.set_value(n - 2, r.value),
                Kind::Cancel => self.cancel(r, n - 1),
                _ => {}
            }
            // Dead before this store: the intent is carried out again, which changes nothing. After: it is done.
            self.set_head(if n - 1 == base { base as u64 } else { head - 1 });
        }
    }

    fn join(&self, other: usize) {
        let Some(other) = self.seat().logs().get(other).filter(|l| !l.carrying.get() && l.is_whole()) else {
            return;
        };
        if other.head() & COMMITTED == 0 {
            other.intents.set(u32::MAX);
            other.commit_from(0);
        } else {
            other.carry_out_all();
        }
    }

    fn undo_to(&self, base: u32) {
        loop {
            let n = self.len();
            if n <= base {
                break;
            }
            self.undo_one(n - 1, self.read(n - 1));
            // Dead before this store: the record is undone again, to the same effect. After: it is gone.
            self.set_head(self.head() - 1);
        }
        self.intents.set(self.intents.get().min(base));
    }

    fn undo_one(&self, i: u32, r: RecordView) {
        match r.kind {
            Kind::Old => {
                if let Ok(at) = self.pool().at(r.offset, r.size as u64) {
                    // SAFETY: in bounds by `at`; under a lock that the seat holds, or not linked in (contract of `save`).
                    unsafe {
                        std::ptr::copy_nonoverlapping((&raw const r.value).cast::<u8>(), at, r.size as usize)
                    };
                }
            }
            Kind::OldBlock => self.copy_back(r),
            Kind::Alloc => self.pool().upper.undo(self, r),
            Kind::AllocRun if !self.is_permanent(r.offset.saturating_mul(PAGE)) => {
                self.pool().upper.undo(self, r)
            }
            Kind::Shift => crate::shift::undo(self, i, r),
            _ => {}
        }
        compiler_fence(Ordering::SeqCst);
    }

    fn copy_back(&self, r: RecordView) {
        if let (Ok(from), Ok(to)) = (self.pool().at(r.aux << 4, r.value), self.pool().at(r.offset, r.value)) {
            // SAFETY: both in bounds by `at`; the saved block belongs to this operation, the target is as for `Old`. Out of a damaged pool
            // they may overlap.
            unsafe { std::ptr::copy(from.cast_const(), to, r.value as usize) };
        }
    }

    /// Finishes or undoes what a dead occupant left, committed logs first (they may join others). Repeatable.
    ///
    /// Returns false when memory to finish a commit was missing, or the log is damaged.
    pub(crate) fn recover(&self, committed: bool) -> bool {
        let head = self.head();
        if !self.is_whole() {
            return false;
        }
        if committed {
            return head & COMMITTED == 0 || self.carry_out_all();
        }
        if head & COMMITTED == 0 {
            self.undo_to(0);
            return true;
        }
        // A nested operation was committed inside one that was not.
        let finished = self.carry_out_all();
        if finished {
            self.undo_to(0);
        }
        finished
    }

    /// Whether all records that the head speaks of are there.
    fn is_whole(&self) -> bool {
        let head = self.head();
        let (n, base) = ((head & N) as u32, (head >> BASE_SHIFT & N) as u32);
        let (mut first, mut link) = (LOG_INLINE as u32, &self.log().chunk);
        while first < n {
            let Some(chunk) = self.chunk_at(link, chunk_records(first)) else { return false };
            first = first.saturating_add(chunk_records(first));
            // SAFETY: a chunk begins with the offset of the next.
            link = unsafe { &*chunk };
        }
        head & COMMITTED == 0 || base <= n
    }

    /// Whether a lock may use this log: nothing is in it but what a commit has still to carry out.
    #[inline(always)]
    pub(crate) fn is_vacant(&self) -> bool {
        let head = self.head();
        head == 0 || head & COMMITTED != 0
    }

    /// Drops the old bytes of what a dead occupant had open: they belong to memory that was freed since. Repeatable.
    pub(crate) fn forget_old(&self) {
        for i in 0..self.len() {
            if matches!(self.read(i).kind, Kind::Old | Kind::OldBlock | Kind::Shift) {
                self.write(i, RecordView::new(Kind::Nothing, 0, 0));
            }
        }
        compiler_fence(Ordering::SeqCst);
    }

    /// Whether the dead occupant left an operation that will be undone.
    pub(crate) fn was_undone(&self) -> bool {
        let head = self.head();
        head & COMMITTED == 0 && head & N != 0
    }

    /// Voids the intents that a record at `below` speaks of. Repeatable.
    fn cancel(&self, r: RecordView, below: u32) {
        for i in r.offset..r.offset.saturating_add(r.value).min(below as u64) {
            self.write(i as u32, RecordView::new(Kind::Nothing, 0, 0));
        }
        compiler_fence(Ordering::SeqCst);
    }

    // ---- values on their way from one place to another
    //
    // A `Taken` holds its log open, in which stand: the removal, then the intents to free what the value owns. Whoever puts the value
    // elsewhere pushes a `Cancel` of those intents. When the operation that does so is final, so is the removal; when it is undone, the
    // `Cancel` goes with it, and the value is freed as if it had been dropped.

    /// Puts the `Taken` of `other`, whose `count` intents begin at record `first`, into the operation that is open on this log: removal
    /// and insertion become final together. The hold of the `Taken` ends.
    ///
    /// # Errors
    /// `OtherPool`; `TakenElsewhere` when one of the logs is kept open by something else, so that they could not become final together;
    /// `OutOfMemory` when a log cannot be made longer. The hold is then still the caller's.
    pub fn take_over(&self, other: &LogCx, first: u32, count: u32) -> Result<()> {
        let cancel = RecordView::new(Kind::Cancel, first as u64, count as u64);
        if std::ptr::eq(self, other) {
            self.reserve(1)?;
            self.push(cancel);
            self.state.set(self.state.get().saturating_sub(HOLD));
            self.took.set(self.len());
            return Ok(());
        }
        if !std::ptr::eq(self.seat, other.seat) {
            return Err(Error::OtherPool);
        }
        if self.is_open() || other.state.get() != HOLD {
            return Err(Error::TakenElsewhere(
                "another value or loan of one of the two guards is still in use; use a transaction",
            ));
        }
        self.reserve(1)?;
        other.reserve(1)?;
        // Dead from here on, before this operation's commit: both logs are undone, the value is back where it was.
        self.push(RecordView::new(Kind::Join, other.index as u64, 0));
        other.push(cancel);
        self.took.set(self.len());
        Ok(())
    }

    /// Ends an operation from `base` on that put a `Taken` somewhere.
    #[cold]
    #[inline(never)]
    fn commit_with_taken(&self, base: u32, between: impl FnOnce()) {
        let taken = self.taken_from(base);
        let held = self.state.get();
        if taken.others == 0 && held != 0 {
            // A transaction, or another value, decides later about all of it.
            return between();
        }
        // Still held open only by the value that this very operation has removed, of which nothing is in the log yet: its hold begins anew
        // behind the commit.
        self.state.set(0);
        let pending = self.make_final(if taken.own { 0 } else { base });
        between();
        if pending {
            self.carry_out_all();
        }
        self.end_joined(taken.others, |_| ());
        self.state.set(held);
    }

    /// Undoes an operation from `base` on that put a `Taken` somewhere: the taken values are dropped.
    #[cold]
    #[inline(never)]
    fn undo_with_taken(&self, base: u32) {
        let taken = self.taken_from(base);
        self.undo_to(base);
        // Dead here: the logs joined are undone, their values are back where they were.
        self.end_joined(taken.others, |other| {
            other.undo_to(other.len().saturating_sub(1));
            other.commit_from(0);
        });
        if taken.own && !self.is_open() {
            self.commit_from(0);
        }
    }

    fn end_joined(&self, others: u32, end: impl Fn(&LogCx)) {
        for other in self.seat().logs().iter().filter(|l| others >> l.index & 1 != 0) {
            other.state.set(0);
            end(other);
        }
    }

    /// What the operation from `base` on has put somewhere; `took` is that of the operation around it afterwards.
    fn taken_from(&self, base: u32) -> TakenFrom {
        let mut taken = TakenFrom { own: false, others: 0 };
        for i in base..self.took.get().min(self.len()) {
            let r = self.read(i);
            match r.kind {
                Kind::Join => taken.others |= 1u32.checked_shl(r.offset as u32).unwrap_or(0),
                Kind::Cancel => taken.own = true,
                _ => {}
            }
        }
        let outer = (0..base).rev().find(|i| matches!(self.read(*i).kind, Kind::Join | Kind::Cancel));
        self.took.set(outer.map_or(0, |i| i + 1));
        taken
    }
}

/// Where the values come from that an operation has put somewhere.
struct TakenFrom {
    /// From the log of the operation itself.
    own: bool,
    /// From other logs of the seat: bit i for log i.
    others: u32,
}

fn chunk_records(first: u32) -> u32 {
    // Chunk k begins at INLINE + FIRST * (2^k - 1) and holds FIRST << k.
    first - LOG_INLINE as u32 + CHUNK_FIRST
}

fn chunk_bytes(records: u32) -> u64 {
    (CHUNK_HEAD + records as u64 * size_of::<Record>() as u64).next_multiple_of(PAGE)
}

/// One all-or-nothing operation on a log.
#[derive(Debug)]
#[must_use = "an operation that is not committed is undone"]
pub struct Op<'a> {
    cx: &'a LogCx,
    base: u32,
    thread: PhantomData<*mut ()>,
}

impl<'a> Op<'a> {
    /// The log.
    #[inline(always)]
    pub fn cx(&self) -> &'a LogCx {
        self.cx
    }

    /// Ends the operation: it is final, or, while the log is held open, becomes so with what holds it open.
    #[inline(always)]
    pub fn commit(self) {
        let (cx, base) = (self.cx, self.base);
        std::mem::forget(self);
        if cx.took.get() > base {
            cx.commit_with_taken(base, || ());
        } else if !cx.is_open() {
            cx.commit_from(base);
        }
    }

    /// As [`commit`](Self::commit), with `between` called when the operation is final and nothing was freed yet: a lock that guards what was
    /// unlinked, and not what is freed, may be given back there.
    pub fn commit_then(self, between: impl FnOnce()) {
        let (cx, base) = (self.cx, self.base);
        std::mem::forget(self);
        if cx.took.get() > base {
            return cx.commit_with_taken(base, between);
        }
        if cx.is_open() {
            return between();
        }
        if cx.intents.get() <= base {
            cx.commit_from(base);
            return between();
        }
        let pending = cx.make_final(base);
        between();
        if pending {
            cx.carry_out_all();
        }
    }
}

impl Drop for Op<'_> {
    #[cold]
    fn drop(&mut self) {
        match self.cx.took.get() > self.base {
            false => self.cx.undo_to(self.base),
            true => self.cx.undo_with_taken(self.base),
        }
    }
}
