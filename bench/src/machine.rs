//! The machine: its processors, what is known of it, and how the system's allocator is set.

use crate::Result;
use std::fs;
use std::io;
use std::sync::OnceLock;
use std::thread::available_parallelism;

/// The processors that this process may run on.
fn processors() -> Vec<usize> {
    // SAFETY: a set of bits, all zero to begin with, that the call fills in.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: `set` has the size that is told.
    if unsafe { libc::sched_getaffinity(0, size_of_val(&set), &mut set) } != 0 {
        return vec![0];
    }
    // SAFETY: the index is below the size of the set.
    (0..libc::CPU_SETSIZE as usize).filter(|cpu| unsafe { libc::CPU_ISSET(*cpu, &set) }).collect()
}

/// Pins the calling thread to one processor.
pub fn pin(cpu: usize) -> Result<()> {
    pin_to(&[cpu])
}

fn pin_to(cpus: &[usize]) -> Result<()> {
    // SAFETY: a set of bits, in which some are set.
    let set = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        cpus.iter().for_each(|cpu| libc::CPU_SET(*cpu, &mut set));
        set
    };
    // SAFETY: `set` has the size that is told.
    match unsafe { libc::sched_setaffinity(0, size_of_val(&set), &set) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error().into()),
    }
}

/// Lets the calling thread run on any processor that this process may use.
pub fn unpin() -> Result<()> {
    let cores = Cores::get()?;
    pin_to(&[cores.first, cores.second])
}

/// The two processors that a run uses: the first for whoever works alone.
#[derive(Debug, Clone, Copy)]
pub struct Cores {
    pub first: usize,
    pub second: usize,
}

impl Cores {
    /// The same whenever it is asked, also by who is pinned.
    pub fn get() -> Result<Cores> {
        static CHOSEN: OnceLock<Option<Cores>> = OnceLock::new();
        let chosen = CHOSEN.get_or_init(|| match processors()[..] {
            [first, second, ..] => Some(Cores { first, second }),
            _ => None,
        });
        chosen.ok_or_else(|| "two processors are needed".into())
    }
}

/// Has glibc keep what is freed, so that a table or vector of theirs that is built again finds its pages warm, as ours does.
pub fn keep_freed_memory() {
    // SAFETY: sets parameters of the allocator, before there is a second thread.
    unsafe {
        libc::mallopt(libc::M_MMAP_MAX, 0);
        libc::mallopt(libc::M_TRIM_THRESHOLD, -1);
    }
}

/// A line that tells one machine from another.
pub fn describe() -> String {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("?", |m| m.1);
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total: u64 = memory
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB")?.parse().ok())
        .unwrap_or(0);
    format!(
        "{model}, {} processors, {} GiB, Linux {}, huge pages: private {}, shared {}",
        available_parallelism().map_or(1, usize::from),
        total >> 20,
        release.trim(),
        huge_pages("enabled"),
        huge_pages("shmem_enabled"),
    )
}

/// The setting that is in brackets.
fn huge_pages(which: &str) -> String {
    let text = fs::read_to_string(format!("/sys/kernel/mm/transparent_hugepage/{which}")).unwrap_or_default();
    let chosen = text.split_once('[').and_then(|(_, rest)| rest.split_once(']'));
    chosen.map_or("unknown".into(), |(chosen, _)| chosen.into())
}
