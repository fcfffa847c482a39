//! Entries come, and values change.

use super::*;

impl<'a, K: Key, V: Relocatable> MapMut<'a, K, V> {
    #[inline(always)]
    pub(crate) fn insert<A, B>(self, key: A, value: B) -> Result<Option<V::Taken<'a>>>
    where
        K: Emplace<A>,
        V: Emplace<B>,
    {
        match self.simple() {
            Some(simple) if self.header().counts().growth_left() > 0 => {
                self.insert_simple(simple, key, value)
            }
            _ => self.insert_any(key, value),
        }
    }

    /// [`insert`](Self::insert) where there is room.
    #[inline(always)]
    fn insert_simple<A, B>(self, simple: Simple<K, V>, key: A, value: B) -> Result<Option<V::Taken<'a>>>
    where
        K: Emplace<A>,
        V: Emplace<B>,
    {
        let table = simple.table;
        let mut private = MaybeUninit::<K>::uninit();
        // SAFETY: room for a key; plain data owns nothing that would have to be undone.
        let key = unsafe {
            K::emplace(key, private.as_mut_ptr(), self.cx())?;
            private.assume_init_ref()
        };
        let hash = key.hash(self.seed());
        match table.find_or_free(hash, key, self.reach()) {
            Slotted::Full(slot) if mem::is_one_store::<V>() => {
                let mut private = MaybeUninit::<V>::uninit();
                // SAFETY: room for a value, which owns nothing; then two values of plain data, the old one in a full slot.
                unsafe {
                    let new = private.as_mut_ptr();
                    V::emplace(value, new, self.cx())?;
                    // Dead before this: the old value. After: the new one.
                    mem::swap_by_one_store(&raw mut (*slot).value, new);
                    Ok(Some(V::taken(new, self.cx())))
                }
            }
            Slotted::Full(slot) => self.overwrite(self.log.begin(), table, slot, value).map(Some),
            Slotted::Free(index) => {
                let slot = table.slot(index);
                // SAFETY: a free slot, exclusively ours; an idle log speaks of nothing that may have been there.
                unsafe {
                    V::emplace(value, &raw mut (*slot).value, self.cx())?;
                    std::ptr::copy_nonoverlapping(key, &raw mut (*slot).key, 1);
                }
                let counts = self.header().counts().with_one(table.control(index));
                self.mark_alone(simple, index, table::fingerprint(hash), counts);
                Ok(None)
            }
        }
    }

    #[inline(never)]
    fn insert_any<A, B>(self, key: A, value: B) -> Result<Option<V::Taken<'a>>>
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
        unsafe { K::emplace(key, at, self.cx())? };
        // SAFETY: emplaced just above.
        let built = unsafe { &*at };
        let hash = built.hash(self.seed());
        match table.find_or_free(hash, built, self.reach()) {
            Slotted::Full(slot) => {
                // SAFETY: the key that was built is not linked in, and not used again.
                unsafe { K::discard(at, self.cx()) };
                self.overwrite(op, table, slot, value).map(Some)
            }
            Slotted::Free(index) => {
                self.fill(table, index, hash, value, |slot| {
                    // SAFETY: both have room for a key; they may be the same.
                    unsafe { std::ptr::copy(at.cast_const(), slot, 1) };
                    Ok(())
                })?;
                // Dead before this: the entry goes, with what it owns. After: it is in.
                op.commit();
                Ok(None)
            }
        }
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
        let (cx, table) = (self.cx(), self.table());
        let index = self.free_slot(table, hash);
        // SAFETY: `slot` has room for a key; an operation is open, and undone on `Err`.
        let slot = self.fill(table, index, hash, value, |slot| unsafe { key.build(slot, cx) })?;
        // Dead before this: the entry goes, with what it owns. After: it is in.
        op.commit();
        Ok(Full { map: self, slot })
    }

    /// Builds an entry in a free slot and counts it, within the open operation.
    #[inline]
    fn fill<B>(
        &self,
        table: Table<K, V>,
        index: usize,
        hash: u64,
        value: B,
        key: impl FnOnce(*mut K) -> Result<()>,
    ) -> Result<*mut Slot<K, V>>
    where
        V: Emplace<B>,
    {
        mem::reserve_log(self.log, size_of::<Slot<K, V>>())?;
        let (slot, open) = (table.slot(index), self.log.is_open());
        // SAFETY: a free slot, exclusively ours; an operation is open, and undone on `Err`.
        unsafe {
            mem::save_spare(self.log, slot.cast(), size_of::<Slot<K, V>>());
            key(&raw mut (*slot).key)?;
            V::emplace(value, &raw mut (*slot).value, self.cx())?;
            mem::note_made::<V>(self.log, open, slot.cast(), size_of::<Slot<K, V>>())?;
        }
        mem::reserve_log(self.log, 0)?;
        let counts = self.header().counts().with_one(table.control(index));
        self.mark(table, index, table::fingerprint(hash), counts);
        Ok(slot)
    }

    /// Puts another value in place of one, which the caller gets.
    #[inline]
    fn overwrite<B>(
        &self,
        op: Op<'_>,
        table: Table<K, V>,
        slot: *mut Slot<K, V>,
        value: B,
    ) -> Result<V::Taken<'a>>
    where
        V: Emplace<B>,
    {
        if !is_plain::<V>() {
            self.release_locks();
        }
        // SAFETY: a full slot.
        let old = unsafe { &raw mut (*slot).value };
        let mut private = MaybeUninit::<V>::uninit();
        let new = match is_plain::<V>() {
            true => private.as_mut_ptr(),
            false => self.spare_value(table)?,
        };
        // SAFETY: room for a value; an operation is open, and undone on `Err`. The old value is saved before it is exchanged for the new
        // one, or exchanged by one store.
        unsafe {
            V::emplace(value, new, self.cx())?;
            if !self.log.is_open() && mem::is_one_store::<V>() {
                // Dead before the store: the old value. After: the new one.
                mem::swap_by_one_store(old, new);
            } else {
                mem::reserve_log(self.log, size_of::<V>())?;
                self.log.save(old.cast(), size_of::<V>());
                std::ptr::swap_nonoverlapping(old, new, 1);
            }
        }
        // SAFETY: the old value is no longer in the table's full slots; a free slot's bytes stay while the map is borrowed for `'a`.
        Ok(unsafe { mem::hand_out(op, new, self.cx()) })
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

    fn free_slot(&self, table: Table<K, V>, hash: u64) -> usize {
        table.find_free(hash).unwrap_or_else(|| ptr::damaged("a table is full"))
    }
}

impl<'a, K: Key, V: Relocatable> Full<'a, K, V> {
    pub(crate) fn insert<B>(self, value: B) -> Result<V::Taken<'a>>
    where
        V: Emplace<B>,
    {
        // A free slot to build in: there is one even when no growth is left.
        let op = self.map.log.begin();
        let table = self.map.table();
        self.map.overwrite(op, table, self.slot, value)
    }
}
