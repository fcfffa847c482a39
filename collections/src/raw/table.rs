//! The block of a hash table as addresses, and the one probe loop.
//!
//! ```text
//! block:  entry 0 | entry 1 | .. | entry buckets-1 | pad to 16 | control bytes: buckets + 16
//! ```
//!
//! The last 16 control bytes repeat those before them, so that a group may begin at any slot: byte `buckets + i` equals byte `i`. In tables
//! with fewer than 16 slots they repeat them more than once; every group then sees every slot.

use super::group::{Bits, DELETED, EMPTY, Group, WIDTH};
use super::ptr;
use std::sync::atomic::{AtomicU64, Ordering};

/// Slots of the smallest table.
pub(crate) const FEWEST: usize = 4;

/// One key and its value.
#[repr(C)]
pub(crate) struct Slot<K, V> {
    pub(crate) key: K,
    pub(crate) value: V,
}

/// Header of a map.
///
/// Invariant: `table` is 0, and so are the others; or a block of `bytes(mask + 1)` bytes with `mask + 1` a power of two, of whose slots
/// `items` are full, and at most `room(mask + 1) - growth_left` are full or [`DELETED`].
#[repr(C)]
pub(crate) struct Header {
    pub(crate) table: AtomicU64,
    pub(crate) mask: AtomicU64,
    /// Items in the low half, growth left in the high one: they change together, by one store.
    pub(crate) counts: AtomicU64,
}

const _: () = assert!(size_of::<Header>() == 24);

/// `items` and `growth_left`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) items: u32,
    pub(crate) growth_left: u32,
}

impl Counts {
    pub(crate) fn packed(self) -> u64 {
        self.items as u64 | (self.growth_left as u64) << 32
    }
}

impl Header {
    pub(crate) fn new() -> Header {
        Header { table: AtomicU64::new(0), mask: AtomicU64::new(0), counts: AtomicU64::new(0) }
    }

    #[inline(always)]
    pub(crate) fn counts(&self) -> Counts {
        let c = self.counts.load(Ordering::Relaxed);
        Counts { items: c as u32, growth_left: (c >> 32) as u32 }
    }

    #[inline(always)]
    pub(crate) fn len(&self) -> usize {
        self.counts.load(Ordering::Relaxed) as u32 as usize
    }

    /// The table; panics if the header speaks of bytes outside of the pool.
    #[inline(always)]
    pub(crate) fn table<K, V>(&self) -> Option<Table<K, V>> {
        let (offset, bytes) = self.extent::<K, V>()?;
        Some(Table::at(ptr::resolve(self, offset, bytes), self.mask.load(Ordering::Relaxed) as usize))
    }

    /// Offset and length of the table's block.
    #[inline(always)]
    pub(crate) fn extent<K, V>(&self) -> Option<(u64, u64)> {
        let offset = self.table.load(Ordering::Relaxed);
        if offset == 0 {
            return None;
        }
        let buckets = (self.mask.load(Ordering::Relaxed) as usize).wrapping_add(1);
        let Some(bytes) = bytes::<K, V>(buckets) else { ptr::damaged("a table is larger than any pool") };
        Some((offset, bytes as u64))
    }
}

/// Entries that a table of so many slots takes.
#[inline]
pub(crate) fn room(buckets: usize) -> usize {
    if buckets < 8 { buckets.saturating_sub(1) } else { buckets / 8 * 7 }
}

/// Slots of a table that takes `items` entries; `None` if no table can.
pub(crate) fn buckets_for(items: usize) -> Option<usize> {
    if items < FEWEST {
        return Some(FEWEST);
    }
    if items < 8 {
        return Some(if items <= room(8) { 8 } else { 16 });
    }
    // Counts have 32 bits.
    let buckets = (items.checked_mul(8)? / 7 + 1).checked_next_power_of_two()?;
    (buckets <= 1 << 31).then_some(buckets)
}

/// Where the control bytes begin.
#[inline(always)]
fn control_offset<K, V>(buckets: usize) -> Option<usize> {
    Some(buckets.checked_mul(size_of::<Slot<K, V>>())?.checked_add(WIDTH - 1)? & !(WIDTH - 1))
}

/// Bytes of the block of a table.
#[inline(always)]
pub(crate) fn bytes<K, V>(buckets: usize) -> Option<usize> {
    control_offset::<K, V>(buckets)?.checked_add(buckets)?.checked_add(WIDTH)
}

/// Alignment of the block of a table.
pub(crate) fn align<K, V>() -> usize {
    align_of::<Slot<K, V>>().max(WIDTH)
}

/// A table at its address.
///
/// Invariant: the whole block, as long as `bytes(mask + 1)` says, is mapped; any index masked by `mask` is a slot of it.
pub(crate) struct Table<K, V> {
    pub(crate) entries: *mut Slot<K, V>,
    control: *mut u8,
    pub(crate) mask: usize,
}

impl<K, V> Clone for Table<K, V> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<K, V> Copy for Table<K, V> {}

/// The top seven bits of a hash: what the control byte of a full slot says.
#[inline(always)]
pub(crate) fn fingerprint(hash: u64) -> u8 {
    (hash >> 57) as u8
}

/// A probe: groups at triangular distances, so that each is visited once.
struct Probe {
    at: usize,
    stride: usize,
    mask: usize,
}

impl Probe {
    /// The next group; `None` when all were seen, which only a damaged table brings about.
    #[inline(always)]
    fn step(&mut self) -> Option<()> {
        self.stride += WIDTH;
        self.at = (self.at + self.stride) & self.mask;
        (self.stride <= self.mask + WIDTH).then_some(())
    }
}

impl<K, V> Table<K, V> {
    /// The table whose block begins at `start`.
    #[inline(always)]
    pub(crate) fn at(start: *mut u8, mask: usize) -> Table<K, V> {
        let control = (mask.wrapping_add(1).wrapping_mul(size_of::<Slot<K, V>>()).wrapping_add(WIDTH - 1))
            & !(WIDTH - 1);
        Table { entries: start.cast(), control: start.wrapping_add(control), mask }
    }

    #[inline(always)]
    pub(crate) fn buckets(self) -> usize {
        self.mask + 1
    }

    /// The slot of that number.
    #[inline(always)]
    pub(crate) fn slot(self, index: usize) -> *mut Slot<K, V> {
        self.entries.wrapping_add(index & self.mask)
    }

    /// Number of the slot at that address.
    #[inline(always)]
    pub(crate) fn index_of(self, slot: *const Slot<K, V>) -> usize {
        // Entries without size are all the same.
        (slot.addr() - self.entries.addr()).checked_div(size_of::<Slot<K, V>>()).unwrap_or(0)
    }

    /// The group of control bytes that begins at slot `at`.
    #[inline(always)]
    pub(crate) fn group(self, at: usize) -> Group {
        // SAFETY: `at & mask` is a slot, and 16 control bytes follow the last slot's (invariant).
        unsafe { Group::load(self.control.add(at & self.mask)) }
    }

    /// Full slots among the 16 from `at`, a multiple of 16.
    #[inline(always)]
    pub(crate) fn full(self, at: usize) -> Bits {
        let bits = self.group(at).full();
        if self.mask >= WIDTH - 1 { bits } else { Bits(bits.0 & ((1 << self.buckets()) - 1)) }
    }

    /// The slot whose key is meant by `is`, among those with this hash.
    #[inline(always)]
    pub(crate) fn find(self, hash: u64, mut is: impl FnMut(&K) -> bool) -> Option<usize> {
        let mut probe = Probe { at: hash as usize & self.mask, stride: 0, mask: self.mask };
        loop {
            let group = self.group(probe.at);
            for bit in group.equal(fingerprint(hash)) {
                let index = (probe.at + bit) & self.mask;
                // SAFETY: the slot's control byte says that it is full, and entries are stored before that.
                if is(unsafe { &(*self.slot(index)).key }) {
                    return Some(index);
                }
            }
            if group.empty().any() {
                return None;
            }
            probe.step()?;
        }
    }

    /// The first slot without an entry on the way of this hash.
    #[inline]
    pub(crate) fn find_free(self, hash: u64) -> Option<usize> {
        let mut probe = Probe { at: hash as usize & self.mask, stride: 0, mask: self.mask };
        loop {
            if let Some(bit) = self.group(probe.at).free().first() {
                return Some((probe.at + bit) & self.mask);
            }
            probe.step()?;
        }
    }

    #[inline(always)]
    pub(crate) fn control(self, index: usize) -> u8 {
        // SAFETY: a slot's control byte (invariant).
        unsafe { *self.control.add(index & self.mask) }
    }

    /// Distances from the start of the block of the control bytes that [`set_control`](Self::set_control) changes.
    #[inline(always)]
    pub(crate) fn control_offsets(self, index: usize, mut each: impl FnMut(u64)) {
        let control = self.control.addr() - self.entries.addr();
        let mut at = index & self.mask;
        while at < self.buckets() + WIDTH {
            each((control + at) as u64);
            at += self.buckets();
        }
    }

    /// Stores a control byte and what repeats it.
    #[inline]
    pub(crate) fn set_control(self, index: usize, byte: u8) {
        let mut at = index & self.mask;
        while at < self.buckets() + WIDTH {
            // SAFETY: within the `buckets + 16` control bytes.
            unsafe { self.control.add(at).write(byte) };
            at += self.buckets();
        }
    }

    /// Makes all slots empty: for a block that is not linked in yet.
    pub(crate) fn wipe(self) {
        // SAFETY: the `buckets + 16` control bytes.
        unsafe { self.control.write_bytes(EMPTY, self.buckets() + WIDTH) };
    }

    /// What the control byte of a full slot becomes when its entry goes: [`EMPTY`] if no probe has ever had to pass it.
    #[inline]
    pub(crate) fn vacated(self, index: usize) -> u8 {
        if self.mask < WIDTH - 1 {
            // Every group sees every slot, and one of them is empty: no probe looks at a second group.
            return EMPTY;
        }
        let before = self.group(index.wrapping_sub(WIDTH)).empty();
        let after = self.group(index).empty();
        // A group that holds this slot and no empty one may have been passed.
        if before.trailing_clear() + after.leading_clear() >= WIDTH { DELETED } else { EMPTY }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_has_room_for_what_it_was_chosen_for_and_an_empty_slot_besides() {
        for items in 0..5000 {
            let buckets = buckets_for(items).unwrap();
            assert!(room(buckets) >= items && room(buckets) < buckets, "{items} in {buckets}");
            assert!(buckets.is_power_of_two());
        }
        assert_eq!(buckets_for(usize::MAX), None);
    }

    #[test]
    fn repeated_control_bytes_follow_their_slots_in_tables_of_any_size() {
        for buckets in [4, 8, 16, 32, 64] {
            let mut block = vec![0u64; bytes::<u64, u64>(buckets).unwrap() / 8 + 2];
            let table = Table::<u64, u64>::at(block.as_mut_ptr().cast(), buckets - 1);
            table.wipe();
            for i in 0..buckets {
                table.set_control(i, i as u8);
            }
            for i in 0..WIDTH {
                // SAFETY: within the control bytes.
                let (a, b) = unsafe { (*table.control.add(i), *table.control.add(buckets + i)) };
                assert_eq!(a, b, "{buckets} slots, byte {i}");
                assert_eq!(a, (i % buckets) as u8);
            }
        }
    }

    #[test]
    fn a_probe_sees_every_slot() {
        for buckets in [4usize, 8, 16, 64, 512] {
            for hash in 0..buckets {
                let mut seen = vec![false; buckets];
                let mut p = Probe { at: hash, stride: 0, mask: buckets - 1 };
                loop {
                    (0..WIDTH).for_each(|i| seen[(p.at + i) % buckets] = true);
                    if p.step().is_none() {
                        break;
                    }
                }
                assert!(seen.iter().all(|s| *s), "{buckets} slots from {hash}");
            }
        }
    }
}
