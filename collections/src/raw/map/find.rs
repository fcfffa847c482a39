//! Looking keys up.

use super::*;

impl Header {
    /// The slot of a key. One resolve, one hash, and on average little more than one group.
    ///
    /// All that does not depend on the key comes first, without a way back, so that the compiler lifts it out of a loop.
    #[inline(always)]
    pub(super) fn seek<K: Borrow<Q> + 'static, V, Q: ShHash + Eq + ?Sized>(
        &self,
        key: &Q,
    ) -> Option<*mut Slot<K, V>> {
        let (table, seed) = self.table_and_seed::<K, V>()?;
        let hash = key.hash(seed);
        table.find(hash, key, Reach::of(self))
    }

    /// The entry of a key.
    #[inline(always)]
    pub(crate) fn find<K: Borrow<Q> + 'static, V, Q: ShHash + Eq + ?Sized>(
        &self,
        key: &Q,
    ) -> Option<(&K, &V)> {
        let slot = self.seek::<K, V, Q>(key)?;
        // SAFETY: `find` returns full slots; nobody changes the table while the header is borrowed; its bytes stay mapped for longer.
        let slot = unsafe { &*slot };
        Some((&slot.key, &slot.value))
    }

    /// Entries that fit without a larger table.
    pub(crate) fn capacity(&self) -> usize {
        let c = self.counts();
        c.items() as usize + c.growth_left() as usize
    }

    /// All entries.
    pub(crate) fn slots<K, V>(&self) -> Slots<K, V> {
        Slots::of(self.table(), self.len())
    }
}

impl<'a, K: Key, V: Relocatable> MapMut<'a, K, V> {
    /// The key's slot, found by another form of it.
    #[inline]
    pub(crate) fn locate<Q: ShHash + Eq + ?Sized>(self, key: &Q) -> Found<'a, K, V>
    where
        K: Borrow<Q>,
    {
        let hash = key.hash(self.seed());
        if let Some(table) = self.header().table::<K, V>()
            && let Some(slot) = table.find(hash, key, self.reach())
        {
            return Found::Full(Full { map: self, slot });
        }
        Found::Free(self, hash)
    }

    #[inline]
    pub(crate) fn get_mut<Q: ShHash + Eq + ?Sized>(self, key: &Q) -> Option<&'a mut V::Access>
    where
        K: Borrow<Q>,
    {
        let slot = self.header().seek::<K, V, Q>(key)?;
        Some(Full { map: self, slot }.into_mut())
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
        Full { map: self.map.again(), slot: self.slot }
    }

    /// Mutable access to the value.
    #[inline(always)]
    pub(crate) fn into_mut(self) -> &'a mut V::Access {
        // SAFETY: a full slot, exclusively ours for `'a` by the place that the map was made of.
        unsafe { V::access(&raw mut (*self.slot).value, self.map.cx()) }
    }
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
