//! A child process that is run one instruction at a time.

use std::io;

/// A stopped child; killed when dropped.
pub struct Traced {
    pid: i32,
}

/// What one step led to.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// One instruction was executed.
    Done,
    /// The child has come to the end marker.
    End,
    /// The child died or stopped for another reason.
    Lost(String),
}

/// `siginfo_t::si_code` of the signal that an `int3` sends.
const SI_KERNEL: i32 = 0x80;

impl Traced {
    /// Forks; the child runs `f` until it comes to [`stepped`].
    pub fn start<E: std::fmt::Display>(f: impl FnOnce() -> Result<(), E>) -> io::Result<Traced> {
        let child = Traced {
            pid: fork(|| {
                // SAFETY: asks to be traced by the parent.
                unsafe { libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0) };
                match f() {
                    Ok(()) => eprintln!("the operation was not stepped through"),
                    Err(e) => eprintln!("the operation failed: {e}"),
                }
            })?,
        };
        loop {
            match child.wait()? {
                Some(libc::SIGTRAP) => return Ok(child),
                // What the children of its own tell it.
                Some(signal) => child.resume(libc::PTRACE_CONT, signal)?,
                None => return Err(io::Error::other("the child did not reach its operation")),
            }
        }
    }

    /// Executes one instruction.
    pub fn step(&self) -> io::Result<Step> {
        self.resume(libc::PTRACE_SINGLESTEP, 0)?;
        Ok(match self.wait()? {
            Some(libc::SIGTRAP) if self.at_marker()? => Step::End,
            Some(libc::SIGTRAP | libc::SIGCHLD) => Step::Done,
            Some(signal) => Step::Lost(format!("stopped by signal {signal}")),
            None => Step::Lost("ended".into()),
        })
    }

    /// A word of its memory.
    pub fn peek(&self, at: *const u64) -> u64 {
        // SAFETY: reads a word of the stopped child.
        unsafe { libc::ptrace(libc::PTRACE_PEEKDATA, self.pid, at, 0) as u64 }
    }

    fn resume(&self, how: libc::c_uint, signal: i32) -> io::Result<()> {
        // SAFETY: the child is stopped and ours.
        match unsafe { libc::ptrace(how, self.pid, 0, signal as libc::c_long) } {
            -1 => Err(io::Error::last_os_error()),
            _ => Ok(()),
        }
    }

    fn at_marker(&self) -> io::Result<bool> {
        // SAFETY: `info` is plain data that the kernel fills.
        unsafe {
            let mut info: libc::siginfo_t = std::mem::zeroed();
            match libc::ptrace(libc::PTRACE_GETSIGINFO, self.pid, 0, &raw mut info) {
                -1 => Err(io::Error::last_os_error()),
                _ => Ok(info.si_code == SI_KERNEL),
            }
        }
    }

    fn wait(&self) -> io::Result<Option<i32>> {
        let status = wait(self.pid, 0)?;
        Ok(libc::WIFSTOPPED(status).then(|| libc::WSTOPSIG(status)))
    }
}

impl Drop for Traced {
    fn drop(&mut self) {
        // SAFETY: kills our child; its own children die with it, and become ours.
        unsafe { libc::kill(self.pid, libc::SIGKILL) };
        while wait(-1, 0).is_ok() {}
    }
}

/// Marks, in the child, what is run one instruction at a time. Does not return there.
pub fn stepped<R: Finish>(f: impl FnOnce() -> R) -> ! {
    crate::plants::forget_reached();
    marker();
    let result = f().finish();
    if let Err(e) = result {
        eprintln!("the operation failed: {e}");
        exit(1);
    }
    marker();
    exit(0)
}

/// What operations return.
pub trait Finish {
    fn finish(self) -> Result<(), aquifer::Error>;
}

#[inline(always)]
fn marker() {
    // SAFETY: a breakpoint: stops this process for its tracer.
    unsafe { std::arch::asm!("int3") }
}

fn exit(code: i32) -> ! {
    // SAFETY: ends at once; the parent's destructors must not run here.
    unsafe { libc::_exit(code) }
}

/// Runs `f` in a child that dies with this process.
pub fn fork(f: impl FnOnce()) -> io::Result<i32> {
    // SAFETY: this program has one thread, so its child may do whatever it could.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            // SAFETY: asks to die with the parent.
            unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
            let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(f));
            exit(if done.is_ok() { 0 } else { 101 })
        }
        pid => Ok(pid),
    }
}

/// Waits for a child to stop or end.
pub fn wait(pid: i32, options: i32) -> io::Result<i32> {
    let mut status = 0;
    loop {
        // SAFETY: our child, not reaped yet; writes only to `status`.
        if unsafe { libc::waitpid(pid, &mut status, options) } > 0 {
            return Ok(status);
        }
        let e = io::Error::last_os_error();
        if e.kind() != io::ErrorKind::Interrupted {
            return Err(e);
        }
    }
}

/// Keeps this process and its children on one processor: a step is several times faster so.
pub fn pin(processor: usize) -> io::Result<()> {
    // SAFETY: a set of processors, filled and passed by reference.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(processor, &mut set);
        match libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set) {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}
