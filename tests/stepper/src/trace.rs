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
    /// The child stands before the end marker.
    End,
    /// The child died or stopped for another reason.
    Lost(String),
}

impl Traced {
    /// Forks; the child runs `prepare`, stops, and runs `operation` under our steps. Both run on one processor: a step is six times faster so.
    pub fn start(prepare: impl FnOnce(), operation: impl FnOnce()) -> io::Result<Traced> {
        pin()?;
        // SAFETY: this program has one thread, so its child may do whatever it could.
        let pid = unsafe { libc::fork() };
        if pid == -1 {
            return Err(io::Error::last_os_error());
        }
        if pid == 0 {
            prepare();
            // SAFETY: asks to be traced by, and to die with, the parent.
            unsafe {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0);
            }
            marker();
            operation();
            marker();
            // SAFETY: ends at once; the parent's destructors must not run here.
            unsafe { libc::_exit(0) }
        }
        let child = Traced { pid };
        match child.wait()? {
            Some(libc::SIGTRAP) => Ok(child),
            other => Err(io::Error::other(format!("the child did not reach its operation: {other:?}"))),
        }
    }

    /// Executes one instruction.
    pub fn step(&self) -> io::Result<Step> {
        if self.at_marker()? {
            return Ok(Step::End);
        }
        // SAFETY: the child is stopped and ours.
        if unsafe { libc::ptrace(libc::PTRACE_SINGLESTEP, self.pid, 0, 0) } == -1 {
            return Err(io::Error::last_os_error());
        }
        match self.wait()? {
            Some(libc::SIGTRAP) => Ok(Step::Done),
            Some(signal) => Ok(Step::Lost(format!("stopped by signal {signal}"))),
            None => Ok(Step::Lost("ended".into())),
        }
    }

    /// Whether the next instruction is the end marker. The byte is looked at before it runs: one behind it may be padding of the compiler's.
    fn at_marker(&self) -> io::Result<bool> {
        // SAFETY: registers and text of our stopped child; `regs` is plain integers.
        unsafe {
            let mut regs: libc::user_regs_struct = std::mem::zeroed();
            if libc::ptrace(libc::PTRACE_GETREGS, self.pid, 0, &raw mut regs) == -1 {
                return Err(io::Error::last_os_error());
            }
            Ok(libc::ptrace(libc::PTRACE_PEEKTEXT, self.pid, regs.rip, 0) & 0xff == 0xcc)
        }
    }

    fn wait(&self) -> io::Result<Option<i32>> {
        let mut status = 0;
        // SAFETY: our child, not reaped yet; writes only to `status`.
        if unsafe { libc::waitpid(self.pid, &mut status, 0) } == -1 {
            return Err(io::Error::last_os_error());
        }
        Ok(libc::WIFSTOPPED(status).then(|| libc::WSTOPSIG(status)))
    }
}

impl Drop for Traced {
    fn drop(&mut self) {
        // SAFETY: kills and reaps our child.
        unsafe {
            libc::kill(self.pid, libc::SIGKILL);
            let mut status = 0;
            while libc::waitpid(self.pid, &mut status, 0) == self.pid && libc::WIFSTOPPED(status) {}
        }
    }
}

fn marker() {
    // SAFETY: a breakpoint: stops this process for its tracer.
    unsafe { std::arch::asm!("int3") }
}

fn pin() -> io::Result<()> {
    // SAFETY: a set of processors, filled and passed by reference.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(libc::sched_getcpu().max(0) as usize, &mut set);
        match libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set) {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}
