//! The rows, a file for each group.

mod bare;
mod bare_text;
mod boost;
mod chains;
mod growth;
pub mod heap;
mod huge;
mod locks;
pub mod map;
mod service;
pub mod strings;
mod vec;

use crate::row::Row;

/// Every row, in the order of the table.
pub fn all() -> Vec<Row> {
    [
        map::rows(),
        chains::rows(),
        huge::rows(),
        strings::rows(),
        vec::rows(),
        heap::rows(),
        locks::rows(),
        boost::rows(),
        service::rows(),
        growth::rows(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// `1k`, `100k`, `1M`.
fn short(n: u64) -> String {
    match n {
        _ if n.is_multiple_of(1_000_000) => format!("{}M", n / 1_000_000),
        _ if n.is_multiple_of(1000) => format!("{}k", n / 1000),
        _ => n.to_string(),
    }
}
