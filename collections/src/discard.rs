//! Freeing what discarded values own, by anyone, whether or not it knows their type, and without any memory.
//!
//! A container whose items own nothing is freed by one `Free` record. Else a `DropVec` or `DropTable` record stands above that `Free`
//! and is carried out before it: it frees what the items own and never the block itself, so that only the `Free`, which knows the block's
//! token, has to be told from a later block at the same place. Its count says how many items may still own something; the last of them comes first.
//!
//! One step looks for a block that an item names, and pushes by one store either its `Free`, if nothing in it owns anything, or that and the record for what
//! is in it. A `Free` clears the word that names the block when it is done, so the item owns a block less each time, and the same step
//! made again, by us or by who buries us, goes on where it was. That word is in a dead value: nobody reads it but for this.
//!
//! # Deep values
//!
//! Two records for each level need a log as long as the value is deep. If it cannot be made longer, the step goes down to a leaf at once, a block of which
//! nothing owns anything, frees that, and begins again at the top. So that this is not as slow as the depth squared, the few
//! records that are left are *fingers*: with r of them the record for a container `depth^(r / (r + 1))` levels above the leaf is pushed first, from which the next steps start.
//! It has no `Free`: once nothing is left in it, the records below find its block to be a leaf. Freeing a list of n blocks thus takes
//! `n^(1 + 1/(r+1))` steps.
//!
//! Arrays inside items are not spread out: an array is a vector without a block of its own.
//!
//! Damaged values may hold themselves. Who goes down further than there are blocks clears the word that led there; its block stays, and `check` reports it.

use crate::memory_view::{MapView, StringView, TableView, VecView, number, word};
use crate::pool_schemas;
use crate::schema::encode::flag;
use crate::schema::view::{Node, ShapeView};
use aquifer_pool::log::{Kind, LogCx, RecordView};
use aquifer_pool::upper::Progress;
use aquifer_pool::{Inner, Result};
use std::sync::atomic::{AtomicU64, Ordering};

/// Arrays up to this length are looked at with the item that holds them.
const SHORT_ARRAY: u64 = 4;
/// Records that are kept for fingers, besides those that every log keeps.
const FINGERS: u32 = 8;
/// `size` of a finger's record.
const FINGER: u8 = 1;
/// How far above a leaf all fingers may be before they are set anew.
const FAR: u32 = 16;
/// Items from which on a container is not to be looked through again and again.
const WIDE: u64 = 64;
/// Levels or records from which on a value is suspected to lead nowhere.
const DEEP: u32 = 1 << 16;
/// Records that one block may lead to: its `Free` and `DropVec`, and those for arrays without blocks in its items.
const RECORDS_PER_BLOCK: u64 = 64;
/// `DropTable`: log2 of the number of buckets stands in the count's highest byte.
const BUCKETS_SHIFT: u32 = 56;
const COUNT: u64 = (1 << BUCKETS_SHIFT) - 1;

/// The intent that frees what the first `count` elements at `first` own; not the block. `node` is the offset of the *element's* node
/// (see [`node_offset`](pool_schemas::node_offset)). Push the block's `Free`, if it goes too, before it.
pub fn vec_intent(first: u64, count: u64, node: u64) -> RecordView {
    RecordView::new(Kind::DropVec, first, count).with_aux(node >> 3)
}

/// The intent that frees what the entries of the table of `buckets` (a power of two) at `block` own; not the block. `node` is the offset of
/// the *map's* node. Push the block's `Free`, if it goes too, before it.
pub fn table_intent(block: u64, buckets: u64, node: u64) -> RecordView {
    let value = buckets & COUNT | (buckets.trailing_zeros() as u64) << BUCKETS_SHIFT;
    RecordView::new(Kind::DropTable, block, value).with_aux(node >> 3)
}

/// Makes one step of the `DropVec` or `DropTable` record on top of a committed log. Repeatable.
pub(crate) fn carry_out(cx: &LogCx, record: RecordView) -> Progress {
    // Damaged: what cannot be found cannot be freed, and `check` reports it as leaked.
    let Ok(Some((piece, rest))) = last_piece(cx, record) else { return Progress::Done };
    if rest != record.value {
        // Only items that own nothing are left out: dead before or after, the same is found.
        cx.set_value(cx.len() - 1, rest);
    }
    // Dead before the stores below: the step is made again. After: what they push is carried out first, then the next step is made.
    match piece {
        Piece::Block { free, inner: None, .. } => cx.push_all(&[free]),
        Piece::Block { free, inner: Some(inner), .. } if cx.has_room(2 + FINGERS) => {
            match is_endless(cx, cx.len() + 2) {
                true => piece.cut(cx),
                false => cx.push_all(&[free, inner]),
            }
        }
        Piece::Array(inner) if cx.has_room(1 + FINGERS) => cx.push_all(&[inner]),
        _ => go_down(cx, piece),
    }
    Progress::Pushed
}

/// Frees a leaf below a piece, or sets a finger on the way to one: for a log that is full.
#[cold]
fn go_down(cx: &LogCx, first: Piece) {
    let fingers = cx.left() - 1;
    let (mut leaf, mut depth, mut wide) = (first, 1, 0);
    while let Some(next) = leaf.below(cx) {
        (leaf, depth) = (next, depth + 1);
        if next.is_wide() {
            wide = depth;
        }
        if is_endless(cx, depth) {
            return leaf.cut(cx);
        }
    }
    if fingers == 0 && depth > FAR && drop_fingers(cx) {
        return; // the same step is made again with all of them
    }
    let above = match fingers {
        0 => 0,
        // The last one also saves looking through a long container again for each of its items.
        1 => (depth - rise(depth, fingers)).max(wide).min(depth - 1),
        _ => depth - rise(depth, fingers),
    };
    if above == 0 {
        return leaf.free(cx);
    }
    let mut at = first;
    for _ in 1..above {
        at = at.below(cx).unwrap_or(at);
    }
    at.enter(cx);
}

/// Takes back the fingers on top of the log, which were set for a leaf less deep; false when there are none.
fn drop_fingers(cx: &LogCx) -> bool {
    let fingers = (1..cx.len()).take_while(|i| cx.read(cx.len() - i).size == FINGER).count();
    // Dead before or after: what they stood for is found again from below.
    cx.pop(fingers as u32);
    fingers > 0
}

/// How far above a leaf `depth` levels down the next of so many fingers is set.
fn rise(depth: u32, fingers: u32) -> u32 {
    let r = fingers as f64;
    ((depth as f64).powf(r / (r + 1.0)).ceil() as u32).clamp(1, depth)
}

/// Whether so many levels or records are many more than values that do not hold themselves can lead to. Blocks are counted only now and
/// then: at [`DEEP`], at twice as many, and so on.
fn is_endless(cx: &LogCx, reached: u32) -> bool {
    if reached < DEEP || reached.leading_zeros() == (reached - 2).leading_zeros() {
        return false;
    }
    aquifer_alloc::stats(cx.pool()).is_ok_and(|s| reached as u64 > s.blocks.saturating_mul(RECORDS_PER_BLOCK))
}

/// What a value owns: something to be freed before the value's own block is.
#[derive(Clone, Copy)]
enum Piece {
    /// A block that the word at `owner` names, and the record for what its items own, if they may.
    Block { owner: u64, free: RecordView, inner: Option<RecordView> },
    /// A long array in the value itself.
    Array(RecordView),
}

impl Piece {
    fn inner(&self) -> Option<RecordView> {
        match *self {
            Piece::Block { inner, .. } => inner,
            Piece::Array(inner) => Some(inner),
        }
    }

    /// A piece of what it contains; nothing when it is a leaf.
    fn below(&self, cx: &LogCx) -> Option<Piece> {
        Some(last_piece(cx, self.inner()?).ok()??.0)
    }

    /// Whether it has many items.
    fn is_wide(&self) -> bool {
        self.inner().is_some_and(|r| r.value & COUNT > WIDE)
    }

    /// Sets a finger: pushes the record for what it contains.
    fn enter(&self, cx: &LogCx) {
        cx.push_all(self.inner().map(|r| RecordView { size: FINGER, ..r }).as_slice());
    }

    fn free(&self, cx: &LogCx) {
        if let Piece::Block { free, .. } = self {
            cx.push_all(&[*free]);
        }
    }

    /// Makes its owner forget it.
    fn cut(&self, cx: &LogCx) {
        if let Piece::Block { owner, .. } = self
            && let Ok(word) = cx.pool().at(*owner, 8)
        {
            // SAFETY: in bounds by `at`, a multiple of 8 (see `Walk::block`); in a dead value.
            unsafe { &*word.cast::<AtomicU64>() }.store(0, Ordering::Relaxed);
        }
    }
}

/// A piece of the last item that owns something, and the record's value with that item as the last.
fn last_piece(cx: &LogCx, r: RecordView) -> Result<Option<(Piece, u64)>> {
    match r.kind {
        Kind::DropVec => vec_piece(cx, r),
        Kind::DropTable => table_piece(cx, r),
        _ => Ok(None),
    }
}

fn vec_piece(cx: &LogCx, r: RecordView) -> Result<Option<(Piece, u64)>> {
    let pool = cx.pool();
    let item = pool_schemas::node(pool, r.aux << 3)?;
    if !is_concerned(item) {
        return Ok(None);
    }
    // The elements must lie in the pool: so that a damaged count does not keep us here.
    pool.at(r.offset, r.value.saturating_mul(item.size()))?;
    let walk = Walk { pool, cx };
    for i in (0..r.value).rev() {
        if let Some(piece) = walk.value(item, r.offset + i * item.size())? {
            return Ok(Some((piece, i + 1)));
        }
    }
    Ok(None)
}

/// The same for a table.
fn table_piece(cx: &LogCx, r: RecordView) -> Result<Option<(Piece, u64)>> {
    let pool = cx.pool();
    let map = pool_schemas::node(pool, r.aux << 3)?;
    let ShapeView::Map { key, value, value_offset, entry_size } = map.shape() else { return Ok(None) };
    let (log2, count) = (r.value >> BUCKETS_SHIFT, r.value & COUNT);
    let Some(table) = TableView::new(r.offset, 1u64.checked_shl(log2 as u32).unwrap_or(0), entry_size) else {
        return Ok(None);
    };
    pool.at(table.block, table.bytes())?;
    let walk = Walk { pool, cx };
    for slot in (0..count.min(table.buckets)).rev() {
        if !table.is_full(pool, slot)? {
            continue;
        }
        let piece = match walk.value(key, table.entry(slot))? {
            None => walk.value(value, table.entry(slot) + value_offset)?,
            found => found,
        };
        if let Some(piece) = piece {
            return Ok(Some((piece, (slot + 1) | log2 << BUCKETS_SHIFT)));
        }
    }
    Ok(None)
}

/// Whether values of the type own blocks or hold locks.
pub(crate) fn is_concerned(node: Node<'_>) -> bool {
    node.has(flag::OWNS | flag::LOCKS)
}

/// Looks for a piece of a value.
struct Walk<'a> {
    pool: &'a Inner,
    cx: &'a LogCx,
}

impl<'a> Walk<'a> {
    /// Recursion ends: a checked blob has no type that holds itself, and none deeper than `encode::DEEPEST`.
    fn value(&self, node: Node<'a>, offset: u64) -> Result<Option<Piece>> {
        if !is_concerned(node) {
            return Ok(None);
        }
        match node.shape() {
            ShapeView::Struct => first(node.fields(), |f| self.value(f.node, offset + f.offset)),
            ShapeView::Enum { offset: tag, size } => {
                let tag = number(self.pool, offset + tag, size)?;
                let variant = node.variants().find(|v| is_tag(v.tag, tag, size));
                variant.map_or(Ok(None), |v| first(v.fields(), |f| self.value(f.node, offset + f.offset)))
            }
            ShapeView::Option { item, offset: at, size, pattern, some } => {
                if number(self.pool, offset + at, size)? == pattern {
                    return Ok(None);
                }
                self.value(item, offset + some)
            }
            ShapeView::Array { item, len } => self.array(item, offset, len),
            ShapeView::Lock { item, offset: inner } => {
                self.retire(offset)?;
                self.value(item, offset + inner)
            }
            ShapeView::String => Ok(match StringView::read(self.pool, offset)? {
                StringView::Heap { block, .. } => self.block(offset, block, None),
                _ => None,
            }),
            ShapeView::Vec(item) => {
                let vec = VecView::read(self.pool, offset)?;
                Ok(self.elements(item, offset, vec.block, vec.len))
            }
            ShapeView::Box(item) => Ok(self.elements(item, offset, word(self.pool, offset)?, 1)),
            ShapeView::Map { key, value, entry_size, .. } => {
                let map = MapView::read(self.pool, offset)?;
                let table = map
                    .table(entry_size)
                    .filter(|_| map.items > 0 && (is_concerned(key) || is_concerned(value)));
                let inner = table.map(|t| table_intent(t.block, t.buckets, self.pool_offset(node)));
                Ok(self.block(offset, map.block, inner))
            }
            _ => Ok(None),
        }
    }

    fn array(&self, item: Node<'a>, offset: u64, len: u64) -> Result<Option<Piece>> {
        let found = first(0..len, |i| self.value(item, offset + i * item.size()))?;
        let inner = (len > SHORT_ARRAY).then(|| vec_intent(offset, len, self.pool_offset(item)));
        Ok(found.map(|piece| inner.map_or(piece, Piece::Array)))
    }

    /// The block of `len` elements that the word at `owner` names.
    fn elements(&self, item: Node<'a>, owner: u64, block: u64, len: u64) -> Option<Piece> {
        let inner = (len > 0 && is_concerned(item)).then(|| vec_intent(block, len, self.pool_offset(item)));
        self.block(owner, block, inner)
    }

    /// The block that the word at `owner` (a multiple of 8: it was read as a word) names. One that is none is left alone, with what it seems to hold.
    fn block(&self, owner: u64, block: u64, inner: Option<RecordView>) -> Option<Piece> {
        if block == 0 {
            return None;
        }
        let free = aquifer_alloc::free_intent(self.pool, block).ok()?.with_aux(owner >> 3);
        Some(Piece::Block { owner, free, inner })
    }

    /// A lock that is given up with its value: guards that were forgotten must not name it any more, nor who died at the door of a free one: his burier would
    /// look there for a word.
    fn retire(&self, offset: u64) -> Result<()> {
        if word(self.pool, offset)? != 0 || self.pool.is_named(offset) {
            self.pool.retire_lock_as(self.cx.seat(), offset);
        }
        Ok(())
    }

    /// Offset of a node in the pool: walkers read blobs where they stand.
    fn pool_offset(&self, node: Node<'_>) -> u64 {
        let blob = self.pool.offset_of(node.view().bytes().as_ptr()).unwrap_or(0);
        blob + node.at() as u64
    }
}

/// The first that is found.
fn first<I>(
    items: impl IntoIterator<Item = I>,
    find: impl Fn(I) -> Result<Option<Piece>>,
) -> Result<Option<Piece>> {
    for item in items {
        if let Some(piece) = find(item)? {
            return Ok(Some(piece));
        }
    }
    Ok(None)
}

/// Whether a variant's tag is what stands in the `size` bytes of a tag.
pub(crate) fn is_tag(variant: i128, found: u128, size: u64) -> bool {
    let mask = if size >= 16 { u128::MAX } else { (1 << (size * 8)) - 1 };
    variant as u128 & mask == found
}
