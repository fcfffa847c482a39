//! A table under construction: part of somebody's operation, and linked in nowhere, so that nothing of it is saved.

use super::group::EMPTY;
use super::map::Slots;
use super::mem;
use super::ptr::{self, Reach};
use super::table::{self, Counts, Header, Slot, Table};
use crate::cx::Cx;
use crate::hash::ShHash;
use crate::key::Key;
use crate::relocatable::{Emplace, Relocatable};
use aquifer_pool::log::LogCx;
use aquifer_pool::{Error, Result};

/// Builds a map's header from pairs. Of equal keys the last one's value counts.
///
/// # Safety
/// As for [`Emplace::emplace`].
pub(crate) unsafe fn build<K, V, A, B>(pairs: impl Iterator<Item = (A, B)>, cx: Cx) -> Result<Header>
where
    K: Key + Emplace<A>,
    V: Emplace<B>,
{
    // SAFETY: the log of an open operation is alive as long as the operation.
    let log = unsafe { cx.log() };
    let mut builder = Builder::<K, V> { offset: 0, table: None, items: 0, left: 0, log, cx };
    let expected = pairs.size_hint().0;
    if expected > 0 {
        builder.grow(expected)?;
    }
    for (key, value) in pairs {
        builder.put(key, value)?;
    }
    Ok(builder.finish())
}

struct Builder<'a, K, V> {
    offset: u64,
    table: Option<Table<K, V>>,
    items: u32,
    left: u32,
    log: &'a LogCx,
    cx: Cx,
}

impl<K: Key, V: Relocatable> Builder<'_, K, V> {
    fn put<A, B>(&mut self, key: A, value: B) -> Result<()>
    where
        K: Emplace<A>,
        V: Emplace<B>,
    {
        let table = match self.table {
            Some(table) if self.left > 0 => table,
            _ => self.grow(self.items as usize * 2 + 1)?,
        };
        let spare = table.slot(free(table, 0));
        // SAFETY: a free slot of our own table; the caller's operation is open, and undone on `Err`.
        let hash = unsafe {
            K::emplace(key, &raw mut (*spare).key, self.cx)?;
            self.hash(spare)
        };
        // SAFETY: the key was built just above.
        let built = unsafe { &(*spare).key };
        if let Some(slot) = table.find(hash, built, Reach::at(spare.addr())) {
            // SAFETY: key and old value are linked in nowhere any more; the slot is free for the new value.
            return unsafe {
                K::discard(&raw const (*spare).key, self.cx);
                V::discard(&raw const (*slot).value, self.cx);
                V::emplace(value, &raw mut (*slot).value, self.cx)
            };
        }
        let index = free(table, hash);
        let slot = table.slot(index);
        // SAFETY: two free slots, perhaps the same; the caller's operation is open, and undone on `Err`.
        unsafe {
            std::ptr::copy(&raw const (*spare).key, &raw mut (*slot).key, 1);
            V::emplace(value, &raw mut (*slot).value, self.cx)?;
        }
        debug_assert_eq!(table.control(index), EMPTY);
        table.set_control(index, table::fingerprint(hash));
        self.items += 1;
        self.left -= 1;
        Ok(())
    }

    /// # Safety
    /// The slot's key is a value, in the pool.
    unsafe fn hash(&self, slot: *const Slot<K, V>) -> u64 {
        // SAFETY: the caller's contract.
        ShHash::hash(unsafe { &(*slot).key }, ptr::seed_at(slot.addr()))
    }

    fn grow(&mut self, least: usize) -> Result<Table<K, V>> {
        let too_large = || Error::TooLarge(least, size_of::<Slot<K, V>>());
        let buckets = table::buckets_for(least).ok_or_else(too_large)?;
        let (offset, start) = mem::block(self.log, table::bytes::<K, V>(buckets), table::align::<K, V>())?;
        let new = Table::at(start, buckets - 1);
        new.wipe();
        for slot in Slots::of(self.table, self.items as usize) {
            // SAFETY: a full slot of the table so far.
            let hash = unsafe { self.hash(slot) };
            let to = free(new, hash);
            // SAFETY: two slots of different blocks.
            unsafe { std::ptr::copy_nonoverlapping(slot.cast_const(), new.slot(to), 1) };
            new.set_control(to, table::fingerprint(hash));
        }
        mem::free(self.log, self.offset);
        (self.offset, self.table) = (offset, Some(new));
        self.left = table::room(buckets) as u32 - self.items;
        Ok(new)
    }

    fn finish(self) -> Header {
        let counts = Counts::new(self.items, self.left);
        match self.table {
            None => Header::new(),
            Some(table) => Header { block: self.offset, mask: table.mask as u64, counts: counts.packed() },
        }
    }
}

fn free<K, V>(table: Table<K, V>, hash: u64) -> usize {
    table.find_free(hash).unwrap_or_else(|| ptr::damaged("a table is full"))
}
