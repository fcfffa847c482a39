//! The one error type of all aquifer crates, so that `?` works through mixed calls.

use std::fmt;
use std::path::PathBuf;

/// What every fallible call of aquifer returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a call failed. Nothing was changed by the call that returned it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no pool of that name or path.
    #[error("no pool `{0}`")]
    NoSuchPool(String),
    /// `create` found a pool, or some other file, in its place.
    #[error("`{0}` exists already")]
    AlreadyExists(String),
    /// The file's mode bits, its owner or the system forbid it.
    #[error("no permission to {what} `{name}`: {cause}")]
    Permission {
        /// The pool.
        name: String,
        /// What was tried.
        what: &'static str,
        /// What the system said.
        cause: std::io::Error,
    },
    /// The file is no pool.
    #[error("`{name}` is not a pool: {why}")]
    NotAPool {
        /// The file.
        name: String,
        /// What is wrong with it.
        why: String,
    },
    /// The pool was made by an incompatible version of aquifer.
    #[error("`{name}` has layout version {found}, this build reads {expected}")]
    Version {
        /// The pool.
        name: String,
        /// Version of the file.
        found: u32,
        /// Version of this build.
        expected: u32,
    },
    /// The file is shorter than its header says.
    #[error("`{name}` is truncated: {found} bytes of {expected}")]
    Truncated {
        /// The pool.
        name: String,
        /// Bytes that are there.
        found: u64,
        /// Bytes that the header promises.
        expected: u64,
    },
    /// Bytes of the pool are not what only this library could have written.
    #[error("the pool is damaged: {0}")]
    Damaged(String),
    /// No memory: the file system is full, or nothing free is large enough and the pool cannot grow.
    #[error("out of memory: {0}")]
    OutOfMemory(String),
    /// Growth would pass the pool's hard limit.
    #[error("the pool's hard limit of {limit} bytes does not allow {wanted} bytes")]
    HardLimit {
        /// The limit.
        limit: u64,
        /// Bytes that the pool would have.
        wanted: u64,
    },
    /// Growth would pass `RLIMIT_FSIZE`.
    #[error("the process's file size limit (RLIMIT_FSIZE) of {limit} bytes does not allow {wanted} bytes")]
    FileSizeLimit {
        /// The limit.
        limit: u64,
        /// Bytes that the file would have.
        wanted: u64,
    },
    /// No room in the address space, even for a window of the size of the file.
    #[error("no room in the address space for {0} bytes")]
    AddressSpace(u64),
    /// One thread reads more locks at once than a seat has marks.
    #[error("this thread already reads {0} locks, the most it may at once")]
    TooManyReadLocks(usize),
    /// One thread holds more write locks at once than a seat can.
    #[error("this thread already holds {0} write locks, the most it may at once")]
    TooManyWriteLocks(usize),
    /// All seats or process records are taken.
    #[error("all {0} are taken")]
    TooMany(&'static str),
    /// The calling thread waits for itself, or would break the order of a transaction's locks.
    #[error("would deadlock: {0}")]
    WouldDeadlock(&'static str),
    /// The lock is held (`try_` calls).
    #[error("the lock is held by {0}")]
    WouldBlock(Holder),
    /// The time limit passed.
    #[error("timed out waiting for a lock held by {0}")]
    Timeout(Holder),
    /// A name is empty, too long or holds a slash or a NUL.
    #[error("bad name `{name}`: {why}")]
    BadName {
        /// The name.
        name: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The named object has another type.
    #[error("`{name}` is stored as\n  {stored}\nbut was asked for as\n  {wanted}\n{difference}")]
    SchemaMismatch {
        /// The object.
        name: String,
        /// Schema in the pool.
        stored: String,
        /// Schema of the type asked for.
        wanted: String,
        /// The first difference.
        difference: String,
    },
    /// There is no named object of that name.
    #[error("no object named `{0}`")]
    NoSuchObject(String),
    /// More bytes than any pool can have.
    #[error("{0} elements of {1} bytes are more than a pool can hold")]
    TooLarge(usize, usize),
    /// A free, or an access, of something that is not an allocated block.
    #[error("bad block at {offset:#x}: {why}")]
    BadBlock {
        /// Where.
        offset: u64,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The value or handle belongs to another pool.
    #[error("the value belongs to another pool")]
    OtherPool,
    /// A value taken out cannot be put there now.
    #[error("a taken value cannot be put there: {0}")]
    TakenElsewhere(&'static str),
    /// The pool, or this kind of backing, cannot do that.
    #[error("not supported: {0}")]
    Unsupported(String),
    /// The process forked, and what is used belongs to the parent.
    #[error("belongs to the parent process")]
    Forked,
    /// The closure of a transaction gave up.
    #[error("aborted: {0}")]
    Aborted(Box<dyn std::error::Error + Send + Sync>),
    /// The system refused something that should work.
    #[error("{what} `{name}`: {cause}")]
    System {
        /// What was tried.
        what: &'static str,
        /// On what.
        name: String,
        /// What the system said.
        cause: std::io::Error,
    },
}

impl Error {
    /// What a transaction's closure returns to roll back with a reason of its own.
    pub fn abort(reason: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
        Error::Aborted(reason.into())
    }

    /// A system call's failure on a path.
    pub fn system(what: &'static str, path: impl Into<PathBuf>, cause: impl Into<std::io::Error>) -> Error {
        Error::System { what, name: path.into().display().to_string(), cause: cause.into() }
    }
}

/// Who holds a lock, as far as it can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holder {
    /// Process id, 0 if not known.
    pub process: u32,
    /// Thread id, 0 if not known.
    pub thread: u32,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.process {
            0 => f.write_str("a process that is not known"),
            _ => write!(f, "process {} thread {}", self.process, self.thread),
        }
    }
}
