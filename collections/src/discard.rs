//! Freeing what discarded values own, by anyone, whether or not it knows their type.
//!
//! A container whose items own nothing is freed by one `Free` record. Else a `DropVec` or `DropTable` record stands above that `Free`
//! and is carried out before it: it frees what the items own and never the block itself, so that only the `Free`, which knows the block's
//! token, has to be told from a later block at the same place. Its count says how many items are still to be looked at.
//!
//! One step of it finds the last item that owns something and pushes, by one store, a `Mark` with the number of items below, and above
//! it the intents for what the item owns. They are carried out first, each until it is popped; then the mark moves the count. Whoever
//! finishes for a dead process finds either the old count and no intents, and makes the same step again, since the items' bytes do not
//! change any more; or the intents that are left.
//!
//! Arrays inside items are not spread out: an array is a vector without a block of its own.
//!
//! Damaged values may hold themselves. As every level has a block that is still to be freed, many more records than there are blocks mean
//! damage: the innermost value is given up, and once its block is freed nothing is found there any more.

use crate::memory_view::{MapView, StringView, TableView, VecView, number, word};
use crate::pool_schemas;
use crate::schema::encode::flag;
use crate::schema::view::{Node, ShapeView};
use aquifer_pool::log::{Kind, LogCx, RecordView};
use aquifer_pool::seat::SeatCtx;
use aquifer_pool::upper::Progress;
use aquifer_pool::{Inner, Result};

/// Arrays up to this length are looked at with the item that holds them.
const SHORT_ARRAY: u64 = 4;
/// Records of a log from which on it is suspected to lead nowhere.
const DEEP: u32 = 1 << 16;
/// Records that one block may lead to: its `Free` and `DropVec`, a mark, and those for arrays without blocks in its items.
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
    let step = match record.kind {
        Kind::DropVec => vec_step(cx, record),
        Kind::DropTable => table_step(cx, record),
        _ => return Progress::Done,
    };
    match step {
        // Dead before this store: the step is made again. After: its intents are carried out, then the mark moves the count.
        Ok(Some(intents)) => {
            if is_endless(cx, intents.len()) {
                return Progress::Done;
            }
            match cx.push_all(&intents) {
                Ok(()) => Progress::Pushed,
                Err(_) => Progress::Stuck,
            }
        }
        // Done, or damaged: what cannot be found cannot be freed, and `check` reports it as leaked.
        Ok(None) | Err(_) => Progress::Done,
    }
}

/// Whether the log, with so many records more, would have many more than values that do not hold themselves can lead to. Blocks are
/// counted only now and then: when the log has become [`DEEP`] records long, twice as long, and so on.
fn is_endless(cx: &LogCx, more: usize) -> bool {
    let (now, then) = (cx.len(), cx.len().saturating_add(more as u32));
    if then < DEEP || now.leading_zeros() == then.leading_zeros() {
        return false;
    }
    aquifer_alloc::stats(cx.pool()).is_ok_and(|s| then as u64 > s.blocks.saturating_mul(RECORDS_PER_BLOCK))
}

/// The intents for the last of the elements that owns something, under a mark; nothing when none does.
fn vec_step(cx: &LogCx, r: RecordView) -> Result<Option<Vec<RecordView>>> {
    let pool = cx.pool();
    let item = pool_schemas::node(pool, r.aux << 3)?;
    if !is_concerned(item) {
        return Ok(None);
    }
    // The elements must lie in the pool: so that a damaged count does not keep us here.
    pool.at(r.offset, r.value.saturating_mul(item.size()))?;
    let mut walk = Walk::new(cx);
    for i in (0..r.value).rev() {
        walk.value(item, r.offset + i * item.size())?;
        if let Some(intents) = walk.under_mark(i) {
            return Ok(Some(intents));
        }
    }
    Ok(None)
}

/// The same for a table.
fn table_step(cx: &LogCx, r: RecordView) -> Result<Option<Vec<RecordView>>> {
    let pool = cx.pool();
    let map = pool_schemas::node(pool, r.aux << 3)?;
    let ShapeView::Map { key, value, value_offset, entry_size } = map.shape() else { return Ok(None) };
    let (log2, count) = (r.value >> BUCKETS_SHIFT, r.value & COUNT);
    let Some(table) = TableView::new(r.offset, 1u64.checked_shl(log2 as u32).unwrap_or(0), entry_size) else {
        return Ok(None);
    };
    pool.at(table.block, table.bytes())?;
    let mut walk = Walk::new(cx);
    for slot in (0..count.min(table.buckets)).rev() {
        if !table.is_full(pool, slot)? {
            continue;
        }
        walk.value(key, table.entry(slot))?;
        walk.value(value, table.entry(slot) + value_offset)?;
        if let Some(intents) = walk.under_mark(slot | log2 << BUCKETS_SHIFT) {
            return Ok(Some(intents));
        }
    }
    Ok(None)
}

/// Whether values of the type own blocks or hold locks.
pub(crate) fn is_concerned(node: Node<'_>) -> bool {
    node.has(flag::OWNS | flag::LOCKS)
}

/// Collects the intents for what one value owns directly.
struct Walk<'a> {
    pool: &'a Inner,
    seat: &'a SeatCtx,
    intents: Vec<RecordView>,
}

impl<'a> Walk<'a> {
    fn new(cx: &'a LogCx) -> Walk<'a> {
        Walk { pool: cx.pool(), seat: cx.seat(), intents: Vec::new() }
    }

    /// What was collected, above a mark that makes `rest` the count of the record below; nothing when nothing was.
    fn under_mark(&mut self, rest: u64) -> Option<Vec<RecordView>> {
        if self.intents.is_empty() {
            return None;
        }
        self.intents.insert(0, RecordView::new(Kind::Mark, 0, rest));
        Some(std::mem::take(&mut self.intents))
    }

    /// Recursion ends: a checked blob has no type that holds itself, and none deeper than `encode::DEEPEST`.
    fn value(&mut self, node: Node<'a>, offset: u64) -> Result<()> {
        if !is_concerned(node) {
            return Ok(());
        }
        match node.shape() {
            ShapeView::Struct => node.fields().try_for_each(|f| self.value(f.node, offset + f.offset)),
            ShapeView::Enum { offset: tag, size } => {
                let tag = number(self.pool, offset + tag, size)?;
                let variant = node.variants().find(|v| is_tag(v.tag, tag, size));
                variant.map_or(Ok(()), |v| v.fields().try_for_each(|f| self.value(f.node, offset + f.offset)))
            }
            ShapeView::Option { item, offset: at, size, pattern, some } => {
                if number(self.pool, offset + at, size)? == pattern {
                    return Ok(());
                }
                self.value(item, offset + some)
            }
            ShapeView::Array { item, len } => self.array(item, offset, len),
            ShapeView::Lock { item, offset: inner } => {
                self.retire(offset)?;
                self.value(item, offset + inner)
            }
            ShapeView::String => {
                if let StringView::Heap { block, .. } = StringView::read(self.pool, offset)? {
                    self.free(block);
                }
                Ok(())
            }
            ShapeView::Vec(item) => self.vec(item, offset),
            ShapeView::Box(item) => {
                let block = word(self.pool, offset)?;
                self.elements(item, block, 1);
                Ok(())
            }
            ShapeView::Map { key, value, entry_size, .. } => {
                let map = MapView::read(self.pool, offset, entry_size)?;
                if self.free(map.block)
                    && map.items > 0
                    && (is_concerned(key) || is_concerned(value))
                    && let Some(table) = map.table(entry_size)
                {
                    self.intents.push(table_intent(table.block, table.buckets, self.pool_offset(node)));
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn vec(&mut self, item: Node<'a>, offset: u64) -> Result<()> {
        let vec = VecView::read(self.pool, offset)?;
        self.elements(item, vec.block, vec.len);
        Ok(())
    }

    fn array(&mut self, item: Node<'a>, offset: u64, len: u64) -> Result<()> {
        if len > SHORT_ARRAY {
            self.intents.push(vec_intent(offset, len, self.pool_offset(item)));
            return Ok(());
        }
        (0..len).try_for_each(|i| self.value(item, offset + i * item.size()))
    }

    /// The elements of a block, and the block.
    fn elements(&mut self, item: Node<'a>, block: u64, len: u64) {
        if self.free(block) && len > 0 && is_concerned(item) {
            self.intents.push(vec_intent(block, len, self.pool_offset(item)));
        }
    }

    /// Whether there is such a block; one that is none is left alone, with what it seems to hold.
    fn free(&mut self, block: u64) -> bool {
        if block == 0 {
            return false;
        }
        let intent = aquifer_alloc::free_intent(self.pool, block);
        self.intents.extend(intent.as_ref().ok().copied());
        intent.is_ok()
    }

    /// A lock that is given up with its value: guards that were forgotten must not name it any more.
    fn retire(&self, offset: u64) -> Result<()> {
        if word(self.pool, offset)? != 0 {
            self.pool.retire_lock_as(self.seat, offset);
        }
        Ok(())
    }

    /// Offset of a node in the pool: walkers read blobs where they stand.
    fn pool_offset(&self, node: Node<'_>) -> u64 {
        let blob = self.pool.offset_of(node.view().bytes().as_ptr()).unwrap_or(0);
        blob + node.at() as u64
    }
}

/// Whether a variant's tag is what stands in the `size` bytes of a tag.
pub(crate) fn is_tag(variant: i128, found: u128, size: u64) -> bool {
    let mask = if size >= 16 { u128::MAX } else { (1 << (size * 8)) - 1 };
    variant as u128 & mask == found
}
