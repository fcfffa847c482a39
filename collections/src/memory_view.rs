//! Containers as bytes of a pool, for walkers that know types only by their schema.
//!
//! Every look is checked against the pool's bounds and made with atomics: the bytes may be damaged, and other processes may be at work.

use aquifer_pool::{Error, Inner, Result};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

/// Longest inline string; larger tags but [`HEAP_STRING`] are invalid.
pub(crate) const INLINE_STRING: u8 = 38;
/// Tag of a string whose bytes are in a block.
pub(crate) const HEAP_STRING: u8 = 0xff;
/// A slot of a table that was never full.
pub(crate) const EMPTY: u8 = 0xff;
/// A slot of a table whose entry was removed.
pub(crate) const DELETED: u8 = 0x80;
/// Control bytes that are repeated behind the last one.
pub(crate) const MIRROR: u64 = 16;

/// The word at an offset, which must be a multiple of 8.
pub(crate) fn word(pool: &Inner, offset: u64) -> Result<u64> {
    if !offset.is_multiple_of(8) {
        return Err(Error::Damaged(format!("a word at {offset:#x} is not aligned")));
    }
    let at = pool.at(offset, 8)?.cast::<AtomicU64>();
    // SAFETY: in bounds by `at`, aligned as checked; the window stays mapped as long as `pool`.
    Ok(unsafe { &*at }.load(Ordering::Relaxed))
}

/// A number of `size` bytes, at most 16, at an offset of any alignment.
pub(crate) fn number(pool: &Inner, offset: u64, size: u64) -> Result<u128> {
    let mut bytes = [0u8; 16];
    let bytes = &mut bytes[..size.min(16) as usize];
    copy(pool, offset, bytes)?;
    Ok(bytes.iter().rev().fold(0, |n, b| n << 8 | *b as u128))
}

/// One byte.
pub(crate) fn byte(pool: &Inner, offset: u64) -> Result<u8> {
    let at = pool.at(offset, 1)?.cast::<AtomicU8>();
    // SAFETY: in bounds by `at`; the window stays mapped as long as `pool`.
    Ok(unsafe { &*at }.load(Ordering::Relaxed))
}

/// Copies bytes out of the pool.
pub(crate) fn copy(pool: &Inner, offset: u64, to: &mut [u8]) -> Result<()> {
    let at = pool.at(offset, to.len() as u64)?.cast::<AtomicU8>();
    for (i, b) in to.iter_mut().enumerate() {
        // SAFETY: in bounds by `at`; the window stays mapped as long as `pool`.
        *b = unsafe { &*at.add(i) }.load(Ordering::Relaxed);
    }
    Ok(())
}

/// `ShVec`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct VecView {
    pub(crate) block: u64,
    pub(crate) len: u64,
    pub(crate) cap: u64,
}

impl VecView {
    pub(crate) fn read(pool: &Inner, offset: u64) -> Result<VecView> {
        Ok(VecView {
            block: word(pool, offset)?,
            len: word(pool, offset + 8)?,
            cap: word(pool, offset + 16)?,
        })
    }
}

/// `ShString`.
#[derive(Debug, Clone, Copy)]
pub(crate) enum StringView {
    /// The bytes stand in the value.
    Inline { len: u8 },
    /// The bytes stand in a block.
    Heap { block: u64, len: u64, cap: u64 },
    /// No string has this tag.
    Bad { tag: u8 },
}

impl StringView {
    pub(crate) fn read(pool: &Inner, offset: u64) -> Result<StringView> {
        match byte(pool, offset + 39)? {
            len @ 0..=INLINE_STRING => Ok(StringView::Inline { len }),
            HEAP_STRING => Ok(StringView::Heap {
                block: word(pool, offset)?,
                len: word(pool, offset + 8)?,
                cap: word(pool, offset + 32)? & ((1 << 56) - 1),
            }),
            tag => Ok(StringView::Bad { tag }),
        }
    }
}

/// `ShMap`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MapView {
    /// Where the table's block begins; 0: there is none.
    pub(crate) block: u64,
    pub(crate) mask: u64,
    pub(crate) items: u32,
    pub(crate) growth_left: u32,
}

impl MapView {
    pub(crate) fn read(pool: &Inner, offset: u64) -> Result<MapView> {
        let (block, mask, counts) = (word(pool, offset)?, word(pool, offset + 8)?, word(pool, offset + 16)?);
        Ok(MapView { block, mask, items: counts as u32, growth_left: (counts >> 32) as u32 })
    }

    /// The table behind it, or what is wrong with it.
    pub(crate) fn table(&self, entry_size: u64) -> Option<TableView> {
        let buckets = self.mask.checked_add(1)?;
        buckets.is_power_of_two().then(|| TableView::new(self.block, buckets, entry_size)).flatten()
    }
}

/// Bytes before the control bytes of a table.
fn entries_bytes(buckets: u64, entry_size: u64) -> u64 {
    buckets.saturating_mul(entry_size).checked_next_multiple_of(16).unwrap_or(u64::MAX)
}

/// The block of a `ShMap`: entries, then control bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TableView {
    pub(crate) block: u64,
    pub(crate) buckets: u64,
    pub(crate) entry_size: u64,
    /// Offset of the control bytes.
    pub(crate) control: u64,
}

impl TableView {
    pub(crate) fn new(block: u64, buckets: u64, entry_size: u64) -> Option<TableView> {
        let control = block.checked_add(entries_bytes(buckets, entry_size))?;
        control.checked_add(buckets)?.checked_add(MIRROR)?;
        Some(TableView { block, buckets, entry_size, control })
    }

    /// Bytes of the block.
    pub(crate) fn bytes(&self) -> u64 {
        self.control - self.block + self.buckets + MIRROR
    }

    /// Offset of an entry.
    pub(crate) fn entry(&self, slot: u64) -> u64 {
        self.block + slot * self.entry_size
    }

    /// Whether the slot holds an entry.
    pub(crate) fn is_full(&self, pool: &Inner, slot: u64) -> Result<bool> {
        Ok(byte(pool, self.control + slot)? & 0x80 == 0)
    }
}
