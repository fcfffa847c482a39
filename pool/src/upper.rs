//! What the pool crate needs of the crates above it.

use crate::error::Result;
use crate::log::{LogCx, RecordView};
use crate::raw::Inner;
use crate::seat::SeatCtx;

/// The heap and the collections, as the pool crate calls them. One static value, given on opening.
pub trait Upper: Sync + std::fmt::Debug {
    /// Lays out the heap in a pool that is being made: the bytes `0..length` are zero but for header, records and seats.
    fn lay_out(&self, pool: &Inner) -> Result<()>;

    /// What the keyed hash gives for fixed values under `seed`: stored when a pool is made, compared when it is opened.
    fn hash_probe(&self, seed: [u64; 2]) -> [u64; 4];

    /// Checks heap tables and directory of a pool that is being opened, before anything trusts them. Must not hang or crash on any bytes.
    fn verify(&self, pool: &Inner) -> Result<()>;

    /// Pass 1 of a burial: settles and frees what the dead seat changed of the heap's own structures (`SeatHeap::busy`, heap lock,
    /// page lock). Repeatable; waits for nothing.
    fn settle(&self, dead: &SeatCtx);

    /// Undoes an intent (`Alloc`, `AllocRun`) of an operation that did not commit. Repeatable until the record is popped.
    fn undo(&self, cx: &LogCx, record: RecordView);

    /// Offset and bytes of the block that an intent (`Alloc`, `AllocRun`) speaks of, if there is one.
    fn block_of(&self, _pool: &Inner, _record: RecordView) -> Option<(u64, u64)> {
        None
    }

    /// Carries out an intent (`Free`, `DropVec`, `DropTable`) of a committed operation. Repeatable until the record is popped. Needs no memory.
    /// `DropVec` and `DropTable` push what is to be done before them (see [`LogCx::push_all`]), or are done.
    fn carry_out(&self, cx: &LogCx, record: RecordView) -> Progress;

    /// Takes a chunk of `bytes` for log records, permanently (see `log`). Pushes nothing on `cx` but its own allocation's record.
    fn log_chunk(&self, cx: &LogCx, bytes: u64) -> Result<u64>;

    /// Takes `bytes` (a multiple of the page) that are never given back, for seats and process records.
    fn permanent(&self, cx: &LogCx, bytes: u64) -> Result<u64>;

    /// Called after this process has joined anew as a child of a fork, and before anything else uses the pool.
    fn rejoined(&self, pool: &Inner) -> Result<()>;
}

/// Outcome of [`Upper::carry_out`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// The record may be popped.
    Done,
    /// More records were pushed and published; this one stays.
    Pushed,
}
