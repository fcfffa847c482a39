//! The containers against `std`'s, in a pool that grows in tiny steps out of a tiny window, with every operation undone now and then.
#![allow(clippy::unwrap_used)] // a failure of what surrounds a test is a failure of the test

mod ancestor;
mod batch;
mod misuse;
mod models;
mod resolved;
mod texts;

use crate::check::{Inventory, Root, RootSchema, check};
use crate::cx::Cx;
use crate::discard;
use crate::place::Place;
use crate::pool_schemas;
use crate::relocatable::{DefaultInPool, InPlace, Relocatable};
use crate::schema::encode::encode;
use aquifer_pool::log::{Kind, LogCx, RecordView};
use aquifer_pool::seat::SeatCtx;
use aquifer_pool::upper::{Progress, Upper};
use aquifer_pool::{Inner, Options, RawPool, Result};
use std::marker::PhantomData;

/// The heap and the walkers, without named objects.
#[derive(Debug)]
struct Below;

impl Upper for Below {
    fn lay_out(&self, pool: &Inner) -> Result<()> {
        aquifer_alloc::lay_out(pool)
    }
    fn verify(&self, pool: &Inner) -> Result<()> {
        aquifer_alloc::verify(pool)
    }
    fn settle(&self, dead: &SeatCtx) {
        aquifer_alloc::settle(dead);
    }
    fn undo(&self, cx: &LogCx, record: RecordView) {
        aquifer_alloc::undo(cx, record);
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
    fn rejoined(&self, _: &Inner) -> Result<()> {
        Ok(())
    }
    fn hash_probe(&self, seed: [u64; 2]) -> [u64; 4] {
        [seed[0], seed[1], 0, 0]
    }
}

/// A pool with one value in it, which no lock guards: the test is alone with it.
pub(crate) struct World<T> {
    pool: RawPool,
    root: u64,
    blob: u64,
    _value: PhantomData<T>,
}

impl<T: Relocatable<Kind = InPlace, Access = Place<T>> + DefaultInPool> World<T> {
    /// With the type's schema known, as for the types of named objects, or not.
    pub(crate) fn new(known: bool) -> World<T> {
        let options = Options::new().size(1 << 19).growth(4096, 1 << 16).window(1 << 20);
        let pool = RawPool::memfd(&options, &Below).unwrap();
        let (root, blob) = {
            let log = pool.seat().unwrap().bare();
            let op = log.begin();
            let bytes = encode(T::SCHEMA);
            let blob = aquifer_alloc::alloc(log, bytes.len(), 16).unwrap();
            let root = aquifer_alloc::alloc(log, size_of::<T>(), 16).unwrap();
            // SAFETY: fresh blocks of these lengths; an operation is open.
            unsafe {
                std::ptr::copy_nonoverlapping(
                    bytes.as_ptr(),
                    pool.at(blob, bytes.len() as u64).unwrap(),
                    bytes.len(),
                );
                T::emplace(T::empty(), pool.at(root, size_of::<T>() as u64).unwrap().cast(), Cx::of(log))
                    .unwrap();
            }
            op.commit();
            (root, blob)
        };
        if known {
            pool_schemas::register(&pool, T::SCHEMA, blob).unwrap();
        }
        World { pool, root, blob, _value: PhantomData }
    }

    fn log(&self) -> &LogCx {
        self.pool.seat().unwrap().bare()
    }

    pub(crate) fn place(&mut self) -> &mut Place<T> {
        let cx = Cx::of(self.log());
        // What a guard does when it is dereferenced again.
        self.log().end_loans();
        let at = self.pool.at(self.root, size_of::<T>() as u64).unwrap().cast();
        // SAFETY: the root value, borrowed with the world.
        unsafe { T::access(at, cx) }
    }

    /// Everything is sound, and nothing has leaked.
    pub(crate) fn check(&mut self) {
        self.log().end_loans();
        assert!(self.log().is_empty());
        let root = Root {
            name: "root".into(),
            offset: self.root,
            schema: RootSchema::Blob(self.blob),
            owns_block: true,
        };
        let inventory = Inventory { roots: vec![root], blocks: vec![(self.blob, "schema".into())] };
        let report = check(&self.pool, &inventory).unwrap();
        assert!(report.is_clean(), "{report}");
        aquifer_alloc::check_index(&self.pool).unwrap();
    }
}

/// A small deterministic generator (xorshift64*).
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }

    /// Text, short or long.
    fn text(&mut self, kinds: usize) -> String {
        let k = self.below(kinds);
        match k % 3 {
            0 => format!("k{k}"),
            1 => format!("key number {k:>11}"),
            _ => format!("a key that is much too long to stand inline, number {k}"),
        }
    }
}
