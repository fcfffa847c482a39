//! The pool that an input is run in.

use aquifer::Pool;
use aquifer_pool::layout::fresh;
use aquifer_pool::upper::Upper;
use aquifer_pool::{Inner, Options, RawPool};
use arbitrary::{Arbitrary, Result, Unstructured};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};

/// Operations of an input that are run; a longer one tells nothing more, but takes its time.
pub const MOST_OPS: usize = 300;
/// No input makes a pool longer than this.
pub const HARD_LIMIT: u64 = 32 << 20;
/// The same for pools that shall run out of memory.
const TIGHT_LIMIT: u64 = fresh::LEAST + (96 << 10);
/// The smallest step by which pools grow, and the largest.
const STEP: u64 = 64 << 10;

/// What the first byte of an input chooses.
#[derive(Clone, Copy, Debug, Default)]
pub struct Setup {
    /// A memfd with the smallest window, which moves at every growth; else private memory.
    pub moves: bool,
    /// The second half runs in a transaction that is rolled back.
    pub rolled_back: bool,
    /// The second half runs in a transaction that is committed, unless it is rolled back.
    pub committed: bool,
    /// There is so little memory that operations may fail.
    pub tight: bool,
}

impl Setup {
    /// The setup and the operations that an input stands for.
    pub fn read<'a, Op: Arbitrary<'a>>(data: &'a [u8]) -> (Setup, Vec<Op>) {
        let mut input = Unstructured::new(data);
        let setup = Setup::arbitrary(&mut input).unwrap_or_default();
        let mut ops = Vec::new();
        while !input.is_empty() && ops.len() < MOST_OPS {
            match Op::arbitrary(&mut input) {
                Ok(op) => ops.push(op),
                Err(_) => break,
            }
        }
        (setup, ops)
    }

    /// Whether the second half runs in a transaction.
    pub fn is_in_transaction(self) -> bool {
        self.rolled_back || self.committed
    }

    /// A pool of the smallest size, which grows by as little as it may, with nothing but these layers above it.
    pub fn raw_pool(self, upper: &'static dyn Upper) -> RawPool {
        let options = Options::new().size(0).growth(STEP, STEP).hard_limit(HARD_LIMIT);
        let made = if self.moves {
            RawPool::memfd(&options.window(1), upper)
        } else {
            RawPool::private(&options, upper)
        };
        made.expect("a pool of the smallest size")
    }

    /// The same with everything above it.
    pub fn pool(self) -> Pool {
        let limit = if self.tight { TIGHT_LIMIT } else { HARD_LIMIT };
        let options = Pool::options().size(0).growth(STEP, STEP).hard_limit(limit);
        let made = if self.moves { options.window(1).memfd() } else { options.private() };
        made.expect("a pool of the smallest size")
    }
}

impl<'a> Arbitrary<'a> for Setup {
    fn arbitrary(input: &mut Unstructured<'a>) -> Result<Setup> {
        let bits = u8::arbitrary(input)?;
        let bit = |i: u8| bits >> i & 1 != 0;
        Ok(Setup { moves: bit(0), rolled_back: bit(1), committed: bit(2), tight: bit(3) })
    }
}

/// Blocks that the logs of the seats keep for good.
pub fn log_chunks(pool: &Inner) -> BTreeSet<u64> {
    let mut chunks = BTreeSet::new();
    for seat in (0..pool.seat_count()).filter_map(|s| pool.seat_at(s)) {
        for log in &seat.logs {
            let mut next = log.chunk.load(Ordering::Relaxed);
            while next != 0 && chunks.insert(next) {
                let link = pool.at(next, 8).expect("a chunk lies in the pool").cast::<AtomicU64>();
                // SAFETY: in bounds by `at`; a chunk begins with the offset of the next one.
                next = unsafe { &*link }.load(Ordering::Relaxed);
            }
        }
    }
    chunks
}
