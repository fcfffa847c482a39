//! Going over a table's entries, a group at a time.

use super::*;
use crate::raw::group::{Bits, Group};

/// The full slots of a table. Finds the table once.
pub(crate) struct Slots<K, V> {
    /// The first slot of the group that `bits` speaks of.
    group: *mut Slot<K, V>,
    bits: Bits,
    /// Control bytes of the next group, and where they end.
    next: *const u8,
    end: *const u8,
    /// Entries still to come, unless the table is damaged.
    left: usize,
}

impl<K, V> Slots<K, V> {
    pub(crate) fn of(table: Option<Table<K, V>>, left: usize) -> Slots<K, V> {
        let nowhere = std::ptr::null();
        match table.filter(|_| left > 0) {
            None => {
                Slots { group: std::ptr::null_mut(), bits: Bits(0), next: nowhere, end: nowhere, left: 0 }
            }
            Some(table) => {
                if !table.buckets().is_power_of_two() {
                    ptr::damaged("a table has a number of slots that no table has"); // whole groups would reach beyond it
                }
                let all = table.controls();
                Slots {
                    group: table.slot(0),
                    bits: table.full(0),
                    next: all.start.wrapping_add(WIDTH),
                    end: all.end,
                    left,
                }
            }
        }
    }

    pub(crate) fn left(&self) -> usize {
        self.left
    }

    /// Goes on to the next group; false when there is none, though entries are left: the table is damaged.
    #[inline(always)]
    fn advance(&mut self) -> bool {
        if self.next >= self.end {
            return false;
        }
        // SAFETY: a group that begins at a multiple of 16 below the number of slots is a group of the table, which has 16 slots or more.
        self.bits = unsafe { Group::load(self.next) }.full();
        self.next = self.next.wrapping_add(WIDTH);
        self.group = self.group.wrapping_add(WIDTH);
        true
    }
}

impl<K, V> Clone for Slots<K, V> {
    fn clone(&self) -> Self {
        Slots { ..*self }
    }
}

impl<K, V> Iterator for Slots<K, V> {
    type Item = *mut Slot<K, V>;

    #[inline(always)]
    fn next(&mut self) -> Option<*mut Slot<K, V>> {
        if self.left == 0 {
            return None;
        }
        loop {
            if let Some(bit) = self.bits.next() {
                self.left -= 1;
                return Some(self.group.wrapping_add(bit));
            }
            if !self.advance() {
                self.left = 0;
                return None;
            }
        }
    }

    #[inline]
    fn fold<B, F: FnMut(B, Self::Item) -> B>(mut self, init: B, mut f: F) -> B {
        let mut folded = init;
        loop {
            for bit in self.bits.by_ref() {
                self.left = self.left.wrapping_sub(1);
                folded = f(folded, self.group.wrapping_add(bit));
            }
            if self.left == 0 || !self.advance() {
                return folded;
            }
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

    /// # Safety
    /// The slot is one that `slots` has given.
    #[inline(always)]
    unsafe fn entry(slot: *mut Slot<K, V>) -> (&'a K, &'a V) {
        // SAFETY: a full slot of a table that nobody changes during `'a`.
        let slot = unsafe { &*slot };
        (&slot.key, &slot.value)
    }
}

impl<K, V> Clone for Iter<'_, K, V> {
    fn clone(&self) -> Self {
        Iter { slots: self.slots.clone(), _map: PhantomData }
    }
}

impl<'a, K, V> Iterator for Iter<'a, K, V> {
    type Item = (&'a K, &'a V);

    #[inline(always)]
    fn next(&mut self) -> Option<(&'a K, &'a V)> {
        // SAFETY: just given.
        self.slots.next().map(|slot| unsafe { Self::entry(slot) })
    }

    #[inline]
    fn fold<B, F: FnMut(B, Self::Item) -> B>(self, init: B, mut f: F) -> B {
        // SAFETY: just given.
        self.slots.fold(init, |folded, slot| f(folded, unsafe { Self::entry(slot) }))
    }
}

/// Mutable access to one value after the other.
pub(crate) struct IterMut<'a, K, V> {
    slots: Slots<K, V>,
    cx: Cx,
    _map: PhantomData<(&'a mut Slot<K, V>, *mut ())>,
}

impl<'a, K: Key, V: Relocatable> IterMut<'a, K, V> {
    pub(crate) fn of(map: MapMut<'a, K, V>) -> IterMut<'a, K, V> {
        IterMut { slots: map.header().slots(), cx: map.cx(), _map: PhantomData }
    }

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
