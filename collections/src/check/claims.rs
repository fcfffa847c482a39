//! Which value has which block, and what was found.

use super::locks::Locks;
use super::path::Path;
use crate::report::{Finding, Problem, Report};
use aquifer_pool::Inner;
use std::collections::HashMap;
use std::rc::Rc;

/// What a check has gathered so far.
pub(super) struct Claims<'a> {
    pub(super) pool: &'a Inner,
    owners: HashMap<u64, Rc<Path>>,
    pub(super) report: Report,
    /// The locks on the way.
    pub(super) locks: Locks,
    /// Paths of locks that named nobody and were freed.
    pub(super) freed_locks: Vec<String>,
    /// Something was not looked at: what it owns would seem to have leaked.
    pub(super) partial: bool,
}

impl<'a> Claims<'a> {
    pub(super) fn new(pool: &'a Inner, locks: Locks) -> Claims<'a> {
        Claims {
            pool,
            owners: HashMap::new(),
            report: Report::default(),
            locks,
            freed_locks: Vec::new(),
            partial: false,
        }
    }

    /// Notes that the value of `path`, at `offset`, has the block, and whether it may be followed.
    pub(super) fn claim(&mut self, block: u64, needs: u64, offset: u64, path: &Rc<Path>) -> bool {
        let Some(has) = aquifer_alloc::block_size(self.pool, block) else {
            self.find(path, offset, Problem::NoBlock(block));
            self.partial = true;
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

    /// The same for a block of values of some alignment.
    pub(super) fn claim_for(
        &mut self,
        align: u64,
        block: u64,
        needs: u64,
        offset: u64,
        path: &Rc<Path>,
    ) -> bool {
        if !block.is_multiple_of(align.max(1)) {
            self.find(path, offset, Problem::Unaligned(align));
            self.partial = true;
            return false;
        }
        self.claim(block, needs, offset, path)
    }

    /// Whether some value has the block.
    pub(super) fn has(&self, block: u64) -> bool {
        self.owners.contains_key(&block)
    }

    pub(super) fn find(&mut self, path: &Rc<Path>, offset: u64, problem: Problem) {
        if self.report.findings.len() >= Report::MOST {
            self.report.truncated = true;
            return;
        }
        let (object, path) = (path.object(), path.show(self.pool));
        self.report.findings.push(Finding { object, path, offset, problem });
    }
}
