//! Checking a pool: the heap against what is reachable, and every value against its type.
//!
//! The check starts from *roots*, values whose types are known, and follows their schemas. It trusts nothing: every access is checked,
//! the work lies on a list of its own and not on the stack, and each block is followed once, so that it ends on any bytes.
//! It holds read locks on the way: a lock is taken when the walk comes to it, and given back when all that it guards was looked at.

mod claims;
mod holders;
mod keys;
mod leaks;
mod locks;
mod path;
mod seats;
mod values;

use crate::handle::Handle;
use crate::pool_schemas;
use crate::report::{Problem, RawBlock, Report};
use crate::schema::Schema;
use crate::schema::encode::encode;
use crate::schema::view::View;
use aquifer_alloc::BlockInfo;
use aquifer_pool::seat::SeatCtx;
use aquifer_pool::{Inner, Result};
use claims::Claims;
use holders::Holding;
pub(crate) use locks::PATIENCE;
use locks::{Alone, Locks};
use path::Path;
use values::{Walker, Work};

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

/// A check that is under way.
pub(crate) struct Check<'a> {
    pool: &'a Inner,
    seat: &'a SeatCtx,
    claims: Claims<'a>,
    holding: Holding,
    /// Whether no other seat has our bit in the summaries of locks.
    alone: Alone,
}

impl<'a> Check<'a> {
    /// Begins: the dead were buried. `keep`: the outermost locks are kept until the end.
    ///
    /// # Errors
    /// What keeps the calling thread from using the pool at all.
    pub(crate) fn begin(pool: &'a Inner, keep: bool) -> Result<Check<'a>> {
        let seat = pool.seat()?;
        let alone = Alone::look(pool, seat);
        let holding = Holding::look(pool);
        let locks = Locks::new(keep, holding.offsets());
        Ok(Check { pool, seat, claims: Claims::new(pool, locks), holding, alone })
    }

    /// Looks at all that the inventory names.
    pub(crate) fn walk(&mut self, inventory: &Inventory) {
        for (block, name) in &inventory.blocks {
            self.claims.claim(*block, 1, *block, &Path::root(name));
        }
        inventory.roots.iter().for_each(|root| self.follow(root));
    }

    /// Looks at the blocks and types of what the inventory names, and not at the values.
    pub(crate) fn claim(&mut self, inventory: &Inventory) {
        for root in &inventory.roots {
            let RootSchema::Blob(blob) = root.schema else { continue };
            let path = Path::root(&root.name);
            match pool_schemas::view(self.pool, blob) {
                Ok(view) => drop(self.claims.claim(root.offset, view.root().size(), root.offset, &path)),
                Err(e) => self.claims.find(&path, root.offset, Problem::Schema(e.to_string())),
            }
        }
    }

    /// Looks at one value and all that it reaches; whether nothing was wrong.
    pub(crate) fn root(&mut self, root: &Root) -> bool {
        let before = self.claims.report.findings.len();
        self.follow(root);
        self.claims.report.findings.len() == before && !self.claims.report.truncated
    }

    fn follow(&mut self, root: &Root) {
        let (path, claims) = (Path::root(&root.name), &mut self.claims);
        claims.report.roots += 1;
        let encoded;
        let view = match root.schema {
            RootSchema::Type(schema) => {
                encoded = encode(schema);
                Ok(View::checked_before(&encoded))
            }
            RootSchema::Blob(blob) => pool_schemas::view(self.pool, blob),
        };
        let node = match view {
            Ok(view) => view.root(),
            Err(e) => {
                claims.partial = true;
                return claims.find(&path, root.offset, Problem::Schema(e.to_string()));
            }
        };
        if !root.offset.is_multiple_of(node.align().max(1)) {
            claims.partial = true;
            return claims.find(&path, root.offset, Problem::Unaligned(node.align()));
        }
        if root.owns_block && !claims.claim(root.offset, node.size(), root.offset, &path) {
            return;
        }
        let work = vec![Work::Value { node, offset: root.offset, path }];
        Walker { claims, seat: self.seat, work }.run();
    }

    /// Something that leads to values could not be looked at.
    pub(crate) fn fail(&mut self, name: &str, offset: u64, problem: Problem) {
        self.claims.partial = true;
        self.claims.find(&Path::root(name), offset, problem);
    }

    /// Looks at what belongs to no value: seats, process records and the heap. Returns the blocks that have leaked.
    pub(crate) fn rest(&mut self) -> Vec<BlockInfo> {
        seats::check(self.pool, &mut self.claims);
        let heap = Path::root("heap");
        if let Err(e) =
            aquifer_alloc::verify(self.pool).and_then(|()| aquifer_alloc::check_index_in_use(self.seat))
        {
            self.claims.partial = true;
            self.claims.find(&heap, 0, Problem::Heap(e.to_string()));
        }
        self.list_by_hand();
        if self.claims.partial {
            return Vec::new();
        }
        match leaks::find(self.pool, self.seat, &mut self.claims, self.alone) {
            Ok(found) => {
                found.leaked.iter().for_each(|b| self.claims.report.leak(b.into()));
                self.claims.report.uncertain_bytes = found.uncertain.iter().map(|b| b.size).sum();
                found.leaked
            }
            Err(e) => {
                self.claims.find(&heap, 0, Problem::Heap(e.to_string()));
                Vec::new()
            }
        }
    }

    fn list_by_hand(&mut self) {
        let (pool, report) = (self.pool, &mut self.claims.report);
        let _ = aquifer_alloc::for_each_block(pool, |block| {
            let handle = Handle::of(pool, block.offset).filter(|_| block.by_hand);
            handle.into_iter().for_each(|handle| report.list_by_hand(RawBlock { handle, bytes: block.size }));
            Ok(())
        });
    }

    /// Paths of the locks that named nobody and were freed.
    pub(crate) fn freed_locks(&mut self) -> Vec<String> {
        std::mem::take(&mut self.claims.freed_locks)
    }

    /// The report.
    pub(crate) fn end(mut self) -> Report {
        self.claims.locks.end(self.seat);
        self.claims.report.locks = self.holding.report(self.pool, &self.claims.locks);
        self.claims.report
    }
}

/// Checks the pool from an inventory of its own. O(bytes in use); holds read locks while it looks at what they guard.
///
/// The dead are buried first. Damage is no error: it is what the report is about.
///
/// # Errors
/// What keeps the calling thread from using the pool at all, as for any lock.
pub fn check(pool: &Inner, inventory: &Inventory) -> Result<Report> {
    pool.bury_dead();
    let mut check = Check::begin(pool, false)?;
    check.walk(inventory);
    check.rest();
    Ok(check.end())
}
