//! How much memory is taken for what is asked: each answer by a process of its own, begun anew.

use crate::peers::allocators::{Malloc, Mimalloc};
use crate::row::Side;
use crate::rows::heap::{LIVE, OurChurn, TheirChurn, step};
use crate::{Result, ours};
use aquifer::Pool;
use clap::ValueEnum;
use std::alloc::Layout;
use std::fs;
use std::process::Command;

/// What such a process measures.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Job {
    OurChurn,
    TheirChurn,
    OurBlocks,
    TheirBlocks,
}

const STEPS: usize = 1_000_000;
const BLOCKS: usize = 1_000_000;
const BLOCK: usize = 100;

/// Starts this program again for the job; returns bytes taken for each byte asked.
pub fn side(job: Job) -> Side {
    Box::new(move || {
        let name = job.to_possible_value().ok_or("no name")?;
        let output = Command::new("/proc/self/exe").args(["--memory", name.get_name()]).output()?;
        let text = String::from_utf8(output.stdout)?;
        Ok(text
            .trim()
            .parse()
            .map_err(|_| format!("no number: {}", String::from_utf8_lossy(&output.stderr)))?)
    })
}

/// The process's part.
pub fn measure(job: Job) -> Result<f64> {
    match job {
        Job::OurChurn => {
            let pool = Pool::options().memfd()?;
            let mut churn = OurChurn::new(pool.clone())?;
            churn.run(STEPS)?;
            Ok(pool.info().length as f64 / live_bytes())
        }
        Job::TheirChurn => {
            let live = written(LIVE);
            let before = resident("VmRSS")?;
            TheirChurn::within(live, Mimalloc).run(STEPS);
            Ok((resident("VmHWM")? - before) / live_bytes())
        }
        Job::OurBlocks => {
            let pool = ours::pool_growing_by(1 << 20)?;
            let layout = Layout::from_size_align(BLOCK, 8)?;
            (0..BLOCKS).try_for_each(|_| pool.alloc(layout).map(drop))?;
            Ok(pool.info().length as f64 / (BLOCKS * BLOCK) as f64)
        }
        Job::TheirBlocks => {
            let mut blocks = written(BLOCKS);
            let before = resident("VmRSS")?;
            for block in &mut blocks {
                *block = Mimalloc.alloc(BLOCK);
                // SAFETY: a new block. Each is written to, as what nobody wrote to takes no memory.
                unsafe { block.write_bytes(1, BLOCK) };
            }
            Ok((resident("VmRSS")? - before) / (BLOCKS * BLOCK) as f64)
        }
    }
}

/// A list that has its memory already.
fn written(length: usize) -> Vec<*mut u8> {
    vec![std::ptr::dangling_mut(); length]
}

/// Bytes asked for by the blocks that live when a churn is at its end: those of the last step that chose their place.
fn live_bytes() -> f64 {
    let mut sizes: Vec<usize> = (0..LIVE).map(|i| step(i).1).collect();
    for (victim, size) in (0..STEPS).map(step) {
        sizes[victim] = size;
    }
    sizes.iter().sum::<usize>() as f64
}

/// Bytes, by what the kernel says of this process.
fn resident(which: &str) -> Result<f64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(which)?.strip_prefix(':'));
    let kib: f64 = line.and_then(|line| line.trim().strip_suffix(" kB")).ok_or("no such line")?.parse()?;
    Ok(kib * 1024.0)
}
