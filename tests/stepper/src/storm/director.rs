//! Starts children, kills, stops and replaces them. It has one thread, so that a fork is cheap and its child may do everything.

use super::Arguments;
use super::board::{Board, PROCESSES, THREADS, Wait, now};
use super::random::Random;
use super::stalls::{Death, Stalls};
use super::witness::Witness;
use super::worker::{self, LEAKED, LEFT, Task};
use super::{watch, who::Who};
use aquifer::Pool;
use std::io;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

/// Turns of the director are no further apart.
const TURN: Duration = Duration::from_micros(300);

/// Asks to run before others, so that kills come when they should, and tells the priority that children are to go back to. Not in real time:
/// then the kernel may spin, while it forgets a dead process's entries in `/proc`, for one who cannot run because of that.
fn hurry() -> i32 {
    // SAFETY: numbers only.
    unsafe {
        let ordinary = libc::getpriority(libc::PRIO_PROCESS, 0);
        libc::setpriority(libc::PRIO_PROCESS, 0, ordinary - 15);
        ordinary
    }
}

/// What happened, in all rounds.
#[derive(Default)]
pub struct Tally {
    pub kills: u64,
    /// Of processes that were stopped.
    pub stopped: u64,
    pub stops: u64,
    pub left: u64,
    pub leaked: u64,
    pub children: u64,
    pub takeovers: u64,
}

/// What becomes of a slot.
#[derive(Clone, Copy, PartialEq)]
enum Life {
    Empty,
    Alive,
    Stopped { since: u64, until: u64 },
    Killed { at: u64 },
}

pub struct Director<'a> {
    pub arguments: &'a Arguments,
    pub board: &'static Board,
    pub witness: &'a Witness,
    pub random: Random,
    pub tally: Tally,
    pub stalls: Stalls,
    /// Of the children.
    priority: i32,
    lives: Vec<Life>,
    /// Waits read so far, of each desk.
    seen: [[u64; THREADS]; PROCESSES],
    /// Slot, child and death, until it is known when the kernel was done.
    pending: Vec<(usize, u64, Death)>,
}

impl<'a> Director<'a> {
    pub fn new(arguments: &'a Arguments, board: &'static Board, witness: &'a Witness, seed: u64) -> Self {
        Director {
            arguments,
            board,
            witness,
            random: Random::new(seed),
            tally: Tally::default(),
            stalls: Stalls::default(),
            priority: hurry(),
            lives: vec![Life::Empty; arguments.processes],
            seen: Default::default(),
            pending: Vec::new(),
        }
    }

    /// All desks that are in use.
    pub fn owners(&self) -> Vec<Who<'static>> {
        let threads = self.arguments.threads;
        let board = self.board;
        let of = |slot| (0..threads).map(move |thread| Who::new(board, slot, thread));
        (0..self.arguments.processes).flat_map(of).collect()
    }

    /// Storms until `end`, then has all end: in order, or by being killed at once.
    pub fn round(&mut self, pool: &Pool, end: u64, in_order: bool) -> Result<(), String> {
        let mut kill = now();
        while now() < end {
            self.turn()?;
            for slot in 0..self.lives.len() {
                if self.lives[slot] == Life::Empty {
                    self.start(slot, pool).map_err(|e| format!("fork: {e}"))?;
                }
            }
            if now() >= kill {
                let slot = self.random.below(self.lives.len() as u64) as usize;
                match self.random.below(12) {
                    0 => self.stop(slot),
                    _ => self.kill(slot),
                }
                kill = now() + 200_000 + self.random.below(4_800_000);
            }
            std::thread::sleep(TURN.min(Duration::from_nanos(kill.saturating_sub(now()))));
        }
        self.board.stop.store(1, SeqCst);
        for slot in 0..self.lives.len() {
            match in_order {
                true => self.resume(slot),
                false => self.kill(slot),
            }
        }
        while self.lives.iter().any(|l| *l != Life::Empty) || !self.pending.is_empty() {
            self.turn()?;
            std::thread::sleep(TURN);
        }
        Ok(())
    }

    /// Kills whoever is left, after something has gone wrong.
    pub fn kill_all(&mut self) {
        for slot in 0..self.lives.len() {
            self.kill(slot);
        }
        while self.lives.iter().any(|l| *l != Life::Empty) && self.reap().is_ok_and(|n| n < 2) {
            std::thread::sleep(TURN);
        }
    }

    fn turn(&mut self) -> Result<(), String> {
        self.reap()?;
        let time = now();
        for slot in 0..self.lives.len() {
            if let Life::Stopped { until, .. } = self.lives[slot]
                && time >= until
            {
                self.resume(slot);
            }
            for thread in 0..self.arguments.threads {
                let mut note = |w: Wait| {
                    self.tally.takeovers += w.recovered as u64;
                    self.stalls.wait(w);
                };
                let seen = &mut self.seen[slot][thread];
                *seen = self.board.slots[slot].desks[thread].waits_since(*seen, &mut note);
            }
        }
        let (board, stalls) = (self.board, &mut self.stalls);
        self.pending.retain(|(slot, child, death)| {
            let s = &board.slots[*slot];
            let freed = s.freed[*child as usize % s.freed.len()].load(SeqCst);
            if freed != 0 {
                stalls.death(Death { freed, killed: death.killed.min(freed), ..*death });
            }
            freed == 0
        });
        Ok(())
    }

    fn start(&mut self, slot: usize, pool: &Pool) -> io::Result<()> {
        let s = &self.board.slots[slot];
        let child = s.child.load(SeqCst) + 1;
        s.freed[child as usize % s.freed.len()].store(0, SeqCst);
        let witness = self.witness.lock(slot, child)?;
        let ends = self.random.once_in(8);
        let task = Task {
            board: self.board,
            slot,
            threads: self.arguments.threads,
            seed: self.random.next(),
            inherited: pool,
            priority: self.priority,
            scarce: pool.info().hard_limit != 0,
            window: match self.random.below(4) {
                0 | 1 => None,
                2 => Some(1 << 20),
                _ => Some(64 << 20),
            },
            operations: if ends { self.random.below(3000) } else { u64::MAX },
            leaks: self.random.once_in(2),
        };
        // SAFETY: this process has one thread, so the child may do whatever it could.
        match unsafe { libc::fork() } {
            -1 => return Err(io::Error::last_os_error()),
            0 => worker::live(&task, witness),
            pid => s.pid.store(pid as u64, SeqCst),
        }
        drop(witness); // only the child has it now
        s.child.store(child, SeqCst);
        watch::changed(&s.child);
        self.tally.children += 1;
        self.lives[slot] = Life::Alive;
        Ok(())
    }

    fn signal(&self, slot: usize, signal: i32) {
        // SAFETY: a signal to a child that was not reaped yet.
        unsafe { libc::kill(self.board.slots[slot].pid.load(SeqCst) as i32, signal) };
    }

    fn kill(&mut self, slot: usize) {
        let stopped = matches!(self.lives[slot], Life::Stopped { .. });
        if self.lives[slot] != Life::Alive && !stopped {
            return;
        }
        let at = now();
        self.signal(slot, libc::SIGKILL);
        if let Life::Stopped { since, .. } = self.lives[slot] {
            self.stalls.stop(since, at);
        }
        self.tally.kills += 1;
        self.tally.stopped += stopped as u64;
        self.lives[slot] = Life::Killed { at };
    }

    fn stop(&mut self, slot: usize) {
        if self.lives[slot] == Life::Alive {
            let since = now();
            self.signal(slot, libc::SIGSTOP);
            self.tally.stops += 1;
            let until = since + 500_000 + self.random.below(8_000_000);
            self.lives[slot] = Life::Stopped { since, until };
        }
    }

    fn resume(&mut self, slot: usize) {
        if let Life::Stopped { since, .. } = self.lives[slot] {
            self.signal(slot, libc::SIGCONT);
            self.stalls.stop(since, now());
            self.lives[slot] = Life::Alive;
        }
    }

    /// Sees who has ended; how many of them did not do so as they should.
    fn reap(&mut self) -> Result<usize, String> {
        loop {
            let mut status = 0;
            // SAFETY: writes only to `status`.
            let pid = unsafe { libc::waitpid(-1, &mut status, libc::WNOHANG) };
            if pid <= 0 {
                return Ok(0);
            }
            let slot = (0..self.lives.len()).find(|s| self.board.slots[*s].pid.load(SeqCst) == pid as u64);
            let Some(slot) = slot else {
                return Err(format!("the watcher ended with status {status:#x}"));
            };
            self.bury(slot, pid, status)?;
        }
    }

    fn bury(&mut self, slot: usize, pid: i32, status: i32) -> Result<(), String> {
        let s = &self.board.slots[slot];
        s.pid.store(0, SeqCst);
        if let Life::Stopped { since, .. } = self.lives[slot] {
            self.stalls.stop(since, now());
        }
        let killed = match self.lives[slot] {
            Life::Killed { at } => at,
            _ => u64::MAX, // ended by itself
        };
        self.lives[slot] = Life::Empty;
        self.board.beat();
        let word = |f: fn(&super::board::Desk) -> u64| {
            s.desks[..self.arguments.threads].iter().map(f).fold(0, |a, b| a | b)
        };
        let (wants, has) = (word(|d| d.wants.load(SeqCst)), word(|d| d.has.load(SeqCst)));
        self.pending.push((slot, s.child.load(SeqCst), Death { killed, freed: 0, wants, has }));
        if libc::WIFEXITED(status) {
            match libc::WEXITSTATUS(status) {
                LEFT => self.tally.left += 1,
                LEAKED => self.tally.leaked += 1,
                code => return Err(format!("process {pid} ended with code {code}")),
            }
        } else if libc::WTERMSIG(status) != libc::SIGKILL || killed == u64::MAX {
            return Err(format!("process {pid} ended by signal {}", libc::WTERMSIG(status)));
        }
        Ok(())
    }
}
