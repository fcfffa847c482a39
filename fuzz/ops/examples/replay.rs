//! Runs files through a target: `cargo run --example replay -- <target> <file>..`.

use aquifer_fuzz_ops::TARGETS;

fn main() {
    let mut args = std::env::args().skip(1);
    let name = args.next().expect("a target");
    let (_, run) = TARGETS.into_iter().find(|(n, _)| *n == name).expect("the name of a target");
    for file in args {
        eprintln!("{file}");
        run(&std::fs::read(&file).expect("a file"));
    }
}
