//! What a check of a pool found.

use crate::handle::Handle;
use aquifer_pool::Holder;
use std::fmt;
use std::time::Duration;

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
    ///
    /// Each of them is lost for certain, whoever is at work: see `uncertain_bytes`.
    pub leaks: Vec<Leak>,
    /// Bytes of all leaks.
    pub leaked_bytes: u64,
    /// Blocks that were allocated by hand ([`Pool::alloc`](crate::Pool::alloc)) and not freed since: never leaks, whoever died. At most
    /// [`Report::MOST`].
    pub by_hand: Vec<RawBlock>,
    /// Bytes of all of these.
    pub by_hand_bytes: u64,
    /// Blocks that nothing refers to either, but that may be on their way, since others were at work while the check looked: bytes of all of them.
    pub uncertain_bytes: u64,
    /// Who held which lock when the check began, and who waited for one.
    pub locks: Vec<LockHeld>,
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

    /// Whether the named object was looked at, and nothing was found to be wrong with it: reading it is safe.
    ///
    /// `(directory)` stands for the directory, without which no object is found.
    pub fn has_passed(&self, object: &str) -> bool {
        !self.truncated && !self.findings.iter().any(|f| f.object == object)
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
        self.locks.iter().try_for_each(|l| writeln!(f, "{l}"))?;
        if self.by_hand_bytes > 0 {
            writeln!(f, "{} bytes allocated by hand", self.by_hand_bytes)?;
        }
        self.findings.iter().try_for_each(|x| writeln!(f, "{x}"))?;
        if self.truncated {
            writeln!(f, "and more")?;
        }
        self.leaks.iter().try_for_each(|l| writeln!(f, "leaked: {} bytes at {:#x}", l.bytes, l.offset))?;
        if self.uncertain_bytes > 0 {
            writeln!(f, "{} bytes are on their way, or leaked: others are at work", self.uncertain_bytes)?;
        }
        match self.is_clean() {
            true => write!(f, "clean"),
            false => write!(f, "{} findings, {leaked_bytes} bytes leaked", self.findings.len()),
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

/// A lock that somebody holds or waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockHeld {
    /// What it guards: `stock`; nothing if no named object leads to it, or it was not looked at.
    pub path: Option<String>,
    /// Where the lock stands.
    pub offset: u64,
    /// Process and thread.
    pub by: Holder,
    /// What they do with it.
    pub hold: Hold,
    /// Of who waits: since when. Of who holds it: since when somebody has waited for it, nothing if nobody does. A lock that nobody waits for is
    /// taken without looking at a clock, so that only those who had to wait know a time; it may have changed hands since.
    pub waited_for: Option<Duration>,
}

impl fmt::Display for LockHeld {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.path {
            Some(path) => write!(f, "the lock of {path}")?,
            None => write!(f, "the lock at {:#x}", self.offset)?,
        }
        match (self.hold, self.waited_for) {
            (Hold::Waits, since) => {
                write!(f, ": {} has waited for it for {:?}", self.by, since.unwrap_or_default())
            }
            (hold, since) => {
                let verb = if hold == Hold::Writes { "written" } else { "read" };
                write!(f, ": {verb} by {}", self.by)?;
                since.map_or(Ok(()), |t| write!(f, ", waited for since {t:?}"))
            }
        }
    }
}

/// What a thread does with a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// It has it for writing.
    Writes,
    /// It has it for reading.
    Reads,
    /// It sleeps until it gets it.
    Waits,
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
    /// Name of the object, or part of the pool, that it was found in: `stock`, `(directory)`, `heap`, `seat 3`.
    pub object: String,
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
    /// The value stands at an offset that is no multiple of its alignment.
    Unaligned(u64),
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
    /// A look-up does not find the key: it is not where its hash leads, or is there twice.
    Misplaced,
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
            Problem::Unaligned(align) => write!(f, "is not aligned to {align}"),
            Problem::NoBlock(block) => write!(f, "refers to {block:#x}, where no block begins"),
            Problem::SmallBlock { block, has, needs } => {
                write!(f, "needs {needs} bytes, but the block at {block:#x} has {has}")
            }
            Problem::SharedBlock { block, with } => {
                write!(f, "refers to {block:#x}, which belongs to {with} too")
            }
            Problem::Length { len, cap } => write!(f, "has {len} elements and room for {cap}"),
            Problem::Table(why) | Problem::Seat(why) => f.write_str(why),
            Problem::Misplaced => f.write_str("is not found by its key"),
            Problem::NotUtf8 => f.write_str("is not UTF-8"),
            Problem::Value { of, found } => write!(f, "{found:#x} is not a value of {of}"),
            Problem::Locked(why) => write!(f, "was not looked at: {why}"),
        }
    }
}

/// What a repair has done: [`Pool::repair`](crate::Pool::repair).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Repair {
    /// Dead processes that were buried.
    pub buried: usize,
    /// Logs of dead processes that were damaged and were given up, so that their operations stay half done.
    pub logs: usize,
    /// Free seats that seemed to hold locks or to have operations under way: damage.
    pub seats: usize,
    /// Locks that named seats on which nobody sits, by what they guard: damage.
    pub locks: Vec<String>,
    /// Whether the list of free pages was wrong, and was made anew.
    pub index: bool,
    /// Blocks that had leaked, and are free now.
    pub freed: Vec<Leak>,
    /// Bytes of these.
    pub freed_bytes: u64,
    /// What is left, and is not repaired: what was found to be wrong.
    pub report: Report,
}

impl Repair {
    /// Whether there was nothing to repair.
    pub fn is_nothing(&self) -> bool {
        *self == Repair { report: self.report.clone(), ..Repair::default() }
    }
}

impl fmt::Display for Repair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut counted = |n: usize, what: &str| if n > 0 { writeln!(f, "{n} {what}") } else { Ok(()) };
        counted(self.buried, "dead processes buried")?;
        counted(self.logs, "damaged logs given up")?;
        counted(self.seats, "free seats cleared")?;
        counted(self.index as usize, "list of free pages made anew")?;
        counted(self.freed.len(), "leaked blocks freed")?;
        self.locks.iter().try_for_each(|lock| writeln!(f, "lock freed, which named nobody: {lock}"))?;
        self.report.fmt(f)
    }
}
