//! The hash of keys: the same in every process, build and version, whatever the compiler does.
//!
//! `std::hash::Hash` is none of that: what derives, strings and slices feed to a hasher may change from one compiler to the next.
//!
//! The algorithm is rapidhash V3 (Nicolas De Carli, <https://github.com/Nicoshev/rapidhash>) over these bytes:
//!
//! | key | bytes |
//! |---|---|
//! | unsigned and signed integers of n bytes; `usize`, `isize` as 8 | n bytes, little-endian |
//! | `bool` | one byte, 0 or 1 |
//! | `char` | 4 bytes, little-endian |
//! | `str`, `ShString` | UTF-8 |
//! | `[u8]`, `[u8; N]`, `ShVec<u8>`, addresses | the bytes (addresses: in network order) |
//! | other slices, arrays, `ShVec<T>` | parts: the number of elements, then each element |
//! | tuples, structs | parts: the number of fields, then each field in order |
//! | enums, `Option` | parts: the tag (`None` 0, `Some` 1), then each field of the variant |
//! | `Duration` | as the tuple (seconds `u64`, nanoseconds `u32`) |
//! | `()` | nothing |
//!
//! *Parts* begin with a state of 8 bytes, the number named in the table (`i64`). Each part makes the state the hash of 16 bytes: the
//! state, and the part's own hash. In the end the hash is that of the state's 8 bytes. All of it little-endian.
//!
//! It is keyed with the pool's seed: `seed[0]` is rapidhash's seed, `seed[1]` is exclusive-ored to each of its secrets,
//! so that nobody who does not know it can choose keys that collide. The header of a pool holds [`probe`]'s answer, so that a build that hashes otherwise refuses the pool.

use crate::raw::bytes;
use crate::raw::ptr::Reach;
use crate::string::ShString;
use rapidhash::v3::{DEFAULT_RAPID_SECRETS, RapidSecrets, rapidhash_v3_inline};
use std::any::Any;
use std::borrow::Borrow;
use std::num::*;

/// The seed of a pool's hashes.
pub type Seed = [u64; 2];

/// A key that hashes to the same number in every build.
///
/// Derived with `#[derive(Key)]`. `k1 == k2` must imply equal hashes; so must `k.borrow() == q` for every `Q` that `K: Borrow<Q>`. A wrong
/// implementation loses keys, and nothing worse.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a key in a pool",
    label = "has no hash that is the same in every build",
    note = "derive `Key` (for your own types), or use a type that has one; `ShString` is looked up by `&str`"
)]
pub trait ShHash {
    /// The hash, keyed with a pool's seed.
    fn hash(&self, seed: Seed) -> u64;

    /// Whether a key is this one: `==`, in the way that is quickest for keys.
    #[doc(hidden)]
    #[inline(always)]
    fn same(&self, other: &Self) -> bool
    where
        Self: Eq,
    {
        self == other
    }

    /// The same for a key in a pool that can be reached so.
    #[doc(hidden)]
    #[inline(always)]
    fn is_key<K: Borrow<Self> + 'static>(&self, key: &K, _reach: Reach) -> bool
    where
        Self: Eq,
    {
        self.same(key.borrow())
    }

    /// The hash of a slice, for types whose slices are hashed as bytes.
    #[doc(hidden)]
    fn hash_slice(slice: &[Self], seed: Seed) -> u64
    where
        Self: Sized,
    {
        slice.iter().fold(Parts::new(slice.len() as i64, seed), |parts, item| parts.and(item)).end()
    }
}

/// rapidhash V3 of some bytes, keyed with a pool's seed. Inlines to two multiplications where the length is known and at most 16.
#[inline(always)]
pub fn hash_bytes(bytes: &[u8], seed: Seed) -> u64 {
    match bytes.len() {
        0..=16 => rapidhash_v3_inline::<true, false, false>(bytes, &secrets(seed)),
        17..=64 => hash_middle(bytes, seed),
        _ => hash_long(bytes, seed[0], seed[1]),
    }
}

/// The algorithm for 17 to 64 bytes, most names, paths and keys of text: the crate's own is for any length, and too large to be inlined.
#[inline(always)]
fn hash_middle(bytes: &[u8], seed: Seed) -> u64 {
    let secret = |i: usize| DEFAULT_RAPID_SECRETS.secrets[i] ^ seed[1];
    let len = bytes.len();
    let word = |at: usize| word(bytes, at);
    let mut state = mix(word(0) ^ secret(2), word(8) ^ seed[0]);
    if len > 32 {
        state = mix(word(16) ^ secret(2), word(24) ^ state);
    }
    if len > 48 {
        state = mix(word(32) ^ secret(1), word(40) ^ state);
    }
    let (a, b) = product(word(len - 16) ^ len as u64 ^ secret(1), word(len - 8) ^ state);
    mix(a ^ 0xaaaa_aaaa_aaaa_aaaa, b ^ secret(1) ^ len as u64)
}

/// The low and the high half of a product.
#[inline(always)]
fn product(a: u64, b: u64) -> (u64, u64) {
    let product = a as u128 * b as u128;
    (product as u64, (product >> 64) as u64)
}

#[inline(always)]
fn mix(a: u64, b: u64) -> u64 {
    let (low, high) = product(a, b);
    low ^ high
}

/// Inlined nowhere, but compiled with who calls it: so the compiler sees that it writes nothing, and lifts what it can out of a loop of look-ups.
///
/// The seed as two numbers: an array would be passed by its address, and so kept in memory on every path.
#[cold]
#[inline]
fn hash_long(bytes: &[u8], first: u64, second: u64) -> u64 {
    rapidhash_v3_inline::<true, false, false>(bytes, &secrets([first, second]))
}

/// Eight bytes as a number; 0 if there are fewer.
#[inline(always)]
fn word(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).and_then(|b| b.first_chunk()).map_or(0, |b| u64::from_le_bytes(*b))
}

#[inline(always)]
fn secrets(seed: Seed) -> RapidSecrets {
    RapidSecrets { seed: seed[0], secrets: DEFAULT_RAPID_SECRETS.secrets.map(|secret| secret ^ seed[1]) }
}

/// The hash of several parts: `#[derive(Key)]` calls it.
#[doc(hidden)]
#[derive(Debug, Clone, Copy)]
pub struct Parts {
    state: u64,
    seed: Seed,
}

impl Parts {
    /// Begins with the number of parts, or the number of an enum's variant.
    #[inline(always)]
    pub fn new(first: i64, seed: Seed) -> Parts {
        Parts { state: first as u64, seed }
    }

    /// Adds a part.
    #[inline(always)]
    pub fn and<T: ShHash + ?Sized>(self, part: &T) -> Parts {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.state.to_le_bytes());
        bytes[8..].copy_from_slice(&part.hash(self.seed).to_le_bytes());
        Parts { state: hash_bytes(&bytes, self.seed), ..self }
    }

    /// The hash.
    #[inline(always)]
    pub fn end(self) -> u64 {
        self.state.hash(self.seed)
    }
}

/// Hashes of fixed keys: what a pool keeps, so that a build that hashes otherwise does not take it for its own.
pub fn probe(seed: Seed) -> [u64; 4] {
    [
        0x0123_4567_89ab_cdef_u64.hash(seed),
        "aquifer".hash(seed),
        "a text that is longer than sixteen bytes".hash(seed),
        (7u8, 'x').hash(seed),
    ]
}

macro_rules! integers {
    ($($t:ty as $as:ty),*) => { $(
        impl ShHash for $t {
            #[inline(always)]
            fn hash(&self, seed: Seed) -> u64 {
                hash_bytes(&(*self as $as).to_le_bytes(), seed)
            }
        }
    )* };
}
integers!(
    u16 as u16,
    u32 as u32,
    u64 as u64,
    u128 as u128,
    usize as u64,
    i8 as i8,
    i16 as i16,
    i32 as i32,
    i64 as i64,
    i128 as i128,
    isize as i64
);
integers!(bool as u8, char as u32);

impl ShHash for u8 {
    #[inline(always)]
    fn hash(&self, seed: Seed) -> u64 {
        hash_bytes(&[*self], seed)
    }

    #[inline(always)]
    fn hash_slice(slice: &[u8], seed: Seed) -> u64 {
        hash_bytes(slice, seed)
    }
}

macro_rules! by_value {
    ($($t:ty, |$x:ident| $e:expr;)*) => { $(
        impl ShHash for $t {
            #[inline(always)]
            fn hash(&self, seed: Seed) -> u64 {
                let $x = self;
                ShHash::hash($e, seed)
            }
        }
    )* };
}
by_value! {
    NonZeroU8, |x| &x.get(); NonZeroU16, |x| &x.get(); NonZeroU32, |x| &x.get(); NonZeroU64, |x| &x.get();
    NonZeroU128, |x| &x.get(); NonZeroUsize, |x| &x.get();
    NonZeroI8, |x| &x.get(); NonZeroI16, |x| &x.get(); NonZeroI32, |x| &x.get(); NonZeroI64, |x| &x.get();
    NonZeroI128, |x| &x.get(); NonZeroIsize, |x| &x.get();
    String, |x| x.as_str();
    std::net::Ipv4Addr, |x| &x.octets();
    std::net::Ipv6Addr, |x| &x.octets();
    std::time::Duration, |x| &(x.as_secs(), x.subsec_nanos());
}

impl ShHash for ShString {
    #[inline(always)]
    fn hash(&self, seed: Seed) -> u64 {
        self.as_str().hash(seed)
    }

    #[inline(always)]
    fn same(&self, other: &Self) -> bool {
        self.as_str().same(other.as_str())
    }
}

impl ShHash for str {
    #[inline(always)]
    fn hash(&self, seed: Seed) -> u64 {
        hash_bytes(self.as_bytes(), seed)
    }

    #[inline(always)]
    fn is_key<K: Borrow<str> + 'static>(&self, key: &K, reach: Reach) -> bool {
        // Known when it is compiled: a string's block is found without asking where the string lies.
        match (key as &dyn Any).downcast_ref::<ShString>() {
            Some(key) => key.header.is_text(self.as_bytes(), reach),
            None => self.same(key.borrow()),
        }
    }

    #[inline(always)]
    fn same(&self, other: &str) -> bool {
        bytes::same(self.as_bytes(), other.as_bytes())
    }
}

impl<T: ShHash> ShHash for [T] {
    #[inline(always)]
    fn hash(&self, seed: Seed) -> u64 {
        T::hash_slice(self, seed)
    }
}

impl<T: ShHash, const N: usize> ShHash for [T; N] {
    #[inline(always)]
    fn hash(&self, seed: Seed) -> u64 {
        T::hash_slice(self, seed)
    }
}

impl<T: ShHash> ShHash for crate::vec::ShVec<T> {
    #[inline]
    fn hash(&self, seed: Seed) -> u64 {
        T::hash_slice(self, seed)
    }
}

impl<T: ShHash> ShHash for Vec<T> {
    #[inline]
    fn hash(&self, seed: Seed) -> u64 {
        T::hash_slice(self, seed)
    }
}

impl<T: ShHash> ShHash for crate::boxed::ShBox<T> {
    #[inline]
    fn hash(&self, seed: Seed) -> u64 {
        (**self).hash(seed)
    }
}

impl<T: ShHash + ?Sized> ShHash for &T {
    #[inline(always)]
    fn hash(&self, seed: Seed) -> u64 {
        (**self).hash(seed)
    }
}

impl<T: ShHash> ShHash for Option<T> {
    #[inline]
    fn hash(&self, seed: Seed) -> u64 {
        match self {
            None => Parts::new(0, seed).end(),
            Some(value) => Parts::new(1, seed).and(value).end(),
        }
    }
}

impl ShHash for () {
    #[inline(always)]
    fn hash(&self, seed: Seed) -> u64 {
        hash_bytes(&[], seed)
    }
}

macro_rules! tuples {
    ($($n:literal: $($t:ident $i:tt),*;)*) => { $(
        impl<$($t: ShHash),*> ShHash for ($($t,)*) {
            #[inline]
            fn hash(&self, seed: Seed) -> u64 {
                Parts::new($n, seed)$(.and(&self.$i))*.end()
            }
        }
    )* };
}
tuples! {
    1: A 0;
    2: A 0, B 1;
    3: A 0, B 1, C 2;
    4: A 0, B 1, C 2, D 3;
    5: A 0, B 1, C 2, D 3, E 4;
    6: A 0, B 1, C 2, D 3, E 4, F 5;
    7: A 0, B 1, C 2, D 3, E 4, F 5, G 6;
    8: A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7;
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: Seed = [0x9e37_79b9_7f4a_7c15, 0xd1b5_4a32_d192_ed03];

    #[test]
    fn hashes_are_those_of_every_build() {
        // Pools written by earlier builds hold keys at places that these numbers have chosen: they never change.
        let frozen = [1585134115968585166, 14262517905725974694, 7472390641367673063, 7082951685985820788];
        assert_eq!(probe(SEED), frozen);
    }

    #[test]
    fn without_a_seed_it_is_the_published_algorithm_with_seed_zero_unmixed() {
        let plain = RapidSecrets { seed: 0, ..DEFAULT_RAPID_SECRETS };
        for text in ["", "a", "abcdefg", "abcdefghijklmnop", "abcdefghijklmnopqrstuvwxyz"] {
            assert_eq!(text.hash([0, 0]), rapidhash::v3::rapidhash_v3_seeded(text.as_bytes(), &plain));
        }
    }

    #[test]
    fn a_key_and_what_it_is_looked_up_by_hash_alike() {
        let text = "a text that is longer than sixteen bytes";
        assert_eq!(text.hash(SEED), text.to_string().hash(SEED));
        assert_eq!(text.hash(SEED), text.as_bytes().hash(SEED));
        assert_eq!([1u64, 2, 3].hash(SEED), vec![1u64, 2, 3].hash(SEED));
        assert_eq!([1u64, 2, 3].hash(SEED), [1u64, 2, 3][..].hash(SEED));
        assert_eq!(7u64.hash(SEED), <&u64 as ShHash>::hash(&&7u64, SEED));
    }

    #[test]
    fn both_halves_of_the_seed_matter() {
        for other in [[SEED[0], SEED[1] ^ 1], [SEED[0] ^ 1, SEED[1]]] {
            assert_ne!(5u64.hash(SEED), 5u64.hash(other));
            assert_ne!("key".hash(SEED), "key".hash(other));
        }
    }

    #[test]
    fn lengths_that_are_hashed_apart_hash_as_the_published_algorithm() {
        let plain = RapidSecrets { seed: SEED[0], secrets: secrets(SEED).secrets };
        for len in 0..300 {
            let bytes: Vec<u8> = (0..len).map(|i| i as u8).collect();
            assert_eq!(hash_bytes(&bytes, SEED), rapidhash::v3::rapidhash_v3_seeded(&bytes, &plain), "{len}");
        }
    }

    #[test]
    fn parts_do_not_run_into_each_other() {
        assert_ne!(("ab", "c").hash(SEED), ("a", "bc").hash(SEED));
        assert_ne!(Some(0u8).hash(SEED), None::<u8>.hash(SEED));
        assert_ne!([[1u8, 2], [3, 4]].hash(SEED), [1u8, 2, 3, 4].hash(SEED));
        assert_ne!([0u64; 2].hash(SEED), [0u64; 3].hash(SEED));
    }
}
