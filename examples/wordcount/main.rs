//! Counts the words of real text with several processes into one object in a pool that grows while all of them use it.
//!
//! `cargo run --release --example wordcount -- --help`
#![allow(unreachable_pub)] // a program's modules are reached by nobody else

mod count;
mod text;
mod workers;

use aquifer::{Error, Pool, parse_size};
use clap::Parser;
use count::Occurrences;
use indicatif::{ProgressBar, ProgressStyle};
use std::collections::HashMap;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Counts words with several processes and compares every count with a single-process HashMap.
#[derive(Parser)]
pub struct Arguments {
    /// Files or folders [default: this project's own tree without build output]
    paths: Vec<PathBuf>,
    /// Number of counting processes
    #[arg(long, default_value_t = 4)]
    processes: usize,
    /// Name of the pool in /dev/shm
    #[arg(long)]
    pool: Option<String>,
    /// Leave the pool behind, to be looked at
    #[arg(long)]
    keep: bool,
    /// Address space for each process, such as 2M: a small one forces moves to larger windows
    #[arg(long, value_parser = |s: &str| parse_size(s).ok_or("not a size"))]
    window: Option<u64>,
    /// Count the text this many times
    #[arg(long, default_value_t = 1)]
    repeat: usize,
    /// Kill a process at this many points spread over the work, and start others in their place
    #[arg(long, default_value_t = 0)]
    kill: usize,
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(e) => {
            eprintln!("wordcount: {e}");
            ExitCode::FAILURE
        }
    }
}

fn run(mut arguments: Arguments) -> Result<bool, Box<dyn std::error::Error>> {
    if arguments.paths.is_empty() {
        arguments.paths.push(PathBuf::from(env!("CARGO_MANIFEST_DIR")));
    }
    let text = text::read(&arguments.paths);
    if text.bytes == 0 {
        return Err("no text found".into());
    }
    // A small input is repeated, so that there is work left at every point of a kill.
    if arguments.kill > 0 {
        arguments.repeat = arguments.repeat.max((64 << 20) / text.bytes + 1);
    }
    println!("{} files, {} bytes, counted {} times", text.files, text.bytes, arguments.repeat);

    let name = arguments.pool.clone().unwrap_or_else(|| format!("wordcount-{}", std::process::id()));
    let pool = create(&name, &arguments)?;
    let _leftover = Leftover { name: &name, keep: arguments.keep };
    let pieces = text.pieces.len() * arguments.repeat;
    let job = count::Job::open(&pool, pieces as u64)?;

    let bar = progress_bar(text.bytes as u64 * arguments.repeat as u64);
    let plan = workers::Plan { processes: arguments.processes.max(1), kill: arguments.kill };
    let begin = Instant::now();
    let killed = workers::run(&plan, &pool, &job, &text, pieces, &bar)?;
    let ours = begin.elapsed();
    bar.finish_and_clear();

    let (expected, theirs) = count_alone(&text, arguments.repeat);
    let identical = report(&pool, &job, &expected)?;
    println!(
        "time {:.3} s with {} processes, {:.3} s with one HashMap",
        ours.as_secs_f64(),
        arguments.processes,
        theirs.as_secs_f64()
    );
    if arguments.kill > 0 {
        println!("killed: {killed}");
    }
    println!("identical: {}", if identical { "yes" } else { "no" });
    Ok(identical)
}

fn create(name: &str, arguments: &Arguments) -> Result<Pool, Error> {
    let mut options = Pool::options().size(1 << 20);
    if let Some(window) = arguments.window {
        options = options.window(window);
    }
    options.create(name)
}

/// Removes the pool's name, also when counting failed.
struct Leftover<'a> {
    name: &'a str,
    keep: bool,
}

impl Drop for Leftover<'_> {
    fn drop(&mut self) {
        if !self.keep
            && let Err(e) = Pool::unlink(self.name)
        {
            eprintln!("wordcount: {e}");
        }
    }
}

fn progress_bar(bytes: u64) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:40} {bytes}/{total_bytes} {bytes_per_sec}");
    ProgressBar::new(bytes).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

fn count_alone(text: &text::Text, repeat: usize) -> (HashMap<&str, Occurrences>, Duration) {
    let begin = Instant::now();
    let mut counts = HashMap::new();
    for i in 0..text.pieces.len() * repeat {
        count::count_privately(&mut counts, i as u32, &text.pieces[i % text.pieces.len()]);
    }
    (counts, begin.elapsed())
}

fn report(pool: &Pool, job: &count::Job, expected: &HashMap<&str, Occurrences>) -> Result<bool, Error> {
    let counted = job.counts()?;
    let mut common: Vec<(&str, u64)> =
        counted.iter().map(|(text, word)| (text.as_str(), word.count)).collect();
    common.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    for (word, n) in common.iter().take(20) {
        println!("{n:>10}  {word}");
    }
    let info = pool.info();
    let (moved, least) = job.moves();
    println!(
        "{} different words, each with its count and the pieces it is in; grown {}, moved {moved} (at least {least} in each process)",
        counted.len(),
        info.grown
    );
    let stats = pool.stats();
    println!(
        "pool of {} bytes, {:.1} % of it in use",
        info.length,
        100.0 * stats.used as f64 / info.length as f64
    );
    let same = counted.len() == expected.len()
        && expected.iter().all(|(text, word)| counted.get(*text) == Some(word));
    Ok(same)
}
