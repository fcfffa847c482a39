//! The lock protocol, step by step and without system calls, so that a model checker can run the very same source.
//!
//! # The lock word
//!
//! | bits | meaning | set by | cleared by |
//! |---|---|---|---|
//! | 0..16 | writer's seat + 1 | the writer, by CAS from 0 | the writer; its burier |
//! | 16 `UNDONE` | the last writer died and something was undone | its burier | the next writer, into its guard |
//! | 17 `RECOVERED` | the last writer died | its burier | the next writer, into its guard |
//! | 31 `WAIT` | somebody sleeps on the low half | who is about to sleep, by CAS | the writer's release; a burier |
//! | 32..64 | summary: bit i: a seat = i mod 32 has read since the last writer | readers, by CAS while there is no writer | the writer's release |
//!
//! # Why a reader and a writer never both get in
//!
//! A reader stores its mark, then loads the word; a writer stores the word, then loads the marks. Both stores are SeqCst read-modify-writes
//! and both loads SeqCst, so at least one sees the other. The reader that sees a writer takes its mark back; the writer that sees a mark waits for it.
//! The writer looks only at seats whose summary bit is set: a reader gets in only after setting it, in the same word that the writer takes by CAS.
//!
//! # Asymmetric locks
//!
//! There the reader's store is a plain one, which its processor may make visible after the load: x86-64 through its store buffer, AArch64 in
//! any order. The writer makes up for it: between its CAS and its look at the marks it has the kernel run a full barrier on every
//! processor that runs a process of the pool (`membarrier`). A reader is interrupted by that barrier either before its load of the word, which then sees
//! the writer, or after its store of the mark, which the writer then sees. A thread that does not run at that moment passes a full
//! barrier of the kernel when it is switched out and in. The first read of a seat after a writer still sets the summary bit by CAS, which is such a
//! barrier too; so a writer that finds the summary empty needs none. Nor does one that finds nobody on the seats of the summary but itself: to take
//! a seat is a barrier as well, so that who takes one of them later, and stores plainly because the bit stands already, sees the writer.
//!
//! # Lost wake-ups
//!
//! Releasing is a load and a store rather than a swap, which halves the cost of a lock. A waiter that announces itself exactly between the
//! two is not woken; it wakes by itself, as after the death of whoever should have woken it: no sleep is longer than 3 ms (1 ms where locks are
//! asymmetric).

use crate::atomic::{AtomicU64, Ordering, compiler_fence};
use crate::plant::commit_store;
use std::cell::Cell;

/// Bits of the writer's seat + 1.
pub const OWNER: u64 = 0xffff;
/// The last writer died and something was undone.
pub const UNDONE: u64 = 1 << 16;
/// The last writer died.
pub const RECOVERED: u64 = 1 << 17;
/// Somebody sleeps on the low half.
pub const WAIT: u64 = 1 << 31;
/// The half of the word that a release clears, and that waiters sleep on.
pub const LOW: u64 = 0xffff_ffff;

const SUMMARY_SHIFT: u32 = 32;
/// Turns before sleeping or giving up; few in tests, so that rare paths run often.
const SPINS: u32 = if cfg!(test) { 2 } else { 6 };

/// Everything the protocol needs to know and do besides the word itself.
pub trait World {
    /// Number of the calling thread's seat.
    fn me(&self) -> u32;
    /// Number of seats there are.
    fn seats(&self) -> u32;
    /// Read marks of a seat.
    fn marks(&self, seat: u32) -> Option<&[AtomicU64]>;
    /// Offsets of locks that this seat holds or wants for writing.
    fn held(&self) -> &[AtomicU64];
    /// Whether nothing of a former lock stands in the way of using that free place among the held locks.
    fn vacant(&self, _held: usize) -> bool {
        true
    }
    /// How many more times than once this thread has read-locked the lock of its mark.
    fn nest(&self, mark: usize) -> &Cell<u32>;
    /// Whether readers store their marks plainly, so that writers need [`barrier`](Self::barrier).
    fn asymmetric(&self) -> bool;
    /// Whether somebody may sit on a seat, by a SeqCst load of what is changed by a SeqCst read-modify-write when it is taken.
    fn taken(&self, seat: u32) -> bool;
    /// A full barrier on every processor that runs a process of the pool; false when the system refuses.
    fn barrier(&self) -> bool;
    /// Waits between two looks at a word, the longer the more turns went before: each look takes the line from who works with it, so that he
    /// who has a lock is the slower the more often it is looked at.
    fn spin(&self, turn: u32);
    /// Sleeps while the word's low half is that of `seen`, for a bounded time.
    fn sleep(&self, word: &AtomicU64, seen: u64);
    /// Wakes all who sleep on the word.
    fn wake(&self, word: &AtomicU64);
    /// Buries the process of `seat` if it is dead.
    fn ask(&self, seat: u32);
    /// Whether the caller's patience is at its end.
    fn expired(&self) -> bool;
}

/// Why a lock was not had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// This thread holds it in a way that would make it wait for itself.
    Deadlock,
    /// No free mark, or no free place among the held locks.
    Full,
    /// Patience ended while this seat held the lock.
    Expired(u32),
    /// The marks of this seat, which may read the lock, cannot be looked at from here.
    Unseen(u32),
    /// The system refused the barrier that asymmetric locks need.
    NoBarrier,
}

/// What giving a read lock back has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// This thread reads the lock still.
    Nested,
    /// The mark is free.
    Free,
    /// The mark is free, and who waits for it is to be woken.
    Awaited,
}

/// The bit of a seat in a lock word's summary.
#[inline(always)]
pub const fn summary_bit(seat: u32) -> u64 {
    1 << (SUMMARY_SHIFT + seat % 32)
}

/// One attempt to read, without waiting, through a free mark. If it fails the mark is set all the same, and is to be taken back.
///
/// The owner's bits of `summary` may be anything: they are looked at where there is no owner.
#[inline(always)]
pub fn read_at_once(mark: &AtomicU64, word: &AtomicU64, offset: u64, summary: u64, asymmetric: bool) -> bool {
    set_mark(mark, offset, asymmetric);
    let w = word.load(Ordering::SeqCst);
    w & OWNER == 0 && (w & summary != 0 || enter(word, summary & !OWNER).is_ok())
}

/// Sets a seat's bit of the summary unless there is a writer; the word with the writer if there is one.
#[cold]
#[inline(never)]
fn enter(word: &AtomicU64, bit: u64) -> Result<(), u64> {
    let mut w = word.load(Ordering::SeqCst);
    while w & OWNER == 0 {
        if w & bit != 0 {
            return Ok(());
        }
        // Dead before: the mark alone is to be taken back. After: the bit makes the next writer look, no more.
        match word.compare_exchange(w, w | bit, Ordering::SeqCst, Ordering::SeqCst) {
            Ok(_) => return Ok(()),
            Err(now) => w = now,
        }
    }
    Err(w)
}

/// Dead before: nothing. After: the burier takes the mark back.
#[inline(always)]
fn set_mark(mark: &AtomicU64, offset: u64, asymmetric: bool) {
    mark.store(offset, Ordering::Relaxed);
    // Compiler order is all that an asymmetric lock needs here: the writer does the rest (see the module).
    compiler_fence(Ordering::SeqCst);
    if !asymmetric {
        // Once more: so neither kind of lock has more than one short jump here, and code that is laid out so does not depend on where it stands.
        mark.swap(offset, Ordering::SeqCst);
    }
    commit_store("read-mark");
}

/// One attempt to write, without waiting, through a free place, of a lock that nobody has or has read since the last writer.
#[inline(always)]
pub fn write_at_once(place: &AtomicU64, word: &AtomicU64, offset: u64, own: u64) -> bool {
    // Before the word, as in `write`.
    place.store(offset, Ordering::Release);
    // Dead before: not ours. After: the burier finds it by `held` and frees it.
    let taken = word.compare_exchange(0, own, Ordering::SeqCst, Ordering::Relaxed).is_ok();
    match taken {
        true => commit_store("lock-taken"),
        false => place.store(0, Ordering::Release),
    }
    taken
}

/// A write lock that was had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// Place among the held locks.
    pub held: usize,
    /// `UNDONE` and `RECOVERED` as they stood in the word.
    pub flags: u64,
}

/// Takes a read lock; returns the mark. Nested read locks of one thread share a mark.
#[inline]
pub fn read(world: &impl World, word: &AtomicU64, offset: u64) -> Result<usize, Refusal> {
    let me = world.me();
    let Some(marks) = world.marks(me) else { return Err(Refusal::Full) };
    let mut free = None;
    for (k, m) in marks.iter().enumerate() {
        let m = m.load(Ordering::Relaxed) & !1;
        if m == offset {
            // A second mark, set now, may be one that a waiting writer has looked at already: it would get in when the first is taken back.
            world.nest(k).set(world.nest(k).get() + 1);
            return Ok(k);
        }
        if m == 0 && free.is_none() {
            free = Some(k);
        }
    }
    let k = free.ok_or(Refusal::Full)?;
    let bit = summary_bit(me);
    loop {
        set_mark(&marks[k], offset, world.asymmetric());
        let Err(seen) = enter(word, bit) else {
            world.nest(k).set(0);
            return Ok(k);
        };
        if take_mark_back(&marks[k]) {
            world.wake(&marks[k]);
        }
        wait_for_writer(world, word, seen)?;
    }
}

/// Gives a read lock back. The lock itself is not touched: its memory may be gone.
#[inline(always)]
pub fn unlock_read(nest: &Cell<u32>, mark: &AtomicU64) -> Left {
    match nest.get() {
        0 if take_mark_back(mark) => Left::Awaited,
        0 => Left::Free,
        n => {
            nest.set(n - 1);
            Left::Nested
        }
    }
}

/// True if a writer waits for the mark, who is to be woken.
#[inline(always)]
pub fn take_mark_back(mark: &AtomicU64) -> bool {
    let waited_for = mark.load(Ordering::Relaxed) & 1 != 0;
    // Release: what was read under the lock was read before a writer sees the mark gone.
    mark.store(0, Ordering::Release);
    waited_for
}

#[cold]
fn wait_for_writer(world: &impl World, word: &AtomicU64, seen: u64) -> Result<(), Refusal> {
    let owner = (seen & OWNER) as u32 - 1;
    if owner == world.me() {
        return Err(Refusal::Deadlock);
    }
    for turn in 0..SPINS {
        world.spin(turn);
        if word.load(Ordering::Relaxed) & OWNER != seen & OWNER {
            return Ok(());
        }
    }
    // Before sleeping, for nobody would wake us: who dies while we sleep is asked after when we have woken by ourselves.
    world.ask(owner);
    if word.load(Ordering::Relaxed) & OWNER != seen & OWNER {
        return Ok(());
    }
    if world.expired() {
        return Err(Refusal::Expired(owner));
    }
    let mut seen = seen;
    if seen & WAIT == 0 {
        if word.compare_exchange(seen, seen | WAIT, Ordering::SeqCst, Ordering::Relaxed).is_err() {
            return Ok(());
        }
        seen |= WAIT;
    }
    world.sleep(word, seen);
    Ok(())
}

/// Takes a write lock.
#[inline]
pub fn write(world: &impl World, word: &AtomicU64, offset: u64) -> Result<Written, Refusal> {
    let me = world.me();
    let own = me as u64 + 1;
    let Some(marks) = world.marks(me) else { return Err(Refusal::Full) };
    if marks.iter().any(|m| m.load(Ordering::Relaxed) & !1 == offset) {
        return Err(Refusal::Deadlock);
    }
    let places = world.held();
    let held = (0..places.len())
        .find(|h| places[*h].load(Ordering::Relaxed) == 0 && world.vacant(*h))
        .ok_or(Refusal::Full)?;
    // Before the word: whoever buries us finds every lock that may name us. The CAS below keeps the order.
    places[held].store(offset, Ordering::Release);
    let taken = loop {
        let w = word.load(Ordering::Relaxed);
        if w & OWNER == 0 {
            let mine = w & !(UNDONE | RECOVERED) | own;
            // Dead before: not ours. After: the burier finds it by `held` and frees it.
            if word.compare_exchange(w, mine, Ordering::SeqCst, Ordering::Relaxed).is_ok() {
                commit_store("lock-taken");
                break w;
            }
        } else if let Err(refusal) = wait_for_writer(world, word, w) {
            places[held].store(0, Ordering::Release);
            return Err(refusal);
        }
    };
    let written = Written { held, flags: taken & (UNDONE | RECOVERED) };
    let summary = (taken >> SUMMARY_SHIFT) as u32;
    if summary != 0
        && let Err(refusal) = wait_for_readers(world, offset, summary)
    {
        give_up(world, word, written);
        return Err(refusal);
    }
    Ok(written)
}

/// The bits that are set.
fn bits(mut of: u32) -> impl Iterator<Item = u32> {
    std::iter::from_fn(move || {
        let bit = of.trailing_zeros();
        of &= of.wrapping_sub(1);
        (bit < 32).then_some(bit)
    })
}

/// Waits until no seat of the summary marks the lock.
#[cold]
fn wait_for_readers(world: &impl World, offset: u64, summary: u32) -> Result<(), Refusal> {
    let (me, seats) = (world.me(), world.seats());
    let others = || bits(summary).flat_map(|bit| (bit..seats).step_by(32)).filter(|s| *s != me);
    if world.asymmetric() {
        // Who takes a seat after this look finds us in the word, since to take it is a barrier; who has left read nothing any more.
        if !others().any(|s| world.taken(s)) {
            return Ok(());
        }
        if !world.barrier() {
            return Err(Refusal::NoBarrier);
        }
    }
    for seat in others() {
        // To pass over it would let a writer in beside a reader.
        for mark in world.marks(seat).ok_or(Refusal::Unseen(seat))? {
            let mut turns = 0;
            loop {
                let m = mark.load(Ordering::SeqCst);
                if m & !1 != offset {
                    break;
                }
                if turns < SPINS {
                    world.spin(turns);
                    turns += 1;
                    continue;
                }
                world.ask(seat); // as in `wait_for_writer`
                let m = mark.load(Ordering::SeqCst);
                if m & !1 != offset {
                    break;
                }
                if world.expired() {
                    return Err(Refusal::Expired(seat));
                }
                if m & 1 != 0 || mark.compare_exchange(m, m | 1, Ordering::SeqCst, Ordering::Relaxed).is_ok()
                {
                    world.sleep(mark, m | 1);
                }
            }
        }
    }
    Ok(())
}

/// Frees the word without having had the lock: the summary stays, since readers may still be in, and the flags, since nobody has seen them.
#[cold]
pub fn give_up(world: &impl World, word: &AtomicU64, written: Written) {
    let mut w = word.load(Ordering::Relaxed);
    while let Err(now) =
        word.compare_exchange(w, w & !LOW | written.flags, Ordering::SeqCst, Ordering::Relaxed)
    {
        w = now;
    }
    if w & WAIT != 0 {
        world.wake(word);
    }
    world.held()[written.held].store(0, Ordering::Release);
}

/// Gives a write lock back; true if somebody waits for it, who is to be woken.
#[inline(always)]
pub fn unlock_write(word: &AtomicU64, place: &AtomicU64) -> bool {
    let waited_for = word.load(Ordering::Relaxed) & WAIT != 0;
    // Release: all that was written under the lock, and its log's commit, are seen by the next owner.
    // Dead before: the burier frees the word. After: it is free, and `held` names a lock that does not name us.
    word.store(0, Ordering::Release);
    commit_store("lock-given-back");
    place.store(0, Ordering::Release);
    waited_for
}

/// Frees a word that names the dead seat `dead`; the summary stays. Repeatable.
pub fn bury_word(world: &impl World, word: &AtomicU64, dead: u32) {
    let mut w = word.load(Ordering::SeqCst);
    while w & OWNER == dead as u64 + 1 {
        let freed = w & !LOW | w & UNDONE | RECOVERED;
        match word.compare_exchange(w, freed, Ordering::SeqCst, Ordering::SeqCst) {
            Ok(_) => {
                commit_store("lock-buried");
                return if w & WAIT != 0 {
                    world.wake(word)
                };
            }
            Err(now) => w = now,
        }
    }
}

/// Frees a word that names `seat`, for who has the lock and all around it exclusively: nobody else looks at it.
pub fn retire_word(word: &AtomicU64, seat: u32) {
    let w = word.load(Ordering::SeqCst);
    if w & OWNER == seat as u64 + 1 {
        // Refused: the burier of that seat was faster.
        let _ = word.compare_exchange(w, 0, Ordering::SeqCst, Ordering::SeqCst);
    }
}

/// Whether a word names the seat, or was freed by a burier.
pub fn was_held_by(word: &AtomicU64, seat: u32) -> bool {
    let w = word.load(Ordering::SeqCst);
    w & OWNER == seat as u64 + 1 || w & (OWNER | RECOVERED) == RECOVERED
}

/// Notes in a word that names the dead seat that its operation is undone. Repeatable.
pub fn note_undone(word: &AtomicU64, dead: u32) {
    let mut w = word.load(Ordering::SeqCst);
    while w & OWNER == dead as u64 + 1 && w & UNDONE == 0 {
        match word.compare_exchange(w, w | UNDONE, Ordering::SeqCst, Ordering::SeqCst) {
            Ok(_) => return,
            Err(now) => w = now,
        }
    }
}

/// Takes a dead seat's mark back. Repeatable.
pub fn bury_mark(world: &impl World, mark: &AtomicU64) {
    if mark.swap(0, Ordering::SeqCst) & 1 != 0 {
        world.wake(mark);
    }
}
