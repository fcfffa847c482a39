//! aquifer's hash for `std`'s hashing, so that hashbrown is compared with the same one.

use aquifer::hash::{Seed, ShHash, hash_bytes};
use std::hash::{BuildHasher, Hasher};

/// Hashes as a pool with this seed does: a key is one number or one text.
#[derive(Debug, Clone, Copy)]
pub struct SameHash(pub Seed);

impl Default for SameHash {
    fn default() -> SameHash {
        SameHash([0x243f_6a88_85a3_08d3, 0x1319_8a2e_0370_7344])
    }
}

impl BuildHasher for SameHash {
    type Hasher = SameHasher;

    #[inline(always)]
    fn build_hasher(&self) -> SameHasher {
        SameHasher { seed: self.0, hash: 0 }
    }
}

/// See [`SameHash`].
pub struct SameHasher {
    seed: Seed,
    hash: u64,
}

impl Hasher for SameHasher {
    #[inline(always)]
    fn write_u64(&mut self, key: u64) {
        self.hash = key.hash(self.seed);
    }

    #[inline(always)]
    fn write(&mut self, bytes: &[u8]) {
        self.hash = hash_bytes(bytes, self.seed);
    }

    /// The end of a text, which is not part of the pool's hash.
    #[inline(always)]
    fn write_u8(&mut self, _: u8) {}

    #[inline(always)]
    fn finish(&self) -> u64 {
        self.hash
    }
}
