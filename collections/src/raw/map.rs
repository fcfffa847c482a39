//! Operations on hash tables, in an order of stores that a kill cannot hurt.
//!
//! A table is never reordered in place: what grows, or has collected too many removed slots, moves to a new block, and three saved header
//! words swap it in. Values and keys that own memory are built in a free slot of the table itself, so that they can be hashed and compared
//! where they lie, and what was taken out stays there until its new owner is done with it.

use super::group::{Bits, EMPTY, WIDTH};
use super::mem::{self, is_plain};
use super::ptr;
use super::table::{self, Counts, Header, Slot, Table};
use crate::cx::Cx;
use crate::hash::ShHash;
use crate::key::{Key, KeySource};
use crate::map::ShMap;
use crate::place::Place;
use crate::relocatable::{Emplace, Relocatable};
use crate::schema::Schema;
use crate::set::ShSet;
use crate::transaction::release_locks_in;
use aquifer_pool::log::{LogCx, Op};
use aquifer_pool::{Error, Result};
use std::borrow::Borrow;
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::sync::atomic::{Ordering, compiler_fence};

// ---- reading

impl Header {
    /// Table and slot of a key.
    #[inline(always)]
    fn seek<K: Borrow<Q>, V, Q: ShHash + Eq + ?Sized>(&self, key: &Q) -> Option<(Table<K, V>, usize)> {
        if self.len() == 0 {
            return None;
        }
        let table = self.table::<K, V>()?;
        let hash = ShHash::hash(key, ptr::seed(self));
        Some((table, table.find(hash, |k| k.borrow() == key)?))
    }

    /// The entry of a key. One resolve, one hash, and on average little more than one group.
    #[inline(always)]
    pub(crate) fn find<K: Borrow<Q>, V, Q: ShHash + Eq + ?Sized>(&self, key: &Q) -> Option<(&K, &V)> {
        let (table, index) = self.seek::<K, V, Q>(key)?;
        // SAFETY: `find` returns full slots; nobody changes the table while the header is borrowed; its bytes stay mapped for longer.
        let slot = unsafe { &*table.slot(index) };
        Some((&slot.key, &slot.value))
    }

    /// Entries that fit without a larger table.
    pub(crate) fn capacity(&self) -> usize {
        let c = self.counts();
        c.items as usize + c.growth_left as usize
    }

    /// All entries.
    pub(crate) fn slots<K, V>(&self) -> Slots<K, V> {
        let table = if self.len() == 0 { None } else { self.table() };
        Slots::of(table, self.len())
    }
}

/// The full slots of a table, group by group. Finds the table once.
pub(crate) struct Slots<K, V> {
    table: Option<Table<K, V>>,
    at: usize,
    bits: Bits,
    left: usize,
}

impl<K, V> Slots<K, V> {
    pub(crate) fn of(table: Option<Table<K, V>>, left: usize) -> Slots<K, V> {
        let bits = table.map_or(Bits(0), |t| t.full(0));
        Slots { table, at: 0, bits, left }
    }

    /// Entries still to come, unless the table is damaged.
    pub(crate) fn left(&self) -> usize {
        self.left
    }
}

impl<K, V> Clone for Slots<K, V> {
    fn clone(&self) -> Self {
        Slots { table: self.table, at: self.at, bits: self.bits, left: self.left }
    }
}

impl<K, V> Iterator for Slots<K, V> {
    type Item = *mut Slot<K, V>;

    #[inline]
    fn next(&mut self) -> Option<*mut Slot<K, V>> {
        let table = self.table?;
        loop {
            if let Some(bit) = self.bits.next() {
                self.left = self.left.saturating_sub(1);
                return Some(table.slot(self.at + bit));
            }
            self.at += WIDTH;
            if self.left == 0 || self.at >= table.buckets() {
                return None;
            }
            self.bits = table.full(self.at);
        }
    }
}

/// Shared references to all entries.
pub(crate) struct Iter<'a, K, V> {
    slots: Slots<K, V>,
    _map: PhantomData<&'a Slot<K, V>>,
}

// SAFETY: gives out nothing but shared references to keys and values.
unsafe impl<K: Sync, V: Sync> Send for Iter<'_, K, V> {}
// SAFETY: as above; `&Iter` gives out nothing.
unsafe impl<K: Sync, V: Sync> Sync for Iter<'_, K, V> {}

impl<'a, K, V> Iter<'a, K, V> {
    pub(crate) fn of(header: &'a Header) -> Iter<'a, K, V> {
        Iter { slots: header.slots(), _map: PhantomData }
    }

    pub(crate) fn left(&self) -> usize {
        self.slots.left()
    }
}

impl<K, V> Clone for Iter<'_, K, V> {
    fn clone(&self) -> Self {
        Iter { slots: self.slots.clone(), _map: PhantomData }
    }
}

impl<'a, K, V> Iterator for Iter<'a, K, V> {
    type Item = (&'a K, &'a V);

    #[inline]
    fn next(&mut self) -> Option<(&'a K, &'a V)> {
        let slot = self.slots.next()?;
        // SAFETY: a full slot of a table that nobody changes during `'a`.
        let slot = unsafe { &*slot };
        Some((&slot.key, &slot.value))
    }
}

// ---- changing

/// A map that may be changed: its header, and the log that the changes go to.
pub(crate) struct MapMut<'a, K, V> {
    header: &'a Header,
    log: &'a LogCx,
    cx: Cx,
    schema: &'static Schema,
    _entries: PhantomData<&'a mut Slot<K, V>>,
}

/// What `locate` has found: where a key is, or would be.
pub(crate) enum Found<'a, K, V> {
    /// There.
    Full(Full<'a, K, V>),
    /// Not there; with its hash.
    Free(MapMut<'a, K, V>, u64),
}

/// A slot with an entry, and the map, which nobody else changes meanwhile.
pub(crate) struct Full<'a, K, V> {
    map: MapMut<'a, K, V>,
    slot: *mut Slot<K, V>,
}

impl<'a, K: Key, V: Relocatable> MapMut<'a, K, V> {
    /// The map whose header and context a place has.
    ///
    /// # Safety
    /// Header and context are those of one `&'a mut Place`, of a map or set whose type has this schema.
    #[inline(always)]
    pub(crate) unsafe fn new(header: &'a Header, cx: Cx, schema: &'static Schema) -> MapMut<'a, K, V> {
        // SAFETY: whoever has a place has the guard, operation or transaction of its context, on this thread, for as long.
        let log = unsafe { cx.log() };
        MapMut { header, log, cx, schema, _entries: PhantomData }
    }

    fn table(&self) -> Table<K, V> {
        self.header.table().unwrap_or_else(|| ptr::damaged("a map with entries has no table"))
    }

    #[inline(always)]
    fn hash<Q: ShHash + ?Sized>(&self, key: &Q) -> u64 {
        ShHash::hash(key, ptr::seed(self.header))
    }

    /// Before entries are moved or dropped: see [`release_locks_in`].
    #[inline(always)]
    fn release_locks(&self) {
        release_locks_in(self.log, || {
            let buckets = (self.header.mask.load(Ordering::Relaxed) as usize).saturating_add(1);
            (self.header.table.load(Ordering::Relaxed), buckets.saturating_mul(size_of::<Slot<K, V>>()))
        });
    }

    // ---- room

    /// Room for `more` entries.
    #[inline(always)]
    pub(crate) fn reserve(&self, more: usize) -> Result<()> {
        if self.header.counts().growth_left as usize >= more { Ok(()) } else { self.grow(more) }
    }

    #[cold]
    #[inline(never)]
    fn grow(&self, more: usize) -> Result<()> {
        let len = self.header.len();
        let least = len.checked_add(more).ok_or_else(|| too_large::<K, V>(more))?;
        let room = self.header.table::<K, V>().map_or(0, |t| table::room(t.buckets()));
        // Mostly removed slots: the same size again, without them.
        if least <= room / 2 { self.rebuild(room) } else { self.rebuild(least.max(room + 1)) }
    }

    /// Moves all entries to a new table for `least` of them.
    fn rebuild(&self, least: usize) -> Result<()> {
        let buckets = table::buckets_for(least).ok_or_else(|| too_large::<K, V>(least))?;
        let bytes = table::bytes::<K, V>(buckets).ok_or_else(|| too_large::<K, V>(least))?;
        mem::reserve_log(self.log, 0)?;
        self.release_locks();
        let (h, op) = (self.header, self.log.begin());
        let (offset, start) = mem::block(self.log, bytes, table::align::<K, V>())?;
        let new = Table::<K, V>::at(start, buckets - 1);
        new.wipe();
        let mut items = 0;
        for slot in h.slots::<K, V>() {
            // SAFETY: a full slot; its key's `hash` is user code at most, and cannot change this map, which is borrowed.
            let hash = self.hash(unsafe { &(*slot).key });
            let Some(free) = new.find_free(hash) else { ptr::damaged("a map has more entries than it says") };
            // SAFETY: two slots of different blocks; the new one is not linked in.
            unsafe { std::ptr::copy_nonoverlapping(slot.cast_const(), new.slot(free), 1) };
            new.set_control(free, table::fingerprint(hash));
            items += 1;
        }
        let old = h.table.load(Ordering::Relaxed);
        mem::change(self.log, &h.table, offset);
        mem::change(self.log, &h.mask, buckets as u64 - 1);
        mem::change(
            self.log,
            &h.counts,
            Counts { items, growth_left: table::room(buckets) as u32 - items }.packed(),
        );
        mem::free(self.log, old);
        // Dead before this: the old words come back, and the new block goes. After: the new table counts, the old one is freed.
        op.commit();
        Ok(())
    }

    pub(crate) fn shrink(&self) -> Result<()> {
        let Some(table) = self.header.table::<K, V>() else { return Ok(()) };
        let len = self.header.len();
        if len == 0 {
            self.clear();
        } else if table::buckets_for(len).is_some_and(|b| b < table.buckets()) {
            self.rebuild(len)?;
        }
        Ok(())
    }

    // ---- entries come

    pub(crate) fn insert<A, B>(&self, key: A, value: B) -> Result<Option<V::Taken<'a>>>
    where
        K: Emplace<A>,
        V: Emplace<B>,
    {
        self.reserve(1)?;
        let op = self.log.begin();
        let table = self.table();
        let mut private = MaybeUninit::<K>::uninit();
        let at = match is_plain::<K>() {
            true => private.as_mut_ptr(),
            // In the pool, so that it can be hashed and compared.
            false => self.spare_key(table)?,
        };
        // SAFETY: room for a key; an operation is open, and undone on `Err`.
        unsafe { K::emplace(key, at, self.cx)? };
        // SAFETY: emplaced just above.
        let built = unsafe { &*at };
        let hash = self.hash(built);
        if let Some(index) = table.find(hash, |k| k == built) {
            // SAFETY: the key that was built is not linked in, and not used again.
            unsafe { K::discard(at, self.cx) };
            return self.overwrite(op, table, index, value).map(Some);
        }
        self.fill(table, hash, value, |slot| {
            // SAFETY: both have room for a key; they may be the same.
            unsafe { std::ptr::copy(at.cast_const(), slot, 1) };
            Ok(())
        })?;
        // Dead before this: the entry goes, with what it owns. After: it is in.
        op.commit();
        Ok(None)
    }

    /// The key's slot, found by another form of it.
    #[inline]
    pub(crate) fn locate<Q: ShHash + Eq + ?Sized>(self, key: &Q) -> Found<'a, K, V>
    where
        K: Borrow<Q>,
    {
        let hash = self.hash(key);
        if self.header.len() > 0 {
            let table = self.table();
            if let Some(index) = table.find(hash, |k| k.borrow() == key) {
                return Found::Full(Full { map: self, slot: table.slot(index) });
            }
        }
        Found::Free(self, hash)
    }

    /// Puts an entry in that [`locate`](Self::locate) has not found.
    #[inline]
    pub(crate) fn insert_vacant<S, B>(self, hash: u64, key: S, value: B) -> Result<Full<'a, K, V>>
    where
        S: KeySource<K>,
        V: Emplace<B>,
    {
        self.reserve(1)?;
        let op = self.log.begin();
        let cx = self.cx;
        // SAFETY: `slot` has room for a key; an operation is open, and undone on `Err`.
        let slot = self.fill(self.table(), hash, value, |slot| unsafe { key.build(slot, cx) })?;
        // Dead before this: the entry goes, with what it owns. After: it is in.
        op.commit();
        Ok(Full { map: self, slot })
    }

    /// Builds an entry in a free slot and counts it, within the open operation.
    #[inline]
    fn fill<B>(
        &self,
        table: Table<K, V>,
        hash: u64,
        value: B,
        key: impl FnOnce(*mut K) -> Result<()>,
    ) -> Result<*mut Slot<K, V>>
    where
        V: Emplace<B>,
    {
        mem::reserve_log(self.log, size_of::<Slot<K, V>>())?;
        let index = self.free_slot(table, hash);
        let slot = table.slot(index);
        // SAFETY: a free slot, exclusively ours; an operation is open, and undone on `Err`.
        unsafe {
            mem::save_spare(self.log, slot.cast(), size_of::<Slot<K, V>>());
            key(&raw mut (*slot).key)?;
            V::emplace(value, &raw mut (*slot).value, self.cx)?;
        }
        mem::reserve_log(self.log, 0)?;
        let mut c = self.header.counts();
        c.items += 1;
        if table.control(index) == EMPTY {
            c.growth_left = c.growth_left.saturating_sub(1);
        }
        self.mark(table, index, table::fingerprint(hash), c);
        Ok(slot)
    }

    fn free_slot(&self, table: Table<K, V>, hash: u64) -> usize {
        table.find_free(hash).unwrap_or_else(|| ptr::damaged("a table is full"))
    }

    /// Changes a control byte and the counts within the open operation.
    #[inline]
    fn mark(&self, table: Table<K, V>, index: usize, byte: u8, counts: Counts) {
        let (block, old) = (self.header.table.load(Ordering::Relaxed), table.control(index));
        table.control_offsets(index, |at| mem::save_byte(self.log, block.wrapping_add(at), old));
        // The entry before the byte that says it is there.
        compiler_fence(Ordering::SeqCst);
        table.set_control(index, byte);
        mem::change(self.log, &self.header.counts, counts.packed());
    }

    /// Puts another value in place of one, which the caller gets.
    fn overwrite<B>(&self, op: Op<'_>, table: Table<K, V>, index: usize, value: B) -> Result<V::Taken<'a>>
    where
        V: Emplace<B>,
    {
        self.release_locks();
        // SAFETY: a full slot.
        let old = unsafe { &raw mut (*table.slot(index)).value };
        let mut private = MaybeUninit::<V>::uninit();
        let new = match is_plain::<V>() {
            true => private.as_mut_ptr(),
            false => self.spare_value(table)?,
        };
        // SAFETY: room for a value; an operation is open, and undone on `Err`. The old value is saved before it is exchanged for the new one.
        unsafe {
            V::emplace(value, new, self.cx)?;
            mem::reserve_log(self.log, size_of::<V>())?;
            self.log.save(old.cast(), size_of::<V>());
            std::ptr::swap_nonoverlapping(old, new, 1);
        }
        // SAFETY: the old value is no longer in the table's full slots; a free slot's bytes stay while the map is borrowed for `'a`.
        Ok(unsafe { mem::hand_out(op, new, self.cx) })
    }

    fn spare_key(&self, table: Table<K, V>) -> Result<*mut K> {
        let slot = self.spare(table)?;
        // SAFETY: within the table's block.
        Ok(unsafe { &raw mut (*slot).key })
    }

    fn spare_value(&self, table: Table<K, V>) -> Result<*mut V> {
        let slot = self.spare(table)?;
        // SAFETY: within the table's block.
        Ok(unsafe { &raw mut (*slot).value })
    }

    /// A slot without an entry to build in: every table has one.
    fn spare(&self, table: Table<K, V>) -> Result<*mut Slot<K, V>> {
        mem::reserve_log(self.log, size_of::<Slot<K, V>>())?;
        let slot = table.slot(self.free_slot(table, 0));
        // SAFETY: a free slot, exclusively ours.
        unsafe { mem::save_spare(self.log, slot.cast(), size_of::<Slot<K, V>>()) };
        Ok(slot)
    }

    // ---- entries go

    pub(crate) fn remove<Q: ShHash + Eq + ?Sized>(&self, key: &Q) -> Option<V::Taken<'a>>
    where
        K: Borrow<Q>,
    {
        let (table, index) = self.header.seek::<K, V, Q>(key)?;
        Some(self.remove_at(table, index))
    }

    fn remove_at(&self, table: Table<K, V>, index: usize) -> V::Taken<'a> {
        self.release_locks();
        let op = self.log.begin();
        self.vacate(table, index);
        // SAFETY: the slot's entry was unlinked just above; its bytes stay while the map is borrowed for `'a`.
        unsafe {
            let slot = table.slot(index);
            K::discard(&raw const (*slot).key, self.cx);
            mem::hand_out(op, &raw const (*slot).value, self.cx)
        }
    }

    /// Makes a full slot free, within the open operation.
    fn vacate(&self, table: Table<K, V>, index: usize) {
        let mut c = self.header.counts();
        c.items = c.items.saturating_sub(1);
        let byte = table.vacated(index);
        if byte == EMPTY {
            c.growth_left += 1;
        }
        self.mark(table, index, byte, c);
    }

    /// Keeps what `keep` says; one operation for each entry that goes.
    pub(crate) fn retain(&self, mut keep: impl FnMut(&K, &mut V::Access) -> bool) {
        let Some(table) = self.header.table::<K, V>() else { return };
        for slot in self.header.slots::<K, V>() {
            // SAFETY: a full slot, exclusively ours; the reference handed to `keep` is over when it returns.
            let (key, value) = unsafe { (&(*slot).key, V::access(&raw mut (*slot).value, self.cx)) };
            if keep(key, value) {
                continue;
            }
            self.release_locks();
            let op = self.log.begin();
            self.vacate(table, table.index_of(slot));
            // SAFETY: unlinked just above; not used again.
            unsafe {
                K::discard(&raw const (*slot).key, self.cx);
                V::discard(&raw const (*slot).value, self.cx);
            }
            // Dead before this: the entry is in. After: it is gone, and freed by us or by who buries us.
            op.commit();
        }
    }

    /// Removes all entries, and gives the table back: a handful of records, however many there are.
    pub(crate) fn clear(&self) {
        let h = self.header;
        if h.table.load(Ordering::Relaxed) == 0 {
            return;
        }
        let op = self.log.begin();
        // SAFETY: the header's words are cleared just below, in the same operation.
        unsafe { discard::<K, V>(h, self.log, self.schema) };
        for word in [&h.table, &h.mask, &h.counts] {
            mem::change(self.log, word, 0);
        }
        // Dead before this: the map is as it was. After: it is empty, and the entries are freed by us or by who buries us.
        op.commit();
    }

    // ---- access

    #[inline]
    pub(crate) fn get_mut<Q: ShHash + Eq + ?Sized>(self, key: &Q) -> Option<&'a mut V::Access>
    where
        K: Borrow<Q>,
    {
        let (table, index) = self.header.seek::<K, V, Q>(key)?;
        Some(Full { map: self, slot: table.slot(index) }.into_mut())
    }

    pub(crate) fn iter_mut(self) -> IterMut<'a, K, V> {
        IterMut { slots: self.header.slots(), cx: self.cx, _map: PhantomData }
    }
}

impl<'a, K: Key, V: Relocatable> Full<'a, K, V> {
    pub(crate) fn key(&self) -> &K {
        // SAFETY: a full slot, which nobody changes while `self` is borrowed.
        unsafe { &(*self.slot).key }
    }

    pub(crate) fn value(&self) -> &V {
        // SAFETY: as for `key`.
        unsafe { &(*self.slot).value }
    }

    /// The same once more, for as long as this one is borrowed.
    pub(crate) fn again(&mut self) -> Full<'_, K, V> {
        let MapMut { header, log, cx, schema, .. } = self.map;
        Full { map: MapMut { header, log, cx, schema, _entries: PhantomData }, slot: self.slot }
    }

    /// Mutable access to the value.
    #[inline(always)]
    pub(crate) fn into_mut(self) -> &'a mut V::Access {
        // SAFETY: a full slot, exclusively ours for `'a` by the place that the map was made of.
        unsafe { V::access(&raw mut (*self.slot).value, self.map.cx) }
    }

    pub(crate) fn remove(self) -> V::Taken<'a> {
        let table = self.map.table();
        self.map.remove_at(table, table.index_of(self.slot))
    }

    pub(crate) fn insert<B>(self, value: B) -> Result<V::Taken<'a>>
    where
        V: Emplace<B>,
    {
        // A free slot to build in: there is one even when no growth is left.
        let op = self.map.log.begin();
        let table = self.map.table();
        self.map.overwrite(op, table, table.index_of(self.slot), value)
    }
}

/// Mutable access to one value after the other.
pub(crate) struct IterMut<'a, K, V> {
    slots: Slots<K, V>,
    cx: Cx,
    _map: PhantomData<(&'a mut Slot<K, V>, *mut ())>,
}

impl<'a, K: Key, V: Relocatable> IterMut<'a, K, V> {
    pub(crate) fn left(&self) -> usize {
        self.slots.left()
    }

    #[inline]
    pub(crate) fn next(&mut self) -> Option<(&'a K, &'a mut V::Access)> {
        let slot = self.slots.next()?;
        // SAFETY: a full slot, exclusively ours for `'a`, and handed out once.
        Some(unsafe { (&(*slot).key, V::access(&raw mut (*slot).value, self.cx)) })
    }
}

/// Pushes intents for a table and what its entries own.
///
/// # Safety
/// As for [`Relocatable::discard`].
pub(crate) unsafe fn discard<K: Relocatable, V: Relocatable>(
    header: &Header,
    log: &LogCx,
    schema: &'static Schema,
) {
    // The header may lie anywhere: what it speaks of is in the log's pool.
    let Some((block, bytes)) = header.extent::<K, V>() else { return };
    let Ok(start) = log.pool().at(block, bytes) else { return };
    let table = Table::<K, V>::at(start, header.mask.load(Ordering::Relaxed) as usize);
    // The block's record is the lower one, so that it is carried out after the entries'.
    mem::free(log, block);
    if K::OWNED + V::OWNED == 0 || header.len() == 0 {
        return;
    }
    if let Ok(node) = crate::pool_schemas::node_offset(log.pool(), schema) {
        log.push(crate::discard::table_intent(block, table.buckets() as u64, node));
        return;
    }
    for slot in Slots::of(Some(table), header.len()) {
        // SAFETY: a full slot of a table that the caller has unlinked.
        unsafe {
            K::discard(&raw const (*slot).key, Cx::of(log));
            V::discard(&raw const (*slot).value, Cx::of(log));
        }
    }
}

fn too_large<K, V>(count: usize) -> Error {
    Error::TooLarge(count, size_of::<Slot<K, V>>())
}

/// The map at a place.
#[inline(always)]
pub(crate) fn of_map<K: Key, V: Relocatable>(place: &mut Place<ShMap<K, V>>) -> MapMut<'_, K, V> {
    let cx = place.cx();
    // SAFETY: header and context of one place.
    unsafe { MapMut::new(&place.header, cx, <ShMap<K, V> as Relocatable>::SCHEMA) }
}

/// The set at a place, as a map of nothing.
#[inline(always)]
pub(crate) fn of_set<K: Key>(place: &mut Place<ShSet<K>>) -> MapMut<'_, K, ()> {
    let cx = place.cx();
    // SAFETY: header and context of one place; the set's schema says the same of its table as that of a map of nothing.
    unsafe { MapMut::new(&place.map.header, cx, <ShSet<K> as Relocatable>::SCHEMA) }
}

/// A reference to the value of a key that carries the place's context.
pub(crate) fn access_ref<'a, K, V: Relocatable, Q>(
    place: &'a Place<ShMap<K, V>>,
    key: &Q,
) -> Option<&'a V::Access>
where
    K: Key + Borrow<Q>,
    Q: ShHash + Eq + ?Sized,
{
    let (_, value) = place.header.find::<K, V, Q>(key)?;
    // SAFETY: a value in the place's pool, borrowed as long as the place.
    Some(unsafe { V::access_ref(value, place.cx()) })
}
