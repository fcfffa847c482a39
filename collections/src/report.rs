//! What a check of a pool found.

use crate::handle::Handle;
use std::fmt;

/// The result of a check.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// What is wrong, in the order in which it was met; at most [`Report::MOST`].
    pub findings: Vec<Finding>,
    /// Whether there were more findings than are kept.
    pub truncated: bool,
    /// Allocated blocks that nothing in the pool refers to; at most [`Report::MOST`]. Empty when some values could not be looked at.
    ///
    /// Exact while nobody else works on the pool.
    pub leaks: Vec<Leak>,
    /// Bytes of all leaks.
    pub leaked_bytes: u64,
    /// Blocks that were allocated by hand ([`Pool::alloc`](crate::Pool::alloc)) and not freed since: never leaks, whoever died. At most
    /// [`Report::MOST`].
    pub by_hand: Vec<RawBlock>,
    /// Bytes of all of these.
    pub by_hand_bytes: u64,
    /// Named objects, or parts of the directory, that were looked at.
    pub roots: u64,
    /// Containers and strings that were looked at.
    pub containers: u64,
    /// Blocks that are referred to.
    pub blocks: u64,
    /// Bytes of these.
    pub bytes: u64,
    /// Logs with an operation under way: if not 0, others are at work, and leaks may be blocks on their way.
    pub open_logs: u64,
}

impl Report {
    /// How many findings and leaks are kept.
    pub const MOST: usize = 1000;

    /// Whether nothing is wrong and nothing leaked.
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty() && self.leaked_bytes == 0
    }

    pub(crate) fn list_by_hand(&mut self, block: RawBlock) {
        self.by_hand_bytes += block.bytes;
        if self.by_hand.len() < Self::MOST {
            self.by_hand.push(block);
        }
    }

    pub(crate) fn leak(&mut self, leak: Leak) {
        self.leaked_bytes += leak.bytes;
        if self.leaks.len() < Self::MOST {
            self.leaks.push(leak);
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { roots, containers, blocks, bytes, leaked_bytes, .. } = self;
        writeln!(f, "{roots} objects, {containers} containers, {blocks} blocks of {bytes} bytes")?;
        if self.by_hand_bytes > 0 {
            writeln!(f, "{} bytes allocated by hand", self.by_hand_bytes)?;
        }
        self.findings.iter().try_for_each(|x| writeln!(f, "{x}"))?;
        if self.truncated {
            writeln!(f, "and more")?;
        }
        self.leaks.iter().try_for_each(|l| writeln!(f, "leaked: {} bytes at {:#x}", l.bytes, l.offset))?;
        match (self.is_clean(), self.open_logs) {
            (true, _) => write!(f, "clean"),
            (_, 0) => write!(f, "{} findings, {leaked_bytes} bytes leaked", self.findings.len()),
            (_, n) => {
                write!(
                    f,
                    "{} findings, {leaked_bytes} bytes leaked or held by {n} operations under way",
                    self.findings.len()
                )
            }
        }
    }
}

/// An allocated block that nothing refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leak {
    /// Where it begins.
    pub offset: u64,
    /// Bytes that it holds.
    pub bytes: u64,
}

/// A block that was allocated by hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawBlock {
    /// With which it can be used and freed.
    pub handle: Handle,
    /// Bytes that it holds.
    pub bytes: u64,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Of which value: `stock["bolts"][3]`.
    pub path: String,
    /// Where it stands in the pool.
    pub offset: u64,
    /// What is wrong.
    pub problem: Problem,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {:#x}: {}", self.path, self.offset, self.problem)
    }
}

/// What can be wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Problem {
    /// The bytes lie outside of the pool, or cannot be mapped.
    Unreachable(String),
    /// No allocated block begins at the offset that the value refers to.
    NoBlock(u64),
    /// The block is smaller than what it should hold.
    SmallBlock {
        /// The block.
        block: u64,
        /// Bytes that it holds.
        has: u64,
        /// Bytes that it should hold.
        needs: u64,
    },
    /// The block belongs to another value too.
    SharedBlock {
        /// The block.
        block: u64,
        /// The other value.
        with: String,
    },
    /// More elements than room for them.
    Length {
        /// Elements.
        len: u64,
        /// Room.
        cap: u64,
    },
    /// The table's counts or control bytes contradict one another.
    Table(&'static str),
    /// A string is not UTF-8.
    NotUtf8,
    /// Bytes that are no value of the type.
    Value {
        /// The type.
        of: String,
        /// The bytes as a number.
        found: u128,
    },
    /// The type that the value should have is not known.
    Schema(String),
    /// The value could not be looked at: its lock was not to be had.
    Locked(String),
    /// The heap's index contradicts its descriptors.
    Heap(String),
    /// A seat or process record contradicts the others.
    Seat(&'static str),
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::Unreachable(why) | Problem::Schema(why) | Problem::Heap(why) => f.write_str(why),
            Problem::NoBlock(block) => write!(f, "refers to {block:#x}, where no block begins"),
            Problem::SmallBlock { block, has, needs } => {
                write!(f, "needs {needs} bytes, but the block at {block:#x} has {has}")
            }
            Problem::SharedBlock { block, with } => {
                write!(f, "refers to {block:#x}, which belongs to {with} too")
            }
            Problem::Length { len, cap } => write!(f, "has {len} elements and room for {cap}"),
            Problem::Table(why) | Problem::Seat(why) => f.write_str(why),
            Problem::NotUtf8 => f.write_str("is not UTF-8"),
            Problem::Value { of, found } => write!(f, "{found:#x} is not a value of {of}"),
            Problem::Locked(why) => write!(f, "was not looked at: {why}"),
        }
    }
}
