//! A storm of kills over many processes.

use std::process::ExitCode;

/// What a storm is like.
#[derive(clap::Args)]
pub struct Arguments {
    /// Processes that work at a time
    #[arg(long, default_value_t = 8)]
    pub processes: usize,
    /// How long it lasts
    #[arg(long, default_value_t = 60)]
    pub seconds: u64,
}

/// Runs a storm.
pub fn run(_: Arguments) -> ExitCode {
    eprintln!("there are no storms yet");
    ExitCode::FAILURE
}
