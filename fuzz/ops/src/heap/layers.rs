//! The heap as the only thing above the pool.

use aquifer_alloc as heap;
use aquifer_pool::log::{LogCx, RecordView};
use aquifer_pool::seat::SeatCtx;
use aquifer_pool::upper::{Progress, Upper};
use aquifer_pool::{Inner, Result};

/// See the module.
#[derive(Debug)]
pub struct HeapOnly;

pub static HEAP_ONLY: HeapOnly = HeapOnly;

impl Upper for HeapOnly {
    fn lay_out(&self, pool: &Inner) -> Result<()> {
        heap::lay_out(pool)
    }
    fn hash_probe(&self, _seed: [u64; 2]) -> [u64; 4] {
        [1, 2, 3, 4]
    }
    fn verify(&self, pool: &Inner) -> Result<()> {
        heap::verify(pool)
    }
    fn settle(&self, dead: &SeatCtx) {
        heap::settle(dead);
    }
    fn undo(&self, cx: &LogCx, record: RecordView) {
        heap::undo(cx, record);
    }
    fn carry_out(&self, cx: &LogCx, record: RecordView) -> Progress {
        heap::carry_out_free(cx, record)
    }
    fn log_chunk(&self, cx: &LogCx, bytes: u64) -> Result<u64> {
        heap::log_chunk(cx, bytes)
    }
    fn permanent(&self, cx: &LogCx, bytes: u64) -> Result<u64> {
        heap::permanent(cx, bytes)
    }
    fn rejoined(&self, _pool: &Inner) -> Result<()> {
        Ok(())
    }
}
