//! The lock protocol under a model checker: the source is `src/protocol.rs` itself, with atomics in place of std's whose stores become visible late.
//!
//! Threads read and write one lock; some die at the n-th atomic operation they do, for every n; whoever waits for them buries them. At no time may a writer
//! share the lock with anybody, nobody may wait for ever (the checker reports deadlocks; live-lock would pass its step limit), and in the
//! end the lock is free.
#![allow(clippy::unwrap_used)] // a failure of the scene is a failure of the test

#[path = "../src/plant.rs"]
#[allow(dead_code, unreachable_pub)]
mod plant;
#[path = "../src/protocol.rs"]
#[allow(dead_code, unreachable_pub)]
mod protocol;

/// Memory as x86-64 has it; each operation is a place to be interrupted, and one to die.
///
/// What a thread stores waits in a buffer of its own, in order, until some moment the checker chooses; only the thread itself sees it before. A
/// read-modify-write, or a SeqCst store, empties the buffer first. So does the kernel's barrier, for all threads, and the end of a process.
mod atomic {
    use shuttle::rand::Rng;
    pub(crate) use shuttle::sync::atomic::Ordering;
    use std::cell::{Cell, RefCell};
    use std::collections::VecDeque;
    use std::sync::Arc;
    use std::sync::atomic::AtomicU64 as Plain;

    shuttle::thread_local! {
        /// Operations left to this thread; it dies instead of doing the next one.
        pub(crate) static LEFT: Cell<u64> = Cell::new(u64::MAX);
        /// Its buffer.
        pub(crate) static ME: Cell<usize> = Cell::new(0);
    }

    type Buffer = VecDeque<(Arc<Plain>, u64)>;

    std::thread_local! {
        // All threads of a model run in turns on one real thread.
        static BUFFERS: RefCell<[Buffer; 4]> = const { RefCell::new([const { VecDeque::new() }; 4]) };
    }

    /// The payload of a death.
    pub(crate) struct Killed;

    /// Order of the compiler: the model runs operations as they are written.
    pub(crate) fn compiler_fence(_: Ordering) {}

    /// Makes what `who` has stored visible.
    pub(crate) fn drain(who: usize) {
        BUFFERS.with_borrow_mut(|b| b[who].drain(..).for_each(|(at, v)| at.store(v, Ordering::SeqCst)));
    }

    pub(crate) fn drain_all() {
        (0..4).for_each(drain);
    }

    #[derive(Debug, Default)]
    pub(crate) struct AtomicU64 {
        /// Where the checker may switch to another thread.
        point: shuttle::sync::atomic::AtomicU64,
        value: Arc<Plain>,
    }

    impl AtomicU64 {
        fn step(&self) {
            let left = LEFT.with(|l| l.get());
            if left == 0 {
                std::panic::resume_unwind(Box::new(Killed));
            }
            LEFT.with(|l| l.set(left.saturating_sub(1)));
            self.point.load(Ordering::SeqCst);
            let mut random = shuttle::rand::thread_rng();
            BUFFERS.with_borrow_mut(|b| {
                for buffer in b {
                    while !buffer.is_empty() && random.gen_bool(0.1) {
                        let (at, v) = buffer.pop_front().unwrap();
                        at.store(v, Ordering::SeqCst);
                    }
                }
            });
        }

        pub(crate) fn load(&self, _: Ordering) -> u64 {
            self.step();
            let own = BUFFERS.with_borrow(|b| {
                let mut newest_first = b[ME.with(|m| m.get())].iter().rev();
                newest_first.find(|(at, _)| Arc::ptr_eq(at, &self.value)).map(|(_, v)| *v)
            });
            own.unwrap_or_else(|| self.value.load(Ordering::SeqCst))
        }
        pub(crate) fn store(&self, v: u64, o: Ordering) {
            self.step();
            let me = ME.with(|m| m.get());
            BUFFERS.with_borrow_mut(|b| b[me].push_back((self.value.clone(), v)));
            if o == Ordering::SeqCst {
                drain(me);
            }
        }
        pub(crate) fn swap(&self, v: u64, o: Ordering) -> u64 {
            self.step();
            drain(ME.with(|m| m.get()));
            self.value.swap(v, o)
        }
        pub(crate) fn compare_exchange(&self, a: u64, b: u64, s: Ordering, f: Ordering) -> Result<u64, u64> {
            self.step();
            drain(ME.with(|m| m.get()));
            self.value.compare_exchange(a, b, s, f)
        }
    }
}

use atomic::{AtomicU64, Killed, LEFT, ME, Ordering};
use protocol::{Refusal, World};
use std::cell::Cell;
use std::sync::Arc;

const SEATS: usize = 3;
const LOCK: u64 = 64;
const OTHER: u64 = 128;

#[derive(Default)]
struct Shared {
    word: AtomicU64,
    marks: [[AtomicU64; 2]; SEATS],
    held: [[AtomicU64; 2]; SEATS],
    /// Not 0: somebody sits there.
    taken: [AtomicU64; SEATS],
    dead: [shuttle::sync::atomic::AtomicBool; SEATS],
    /// Stands for the byte of a process record: who has it may bury.
    burying: shuttle::sync::Mutex<()>,
    /// Guarded by the lock: equal but while a writer is in.
    data: [AtomicU64; 2],
    mode: Mode,
}

#[derive(Clone, Copy, Default, PartialEq)]
enum Mode {
    #[default]
    Symmetric,
    Asymmetric,
    /// The same where all seats share one bit of the summary.
    Crowded,
    /// To see that the model would notice.
    WithoutBarrier,
}

const MODES: [Mode; 3] = [Mode::Symmetric, Mode::Asymmetric, Mode::Crowded];

impl Shared {
    /// How far the seats' numbers are apart.
    fn step(&self) -> usize {
        if self.mode == Mode::Crowded { 32 } else { 1 }
    }

    fn number(&self, seat: usize) -> u32 {
        (seat * self.step()) as u32
    }

    /// The seat of a number.
    fn seat(&self, number: u32) -> Option<usize> {
        let (number, step) = (number as usize, self.step());
        (number % step == 0 && number / step < SEATS).then_some(number / step)
    }
}

struct Seat {
    shared: Arc<Shared>,
    me: usize,
    nest: [Cell<u32>; 2],
    patience: Cell<u32>,
}

impl Seat {
    fn new(shared: &Arc<Shared>, me: usize, patience: u32) -> Seat {
        Seat { shared: shared.clone(), me, nest: Default::default(), patience: Cell::new(patience) }
    }

    fn bury(&self, seat: usize) {
        let s = &*self.shared;
        if !s.dead[seat].load(Ordering::SeqCst) {
            return;
        }
        let _byte = s.burying.lock().unwrap();
        let number = s.number(seat);
        if s.word.load(Ordering::SeqCst) & protocol::OWNER == number as u64 + 1 {
            protocol::note_undone(&s.word, number);
            let old = s.data[0].load(Ordering::SeqCst);
            s.data[1].store(old, Ordering::SeqCst);
        }
        for h in &s.held[seat] {
            if h.load(Ordering::SeqCst) == LOCK {
                protocol::bury_word(self, &s.word, number);
            }
            h.store(0, Ordering::SeqCst);
        }
        s.marks[seat].iter().for_each(|m| protocol::bury_mark(self, m));
        s.taken[seat].store(0, Ordering::SeqCst);
    }

    fn sit_down(&self) {
        self.shared.taken[self.me].compare_exchange(0, 1, Ordering::SeqCst, Ordering::SeqCst).unwrap();
    }

    fn rise(&self) {
        self.shared.taken[self.me].store(0, Ordering::SeqCst);
    }

    /// As `RawLock` does it: at once, or else in general.
    fn lock_to_write(&self) -> Result<usize, Refusal> {
        let s = &*self.shared;
        let held = &s.held[self.me][0];
        if held.load(Ordering::Relaxed) == 0 && protocol::write_at_once(held, &s.word, LOCK, self.own()) {
            return Ok(0);
        }
        protocol::write(self, &s.word, LOCK).map(|w| w.held)
    }

    fn own(&self) -> u64 {
        self.me() as u64 + 1
    }

    fn lock_to_read(&self) -> Result<usize, Refusal> {
        let s = &*self.shared;
        let mark = &s.marks[self.me][0];
        if mark.load(Ordering::Relaxed) == 0 {
            if protocol::read_at_once(mark, &s.word, LOCK, self.summary(), self.asymmetric()) {
                return Ok(0);
            }
            protocol::take_mark_back(mark);
        }
        protocol::read(self, &s.word, LOCK)
    }

    fn summary(&self) -> u64 {
        protocol::summary_bit(self.me())
    }

    fn write(&self) -> Result<(), Refusal> {
        let s = &*self.shared;
        let held = self.lock_to_write()?;
        let before = s.data[1].load(Ordering::Relaxed);
        assert_eq!(
            before,
            s.data[0].load(Ordering::Relaxed),
            "a writer is in already, or its undo is missing"
        );
        s.data[1].store(before + 1, Ordering::Relaxed);
        s.data[0].store(before + 1, Ordering::Relaxed);
        protocol::unlock_write(&s.word, &s.held[self.me][held]);
        Ok(())
    }

    fn read(&self) -> Result<(), Refusal> {
        let s = &*self.shared;
        let mark = self.lock_to_read()?;
        let nested = protocol::read(self, &s.word, LOCK)?;
        assert_eq!(mark, nested, "one mark for one lock");
        let a = s.data[0].load(Ordering::Relaxed);
        protocol::unlock_read(&self.nest[mark], &s.marks[self.me][mark]);
        assert_eq!(a, s.data[1].load(Ordering::Relaxed), "a writer is in while a reader is");
        protocol::unlock_read(&self.nest[mark], &s.marks[self.me][mark]);
        Ok(())
    }
}

impl Seat {
    /// Reads by both marks, as who has let another lock go that took the first: each guards on its own while there is no writer.
    fn read_by_two_marks(&self) -> Result<(), Refusal> {
        let s = &*self.shared;
        let marks = &s.marks[self.me];
        marks[0].store(OTHER, Ordering::Relaxed);
        let first = protocol::read(self, &s.word, LOCK);
        protocol::take_mark_back(&marks[0]);
        let first = first?;
        assert_eq!(first, 1, "the mark of another lock was used");
        let second = self.lock_to_read()?;
        let a = s.data[0].load(Ordering::Relaxed);
        assert!(
            !protocol::write_at_once(&s.held[self.me][0], &s.word, LOCK, self.own()),
            "a writer beside its own mark"
        );
        protocol::unlock_read(&self.nest[first], &marks[first]);
        assert_eq!(a, s.data[1].load(Ordering::Relaxed), "a writer is in while a reader is");
        protocol::unlock_read(&self.nest[second], &marks[second]);
        Ok(())
    }
}

impl World for Seat {
    fn me(&self) -> u32 {
        self.shared.number(self.me)
    }
    fn seats(&self) -> u32 {
        self.shared.number(SEATS)
    }
    fn marks(&self, seat: u32) -> Option<&[AtomicU64]> {
        static NONE: [AtomicU64; 0] = [];
        Some(self.shared.seat(seat).map_or(&NONE, |seat| &self.shared.marks[seat]))
    }
    fn taken(&self, seat: u32) -> bool {
        self.shared.seat(seat).is_some_and(|seat| self.shared.taken[seat].load(Ordering::SeqCst) != 0)
    }
    fn held(&self) -> &[AtomicU64] {
        &self.shared.held[self.me]
    }
    fn nest(&self, mark: usize) -> &Cell<u32> {
        &self.nest[mark]
    }
    fn asymmetric(&self) -> bool {
        self.shared.mode != Mode::Symmetric
    }
    fn barrier(&self) -> bool {
        if self.shared.mode != Mode::WithoutBarrier {
            atomic::drain_all();
        }
        true
    }
    fn spin(&self, _: u32) {
        shuttle::thread::yield_now();
    }
    fn sleep(&self, _: &AtomicU64, _: u64) {
        // Every sleep is bounded: to the model it is a pause of any length.
        shuttle::thread::yield_now();
    }
    fn wake(&self, _: &AtomicU64) {}
    fn ask(&self, seat: u32) {
        self.bury(self.shared.seat(seat).unwrap());
    }
    fn expired(&self) -> bool {
        match self.patience.get() {
            u32::MAX => false,
            0 => true,
            n => {
                self.patience.set(n - 1);
                false
            }
        }
    }
}

/// Runs `work` on a seat until it ends or, after `left` operations, dies.
fn live(shared: Arc<Shared>, me: usize, left: u64, patience: u32, work: fn(&Seat)) {
    LEFT.with(|l| l.set(left));
    ME.with(|m| m.set(me));
    let seat = Seat::new(&shared, me, patience);
    let life = || {
        seat.sit_down();
        work(&seat);
        seat.rise();
    };
    if let Err(e) = std::panic::catch_unwind(std::panic::AssertUnwindSafe(life)) {
        if !e.is::<Killed>() {
            std::panic::resume_unwind(e);
        }
        atomic::drain(me); // the kernel tells of a death after all stores
        shared.dead[me].store(true, Ordering::SeqCst);
    }
    atomic::drain(me);
    LEFT.with(|l| l.set(u64::MAX));
}

fn scene(mode: Mode, victim: fn(&Seat), left: u64, others: [fn(&Seat); 2], patience: u32) {
    atomic::drain_all();
    let shared = Arc::new(Shared { mode, ..Shared::default() });
    let works = [(victim, left, u32::MAX), (others[0], u64::MAX, u32::MAX), (others[1], u64::MAX, patience)];
    let threads: Vec<_> = (0..SEATS)
        .map(|i| {
            let (shared, (work, left, patience)) = (shared.clone(), works[i]);
            shuttle::thread::spawn(move || live(shared, i, left, patience, work))
        })
        .collect();
    for t in threads {
        t.join().unwrap();
    }
    ME.with(|m| m.set(SEATS));
    let last = Seat::new(&shared, 1, u32::MAX);
    last.bury(0);
    last.sit_down();
    last.write().unwrap();
    assert_eq!(shared.word.load(Ordering::SeqCst) & protocol::LOW, 0, "the lock is free in the end");
}

fn writes(s: &Seat) {
    for _ in 0..2 {
        match s.write() {
            Ok(()) | Err(Refusal::Expired(_)) => {}
            Err(e) => panic!("{e:?}"),
        }
    }
}

fn reads(s: &Seat) {
    for _ in 0..2 {
        match s.read() {
            Ok(()) | Err(Refusal::Expired(_)) => {}
            Err(e) => panic!("{e:?}"),
        }
    }
}

fn reads_by_two_marks(s: &Seat) {
    for _ in 0..2 {
        match s.read_by_two_marks() {
            Ok(()) | Err(Refusal::Expired(_)) => {}
            Err(e) => panic!("{e:?}"),
        }
    }
}

const SCHEDULES: usize = 100;

#[test]
fn readers_and_writers_exclude_each_other() {
    for mode in MODES {
        shuttle::check_random(move || scene(mode, reads, u64::MAX, [writes, reads], u32::MAX), 4 * SCHEDULES);
        shuttle::check_random(
            move || scene(mode, writes, u64::MAX, [writes, reads], u32::MAX),
            4 * SCHEDULES,
        );
        shuttle::check_pct(
            move || scene(mode, writes, u64::MAX, [writes, reads], u32::MAX),
            4 * SCHEDULES,
            3,
        );
    }
}

#[test]
fn two_marks_of_one_thread_guard_one_lock() {
    for mode in MODES {
        shuttle::check_random(
            move || scene(mode, reads_by_two_marks, u64::MAX, [writes, reads], u32::MAX),
            4 * SCHEDULES,
        );
        shuttle::check_pct(
            move || scene(mode, reads_by_two_marks, u64::MAX, [writes, writes], u32::MAX),
            4 * SCHEDULES,
            4,
        );
    }
}

#[test]
#[should_panic(expected = "is in")]
fn the_model_notices_an_asymmetric_writer_without_its_barrier() {
    let mode = Mode::WithoutBarrier;
    shuttle::check_random(move || scene(mode, reads, u64::MAX, [writes, reads], u32::MAX), 400 * SCHEDULES);
}

#[test]
fn a_reader_that_dies_at_any_operation_lets_the_others_go_on() {
    for (mode, left) in MODES.into_iter().flat_map(|m| (0..28).map(move |l| (m, l))) {
        shuttle::check_random(move || scene(mode, reads, left, [writes, reads], u32::MAX), SCHEDULES);
    }
}

#[test]
fn a_writer_that_dies_at_any_operation_lets_the_others_go_on() {
    for (mode, left) in MODES.into_iter().flat_map(|m| (0..38).map(move |l| (m, l))) {
        shuttle::check_random(move || scene(mode, writes, left, [writes, reads], u32::MAX), SCHEDULES);
    }
}

#[test]
fn a_writer_that_gives_up_leaves_readers_guarded() {
    for (mode, patience) in MODES.into_iter().flat_map(|m| (0..4).map(move |p| (m, p))) {
        shuttle::check_random(move || scene(mode, reads, u64::MAX, [writes, writes], patience), SCHEDULES);
        // Long delays of one thread, as PCT makes them: a reader stays in while one writer gives up and the next comes.
        shuttle::check_pct(
            move || scene(mode, reads, u64::MAX, [writes, writes], patience),
            6 * SCHEDULES,
            4,
        );
        shuttle::check_random(move || scene(mode, reads, 9, [reads, writes], patience), SCHEDULES);
    }
}
