//! The block of a hash table as addresses, and the one probe loop.
//!
//! ```text
//! block:  entry 0 | entry 1 | .. | entry buckets-1 | 0..15 bytes | control bytes: buckets + 16
//! ```
//!
//! The bytes before the control bytes make their offset a multiple of 16. Entries go upwards, so that the address of one takes a shift and an addition.
//!
//! The last 16 control bytes repeat those before them, so that a group may begin at any slot: byte `buckets + i` equals byte `i`. In tables
//! with fewer than 16 slots they repeat them more than once; every group then sees every slot.

use super::group::{Bits, DELETED, EMPTY, Group, WIDTH};
use super::ptr::{self, Reach};
use crate::hash::{Seed, ShHash};
use std::borrow::Borrow;
use std::hint::cold_path;

/// Slots of the smallest table.
pub(crate) const FEWEST: usize = 4;
/// Slots of the largest: counts have 32 bits.
const MOST: usize = 1 << 31;

/// One key and its value.
#[repr(C)]
pub(crate) struct Slot<K, V> {
    pub(crate) key: K,
    pub(crate) value: V,
}

/// Header of a map.
///
/// Invariant: `block` is 0, and so are the others; or a block of `bytes(mask + 1)` bytes with `mask + 1` a power of two,
/// of whose slots `items` are full, and at most `room(mask + 1) - growth_left` are full or [`DELETED`].
///
/// Plain words, so that the compiler may keep them in registers: nobody changes them while somebody may read them.
#[repr(C)]
pub(crate) struct Header {
    pub(crate) block: u64,
    pub(crate) mask: u64,
    /// [`Counts`].
    pub(crate) counts: u64,
}

const _: () = assert!(size_of::<Header>() == 24);

/// Items in the low half, growth left in the high one: they change together, by one store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Counts(u64);

impl Counts {
    #[inline(always)]
    pub(crate) fn new(items: u32, growth_left: u32) -> Counts {
        Counts(items as u64 | (growth_left as u64) << 32)
    }

    #[inline(always)]
    pub(crate) fn items(self) -> u32 {
        self.0 as u32
    }

    #[inline(always)]
    pub(crate) fn growth_left(self) -> u32 {
        (self.0 >> 32) as u32
    }

    #[inline(always)]
    pub(crate) fn packed(self) -> u64 {
        self.0
    }

    /// With one item more, in a slot that had this control byte.
    #[inline(always)]
    pub(crate) fn with_one(self, control: u8) -> Counts {
        let from_growth = control == EMPTY && self.growth_left() > 0;
        Counts(self.0.wrapping_add(1).wrapping_sub((from_growth as u64) << 32))
    }

    /// With one item less, whose slot has this control byte then.
    #[inline(always)]
    pub(crate) fn without_one(self, control: u8) -> Counts {
        let to_growth = ((control == EMPTY) as u64) << 32;
        Counts(self.0.wrapping_add(to_growth).wrapping_sub((self.items() > 0) as u64))
    }
}

impl Header {
    pub(crate) fn new() -> Header {
        Header { block: 0, mask: 0, counts: 0 }
    }

    #[inline(always)]
    pub(crate) fn counts(&self) -> Counts {
        Counts(self.counts)
    }

    #[inline(always)]
    pub(crate) fn len(&self) -> usize {
        self.counts as u32 as usize
    }

    /// The table; panics if the header speaks of bytes outside of the pool.
    #[inline(always)]
    pub(crate) fn table<K, V>(&self) -> Option<Table<K, V>> {
        Some(self.table_and_seed()?.0)
    }

    /// The table, and the seed of its hashes.
    #[inline(always)]
    pub(crate) fn table_and_seed<K, V>(&self) -> Option<(Table<K, V>, Seed)> {
        let reach = Reach::of(self);
        if self.block == 0 {
            return None;
        }
        let mask = self.mask();
        let block = reach.resolve(self.block, bytes::<K, V>(mask + 1) as u64);
        Some((Table::at(block, mask), ptr::seed_of_resolved(self)))
    }

    /// Slots less one. A table with more than 32 bits of them is damaged, and bounds are checked by what is left.
    #[inline(always)]
    pub(crate) fn mask(&self) -> usize {
        self.mask as u32 as usize
    }

    /// Offset and length of the table's block, and how much of it the entries are.
    pub(crate) fn extent<K, V>(&self) -> Option<(u64, u64, u64)> {
        let mask = self.mask();
        (self.block != 0).then(|| (self.block, bytes::<K, V>(mask + 1) as u64, entries::<K, V>(mask)))
    }
}

/// Bytes before the control bytes of a table with `mask + 1` slots.
#[inline(always)]
fn entries<K, V>(mask: usize) -> u64 {
    // No more than 32 bits each.
    const { assert!(size_of::<Slot<K, V>>() < 1 << 31) };
    ((mask as u64 + 1) * size_of::<Slot<K, V>>() as u64).next_multiple_of(WIDTH as u64)
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
    let buckets = (items.checked_mul(8)? / 7 + 1).checked_next_power_of_two()?;
    (buckets <= MOST).then_some(buckets)
}

/// Bytes of the block of a table of that many slots.
#[inline(always)]
pub(crate) fn bytes<K, V>(buckets: usize) -> usize {
    entries::<K, V>(buckets - 1) as usize + buckets + WIDTH
}

/// Alignment of the block of a table.
pub(crate) fn align<K, V>() -> usize {
    align_of::<Slot<K, V>>().max(WIDTH)
}

/// A table at its address.
///
/// Invariant: the whole block, as long as `bytes(mask + 1)` says, is mapped; any index masked by `mask` is a slot of it.
pub(crate) struct Table<K, V> {
    /// The first slot.
    slots: *mut Slot<K, V>,
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

/// Asks for a cache line that will be read soon, whatever the address, and gives back `then`.
///
/// As assembly whose result is used, and which touches no memory that the compiler knows of: around the intrinsic, or assembly without a
/// result, it would lift nothing out of a loop.
#[inline(always)]
fn prefetch(at: *const u8, then: u64) -> u64 {
    #[allow(unused_mut)]
    let mut then = then;
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: a hint, which never faults.
    unsafe {
        std::arch::asm!("prefetcht0 [{at}]", "/* {then} */", at = in(reg) at.addr(), then = inout(reg) then,
            options(pure, nomem, nostack, preserves_flags));
    }
    #[cfg(all(target_arch = "aarch64", not(miri)))]
    // SAFETY: a hint, which never faults.
    unsafe {
        std::arch::asm!("prfm pldl1keep, [{at}]", "/* {then} */", at = in(reg) at.addr(), then = inout(reg) then,
            options(pure, nomem, nostack, preserves_flags));
    }
    #[cfg(not(all(any(target_arch = "x86_64", target_arch = "aarch64"), not(miri))))]
    let _ = at;
    then
}

/// Where an entry is, or would be.
pub(crate) enum Slotted<K, V> {
    /// There.
    Full(*mut Slot<K, V>),
    /// It has none; this one is free.
    Free(usize),
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
    /// The table in this block.
    #[inline(always)]
    pub(crate) fn at(block: *mut u8, mask: usize) -> Table<K, V> {
        Table { slots: block.cast(), mask }
    }

    #[inline(always)]
    pub(crate) fn buckets(self) -> usize {
        self.mask + 1
    }

    /// The slot of that number.
    #[inline(always)]
    pub(crate) fn slot(self, index: usize) -> *mut Slot<K, V> {
        self.slots.wrapping_add(index & self.mask)
    }

    /// The first control byte.
    #[inline(always)]
    fn controls_start(self) -> *mut u8 {
        self.slots.cast::<u8>().wrapping_add(entries::<K, V>(self.mask) as usize)
    }

    /// How far into the block a slot's control byte is.
    #[inline(always)]
    pub(crate) fn distance_of_control(self, index: usize) -> u64 {
        entries::<K, V>(self.mask) + index as u64
    }

    /// Number of the slot at that address, which was found through this table.
    #[inline(always)]
    pub(crate) fn index_of(self, slot: *const Slot<K, V>) -> usize {
        self.index_at(slot.addr().wrapping_sub(self.slots.addr()))
    }

    /// Number of the slot so many bytes into the block. Entries without size are all the same, so that there is one at most: it is the one.
    #[inline(always)]
    pub(crate) fn index_at(self, distance: usize) -> usize {
        distance.checked_div(size_of::<Slot<K, V>>()).unwrap_or_else(|| self.only())
    }

    #[cold]
    fn only(self) -> usize {
        (0..self.buckets()).find(|i| self.control(*i) < DELETED).unwrap_or(0)
    }

    /// The group of control bytes that begins at slot `at`.
    #[inline(always)]
    pub(crate) fn group(self, at: usize) -> Group {
        // SAFETY: `at & mask` is a slot, and 16 control bytes follow the last slot's (invariant).
        unsafe { Group::load(self.controls_start().add(at & self.mask)) }
    }

    /// Full slots among the 16 from `at`, a multiple of 16.
    #[inline(always)]
    pub(crate) fn full(self, at: usize) -> Bits {
        let bits = self.group(at).full();
        if self.mask >= WIDTH - 1 { bits } else { Bits(bits.0 & ((1 << self.buckets()) - 1)) }
    }

    /// In a table that is larger than the second cache of most processors: asks for the slots from `at` on, where the look-up of a hash begins, before the
    /// control bytes have said which of them it is. Most entries stand in the first few, so that the two waits for memory become one.
    #[inline(always)]
    fn prefetch_slots(self, at: usize, then: u64) -> u64 {
        const LARGE: usize = 4 << 20;
        if self.mask > const { LARGE / (size_of::<Slot<K, V>>() + 1) } {
            // Out of the way of small tables, where an instruction is worth more than a wait here.
            cold_path();
            return prefetch(self.slot(at).cast(), then);
        }
        then
    }

    /// Where the look-up of a hash begins.
    #[inline(always)]
    fn probe(self, hash: u64) -> Probe {
        Probe { at: hash as usize & self.mask, stride: 0, mask: self.mask }
    }

    /// The slot of this key in the group at `at`.
    ///
    /// By key and not by closure: what a closure calls is not always inlined, and a call of what may panic keeps the compiler from lifting
    /// anything out of a loop of look-ups.
    ///
    /// With `AHEAD`, the slots are asked for behind the branch that finds a fingerprint. The address waits for nothing but the hash, and the processor
    /// goes past that branch before the control bytes are there, the way that the last look-ups went: those that find their keys ask for the slots early,
    /// those that find nothing do not ask.
    #[inline(always)]
    fn find_in<const AHEAD: bool, Q>(
        self,
        group: Group,
        at: usize,
        hash: u64,
        key: &Q,
        reach: Reach,
    ) -> Option<usize>
    where
        K: Borrow<Q> + 'static,
        Q: ShHash + Eq + ?Sized,
    {
        let mut equal = group.equal(fingerprint(hash));
        while let Some(bit) = equal.first() {
            let bit = if AHEAD { self.prefetch_slots(at, bit as u64) as usize } else { bit };
            let index = (at + bit) & self.mask;
            // SAFETY: the slot's control byte says that it is full, and entries are stored before that.
            if key.is_key(unsafe { &(*self.slot(index)).key }, reach) {
                return Some(index);
            }
            cold_path(); // another key with the same fingerprint
            equal = equal.without_first();
        }
        None
    }

    /// The slot of this key, whose hash is given.
    #[inline(always)]
    pub(crate) fn find<Q>(self, hash: u64, key: &Q, reach: Reach) -> Option<*mut Slot<K, V>>
    where
        K: Borrow<Q> + 'static,
        Q: ShHash + Eq + ?Sized,
    {
        Some(self.slot(self.find_index(hash, key, reach)?))
    }

    /// The number of that slot.
    #[inline(always)]
    pub(crate) fn find_index<Q>(self, hash: u64, key: &Q, reach: Reach) -> Option<usize>
    where
        K: Borrow<Q> + 'static,
        Q: ShHash + Eq + ?Sized,
    {
        let at = self.probe(hash).at;
        let group = self.group(at);
        if let Some(index) = self.find_in::<true, Q>(group, at, hash, key, reach) {
            return Some(index);
        }
        if group.empty().any() {
            return None;
        }
        cold_path(); // nearly all look-ups end in the first group
        self.find_behind(hash, key, reach)
    }

    /// The same from the second group on.
    #[inline(always)]
    fn find_behind<Q>(self, hash: u64, key: &Q, reach: Reach) -> Option<usize>
    where
        K: Borrow<Q> + 'static,
        Q: ShHash + Eq + ?Sized,
    {
        let mut probe = self.probe(hash);
        loop {
            probe.step()?;
            let group = self.group(probe.at);
            if let Some(index) = self.find_in::<false, Q>(group, probe.at, hash, key, reach) {
                return Some(index);
            }
            if group.empty().any() {
                return None;
            }
        }
    }

    /// Asks for the control bytes where the look-up of this hash begins.
    #[inline(always)]
    pub(crate) fn prefetch_group(self, hash: u64) -> u64 {
        prefetch(self.controls_start().wrapping_add(hash as usize & self.mask), hash)
    }

    /// Asks for the slot that the look-up of this hash compares first.
    #[inline(always)]
    pub(crate) fn prefetch_slot(self, hash: u64) -> u64 {
        let at = hash as usize & self.mask;
        let first = self.group(at).equal(fingerprint(hash)).first();
        first.map_or(hash, |bit| prefetch(self.slot(at + bit).cast(), hash))
    }

    /// The slot of this key, or else the first one without an entry on the way of its hash.
    #[inline(always)]
    pub(crate) fn find_or_free<Q>(self, hash: u64, key: &Q, reach: Reach) -> Slotted<K, V>
    where
        K: Borrow<Q> + 'static,
        Q: ShHash + Eq + ?Sized,
    {
        let hash = self.prefetch_slots(hash as usize, hash);
        let at = self.probe(hash).at;
        let group = self.group(at);
        if let Some(index) = self.find_in::<false, Q>(group, at, hash, key, reach) {
            return Slotted::Full(self.slot(index));
        }
        match group.free().first() {
            Some(bit) if group.empty().any() => Slotted::Free((at + bit) & self.mask),
            _ => self.find_or_free_behind(hash, key, reach),
        }
    }

    /// The same where the first group is not the last.
    #[cold]
    #[inline(never)]
    fn find_or_free_behind<Q>(self, hash: u64, key: &Q, reach: Reach) -> Slotted<K, V>
    where
        K: Borrow<Q> + 'static,
        Q: ShHash + Eq + ?Sized,
    {
        let free = || self.find_free(hash).unwrap_or_else(|| ptr::damaged("a table is full"));
        self.find(hash, key, reach).map_or_else(|| Slotted::Free(free()), Slotted::Full)
    }

    /// The first slot without an entry on the way of this hash.
    #[inline]
    pub(crate) fn find_free(self, hash: u64) -> Option<usize> {
        let mut probe = self.probe(hash);
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
        unsafe { *self.controls_start().add(index & self.mask) }
    }

    /// Whether a slot's control byte is repeated.
    #[inline(always)]
    pub(crate) fn is_repeated(self, index: usize) -> bool {
        index & self.mask < WIDTH
    }

    /// Numbers of the control bytes that repeat a slot's.
    #[inline(always)]
    pub(crate) fn repeats(self, index: usize) -> impl Iterator<Item = usize> {
        ((index & self.mask)..self.buckets() + WIDTH).step_by(self.buckets()).skip(1)
    }

    /// The control bytes, without those that repeat them.
    pub(crate) fn controls(self) -> std::ops::Range<*const u8> {
        let start = self.controls_start().cast_const();
        start..start.wrapping_add(self.buckets())
    }

    /// Stores a control byte and what repeats it.
    #[inline]
    pub(crate) fn set_control(self, index: usize, byte: u8) {
        let mut at = index & self.mask;
        while at < self.buckets() + WIDTH {
            // SAFETY: within the `buckets + 16` control bytes.
            unsafe { self.controls_start().add(at).write(byte) };
            at += self.buckets();
        }
    }

    /// Stores the control byte of a slot where it is not repeated.
    #[inline(always)]
    pub(crate) fn set_one_control(self, index: usize, byte: u8) {
        // SAFETY: a slot's control byte (invariant).
        unsafe { self.controls_start().add(index & self.mask).write(byte) };
    }

    /// Makes all slots empty: for a block that is not linked in yet.
    pub(crate) fn wipe(self) {
        // SAFETY: the `buckets + 16` control bytes.
        unsafe { self.controls_start().write_bytes(EMPTY, self.buckets() + WIDTH) };
    }

    /// What the control byte of a full slot becomes when its entry goes: [`EMPTY`] if no probe has ever had to pass it.
    #[inline(always)]
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

    /// Whether an empty slot is near on both sides of a full one: then every group that holds this slot holds one of them, and it becomes [`EMPTY`]. One
    /// group is looked at and not two, which tells it of nearly all slots of tables that are not close to full. Not for tables with fewer than 16 slots.
    #[inline(always)]
    pub(crate) fn is_alone(self, index: usize) -> bool {
        let near = self.group(index.wrapping_sub(WIDTH / 2)).empty().0;
        near & 0xff != 0 && near >> 8 != 0
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
            let mut block = vec![0u64; bytes::<u64, u64>(buckets) / 8 + 2];
            let table = Table::<u64, u64>::at(block.as_mut_ptr().cast(), buckets - 1);
            table.wipe();
            for i in 0..buckets {
                table.set_control(i, i as u8);
            }
            for i in 0..WIDTH {
                // SAFETY: within the control bytes.
                let (a, b) =
                    unsafe { (*table.controls_start().add(i), *table.controls_start().add(buckets + i)) };
                assert_eq!(a, b, "{buckets} slots, byte {i}");
                assert_eq!(a, (i % buckets) as u8);
            }
        }
    }

    #[test]
    fn a_slot_that_is_alone_becomes_empty() {
        let buckets = 64;
        let mut block = vec![0u64; bytes::<u64, u64>(buckets) / 8 + 2];
        let table = Table::<u64, u64>::at(block.as_mut_ptr().cast(), buckets - 1);
        let (mut random, mut alone, mut crowded) = (1u64, 0, 0);
        for round in 0..2000 {
            for i in 0..buckets {
                random = random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
                let byte = match (random >> 40 & 15 < round & 7, random >> 60 & 1) {
                    (false, _) => i as u8,
                    (true, 0) => DELETED,
                    (true, _) => EMPTY,
                };
                table.set_control(i, byte);
            }
            for i in (0..buckets).filter(|i| table.control(*i) < DELETED) {
                if !table.is_alone(i) {
                    crowded += 1;
                    continue;
                }
                alone += 1;
                assert_eq!(table.vacated(i), EMPTY, "slot {i}");
            }
        }
        assert!(alone > 1000 && crowded > 1000, "{alone} alone, {crowded} not");
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
