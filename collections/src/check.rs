//! Checking a pool: the heap against what is reachable, and every value against its type.
//!
//! The check starts from *roots*, values whose types are known, and follows their schemas. It trusts nothing: every access is checked,
//! the work lies on a list of its own and not on the stack, and each block is followed once, so that it ends on any bytes.
//! It holds read locks on the way: a lock is taken when the walk comes to it, and given back when all that it guards was looked at.

mod path;
mod seats;
mod values;

use crate::handle::Handle;
use crate::pool_schemas;
use crate::report::{Finding, Leak, Problem, RawBlock, Report};
use crate::schema::Schema;
use crate::schema::encode::encode;
use crate::schema::view::View;
use aquifer_pool::{Inner, Result};
use path::Path;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::{Duration, Instant};
use values::{Walker, Work};

/// How long to wait for one lock.
const PATIENCE: Duration = Duration::from_secs(10);

/// A value from which the check starts.
#[derive(Debug, Clone)]
pub struct Root {
    /// How findings call it: `stock`.
    pub name: String,
    /// Where the value stands.
    pub offset: u64,
    /// Its type.
    pub schema: RootSchema,
    /// Whether the value begins a block of its own.
    pub owns_block: bool,
}

/// The type of a [`Root`].
#[derive(Debug, Clone, Copy)]
pub enum RootSchema {
    /// Offset in the pool of a blob.
    Blob(u64),
    /// A type of this program.
    Type(&'static Schema),
}

/// All that a check starts from.
#[derive(Debug, Clone, Default)]
pub struct Inventory {
    /// The directory, named objects and removed ones that are still held.
    pub roots: Vec<Root>,
    /// Blocks that hold no values, such as blobs of schemas, with names for them.
    pub blocks: Vec<(u64, String)>,
}

/// Checks the pool. O(bytes in use); holds read locks while it looks at what they guard.
///
/// The dead are buried first. Damage is no error: it is what the report is about.
///
/// # Errors
/// What keeps the calling thread from using the pool at all, as for any lock.
pub fn check(pool: &Inner, inventory: &Inventory) -> Result<Report> {
    pool.bury_dead();
    let seat = pool.seat()?;
    let mut claims = Claims { pool, owners: HashMap::new(), report: Report::default(), partial: false };
    for (block, name) in &inventory.blocks {
        claims.claim(*block, 1, *block, &Path::root(name));
    }
    for root in &inventory.roots {
        check_root(&mut claims, seat, root);
    }
    seats::check(pool, &mut claims);
    check_heap(pool, &mut claims);
    Ok(claims.report)
}

fn check_root(claims: &mut Claims<'_>, seat: &aquifer_pool::seat::SeatCtx, root: &Root) {
    let path = Path::root(&root.name);
    claims.report.roots += 1;
    let encoded;
    let view = match root.schema {
        RootSchema::Type(schema) => {
            encoded = encode(schema);
            Ok(View::checked_before(&encoded))
        }
        RootSchema::Blob(blob) => pool_schemas::view(claims.pool, blob),
    };
    let node = match view {
        Ok(view) => view.root(),
        Err(e) => {
            claims.partial = true;
            return claims.find(&path, root.offset, Problem::Schema(e.to_string()));
        }
    };
    if root.owns_block && !claims.claim(root.offset, node.size(), root.offset, &path) {
        return;
    }
    let mut walker = Walker { claims, seat, work: vec![Work::Value { node, offset: root.offset, path }] };
    walker.run(Instant::now() + PATIENCE);
}

/// Who refers to which block.
struct Claims<'a> {
    pool: &'a Inner,
    owners: HashMap<u64, Rc<Path>>,
    report: Report,
    /// Something was not looked at: what it owns would seem to have leaked.
    partial: bool,
}

impl Claims<'_> {
    /// Notes that the value of `path`, at `offset`, has the block, and whether it may be followed.
    fn claim(&mut self, block: u64, needs: u64, offset: u64, path: &Rc<Path>) -> bool {
        let Some(has) = aquifer_alloc::block_size(self.pool, block) else {
            self.find(path, offset, Problem::NoBlock(block));
            return false;
        };
        if let Some(other) = self.owners.get(&block) {
            let with = other.show(self.pool);
            self.find(path, offset, Problem::SharedBlock { block, with });
            return false;
        }
        self.owners.insert(block, path.clone());
        self.report.blocks += 1;
        self.report.bytes += has;
        if has < needs {
            self.find(path, offset, Problem::SmallBlock { block, has, needs });
            self.partial = true;
        }
        has >= needs
    }

    fn find(&mut self, path: &Rc<Path>, offset: u64, problem: Problem) {
        if self.report.findings.len() >= Report::MOST {
            self.report.truncated = true;
            return;
        }
        let path = path.show(self.pool);
        self.report.findings.push(Finding { path, offset, problem });
    }
}

/// The heap's own tables, and the blocks that nobody refers to.
fn check_heap(pool: &Inner, claims: &mut Claims<'_>) {
    let heap = Path::root("heap");
    if let Err(e) = aquifer_alloc::check_index(pool) {
        claims.find(&heap, 0, Problem::Heap(e.to_string()));
    }
    if claims.partial {
        return;
    }
    let walked = aquifer_alloc::for_each_block(pool, |block| {
        if block.by_hand {
            let listed = Handle::of(pool, block.offset).map(|handle| RawBlock { handle, bytes: block.size });
            listed.into_iter().for_each(|b| claims.report.list_by_hand(b));
        } else if !claims.owners.contains_key(&block.offset) {
            claims.report.leak(Leak { offset: block.offset, bytes: block.size });
        }
        Ok(())
    });
    if let Err(e) = walked {
        claims.find(&heap, 0, Problem::Heap(e.to_string()));
    }
}
