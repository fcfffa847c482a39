//! Discarding and checking values that are built byte by byte, as a process that does not know their type sees them.
#![allow(clippy::unwrap_used)] // a failure of what surrounds a test is a failure of the test

use crate::check::{Inventory, Root, RootSchema, check};
use crate::discard::{self, table_intent, vec_intent};
use crate::hash::ShHash;
use crate::memory_view::{DELETED, EMPTY, MapView, TableView};
use crate::pool_schemas;
use crate::raw::table::fingerprint;
use crate::report::{Problem, Report};
use crate::schema::encode::encode;
use crate::schema::none::none_pattern;
use crate::schema::{Field, Schema, Shape, Variant};
use aquifer_pool::log::{Kind, LogCx, RecordView};
use aquifer_pool::seat::SeatCtx;
use aquifer_pool::upper::{Progress, Upper};
use aquifer_pool::{Inner, Options, RawPool, Result};

/// The heap and the walkers, without named objects.
#[derive(Debug)]
struct Walkers;

impl Upper for Walkers {
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

macro_rules! schemas {
    ($($f:ident = $name:expr, $size:expr, $align:expr, $shape:expr;)*) => {
        $(fn $f() -> &'static Schema {
            static S: Schema = Schema { name: $name, size: $size, align: $align, shape: $shape };
            &S
        })*
    };
}

const fn field(name: &'static str, offset: usize, schema: crate::schema::SchemaRef) -> Field {
    Field { name, offset, schema }
}

const ITEM: u64 = 296;

schemas! {
    u64_ = "u64", 8, 8, Shape::Unsigned { nonzero: false };
    bool_ = "bool", 1, 1, Shape::Bool;
    string = "ShString", 40, 8, Shape::String;
    strings = "ShVec", 24, 8, Shape::Vec(string);
    boxed = "ShBox", 8, 8, Shape::Box(string);
    locked = "ShMutex", 16, 8, Shape::Lock { item: boxed, offset: 8 };
    map = "ShMap", 24, 8, Shape::Map { key: string, value: strings, value_offset: 40, entry_size: 64 };
    five = "", 200, 8, Shape::Array { item: string, len: 5 };
    maybe = "Option", 16, 8, Shape::Option { item: u64_, none: none_pattern::<u64> };
    either = "Either", 48, 8, Shape::Enum { tag_offset: 0, tag_size: 1, variants: &[
        Variant { name: "None", tag: 0, fields: &[] },
        Variant { name: "Text", tag: 7, fields: &[field("text", 8, string)] },
    ] };
    item = "Item", 296, 8, Shape::Struct(&[
        field("locked", 0, locked), field("map", 16, map), field("five", 40, five), field("either", 240, either),
        field("flag", 288, bool_),
    ]);
    items = "ShVec", 24, 8, Shape::Vec(item);
    root = "Root", 64, 8, Shape::Struct(&[field("items", 0, items), field("nested", 24, nested), field("maybe", 48, maybe)]);
    nested = "ShVec", 24, 8, Shape::Vec(nested_item);
    nested_item = "Nested", 24, 8, Shape::Struct(&[field("kids", 0, nested)]);
}

/// Builds values in an operation.
struct Builder<'a>(&'a LogCx);

impl Builder<'_> {
    fn block(&self, bytes: u64) -> u64 {
        aquifer_alloc::alloc_zeroed(self.0, bytes as usize, 16).unwrap()
    }

    fn put(&self, offset: u64, word: u64) {
        put_bytes(self.0.pool(), offset, &word.to_le_bytes());
    }

    fn string(&self, at: u64, text: &str) {
        let pool = self.0.pool();
        if text.len() <= 38 {
            put_bytes(pool, at, text.as_bytes());
            return put_bytes(pool, at + 39, &[text.len() as u8]);
        }
        let block = self.block(text.len() as u64);
        put_bytes(pool, block, text.as_bytes());
        self.put(at, block);
        self.put(at + 8, text.len() as u64);
        self.put(at + 32, text.len() as u64 | 0xff << 56);
    }

    fn vec(&self, at: u64, len: u64, size: u64, fill: impl Fn(&Self, u64, u64)) {
        let block = self.block((len + 3) * size);
        [block, len, len + 3].iter().zip([0, 8, 16]).for_each(|(w, o)| self.put(at + o, *w));
        (0..len).for_each(|i| fill(self, block + i * size, i));
    }

    fn map(&self, at: u64, keys: &[&str]) {
        let bytes = TableView::new(0, 8, 64).unwrap().bytes();
        let table = TableView::new(self.block(bytes), 8, 64).unwrap();
        let mut control = [EMPTY; 8];
        for (i, key) in keys.iter().enumerate() {
            let slot = i as u64 * 2;
            control[slot as usize] = fingerprint(key.hash(self.0.pool().header().hash_seed));
            self.string(table.entry(slot), key);
            self.vec(table.entry(slot) + 40, 2, 40, |b, at, _| {
                b.string(at, "a value that is much too long to stand inline")
            });
        }
        control[7] = DELETED;
        for part in 0..3 {
            put_bytes(self.0.pool(), table.control + part * 8, &control);
        }
        let left = 7 - 1 - keys.len() as u64;
        [table.block, 7, keys.len() as u64 | left << 32]
            .iter()
            .zip([0, 8, 16])
            .for_each(|(w, o)| self.put(at + o, *w));
    }

    fn item(&self, at: u64, i: u64) {
        let boxed = self.block(40);
        self.string(boxed, "what is in a box under a lock, and long enough");
        self.put(at + 8, boxed);
        let keys = ["bolts", "a key that is much too long to stand inline", "nuts"];
        self.map(at + 16, &keys[..i as usize % 4]);
        (0..5).for_each(|k| self.string(at + 40 + k * 40, "one of five, each with a block of its own"));
        if i % 2 == 1 {
            put_bytes(self.0.pool(), at + 240, &[7]);
            self.string(at + 248, "the text of a variant, with a block of its own");
        }
    }

    fn nested(&self, at: u64, depth: u64) {
        if depth > 0 {
            self.vec(at, 2, 24, |b, at, _| b.nested(at, depth - 1));
        }
    }

    fn root(&self) -> u64 {
        let root = self.block(64);
        self.vec(root, 40, ITEM, |b, at, i| b.item(at, i));
        self.nested(root + 24, 7);
        self.put(root + 48, 1);
        root
    }
}

fn put_bytes(pool: &Inner, offset: u64, bytes: &[u8]) {
    let at = pool.at(offset, bytes.len() as u64).unwrap();
    // SAFETY: in bounds by `at`; a block of this test.
    unsafe { at.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
}

fn peek(pool: &Inner, offset: u64) -> u64 {
    crate::memory_view::word(pool, offset).unwrap()
}

/// A pool with a root, and the blob of its type.
struct World {
    pool: RawPool,
    root: u64,
    blob: u64,
}

impl World {
    fn new() -> World {
        let pool = RawPool::private(&Options::new(), &Walkers).unwrap();
        let log = pool.seat().unwrap().bare();
        let op = log.begin();
        let bytes = encode(root());
        let blob = Builder(log).block(bytes.len() as u64);
        put_bytes(&pool, blob, &bytes);
        let root = Builder(log).root();
        op.commit();
        pool_schemas::register(&pool, self::root(), blob).unwrap();
        World { root, blob, pool }
    }

    fn check(&self) -> Report {
        let root = Root {
            name: "stock".into(),
            offset: self.root,
            schema: RootSchema::Blob(self.blob),
            owns_block: true,
        };
        let inventory = Inventory { roots: vec![root], blocks: vec![(self.blob, "schema".into())] };
        check(&self.pool, &inventory).unwrap()
    }

    fn check_rest(&self) -> Report {
        check(&self.pool, &Inventory { roots: Vec::new(), blocks: vec![(self.blob, "schema".into())] })
            .unwrap()
    }

    fn only_finding(&self) -> (String, Problem) {
        let report = self.check();
        let [finding] = &report.findings[..] else { panic!("{report}") };
        (finding.path.clone(), finding.problem.clone())
    }

    /// The table of item `i`'s map.
    fn table(&self, i: u64) -> TableView {
        let map = MapView::read(&self.pool, peek(&self.pool, self.root) + i * ITEM + 16).unwrap();
        map.table(64).unwrap()
    }

    fn discard_vec(&self, offset: u64, item: &'static Schema) {
        let log = self.pool.seat().unwrap().bare();
        let op = log.begin();
        let (block, len) = (peek(&self.pool, offset), peek(&self.pool, offset + 8));
        log.push(aquifer_alloc::free_intent(&self.pool, block).unwrap());
        log.push(vec_intent(block, len, pool_schemas::node_offset(&self.pool, item).unwrap()));
        op.commit();
        put_bytes(&self.pool, offset, &[0; 24]);
    }
}

impl Drop for World {
    fn drop(&mut self) {
        pool_schemas::forget(self.pool.id());
    }
}

#[test]
fn a_whole_pool_is_clean_and_every_block_is_counted() {
    let w = World::new();
    let report = w.check();
    assert!(report.is_clean(), "{report}");
    assert_eq!(report.blocks, aquifer_alloc::stats(&w.pool).unwrap().blocks);
    assert!(report.to_string().ends_with("clean"));
}

#[test]
fn discarding_vectors_frees_all_that_they_own_to_the_last_block() {
    let w = World::new();
    w.discard_vec(w.root, item());
    assert!(w.check().is_clean(), "{}", w.check());
    w.discard_vec(w.root + 24, nested_item());
    let report = w.check();
    assert!(report.is_clean(), "{report}");
    // Besides these two there are only chunks that the logs have kept, and those are large.
    let mut small = Vec::new();
    let keep_small = |b: aquifer_alloc::BlockInfo| {
        small.extend((b.size < 4096 && b.offset != w.blob).then_some(b.offset));
        Ok(())
    };
    aquifer_alloc::for_each_block(&w.pool, keep_small).unwrap();
    assert_eq!(small, [w.root]);
}

#[test]
fn discarding_a_table_frees_keys_and_values() {
    let w = World::new();
    let (log, table) = (w.pool.seat().unwrap().bare(), w.table(3).block);
    let op = log.begin();
    log.push(aquifer_alloc::free_intent(&w.pool, table).unwrap());
    log.push(table_intent(table, 8, pool_schemas::node_offset(&w.pool, map()).unwrap()));
    op.commit();
    put_bytes(&w.pool, peek(&w.pool, w.root) + 3 * ITEM + 16, &[0; 24]);
    assert!(w.check().is_clean(), "{}", w.check());
}

#[test]
fn an_operation_that_is_not_committed_discards_nothing() {
    let w = World::new();
    let log = w.pool.seat().unwrap().bare();
    let op = log.begin();
    log.push(vec_intent(peek(&w.pool, w.root), 40, pool_schemas::node_offset(&w.pool, item()).unwrap()));
    drop(op);
    assert!(w.check().is_clean());
}

#[test]
fn blocks_that_nobody_refers_to_are_leaks() {
    let w = World::new();
    let lost = peek(&w.pool, w.root);
    put_bytes(&w.pool, w.root, &[0; 24]);
    let report = w.check();
    assert!(report.findings.is_empty() && !report.is_clean());
    assert!(report.leaks.iter().any(|l| l.offset == lost && l.bytes >= 40 * ITEM));
    assert_eq!(report.leaked_bytes, report.leaks.iter().map(|l| l.bytes).sum::<u64>());
    assert!(w.check_rest().leaked_bytes > report.leaked_bytes);
}

#[test]
fn a_block_that_is_used_twice_names_both_users() {
    let w = World::new();
    let first = peek(&w.pool, w.root);
    put_bytes(&w.pool, first + ITEM + 8, &peek(&w.pool, first + 8).to_le_bytes());
    let report = w.check();
    let shared = report.findings.iter().find_map(|f| match &f.problem {
        Problem::SharedBlock { with, .. } => Some((f.path.clone(), with.clone())),
        _ => None,
    });
    assert_eq!(shared, Some(("stock.items[1].locked".into(), "stock.items[0].locked".into())), "{report}");
    assert!(report.leaked_bytes > 0, "what the overwritten box had");
}

#[test]
fn findings_name_the_value_by_its_path() {
    let w = World::new();
    let key = w.table(1).entry(0);
    assert_eq!(peek(&w.pool, key).to_le_bytes()[..5], *b"bolts");
    let text = peek(&w.pool, peek(&w.pool, key + 40) + 40);
    put_bytes(&w.pool, text + 3, &[0xff]);
    assert_eq!(w.only_finding(), ("stock.items[1].map[\"bolts\"][1]".into(), Problem::NotUtf8));
}

#[test]
fn bytes_that_are_no_value_of_their_type_are_found() {
    let at = |place: u64, bytes: &[u8]| {
        let w = World::new();
        put_bytes(&w.pool, peek(&w.pool, w.root) + place, bytes);
        w.only_finding()
    };
    assert_eq!(at(288, &[2]).0, "stock.items[0].flag");
    assert_eq!(at(240, &[9]).1, Problem::Value { of: "Either".into(), found: 9 });
    assert_eq!(at(40 + 39, &[0x70]).0, "stock.items[0].five[0]");
    let w = World::new();
    put_bytes(&w.pool, w.root + 48, &[3]);
    assert_eq!(w.only_finding().0, "stock.maybe");
}

#[test]
fn headers_that_contradict_their_blocks_are_found() {
    let w = World::new();
    put_bytes(&w.pool, w.root + 8, &44u64.to_le_bytes());
    assert_eq!(w.only_finding(), ("stock.items".into(), Problem::Length { len: 44, cap: 43 }));
    put_bytes(&w.pool, w.root + 8, &40u64.to_le_bytes());
    put_bytes(&w.pool, w.root + 16, &u64::MAX.to_le_bytes());
    assert!(matches!(w.only_finding().1, Problem::SmallBlock { .. }));
    put_bytes(&w.pool, w.root + 16, &43u64.to_le_bytes());
    put_bytes(&w.pool, w.table(2).control + 17, &[0x22]);
    assert_eq!(w.only_finding().1, Problem::Table("has control bytes whose repetition differs"));
}

#[test]
fn a_lock_that_is_held_is_reported_and_nothing_behind_it_counts_as_leaked() {
    let w = World::new();
    let at = peek(&w.pool, w.root);
    // The word of a writer that is this very thread: it cannot wait for itself.
    let seat = w.pool.seat().unwrap();
    put_bytes(&w.pool, at, &(seat.number() as u64 + 1).to_le_bytes());
    let (path, problem) = w.only_finding();
    assert_eq!(path, "stock.items[0].locked");
    assert!(matches!(problem, Problem::Locked(_)));
    assert_eq!(w.check().leaked_bytes, 0);
}

/// Overwrites a few words of blocks that hold values, and frees all locks, whose words might name seats that do not exist.
fn damage(w: &World, mut random: impl FnMut(u64) -> u64) {
    let mut blocks = w.check_rest().leaks;
    blocks.retain(|b| b.offset != w.root || random(4) == 0);
    for _ in 0..6 {
        let b = blocks[random(blocks.len() as u64) as usize];
        let word = match random(4) {
            0 => blocks[random(blocks.len() as u64) as usize].offset,
            1 => u64::MAX >> random(64),
            2 => random(1 << 20),
            _ => random(64),
        };
        put_bytes(&w.pool, b.offset + random(b.bytes / 8) * 8, &word.to_le_bytes());
    }
    let block = peek(&w.pool, w.root);
    for at in (0..40).map(|i| block.wrapping_add(i * ITEM)) {
        if at % 8 == 0 && w.pool.at(at, 8).is_ok() {
            put_bytes(&w.pool, at, &[0; 8]);
        }
    }
}

#[test]
fn checks_and_discards_of_damaged_values_end() {
    let mut state = 7u64;
    let mut random = |below: u64| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) % below
    };
    for _ in 0..if cfg!(miri) { 2 } else { 60 } {
        let w = World::new();
        damage(&w, &mut random);
        w.check();
        for (offset, item) in [(w.root, item()), (w.root + 24, nested_item())] {
            if aquifer_alloc::block_size(&w.pool, peek(&w.pool, offset)).is_some() {
                w.discard_vec(offset, item);
            }
        }
        w.check();
    }
}

#[test]
fn a_value_that_holds_itself_is_discarded_in_finite_time() {
    let w = World::new();
    let (outer, two) = (peek(&w.pool, w.root + 24), 2u64);
    for at in [outer, outer + 24] {
        put_bytes(&w.pool, at, &outer.to_le_bytes());
        put_bytes(&w.pool, at + 8, &two.to_le_bytes());
    }
    assert!(w.check().findings.iter().any(|f| matches!(f.problem, Problem::SharedBlock { .. })));
    w.discard_vec(w.root + 24, nested_item());
    assert!(w.check().findings.is_empty());
}
