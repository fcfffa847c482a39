//! The pool that an input is run in.

use arbitrary::{Arbitrary, Result, Unstructured};
use aquifer_pool::upper::Upper;
use aquifer_pool::{Options, RawPool};

/// Operations of an input that are run; a longer one tells nothing more, but takes its time.
pub const MOST_OPS: usize = 300;

/// What the first byte of an input chooses.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// A memfd with the smallest window, which moves at every growth; else private memory.
    pub moves: bool,
    /// The second half runs in a transaction that is rolled back.
    pub rolled_back: bool,
}

impl Setup {
    /// The setup and the operations that an input stands for.
    pub fn read<'a, Op: Arbitrary<'a>>(data: &'a [u8]) -> (Setup, Vec<Op>) {
        let mut input = Unstructured::new(data);
        let setup = Setup::arbitrary(&mut input).unwrap_or(Setup { moves: false, rolled_back: false });
        let mut ops = Vec::new();
        while !input.is_empty() && ops.len() < MOST_OPS {
            match Op::arbitrary(&mut input) {
                Ok(op) => ops.push(op),
                Err(_) => break,
            }
        }
        (setup, ops)
    }

    /// The smallest pool, which grows by as little as it may.
    pub fn options(self) -> Options {
        let options = Options::new().size(0).growth(64 << 10, 64 << 10).hard_limit(HARD_LIMIT);
        if self.moves { options.window(1) } else { options }
    }

    /// A pool with these layers above it.
    pub fn raw_pool(self, upper: &'static dyn Upper) -> RawPool {
        let made = if self.moves { RawPool::memfd(&self.options(), upper) } else { RawPool::private(&self.options(), upper) };
        made.expect("a pool of the smallest size")
    }
}

/// No input makes a pool longer than this.
pub const HARD_LIMIT: u64 = 32 << 20;

impl<'a> Arbitrary<'a> for Setup {
    fn arbitrary(input: &mut Unstructured<'a>) -> Result<Setup> {
        let bits = u8::arbitrary(input)?;
        Ok(Setup { moves: bits & 1 != 0, rolled_back: bits & 2 != 0 })
    }
}
