//! Starting the counting processes, and killing some.

use crate::count::Job;
use crate::text::Text;
use aquifer::{Error, Pool};
use indicatif::ProgressBar;
use std::io;
use std::time::Duration;

pub struct Plan {
    pub processes: usize,
    pub kill: usize,
}

/// Runs the processes until everything is counted; returns how many were killed.
pub fn run(
    plan: &Plan,
    pool: &Pool,
    job: &Job,
    text: &Text,
    pieces: usize,
    bar: &ProgressBar,
) -> Result<usize, Box<dyn std::error::Error>> {
    let start = || fork(|| work(pool, job, text));
    let mut children: Vec<i32> = (0..plan.processes).map(|_| start()).collect::<io::Result<_>>()?;
    let total = (pieces / text.pieces.len()) as u64 * text.bytes as u64;
    let (mut killed, mut failed) = (0, 0);
    let due = |kill: usize| {
        if kill < plan.kill { (1 + kill as u64) * total / (plan.kill as u64 + 1) } else { u64::MAX }
    };
    while !children.is_empty() {
        // No further than to the point of the next kill but one: were we kept from running, all might be counted before.
        job.allow(due(killed + 1));
        let done = job.bytes();
        bar.set_position(done);
        if done >= due(killed) {
            // Any of them: they are all at work, each at an instruction of its own.
            let victim = children.remove(killed % children.len());
            match kill(victim)? {
                End::Killed => killed += 1,
                End::InOrder => {}
                End::Failed => failed += 1,
            }
            children.push(start()?);
            continue;
        }
        match reap()? {
            Some((child, end)) => {
                children.retain(|c| *c != child);
                failed += (end != End::InOrder) as usize;
            }
            None => std::thread::sleep(Duration::from_micros(200)),
        }
    }
    if failed > 0 {
        return Err(format!("{failed} processes failed").into());
    }
    Ok(killed)
}

fn work(pool: &Pool, job: &Job, text: &Text) -> Result<(), Error> {
    while let Some(piece) = job.next_piece()? {
        job.count(piece, &text.pieces[piece as usize % text.pieces.len()])?;
    }
    job.note_moves(pool.info().moved);
    Ok(())
}

/// Runs `f` in a child process, which has the text already and joins the pool when it first uses it.
fn fork(f: impl FnOnce() -> Result<(), Error>) -> io::Result<i32> {
    // SAFETY: this process has one thread, so the child may do whatever it could.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            // SAFETY: takes two integers; the child, which may wait for us, dies with us.
            unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
            let code = match f() {
                Ok(()) => 0,
                Err(e) => {
                    eprintln!("process {}: {e}", std::process::id());
                    1
                }
            };
            // SAFETY: ends the process at once: the parent's destructors must not run here too.
            unsafe { libc::_exit(code) }
        }
        child => Ok(child),
    }
}

/// How a child has ended.
#[derive(Clone, Copy, PartialEq)]
enum End {
    Killed,
    InOrder,
    Failed,
}

impl End {
    fn of(status: i32) -> End {
        if libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == libc::SIGKILL {
            End::Killed
        } else if libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0 {
            End::InOrder
        } else {
            End::Failed
        }
    }
}

/// Kills a child, and tells how it ended: perhaps just before.
fn kill(child: i32) -> io::Result<End> {
    let mut status = 0;
    // SAFETY: a signal to, and a wait for, a child that was not reaped yet.
    unsafe {
        libc::kill(child, libc::SIGKILL);
        if libc::waitpid(child, &mut status, 0) != child {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(End::of(status))
}

/// A child that has ended, and how.
fn reap() -> io::Result<Option<(i32, End)>> {
    let mut status = 0;
    // SAFETY: writes only to `status`.
    match unsafe { libc::waitpid(-1, &mut status, libc::WNOHANG) } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(None),
        child => Ok(Some((child, End::of(status)))),
    }
}
