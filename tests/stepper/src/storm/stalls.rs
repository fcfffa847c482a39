//! How long a death kept others waiting, and whose time that was.

use super::board::{SITES, Wait};

/// A process died: what its threads had, or wanted.
#[derive(Debug, Clone, Copy)]
pub struct Death {
    /// When the signal was sent, and when the kernel had dropped the dead process's locks.
    pub killed: u64,
    pub freed: u64,
    /// Bits of locks: wanted or had, and known to be had.
    pub wants: u64,
    pub has: u64,
}

/// One thread's wait for a lock of a dead process, in nanoseconds.
#[derive(Debug, Clone, Copy)]
struct Stall {
    /// From the signal, or the beginning of the wait, until the kernel had dropped the dead process's locks.
    kernel: u64,
    /// From there on until the lock was granted, less `queued`.
    ours: u64,
    /// In which the thread, or another that had begun to bury, was ready to run, but others ran.
    queued: u64,
}

/// All that was seen.
#[derive(Default)]
pub struct Stalls {
    deaths: Vec<Death>,
    waits: Vec<Wait>,
    /// When processes were stopped, and until when.
    stops: Vec<(u64, u64)>,
    /// At locks that only one has at a time, and at others.
    mutexes: Vec<Stall>,
    others: Vec<Stall>,
    /// Beside a stopped process: whoever is stopped keeps its locks.
    stopped: u64,
    /// Take-overs whose death was not found.
    strange: u64,
}

impl Stalls {
    pub fn death(&mut self, death: Death) {
        self.deaths.push(death);
    }

    pub fn wait(&mut self, wait: Wait) {
        self.waits.push(wait);
    }

    pub fn stop(&mut self, from: u64, to: u64) {
        self.stops.push((from, to));
    }

    /// Finds the death for each take-over, and forgets both. `shared`: locks that may have readers, for whom a writer waits too.
    pub fn settle(&mut self, shared: u64) {
        self.deaths.sort_by_key(|d| d.freed);
        let mut by_site: Vec<Vec<Death>> = vec![Vec::new(); SITES];
        for d in &self.deaths {
            (0..SITES).filter(|s| (d.wants | d.has) >> s & 1 != 0).for_each(|s| by_site[s].push(*d));
        }
        let waits = std::mem::take(&mut self.waits);
        for t in waits.iter().filter(|w| w.recovered) {
            if self.stops.iter().any(|(from, to)| t.since < *to && *from < t.granted) {
                self.stopped += 1;
                continue;
            }
            // The earliest that can have been it, so that what is ours is never made out too small.
            let near = |d: &&Death| d.freed > t.before && d.freed <= t.granted;
            let possible = || by_site[t.site].iter().filter(near);
            let Some(death) = possible().find(|d| d.has >> t.site & 1 != 0).or(possible().next()) else {
                self.strange += 1;
                continue;
            };
            let stall = stall(t, death, &waits);
            match shared >> t.site & 1 {
                0 => self.mutexes.push(stall),
                _ => self.others.push(stall),
            }
        }
        self.deaths.clear();
        self.stops.clear();
    }

    pub fn print(&self) {
        println!("stalls, in milliseconds      count      p50      p99    p99.9      max");
        for (what, stalls) in [("mutexes", &self.mutexes), ("read-write locks", &self.others)] {
            println!("{what}");
            row("the kernel's", stalls, |s| s.kernel);
            row("run queue", stalls, |s| s.queued);
            row("ours", stalls, |s| s.ours);
            row("ours and run queue", stalls, |s| s.ours + s.queued);
        }
        println!("left out: {} beside a stopped process, {} of no known death", self.stopped, self.strange);
    }
}

fn stall(t: &Wait, death: &Death, waits: &[Wait]) -> Stall {
    let begin = death.killed.max(t.since);
    let free = death.freed.max(t.since);
    let rest = t.granted - free;
    // Whoever has begun to bury keeps all others waiting, also while it does not run. Of its time in the run queue no more than it had in common with us.
    let common = |w: &Wait| w.granted.min(t.granted).saturating_sub(w.since.max(free)).min(w.queued);
    let queued = waits.iter().map(common).max().unwrap_or(0).min(rest);
    Stall { kernel: free.saturating_sub(begin), ours: rest - queued, queued }
}

fn row(what: &str, stalls: &[Stall], part: impl Fn(&Stall) -> u64) {
    let mut all: Vec<u64> = stalls.iter().map(part).collect();
    all.sort_unstable();
    let at = |q: f64| match all.len() {
        0 => 0.0,
        n => all[((n as f64 * q) as usize).min(n - 1)] as f64 / 1e6,
    };
    println!(
        "  {what:24} {:>7} {:>8.3} {:>8.3} {:>8.3} {:>8.3}",
        all.len(),
        at(0.5),
        at(0.99),
        at(0.999),
        at(1.0)
    );
}
