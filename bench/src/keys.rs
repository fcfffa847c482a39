//! The same keys for all: splitmix64 of 0, 1, 2, ..., and questions drawn from them.

use std::ops::Range;
use std::rc::Rc;

/// splitmix64 (Vigna): a bijection, so that different numbers are different keys.
pub fn splitmix(i: u64) -> u64 {
    let mut z = i.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Keys that are there (`0..n`), or are not (`n..2 * n`).
pub fn keys(range: Range<u64>) -> impl Iterator<Item = u64> {
    range.map(splitmix)
}

/// How many questions to ask a collection of `n`: enough that they are not learnt by heart, few enough to stay out of its way.
fn questions_for(n: u64) -> u64 {
    (n * 4).clamp(1 << 12, 1 << 20)
}

/// Keys of `range`, uniformly drawn.
pub fn queries(range: Range<u64>) -> Rc<[u64]> {
    let n = range.end - range.start;
    (0..questions_for(n)).map(|i| splitmix(range.start + splitmix(i ^ 0x5eed) % n)).collect()
}

/// The numbers `0..n` in a random order.
pub fn shuffled(n: usize) -> Vec<u64> {
    let mut order: Vec<u64> = (0..n as u64).collect();
    for i in (1..n).rev() {
        order.swap(i, (splitmix(i as u64) % (i as u64 + 1)) as usize);
    }
    order
}

/// A key as text of 16 or 32 bytes.
pub fn text(i: u64, length: usize) -> String {
    let mut text = format!("{:016x}{:016x}", splitmix(i), splitmix(splitmix(i)));
    text.truncate(length);
    text
}

/// Texts of one length, one after the other in one block: reading a question costs neither side a miss of its own.
pub struct Texts {
    block: String,
    length: usize,
}

impl Texts {
    /// Texts of the keys `0..n`, in that order.
    pub fn all(n: u64, length: usize) -> Rc<Texts> {
        Rc::new(Texts { block: (0..n).map(|i| text(i, length)).collect(), length })
    }

    /// Texts of keys of `0..n`, uniformly drawn.
    pub fn queries(n: u64, length: usize) -> Rc<Texts> {
        let drawn = (0..questions_for(n).min(1 << 18)).map(|i| splitmix(i ^ 0x5eed) % n);
        Rc::new(Texts { block: drawn.map(|i| text(i, length)).collect(), length })
    }

    pub fn len(&self) -> usize {
        self.block.len() / self.length
    }

    pub fn iter(&self) -> impl Iterator<Item = &str> {
        // In whole characters: the texts are ASCII.
        (0..self.len()).map(|i| &self.block[i * self.length..(i + 1) * self.length])
    }

    pub fn bytes(&self) -> &[u8] {
        self.block.as_bytes()
    }
}
