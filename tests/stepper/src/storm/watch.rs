//! A process beside the storm: it sees when the kernel has dropped the locks of the dead, and whether anybody still gets on.

use super::board::{Board, Desk, PROCESSES, now};
use super::who::own_run_delay;
use super::witness::Witness;
use super::{Arguments, picture};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

/// How a watcher ends that found nobody to get on.
pub const HUNG: i32 = 9;

/// Starts the watching process.
pub fn start(
    board: &'static Board,
    witness: &Witness,
    arguments: &Arguments,
    pool: &Path,
) -> io::Result<i32> {
    // SAFETY: asks for a number.
    let director = unsafe { libc::getpid() };
    // SAFETY: this process has one thread, so the child may do whatever it could.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => live(board, witness, arguments, pool, director),
        pid => Ok(pid),
    }
}

/// Ends it.
pub fn end(watcher: i32) {
    // SAFETY: a signal to, and a wait for, a child that only a failure may have reaped before; nobody else has its number yet.
    unsafe {
        libc::kill(watcher, libc::SIGKILL);
        libc::waitpid(watcher, std::ptr::null_mut(), 0);
    }
}

fn live(board: &'static Board, witness: &Witness, arguments: &Arguments, pool: &Path, director: i32) -> ! {
    run_at_once();
    std::thread::scope(|s| {
        for slot in 0..arguments.processes {
            s.spawn(move || see_deaths(board, witness, slot));
        }
        let mut seen = board.progress();
        let mut since = now();
        loop {
            std::thread::sleep(Duration::from_millis(200));
            // SAFETY: asks for a number.
            if unsafe { libc::getppid() } != director {
                let _ = std::fs::remove_file(pool); // the director was killed itself
                super::worker::end(0);
            }
            let progress = board.progress();
            if progress != seen {
                (seen, since) = (progress, now());
            } else if now() - since > arguments.patience().as_nanos() as u64 {
                println!("nobody gets on for {:?}", arguments.patience());
                tell_who_waits(board, pool);
                // The director learns it by our end, unless it is the one that hangs.
                std::thread::spawn(move || {
                    std::thread::sleep(Duration::from_secs(5));
                    // SAFETY: a signal to our parent, which has not ended: we would not be its child.
                    unsafe { libc::kill(director, libc::SIGKILL) }
                });
                super::worker::end(HUNG);
            }
        }
    })
}

/// Asks for real-time priority, so that times are taken when they pass. Without the right to it, run-queue time is subtracted all the same.
fn run_at_once() {
    // SAFETY: zero is valid for the parameters, which are only read.
    unsafe {
        let mut parameters: libc::sched_param = std::mem::zeroed();
        parameters.sched_priority = 1;
        libc::sched_setscheduler(0, libc::SCHED_FIFO, &parameters);
    }
}

fn see_deaths(board: &Board, witness: &Witness, slot: usize) {
    let slot_ = &board.slots[slot];
    for child in 1.. {
        while slot_.child.load(SeqCst) < child {
            await_change(&slot_.child, child - 1);
        }
        let before = own_run_delay();
        if let Err(e) = witness.wait(slot, child) {
            eprintln!("witness: {e}");
            return;
        }
        // Since the lock was there for the taking we have stood in the run queue.
        let freed = now() - (own_run_delay() - before);
        slot_.freed[child as usize % slot_.freed.len()].store(freed, SeqCst);
    }
}

/// Sleeps while the word has this value.
fn await_change(word: &AtomicU64, seen: u64) {
    let nap = libc::timespec { tv_sec: 0, tv_nsec: 20_000_000 };
    // SAFETY: the word is mapped and aligned; its low half stands first on the machines that this runs on, else the nap ends by itself.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAIT, seen as u32, &nap) };
}

/// Wakes who sleeps on the word.
pub fn changed(word: &AtomicU64) {
    // SAFETY: as above.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE, i32::MAX) };
}

/// Prints, for each thread, what it does, and what it waits for.
fn tell_who_waits(board: &Board, pool: &Path) {
    for (slot, s) in board.slots.iter().enumerate().take(PROCESSES) {
        let pid = s.pid.load(SeqCst);
        if pid == 0 {
            continue;
        }
        for (thread, desk) in s.desks.iter().enumerate().filter(|(_, d)| d.key.load(SeqCst) != 0) {
            println!("process {pid} slot {slot} thread {thread}: {}", desk_text(desk));
        }
        let Ok(tasks) = std::fs::read_dir(format!("/proc/{pid}/task")) else { continue };
        for task in tasks.flatten() {
            let of = |f: &str| std::fs::read_to_string(task.path().join(f)).unwrap_or_default();
            let state = of("stat").split(' ').nth(2).unwrap_or("?").to_owned();
            println!("  task {:?}: {state} {} {}", task.file_name(), of("wchan"), of("syscall").trim());
        }
    }
    println!("{}", picture::who_waits(pool));
}

fn desk_text(desk: &Desk) -> String {
    let word = |w: &AtomicU64| w.load(SeqCst);
    format!(
        "key {} for {:.1} s, wants locks {:#b}, has been given {:#b}",
        word(&desk.key) - 1,
        (now() - word(&desk.since)) as f64 / 1e9,
        word(&desk.wants),
        word(&desk.has)
    )
}
