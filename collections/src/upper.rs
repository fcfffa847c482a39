//! What the pool crate needs of the heap and the collections.

use crate::discard;
use aquifer_pool::log::{Kind, LogCx, RecordView};
use aquifer_pool::seat::SeatCtx;
use aquifer_pool::upper::{Progress, Upper};
use aquifer_pool::{Error, Inner, Result};
use std::sync::atomic::Ordering;

/// The heap and the collections.
#[derive(Debug)]
pub struct Layers;

/// What pools are opened with.
pub static LAYERS: Layers = Layers;

impl Upper for Layers {
    fn lay_out(&self, pool: &Inner) -> Result<()> {
        aquifer_alloc::lay_out(pool)
    }

    fn verify(&self, pool: &Inner) -> Result<()> {
        aquifer_alloc::verify(pool)?;
        let directory = pool.header().directory.load(Ordering::Acquire);
        if directory != 0 && aquifer_alloc::block_size(pool, directory).is_none() {
            return Err(Error::Damaged(format!(
                "the directory at {directory:#x} is not a block of the heap"
            )));
        }
        Ok(())
    }

    fn settle(&self, dead: &SeatCtx) {
        aquifer_alloc::settle(dead);
    }

    fn undo(&self, cx: &LogCx, record: RecordView) {
        aquifer_alloc::undo(cx, record);
    }

    fn block_of(&self, pool: &Inner, record: RecordView) -> Option<(u64, u64)> {
        aquifer_alloc::block_of(pool, record)
    }

    fn carry_out(&self, cx: &LogCx, record: RecordView) -> Progress {
        match record.kind {
            Kind::Free => aquifer_alloc::carry_out_free(cx, record),
            _ => discard::carry_out(cx, record),
        }
    }

    fn log_chunk(&self, cx: &LogCx, bytes: u64) -> Result<u64> {
        aquifer_alloc::log_chunk(cx, bytes)
    }

    fn permanent(&self, cx: &LogCx, bytes: u64) -> Result<u64> {
        aquifer_alloc::permanent(cx, bytes)
    }

    fn rejoined(&self, pool: &Inner) -> Result<()> {
        crate::named::rejoined(pool)
    }

    fn hash_probe(&self, seed: [u64; 2]) -> [u64; 4] {
        crate::hash::probe(seed)
    }
}
