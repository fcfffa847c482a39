//! Runs aquifer's changing operations one instruction at a time; at every instruction after which the pool differs, a copy is opened as
//! after a kill, checked, and compared with the two allowed outcomes: the operation happened, or it did not.
//!
//! `cargo run --release -p aquifer-stepper -- all`
#![allow(unreachable_pub)] // a program's modules are reached by nobody else

#[cfg(target_arch = "x86_64")]
mod copy;
#[cfg(target_arch = "x86_64")]
mod run;
#[cfg(target_arch = "x86_64")]
mod scenes;
#[cfg(target_arch = "x86_64")]
mod trace;

#[cfg(target_arch = "x86_64")]
fn main() -> std::process::ExitCode {
    use clap::Parser;
    run::main(run::Arguments::parse())
}

#[cfg(not(target_arch = "x86_64"))]
fn main() {
    println!("not run: the stepper knows only x86-64");
}
