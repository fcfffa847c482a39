//! aquifer beside its peers and beside private memory, in one run: see `README.md`.

mod count;
mod curves;
mod keys;
mod machine;
mod measure;
mod memory;
mod ours;
mod partner;
mod peers;
mod plot;
mod report;
mod row;
mod rows;
mod runs;
mod scratch;
mod table;

use clap::Parser;
use measure::Effort;
use report::Report;

/// Any error, with its text.
pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Runs every row and says which meet their target.
#[derive(Parser)]
struct Arguments {
    /// Fewer repetitions.
    #[arg(long)]
    quick: bool,
    /// Run all rows so many times, and show the medians.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=20))]
    runs: u32,
    /// Only rows whose group, name or peer contains this.
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// Draw how costs grow instead; `--only` one part.
    #[arg(long)]
    curves: bool,
    /// Only print what rows there are.
    #[arg(long)]
    list: bool,
    /// Measure memory, in a process that has done nothing else.
    #[arg(long, hide = true)]
    memory: Option<memory::Job>,
    /// Do an operation a number of times, to be counted.
    #[arg(long, hide = true, num_args = 3, value_names = ["NUMBER", "SIDE", "TIMES"])]
    count: Option<Vec<String>>,
    /// Print what operations there are to count.
    #[arg(long, hide = true)]
    count_list: bool,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    if let Some(job) = arguments.memory {
        println!("{}", memory::measure(job)?);
        return Ok(());
    }
    if let Some([number, side, times]) = arguments.count.as_deref() {
        return count::run(number.parse()?, side == "ours", times.parse()?);
    }
    if arguments.count_list {
        count::OPERATIONS.iter().for_each(|o| println!("{};{}", o.name, o.beside));
        return Ok(());
    }
    let rows = || {
        let only = arguments.only.as_deref().unwrap_or_default();
        rows::all().into_iter().filter(move |row| row.title().contains(only))
    };
    if arguments.list {
        rows().for_each(|row| println!("{}  {}", row.title(), row.target));
        return Ok(());
    }
    scratch::sweep();
    machine::keep_freed_memory();
    if arguments.curves {
        return curves::run(arguments.quick, arguments.only.as_deref().unwrap_or_default());
    }
    let machine = machine::describe();
    machine::pin(machine::Cores::get()?.first)?;
    let effort = if arguments.quick { Effort::QUICK } else { Effort::FULL };
    let mut report = Report::begin(effort, machine);
    for _ in 0..arguments.runs {
        report.begin_run();
        rows().for_each(|row| report.add(measure::run(row, effort)));
    }
    // Rows measured alone are not written down.
    report.end(arguments.only.is_none())
}
