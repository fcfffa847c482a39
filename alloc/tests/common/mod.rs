//! What the tests of the heap share: a pool with nothing but a heap, and small random numbers.

#![allow(dead_code, unreachable_pub, missing_docs, clippy::unwrap_used)]

use aquifer_alloc as heap;
use aquifer_pool::log::{LogCx, RecordView};
use aquifer_pool::seat::SeatCtx;
use aquifer_pool::upper::{Progress, Upper};
use aquifer_pool::{Inner, Options, RawPool, Result};

/// The heap as the only thing above the pool.
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

/// Grows by as little as it can, so that growth is often.
pub fn small_steps() -> Options {
    Options::new().size(0).growth(4096, 16 * 4096)
}

pub fn private(options: &Options) -> RawPool {
    RawPool::private(options, &HEAP_ONLY).unwrap()
}

/// Both what the descriptors say and what is derived from them is right.
pub fn check(pool: &Inner) {
    heap::verify(pool).unwrap();
    heap::check_index(pool).unwrap();
}

/// xorshift64*: small, and the same everywhere.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    /// Mostly small, sometimes pages, seldom many.
    pub fn size(&mut self) -> usize {
        let most = match self.below(16) {
            0..10 => 256,
            10..14 => 4096,
            14 => 20_000,
            _ => 300_000,
        };
        self.below(most) as usize
    }
}
