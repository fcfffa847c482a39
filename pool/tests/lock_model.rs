//! The lock protocol under a model checker: the source is `src/protocol.rs` itself, with the checker's atomics in place of std's.
//!
//! Threads read and write one lock; some die at the n-th atomic operation they do, for every n; whoever waits for them buries them. At no time may a writer
//! share the lock with anybody, nobody may wait for ever (the checker reports deadlocks; live-lock would pass its step limit), and in the
//! end the lock is free.
#![allow(clippy::unwrap_used)] // a failure of the scene is a failure of the test

#[path = "../src/protocol.rs"]
#[allow(dead_code, unreachable_pub)]
mod protocol;

/// The checker's atomics; each operation is a place to die.
mod atomic {
    pub(crate) use shuttle::sync::atomic::Ordering;
    use std::cell::Cell;

    shuttle::thread_local! {
        /// Operations left to this thread; it dies instead of doing the next one.
        pub(crate) static LEFT: Cell<u64> = Cell::new(u64::MAX);
    }

    /// The payload of a death.
    pub(crate) struct Killed;

    fn step() {
        let left = LEFT.with(|l| l.get());
        if left == 0 {
            std::panic::resume_unwind(Box::new(Killed));
        }
        LEFT.with(|l| l.set(left.saturating_sub(1)));
    }

    #[derive(Debug, Default)]
    pub(crate) struct AtomicU64(shuttle::sync::atomic::AtomicU64);

    impl AtomicU64 {
        pub(crate) fn load(&self, o: Ordering) -> u64 {
            step();
            self.0.load(o)
        }
        pub(crate) fn store(&self, v: u64, o: Ordering) {
            step();
            self.0.store(v, o)
        }
        pub(crate) fn swap(&self, v: u64, o: Ordering) -> u64 {
            step();
            self.0.swap(v, o)
        }
        pub(crate) fn compare_exchange(&self, a: u64, b: u64, s: Ordering, f: Ordering) -> Result<u64, u64> {
            step();
            self.0.compare_exchange(a, b, s, f)
        }
    }
}

use atomic::{AtomicU64, Killed, LEFT, Ordering};
use protocol::{Refusal, World};
use std::cell::Cell;
use std::sync::Arc;

const SEATS: usize = 3;
const LOCK: u64 = 64;

#[derive(Default)]
struct Shared {
    word: AtomicU64,
    marks: [[AtomicU64; 2]; SEATS],
    held: [[AtomicU64; 2]; SEATS],
    dead: [shuttle::sync::atomic::AtomicBool; SEATS],
    /// Stands for the byte of a process record: who has it may bury.
    burying: shuttle::sync::Mutex<()>,
    /// Guarded by the lock: equal but while a writer is in.
    data: [AtomicU64; 2],
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
        if s.word.load(Ordering::SeqCst) & protocol::OWNER == seat as u64 + 1 {
            protocol::note_undone(&s.word, seat as u32);
            let old = s.data[0].load(Ordering::SeqCst);
            s.data[1].store(old, Ordering::SeqCst);
        }
        for h in &s.held[seat] {
            if h.load(Ordering::SeqCst) == LOCK {
                protocol::bury_word(self, &s.word, seat as u32);
            }
            h.store(0, Ordering::SeqCst);
        }
        s.marks[seat].iter().for_each(|m| protocol::bury_mark(self, m));
    }

    fn write(&self) -> Result<(), Refusal> {
        let s = &*self.shared;
        let written = protocol::write(self, &s.word, LOCK)?;
        let before = s.data[1].load(Ordering::SeqCst);
        assert_eq!(
            before,
            s.data[0].load(Ordering::SeqCst),
            "a writer is in already, or its undo is missing"
        );
        s.data[1].store(before + 1, Ordering::SeqCst);
        s.data[0].store(before + 1, Ordering::SeqCst);
        protocol::unlock_write(self, &s.word, written.held);
        Ok(())
    }

    fn read(&self) -> Result<(), Refusal> {
        let s = &*self.shared;
        let mark = protocol::read(self, &s.word, LOCK)?;
        let nested = protocol::read(self, &s.word, LOCK)?;
        assert_eq!(mark, nested, "one mark for one lock");
        let a = s.data[0].load(Ordering::SeqCst);
        protocol::unlock_read(self, mark);
        assert_eq!(a, s.data[1].load(Ordering::SeqCst), "a writer is in while a reader is");
        protocol::unlock_read(self, nested);
        Ok(())
    }
}

impl World for Seat {
    fn me(&self) -> u32 {
        self.me as u32
    }
    fn seats(&self) -> u32 {
        SEATS as u32
    }
    fn marks(&self, seat: u32) -> Option<&[AtomicU64]> {
        self.shared.marks.get(seat as usize).map(|m| &m[..])
    }
    fn held(&self) -> &[AtomicU64] {
        &self.shared.held[self.me]
    }
    fn nest(&self, mark: usize) -> &Cell<u32> {
        &self.nest[mark]
    }
    fn spin(&self) {
        shuttle::thread::yield_now();
    }
    fn sleep(&self, _: &AtomicU64, _: u64) {
        // Every sleep is bounded: to the model it is a pause of any length.
        shuttle::thread::yield_now();
    }
    fn wake(&self, _: &AtomicU64) {}
    fn ask(&self, seat: u32) {
        self.bury(seat as usize);
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
    let seat = Seat::new(&shared, me, patience);
    if let Err(e) = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| work(&seat))) {
        if !e.is::<Killed>() {
            std::panic::resume_unwind(e);
        }
        shared.dead[me].store(true, Ordering::SeqCst);
    }
    LEFT.with(|l| l.set(u64::MAX));
}

fn scene(victim: fn(&Seat), left: u64, others: [fn(&Seat); 2], patience: u32) {
    let shared = Arc::new(Shared::default());
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
    let last = Seat::new(&shared, 1, u32::MAX);
    last.bury(0);
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

const SCHEDULES: usize = 150;

#[test]
fn readers_and_writers_exclude_each_other() {
    shuttle::check_random(|| scene(reads, u64::MAX, [writes, reads], u32::MAX), 4 * SCHEDULES);
    shuttle::check_random(|| scene(writes, u64::MAX, [writes, reads], u32::MAX), 4 * SCHEDULES);
    shuttle::check_pct(|| scene(writes, u64::MAX, [writes, reads], u32::MAX), 4 * SCHEDULES, 3);
}

#[test]
fn a_reader_that_dies_at_any_operation_lets_the_others_go_on() {
    for left in 0..24 {
        shuttle::check_random(move || scene(reads, left, [writes, reads], u32::MAX), SCHEDULES);
    }
}

#[test]
fn a_writer_that_dies_at_any_operation_lets_the_others_go_on() {
    for left in 0..32 {
        shuttle::check_random(move || scene(writes, left, [writes, reads], u32::MAX), SCHEDULES);
    }
}

#[test]
fn a_writer_that_gives_up_leaves_readers_guarded() {
    for patience in 0..4 {
        shuttle::check_random(move || scene(reads, u64::MAX, [writes, writes], patience), SCHEDULES);
        // Long delays of one thread, as PCT makes them: a reader stays in while one writer gives up and the next comes.
        shuttle::check_pct(move || scene(reads, u64::MAX, [writes, writes], patience), 6 * SCHEDULES, 4);
        shuttle::check_random(move || scene(reads, 9, [reads, writes], patience), SCHEDULES);
    }
}
