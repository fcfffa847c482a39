//! Whether the keys of a table are found where they stand.
//!
//! A key's hash is told from its bytes and its type's schema, as [`crate::hash`] has it for all types of this library and for those that
//! derive `Key`. A type with a hash of its own making cannot be told from one with a derived hash: where types of the user's are part of a key, and
//! most keys of a table seem to be in wrong places, the hash is taken to be of that kind, and nothing is said.

use crate::discard::is_tag;
use crate::hash::{Parts, Seed, ShHash, hash_bytes};
use crate::memory_view::{StringView, TableView, VecView, byte, copy, number, word};
use crate::raw::group::{EMPTY, WIDTH};
use crate::raw::table::fingerprint;
use crate::schema::encode::{NodeKind, flag};
use crate::schema::view::{FieldView, Node, ShapeView};
use aquifer_pool::{Error, Inner, Result};

/// How deep keys are followed, and how many parts of one are looked at.
const DEEPEST: u32 = 32;
const PARTS: u32 = 1 << 20;

/// The slots whose keys a look-up would not find.
pub(super) fn misplaced(pool: &Inner, table: &TableView, key: Node<'_>) -> Result<Vec<u64>> {
    let (mut found, mut full) = (Vec::new(), 0u64);
    for slot in 0..table.buckets {
        if !table.is_full(pool, slot)? {
            continue;
        }
        full += 1;
        match Hasher::of(pool).value(key, table.entry(slot), 0) {
            Ok(hash) if is_found(pool, table, key, slot, hash)? => {}
            Ok(_) => found.push(slot),
            // No hash, or a key that cannot be read: which the check of its value says.
            Err(_) => full -= 1,
        }
    }
    let most = found.len() as u64 * 2 >= full;
    Ok(if most && is_of_user(key, 0) { Vec::new() } else { found })
}

/// Whether a look-up of the hash ends at the slot.
fn is_found(pool: &Inner, table: &TableView, key: Node<'_>, slot: u64, hash: u64) -> Result<bool> {
    let mask = table.buckets - 1;
    let (mut at, mut stride) = (hash & mask, 0);
    loop {
        let mut ends = false;
        for i in 0..WIDTH as u64 {
            let here = (at + i) & mask;
            let control = byte(pool, table.control + here)?;
            if control == fingerprint(hash) {
                if here == slot {
                    return Ok(true);
                }
                // Another key of the same hash is met first: the same key once more.
                if Hasher::of(pool).value(key, table.entry(here), 0).is_ok_and(|h| h == hash) {
                    return Ok(false);
                }
            }
            ends |= control == EMPTY;
        }
        stride += WIDTH as u64;
        if ends || stride > mask + WIDTH as u64 {
            return Ok(false);
        }
        at = (at + stride) & mask;
    }
}

/// Whether types that are not this library's are part of a key.
fn is_of_user(node: Node<'_>, depth: u32) -> bool {
    if depth > DEEPEST {
        return true;
    }
    match node.shape() {
        ShapeView::Struct => {
            let own = matches!(node.name(), "tuple" | "Duration");
            !own || node.fields().any(|f| is_of_user(f.node, depth + 1))
        }
        ShapeView::Enum { .. } => true,
        ShapeView::Option { item, .. } | ShapeView::Array { item, .. } => is_of_user(item, depth + 1),
        ShapeView::Vec(item) | ShapeView::Box(item) => is_of_user(item, depth + 1),
        _ => false,
    }
}

struct Hasher<'a> {
    pool: &'a Inner,
    seed: Seed,
    left: u32,
}

/// A hash that was computed already, as a part of another.
struct Known(u64);

impl ShHash for Known {
    fn hash(&self, _: Seed) -> u64 {
        self.0
    }
}

fn unknown<T>() -> Result<T> {
    Err(Error::Unsupported("no hash".into()))
}

impl<'a> Hasher<'a> {
    fn of(pool: &'a Inner) -> Hasher<'a> {
        Hasher { pool, seed: pool.header().hash_seed, left: PARTS }
    }

    fn value(&mut self, node: Node<'_>, offset: u64, depth: u32) -> Result<u64> {
        if depth > DEEPEST || self.left == 0 {
            return unknown();
        }
        self.left -= 1;
        let depth = depth + 1;
        match node.shape() {
            ShapeView::Struct => self.fields(node.fields().count() as i64, node.fields(), offset, depth),
            ShapeView::Enum { offset: at, size } => {
                let tag = number(self.pool, offset + at, size)?;
                match node.variants().find(|v| is_tag(v.tag, tag, size)) {
                    Some(variant) => self.fields(variant.tag as i64, variant.fields(), offset, depth),
                    None => unknown(),
                }
            }
            ShapeView::Option { item, offset: at, size, pattern, some } => {
                if number(self.pool, offset + at, size)? == pattern {
                    return Ok(Parts::new(0, self.seed).end());
                }
                let inner = self.value(item, offset + some, depth)?;
                Ok(Parts::new(1, self.seed).and(&Known(inner)).end())
            }
            ShapeView::Array { item, len } => self.slice(item, offset, len, depth),
            ShapeView::Vec(item) => {
                let vec = VecView::read(self.pool, offset)?;
                self.slice(item, vec.block, vec.len, depth)
            }
            ShapeView::Box(item) => self.value(item, word(self.pool, offset)?, depth),
            ShapeView::String => match StringView::read(self.pool, offset)? {
                StringView::Inline { len } => self.bytes(offset, len as u64),
                StringView::Heap { block, len, .. } => self.bytes_of_block(block, len),
                StringView::Bad { .. } => unknown(),
            },
            ShapeView::Map { .. } | ShapeView::Lock { .. } => unknown(),
            _ => match node.kind() {
                Some(NodeKind::Float) | None => unknown(),
                _ => self.bytes(offset, node.size()),
            },
        }
    }

    fn fields<'n>(
        &mut self,
        first: i64,
        mut fields: impl Iterator<Item = FieldView<'n>>,
        offset: u64,
        depth: u32,
    ) -> Result<u64> {
        let parts = fields.try_fold(Parts::new(first, self.seed), |parts, f| {
            self.value(f.node, offset + f.offset, depth).map(|hash| parts.and(&Known(hash)))
        });
        Ok(parts?.end())
    }

    fn slice(&mut self, item: Node<'_>, first: u64, len: u64, depth: u32) -> Result<u64> {
        let is_bytes =
            item.kind() == Some(NodeKind::Unsigned) && item.size() == 1 && !item.has(flag::NONZERO);
        if is_bytes {
            return self.bytes_of_block(first, len);
        }
        let parts = (0..len).try_fold(Parts::new(len as i64, self.seed), |parts, i| {
            let at = i.checked_mul(item.size()).and_then(|at| at.checked_add(first));
            let at = at.ok_or_else(|| Error::Unsupported("no hash".into()))?;
            self.value(item, at, depth).map(|hash| parts.and(&Known(hash)))
        });
        Ok(parts?.end())
    }

    /// Bytes whose number the value says: no more than are likely to be a key's.
    fn bytes_of_block(&self, offset: u64, len: u64) -> Result<u64> {
        if len > PARTS as u64 { unknown() } else { self.bytes(offset, len) }
    }

    fn bytes(&self, offset: u64, len: u64) -> Result<u64> {
        let mut short = [0u8; 64];
        if let Some(bytes) = short.get_mut(..len as usize) {
            copy(self.pool, offset, bytes)?;
            return Ok(hash_bytes(bytes, self.seed));
        }
        let mut bytes = vec![0; len as usize];
        copy(self.pool, offset, &mut bytes)?;
        Ok(hash_bytes(&bytes, self.seed))
    }
}
