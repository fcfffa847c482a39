//! Larger and smaller tables: always a new block, which three saved header words swap in.

use super::*;

impl<K: Key, V: Relocatable> MapMut<'_, K, V> {
    /// Room for `more` entries.
    #[inline(always)]
    pub(crate) fn reserve(&self, more: usize) -> Result<()> {
        if self.header().counts().growth_left() as usize >= more { Ok(()) } else { self.again().grow(more) }
    }

    #[cold]
    #[inline(never)]
    fn grow(self, more: usize) -> Result<()> {
        let len = self.header().len();
        let least = len.checked_add(more).ok_or_else(|| too_large::<K, V>(more))?;
        let room = self.header().table::<K, V>().map_or(0, |t| table::room(t.buckets()));
        // Mostly removed slots: the same size again, without them.
        if least <= room / 2 { self.rebuild(room) } else { self.rebuild(least.max(room + 1)) }
    }

    /// Moves all entries to a new table for `least` of them.
    fn rebuild(&self, least: usize) -> Result<()> {
        let buckets = table::buckets_for(least).ok_or_else(|| too_large::<K, V>(least))?;
        mem::reserve_log(self.log, 0)?;
        self.release_locks();
        let op = self.log.begin();
        let (offset, start) = mem::block(self.log, table::bytes::<K, V>(buckets), table::align::<K, V>())?;
        let new = Table::<K, V>::at(start, buckets - 1);
        new.wipe();
        let items = self.copy_to(new);
        let old = self.header().extent::<K, V>();
        self.change(Word::Block, offset);
        self.change(Word::Mask, buckets as u64 - 1);
        self.change(Word::Counts, Counts::new(items, table::room(buckets) as u32 - items).packed());
        if let Some((block, ..)) = old {
            mem::free(self.log, block);
        }
        // Dead before this: the old words come back, and the new block goes. After: the new table counts, the old one is freed.
        op.commit();
        Ok(())
    }

    /// Copies all entries into an empty table that has room for them and is not linked in. How many there were.
    fn copy_to(&self, new: Table<K, V>) -> u32 {
        let seed = self.seed();
        let mut items = 0;
        for slot in self.header().slots::<K, V>() {
            // SAFETY: a full slot; its key's `hash` is user code at most, and cannot change this map, which is borrowed.
            let hash = unsafe { &(*slot).key }.hash(seed);
            let Some(free) = new.find_free(hash) else { ptr::damaged("a map has more entries than it says") };
            // SAFETY: two slots of different blocks; the new one is not linked in.
            unsafe { std::ptr::copy_nonoverlapping(slot.cast_const(), new.slot(free), 1) };
            new.set_control(free, table::fingerprint(hash));
            items += 1;
        }
        items
    }

    /// `schema` is that of the map or set.
    pub(crate) fn shrink(&self, schema: &'static Schema) -> Result<()> {
        let Some(table) = self.header().table::<K, V>() else { return Ok(()) };
        let len = self.header().len();
        if len == 0 {
            self.clear(schema);
        } else if table::buckets_for(len).is_some_and(|b| b < table.buckets()) {
            self.rebuild(len)?;
        }
        Ok(())
    }
}

fn too_large<K, V>(count: usize) -> Error {
    Error::TooLarge(count, size_of::<Slot<K, V>>())
}
