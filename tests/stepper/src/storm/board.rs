//! Memory that the director, the watchers and all children share, and that is no pool: what a child noted there can be read after its death.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

/// Most processes at a time, threads in each, and keys of a thread.
pub const PROCESSES: usize = 32;
pub const THREADS: usize = 8;
pub const KEYS: usize = 32;
/// Locks that are known by a number: bits of a word.
pub const SITES: usize = 64;
/// Waits that a desk remembers until the director has read them.
const RING: usize = 256;

/// All of it. Zero at first.
#[repr(C)]
pub struct Board {
    /// Not 0: everybody should stop.
    pub stop: AtomicU64,
    /// Steps of the director, so that the watchdog sees it live.
    pub heart: AtomicU64,
    /// When each lock was granted last.
    pub granted: [AtomicU64; SITES],
    pub slots: [Slot; PROCESSES],
}

/// One place for a process: when it dies another one takes its place.
#[repr(C)]
pub struct Slot {
    /// How many children were started here; the number of the one that lives.
    pub child: AtomicU64,
    /// Its process id, 0: none.
    pub pid: AtomicU64,
    /// Moves to larger windows, of all children that ended in order.
    pub moved: AtomicU64,
    /// When the kernel dropped the locks of child i (modulo their number).
    pub freed: [AtomicU64; 16],
    pub desks: [Desk; THREADS],
}

/// One thread's notes.
#[repr(C)]
pub struct Desk {
    /// Operations that are over.
    pub done: AtomicU64,
    /// Bit i: the thread wants lock i, or has it.
    pub wants: AtomicU64,
    /// Bit i: it has been given lock i.
    pub has: AtomicU64,
    /// Key of the operation under way + 1, and when that began.
    pub key: AtomicU64,
    pub since: AtomicU64,
    /// The longest operation, in nanoseconds.
    pub longest: AtomicU64,
    /// For each key what it should be before and after the operation under way: equal when there is none.
    pub states: [[AtomicU64; 2]; KEYS],
    waits: AtomicU64,
    ring: [[AtomicU64; 5]; RING],
}

/// A thread waited for a lock: one whose holder had died, or it buried somebody meanwhile.
#[derive(Debug, Clone, Copy)]
pub struct Wait {
    pub site: usize,
    /// The lock was granted to it as that of a dead holder.
    pub recovered: bool,
    /// When the lock was granted to anybody before.
    pub before: u64,
    /// When this thread began to wait, and when it had the lock.
    pub since: u64,
    pub granted: u64,
    /// Nanoseconds that it was ready to run meanwhile, but did not.
    pub queued: u64,
}

impl Board {
    /// A new one, which children of a fork share.
    pub fn new() -> std::io::Result<&'static Board> {
        // SAFETY: a new mapping of zeros, never unmapped; all fields are atomics, for which zero is valid.
        unsafe {
            let at = libc::mmap(
                std::ptr::null_mut(),
                size_of::<Board>(),
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_ANONYMOUS,
                -1,
                0,
            );
            match at {
                libc::MAP_FAILED => Err(std::io::Error::last_os_error()),
                at => Ok(&*at.cast::<Board>()),
            }
        }
    }

    /// Grows as long as somebody gets on.
    pub fn progress(&self) -> u64 {
        let done = |s: &Slot| s.desks.iter().map(|d| d.done.load(SeqCst)).sum::<u64>();
        self.heart.load(SeqCst) + self.slots.iter().map(done).sum::<u64>()
    }

    pub fn beat(&self) {
        self.heart.fetch_add(1, SeqCst);
    }

    pub fn stopped(&self) -> bool {
        self.stop.load(SeqCst) != 0
    }
}

impl Desk {
    /// All keys are nowhere.
    pub fn reset(&self) {
        self.states.iter().flatten().for_each(|w| w.store(0, SeqCst));
        self.clear();
    }

    /// No operation is under way.
    pub fn clear(&self) {
        [&self.key, &self.wants, &self.has].into_iter().for_each(|w| w.store(0, SeqCst));
    }

    pub fn note(&self, w: &Wait) {
        let n = self.waits.load(SeqCst);
        let words = [(w.site as u64) << 1 | w.recovered as u64, w.before, w.since, w.granted, w.queued];
        self.ring[n as usize % RING].iter().zip(words).for_each(|(w, v)| w.store(v, SeqCst));
        self.waits.store(n + 1, SeqCst);
    }

    /// What was noted from `seen` on; how many there were in all.
    pub fn waits_since(&self, seen: u64, each: &mut impl FnMut(Wait)) -> u64 {
        let n = self.waits.load(SeqCst);
        for i in seen.max(n.saturating_sub(RING as u64))..n {
            let [what, before, since, granted, queued] =
                self.ring[i as usize % RING].each_ref().map(|w| w.load(SeqCst));
            let (site, recovered) = (what as usize >> 1, what & 1 != 0);
            each(Wait { site, recovered, before, since, granted, queued });
        }
        n
    }
}

/// Nanoseconds of the monotonic clock, the same in all processes.
pub fn now() -> u64 {
    let mut t = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: writes only to `t`.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut t) };
    t.tv_sec as u64 * 1_000_000_000 + t.tv_nsec as u64
}

/// Nanoseconds for which the calling thread has run.
pub fn run_time() -> u64 {
    let mut t = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: writes only to `t`.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut t) };
    t.tv_sec as u64 * 1_000_000_000 + t.tv_nsec as u64
}
