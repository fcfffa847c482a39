//! Entries go.

use super::*;

impl<'a, K: Key, V: Relocatable> MapMut<'a, K, V> {
    #[inline(always)]
    pub(crate) fn remove<Q: ShHash + Eq + ?Sized>(self, key: &Q) -> Option<V::Taken<'a>>
    where
        K: Borrow<Q>,
    {
        match self.simple() {
            Some(simple) => {
                let index = simple.table.find_index(key.hash(self.seed()), key, self.reach())?;
                Some(self.remove_simple(simple, index))
            }
            None => self.remove_logged(key),
        }
    }

    #[inline(always)]
    fn remove_simple(self, simple: Simple<K, V>, index: usize) -> V::Taken<'a> {
        let (table, counts) = (simple.table, self.header().counts());
        if !table.is_repeated(index) && table.is_alone(index) && counts.items() > 0 {
            return self.take_out(simple, index, EMPTY, counts);
        }
        self.remove_crowded(simple, index)
    }

    #[inline(never)]
    fn remove_crowded(self, simple: Simple<K, V>, index: usize) -> V::Taken<'a> {
        let counts = self.header().counts();
        self.take_out(simple, index, simple.table.vacated(index), counts)
    }

    /// Takes the value of a slot out, as an operation of its own.
    #[inline(always)]
    fn take_out(self, simple: Simple<K, V>, index: usize, byte: u8, counts: Counts) -> V::Taken<'a> {
        self.mark_alone(simple, index, byte, counts.without_one(byte));
        // SAFETY: the slot's entry was unlinked just above, and is plain data.
        unsafe { V::taken(&raw const (*simple.table.slot(index)).value, self.cx()) }
    }

    #[inline(never)]
    fn remove_logged<Q: ShHash + Eq + ?Sized>(self, key: &Q) -> Option<V::Taken<'a>>
    where
        K: Borrow<Q>,
    {
        let table = self.header().table::<K, V>()?;
        let index = table.find_index(key.hash(self.seed()), key, self.reach())?;
        Some(self.remove_at(table, index))
    }

    #[inline(never)]
    fn remove_at(self, table: Table<K, V>, index: usize) -> V::Taken<'a> {
        self.release_locks();
        let (op, slot) = (self.log.begin(), table.slot(index));
        self.vacate(table, index);
        // SAFETY: the slot's entry was unlinked just above; its bytes stay while the map is borrowed for `'a`.
        unsafe {
            K::discard(&raw const (*slot).key, self.cx());
            mem::hand_out(op, &raw const (*slot).value, self.cx())
        }
    }

    /// Makes a full slot free, within the open operation.
    #[inline]
    fn vacate(&self, table: Table<K, V>, index: usize) {
        let byte = table.vacated(index);
        self.mark(table, index, byte, self.header().counts().without_one(byte));
    }

    /// Keeps what `keep` says; one operation for each entry that goes.
    pub(crate) fn retain(&self, mut keep: impl FnMut(&K, &mut V::Access) -> bool) {
        let Some(table) = self.header().table::<K, V>() else { return };
        for slot in Slots::of(Some(table), self.header().len()) {
            // SAFETY: a full slot, exclusively ours; the reference handed to `keep` is over when it returns.
            let (key, value) = unsafe { (&(*slot).key, V::access(&raw mut (*slot).value, self.cx())) };
            if keep(key, value) {
                continue;
            }
            self.release_locks();
            let op = self.log.begin();
            self.vacate(table, table.index_of(slot));
            // SAFETY: unlinked just above; not used again.
            unsafe {
                K::discard(&raw const (*slot).key, self.cx());
                V::discard(&raw const (*slot).value, self.cx());
            }
            // Dead before this: the entry is in. After: it is gone, and freed by us or by who buries us.
            op.commit();
        }
    }

    /// Removes all entries, and gives the table back: a handful of records, however many there are.
    /// `schema` is that of the map or set.
    pub(crate) fn clear(&self, schema: &'static Schema) {
        if self.header().block == 0 {
            return;
        }
        let op = self.log.begin();
        // SAFETY: the header's words are cleared just below, in the same operation.
        unsafe { discard::<K, V>(self.header(), self.log, schema) };
        for word in [Word::Block, Word::Mask, Word::Counts] {
            self.change(word, 0);
        }
        // Dead before this: the map is as it was. After: it is empty, and the entries are freed by us or by who buries us.
        op.commit();
    }
}

impl<'a, K: Key, V: Relocatable> Full<'a, K, V> {
    pub(crate) fn remove(self) -> V::Taken<'a> {
        // The slot was found through a window that may have been outgrown since.
        let (table, slot) = (self.map.table(), ptr::offset_of_container(self.slot.addr()));
        let index = table.index_at(slot.wrapping_sub(self.map.header().block) as usize);
        let index = index & table.mask;
        match self.map.simple() {
            Some(simple) => self.map.remove_simple(simple, index),
            None => self.map.remove_at(table, index),
        }
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
    let Some((block, bytes, _)) = header.extent::<K, V>() else { return };
    let Ok(start) = log.pool().at(block, bytes) else { return };
    let table = Table::<K, V>::at(start, header.mask());
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
