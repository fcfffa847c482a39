//! Runs aquifer's changing operations one instruction at a time; at every instruction after which the pool differs, a copy is opened as
//! after a kill, checked, and compared with the two allowed outcomes: the operation happened, or it did not.
//!
//! `cargo run --release -p aquifer-stepper -- all`
#![allow(unreachable_pub)] // a program's modules are reached by nobody else

#[cfg(target_arch = "x86_64")]
mod adversary;
#[cfg(target_arch = "x86_64")]
mod alive;
#[cfg(target_arch = "x86_64")]
mod burial;
#[cfg(target_arch = "x86_64")]
mod image;
#[cfg(target_arch = "x86_64")]
mod judge;
#[cfg(target_arch = "x86_64")]
mod patience;
#[cfg(target_arch = "x86_64")]
mod plants;
#[cfg(target_arch = "x86_64")]
mod run;
#[cfg(target_arch = "x86_64")]
mod scene;
#[cfg(target_arch = "x86_64")]
mod scenes;
#[cfg(target_arch = "x86_64")]
mod step;
mod storm;
#[cfg(target_arch = "x86_64")]
mod trace;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Kills processes at every instruction, or at random, and looks at what is left.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Steps through all operations
    #[cfg(target_arch = "x86_64")]
    All(run::All),
    /// Steps through the operations whose names contain one of the words
    #[cfg(target_arch = "x86_64")]
    One(run::One),
    /// Lists the operations
    #[cfg(target_arch = "x86_64")]
    List,
    #[cfg(target_arch = "x86_64")]
    #[command(hide = true)]
    Worker(run::Worker),
    /// Kills processes at random
    Storm(storm::Arguments),
}

fn main() -> ExitCode {
    match Arguments::parse().command {
        #[cfg(target_arch = "x86_64")]
        Command::All(all) => run::all(all),
        #[cfg(target_arch = "x86_64")]
        Command::One(one) => run::one(one),
        #[cfg(target_arch = "x86_64")]
        Command::List => run::list(),
        #[cfg(target_arch = "x86_64")]
        Command::Worker(worker) => run::worker(worker),
        Command::Storm(arguments) => storm::run(arguments),
    }
}
