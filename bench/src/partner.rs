//! A second process, on the second processor, that does its part of a job when it is told to.

use crate::Result;
use crate::machine;
use crate::measure::processor_time;
use std::fs::File;
use std::hint::spin_loop;
use std::io::{self, Read, Write};
use std::os::fd::FromRawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// In memory of both.
struct Board {
    /// How many have come to the start of this turn.
    arrived: AtomicU32,
    /// Whether the partner is done with this turn.
    done: AtomicU32,
}

/// One turn, seen by either side.
pub struct Turn<'a>(&'a Board);

impl Turn<'_> {
    /// Waits for the other, so that both begin at the same moment.
    fn start(&self) {
        self.0.arrived.fetch_add(1, Ordering::SeqCst);
        while self.0.arrived.load(Ordering::SeqCst) < 2 {
            spin_loop();
        }
    }

    /// Whether the partner has finished its part.
    pub fn partner_is_done(&self) -> bool {
        self.0.done.load(Ordering::Acquire) != 0
    }
}

/// A forked process. Ended and reaped when dropped; the kernel ends it if this process dies.
pub struct Partner {
    pid: libc::pid_t,
    orders: File,
    answers: File,
    board: &'static Board,
}

impl Partner {
    /// Forks a process that does `job` once for each turn; the job's number is handed to whoever began the turn.
    pub fn fork(cpu: usize, mut job: impl FnMut() -> Result<f64>) -> Result<Partner> {
        let board = shared_board()?;
        let (mut orders, to_child) = pipe()?;
        let (from_child, mut answers) = pipe()?;
        // SAFETY: this process has one thread, so that the child may do whatever it could.
        match unsafe { libc::fork() } {
            -1 => Err(io::Error::last_os_error().into()),
            0 => {
                // SAFETY: has the kernel kill this process when its parent ends.
                unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
                let served = catch_unwind(AssertUnwindSafe(|| {
                    machine::pin(cpu)?;
                    serve(&mut orders, &mut answers, board, &mut job)
                }));
                if let Ok(Err(e)) = &served {
                    eprintln!("second process: {e}");
                }
                // SAFETY: ends the process at once: the parent's destructors must not run here too.
                unsafe { libc::_exit(!matches!(served, Ok(Ok(()))) as i32) }
            }
            pid => Ok(Partner { pid, orders: to_child, answers: from_child, board }),
        }
    }

    /// One turn: the partner's job and `mine` begin together. Returns both numbers.
    pub fn together(&mut self, mine: impl FnOnce(&Turn<'_>) -> Result<f64>) -> Result<(f64, f64)> {
        self.board.arrived.store(0, Ordering::SeqCst);
        self.board.done.store(0, Ordering::SeqCst);
        self.orders.write_all(&[1])?;
        let turn = Turn(self.board);
        turn.start();
        let mine = mine(&turn)?;
        Ok((mine, self.answer()?))
    }

    /// The partner's job alone.
    pub fn alone(&mut self) -> Result<f64> {
        Ok(self.together(|_| Ok(0.0))?.1)
    }

    fn answer(&mut self) -> Result<f64> {
        let mut bytes = [0; 8];
        self.answers.read_exact(&mut bytes).map_err(|e| format!("the second process ended: {e}"))?;
        Ok(f64::from_le_bytes(bytes))
    }
}

impl Drop for Partner {
    fn drop(&mut self) {
        // A partner that has ended already is only reaped.
        let _ = self.orders.write_all(&[0]);
        // SAFETY: waits for a child that was not reaped yet.
        unsafe { libc::waitpid(self.pid, std::ptr::null_mut(), 0) };
    }
}

/// The same as a thread of this process. Ended when dropped.
pub struct Mate {
    orders: Option<Sender<()>>,
    answers: Receiver<f64>,
    board: Arc<Board>,
    thread: Option<JoinHandle<()>>,
}

impl Mate {
    /// Starts a thread that makes its job, and does it once for each turn.
    pub fn spawn<J: FnMut() -> f64>(cpu: usize, make: impl FnOnce() -> J + Send + 'static) -> Mate {
        let board = Arc::new(Board { arrived: AtomicU32::new(0), done: AtomicU32::new(0) });
        let (orders, ordered) = channel();
        let (answer, answers) = channel();
        let own = board.clone();
        let thread = thread::spawn(move || {
            let pinned = machine::pin(cpu);
            let mut job = make();
            while pinned.is_ok() && ordered.recv().is_ok() {
                Turn(&own).start();
                if answer.send(job()).is_err() {
                    break;
                }
            }
        });
        Mate { orders: Some(orders), answers, board, thread: Some(thread) }
    }

    /// One turn: see [`Partner::together`].
    pub fn together(&mut self, mine: impl FnOnce() -> Result<f64>) -> Result<(f64, f64)> {
        self.board.arrived.store(0, Ordering::SeqCst);
        self.orders.as_ref().ok_or("no thread")?.send(())?;
        Turn(&self.board).start();
        let mine = mine()?;
        Ok((mine, self.answers.recv()?))
    }
}

impl Drop for Mate {
    fn drop(&mut self) {
        self.orders = None;
        self.thread.take().map(JoinHandle::join);
    }
}

/// Does `job` in a child process, and waits for its end.
pub fn in_child(cpu: usize, job: impl FnOnce() -> Result<()>) -> Result<()> {
    let mut job = Some(job);
    let mut child = Partner::fork(cpu, move || match job.take() {
        Some(job) => job().map(|()| 0.0),
        None => Ok(0.0),
    })?;
    child.alone().map(drop)
}

fn serve(
    orders: &mut File,
    answers: &mut File,
    board: &Board,
    job: &mut impl FnMut() -> Result<f64>,
) -> Result<()> {
    let mut order = [0];
    while orders.read(&mut order)? == 1 && order[0] == 1 {
        Turn(board).start();
        let number = job()?;
        board.done.store(1, Ordering::Release);
        answers.write_all(&number.to_le_bytes())?;
    }
    Ok(())
}

/// Does `batch` over and over for that long; returns operations per second. A batch tells how many it was.
pub fn rate(time: Duration, mut batch: impl FnMut() -> Result<u64>) -> Result<f64> {
    let start = Instant::now();
    let mut operations = 0;
    loop {
        operations += batch()?;
        let elapsed = start.elapsed();
        if elapsed >= time {
            return Ok(operations as f64 / elapsed.as_secs_f64());
        }
    }
}

/// The same per second of this thread's processor time: for who waits for nobody.
pub fn busy_rate(time: Duration, mut batch: impl FnMut() -> Result<u64>) -> Result<f64> {
    let (start, busy) = (Instant::now(), processor_time());
    let mut operations = 0;
    while start.elapsed() < time {
        operations += batch()?;
    }
    Ok(operations as f64 / (processor_time() - busy).as_secs_f64())
}

/// By the clock on the wall if this thread has slept meanwhile, to wait for somebody, else as [`busy_rate`]: what others do on the same processor is not counted.
pub fn rate_unless_asleep(time: Duration, mut batch: impl FnMut() -> Result<u64>) -> Result<f64> {
    let (start, busy, slept) = (Instant::now(), processor_time(), times_slept());
    let mut operations = 0;
    while start.elapsed() < time {
        operations += batch()?;
    }
    let taken = if times_slept() == slept { processor_time() - busy } else { start.elapsed() };
    Ok(operations as f64 / taken.as_secs_f64())
}

/// How often this thread has left its processor by itself.
fn times_slept() -> i64 {
    // SAFETY: zeros are a value of that type.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: writes to `usage` alone.
    unsafe { libc::getrusage(libc::RUSAGE_THREAD, &mut usage) };
    usage.ru_nvcsw
}

/// Zeroed memory that children share.
pub fn shared_memory(bytes: usize) -> Result<*mut u8> {
    // SAFETY: a new mapping, of no file.
    let at = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            bytes,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    if at == libc::MAP_FAILED {
        return Err(io::Error::last_os_error().into());
    }
    Ok(at.cast())
}

fn shared_board() -> Result<&'static Board> {
    let at = shared_memory(size_of::<Board>())?.cast::<Board>();
    // SAFETY: zeroed, aligned to a page, and never unmapped.
    Ok(unsafe { &*at })
}

fn pipe() -> Result<(File, File)> {
    let mut ends = [0; 2];
    // SAFETY: writes two descriptors.
    if unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) } != 0 {
        return Err(io::Error::last_os_error().into());
    }
    // SAFETY: two new descriptors that nobody else has.
    Ok(unsafe { (File::from_raw_fd(ends[0]), File::from_raw_fd(ends[1])) })
}
