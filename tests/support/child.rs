//! Child processes: forked or executed, told apart by steps that they have reached, killed.

use super::shared::Board;
use super::{PATIENCE, until};
use std::io::Write;
use std::os::fd::FromRawFd;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::process::Command;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Environment variable by which a test learns that it runs as the child of itself.
const ROLE: &str = "AQUIFER_TEST_ROLE";

/// A forked child; killed and reaped when dropped.
pub struct Child {
    pid: i32,
    board: Board,
    reaped: bool,
}

/// The child's side: which step it has reached, and which one it was told to go on to.
pub struct Steps<'a> {
    reached: &'a AtomicU64,
    told: &'a AtomicU64,
}

impl Steps<'_> {
    /// Tells the parent.
    pub fn reach(&self, step: u64) {
        self.reached.store(step, Ordering::SeqCst);
    }

    /// Waits until the parent says so.
    pub fn await_word(&self, step: u64) {
        until("the parent's word", || self.told.load(Ordering::SeqCst) >= step);
    }

    /// Tells the parent, then does nothing until killed.
    pub fn reach_and_stay(&self, step: u64) -> ! {
        self.reach(step);
        stay()
    }
}

/// Does nothing until killed.
pub fn stay() -> ! {
    loop {
        // SAFETY: waits for a signal.
        unsafe { libc::pause() };
    }
}

impl Child {
    /// Runs `f` in a child, which ends in order when `f` returns, without running any destructor of the parent's.
    pub fn fork(f: impl FnOnce(&Steps<'_>)) -> Child {
        let board = Board::new(2);
        complain_in_children();
        // SAFETY: the child uses only what the library and the allocator support after a fork, and never returns.
        match unsafe { libc::fork() } {
            -1 => panic!("fork: {}", std::io::Error::last_os_error()),
            0 => run_child(&board, f),
            pid => Child { pid, board, reaped: false },
        }
    }

    /// The same, returning once the child has reached step 1.
    pub fn fork_until_ready(f: impl FnOnce(&Steps<'_>)) -> Child {
        let child = Child::fork(f);
        child.await_step(1);
        child
    }

    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Waits until the child has reached a step; fails if it ends before.
    #[track_caller]
    pub fn await_step(&self, step: u64) {
        until("a child's step", || {
            let reached = self.board[0].load(Ordering::SeqCst) >= step;
            assert!(
                reached || !self.has_ended() || self.board[0].load(Ordering::SeqCst) >= step,
                "the child ended before step {step}"
            );
            reached
        });
    }

    pub fn has_reached(&self, step: u64) -> bool {
        self.board[0].load(Ordering::SeqCst) >= step
    }

    /// Lets the child go on from `await_word`.
    pub fn tell(&self, step: u64) {
        self.board[1].store(step, Ordering::SeqCst);
    }

    /// Whether it has ended, without reaping it.
    pub fn has_ended(&self) -> bool {
        has_ended(self.pid)
    }

    /// Waits for the end, which must be in order.
    #[track_caller]
    pub fn finish(mut self) {
        until("the end of a child", || self.has_ended());
        let status = self.reap();
        assert!(
            libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0,
            "a child failed: status {status:#x}"
        );
    }

    /// Waits for it to abort itself.
    #[track_caller]
    pub fn abort(mut self) {
        until("the end of a child", || self.has_ended());
        let status = self.reap();
        let is_aborted = libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == libc::SIGABRT;
        assert!(is_aborted, "a child was to abort: status {status:#x}");
    }

    /// Kills it, which must be alive, and waits until the kernel has reaped it; tells how long that took.
    #[track_caller]
    pub fn kill(mut self) -> Duration {
        let begin = Instant::now();
        // SAFETY: a signal to a child of ours that is not reaped yet.
        unsafe { libc::kill(self.pid, libc::SIGKILL) };
        let status = self.reap();
        assert!(libc::WIFSIGNALED(status), "a child had ended before it was killed: status {status:#x}");
        begin.elapsed()
    }

    fn reap(&mut self) -> i32 {
        let mut status = 0;
        // SAFETY: a child of ours that nobody else waits for.
        assert_eq!(unsafe { libc::waitpid(self.pid, &mut status, 0) }, self.pid);
        self.reaped = true;
        status
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if !self.reaped {
            // SAFETY: a signal to a child of ours that is not reaped yet.
            unsafe { libc::kill(self.pid, libc::SIGKILL) };
            self.reap();
        }
    }
}

fn has_ended(pid: i32) -> bool {
    // SAFETY: asks about a child of ours without reaping it; zero is valid for the answer.
    unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        let asked =
            libc::waitid(libc::P_PID, pid as u32, &mut info, libc::WEXITED | libc::WNOHANG | libc::WNOWAIT);
        assert_eq!(asked, 0, "{}", std::io::Error::last_os_error());
        info.si_pid() != 0
    }
}

fn run_child(board: &Board, f: impl FnOnce(&Steps<'_>)) -> ! {
    // SAFETY: takes two integers; the child dies with the thread that forked it.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
    IN_CHILD.store(true, Ordering::SeqCst);
    let steps = Steps { reached: &board[0], told: &board[1] };
    let failed = catch_unwind(AssertUnwindSafe(|| f(&steps))).is_err();
    // SAFETY: ends the child at once: the parent's destructors must not run here.
    unsafe { libc::_exit(if failed { 101 } else { 0 }) }
}

/// Whether this process is a forked child.
static IN_CHILD: AtomicBool = AtomicBool::new(false);

/// Sets the panic hook before the fork: in a child its lock may belong to a thread that is not there.
fn complain_in_children() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| match IN_CHILD.load(Ordering::SeqCst) {
            true => complain(panic),
            false => before(panic),
        }));
    });
}

/// Writes past the test harness, which would keep what a forked child says.
fn complain(panic: &PanicHookInfo<'_>) {
    // SAFETY: the descriptor stays open: the file is never dropped.
    let mut stderr = std::mem::ManuallyDrop::new(unsafe { std::fs::File::from_raw_fd(2) });
    let _ = writeln!(stderr, "child {}: {panic}", std::process::id());
}

/// The argument given to this test, if it runs as the child of itself.
pub fn role(test: &str) -> Option<String> {
    let role = std::env::var(ROLE).ok()?;
    let (name, argument) = role.split_once('=')?;
    (name == test).then(|| argument.to_owned())
}

/// Starts this program anew to run only `test`, which finds `argument` in [`role`].
pub fn execute(test: &str, argument: &str) -> Executed {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(ROLE, format!("{test}={argument}"));
    Executed(command.spawn().unwrap())
}

/// A child with a program image of its own.
pub struct Executed(std::process::Child);

impl Executed {
    /// Waits for the end, which must be in order.
    pub fn finish(mut self) {
        let begin = Instant::now();
        loop {
            if let Some(status) = self.0.try_wait().unwrap() {
                assert!(status.success(), "an executed child failed: {status}");
                return;
            }
            assert!(begin.elapsed() < PATIENCE, "an executed child does not end");
            std::thread::yield_now();
        }
    }

    pub fn pid(&self) -> u32 {
        self.0.id()
    }

    pub fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Executed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
