//! Looking up many keys, so that the waits for memory overlap.

use super::*;

/// Keys looked up at once: enough to keep a processor's memory busy (a core has some dozen misses under way), and few enough that what was
/// asked for is still in the first cache when it is looked at.
const AHEAD: usize = 32;

/// The answers to many look-ups, in order.
pub(crate) struct Batch<'a, 'q, K, V, Q: ?Sized, I> {
    table: Option<(Table<K, V>, Seed)>,
    reach: Reach,
    keys: I,
    /// Keys that were pulled, with their hashes.
    /// Invariant: those from `next` to `filled` are there.
    pulled: [MaybeUninit<(&'q Q, u64)>; AHEAD],
    next: usize,
    filled: usize,
    _map: PhantomData<&'a Slot<K, V>>,
}

impl<'a, 'q, K: Borrow<Q> + 'static, V, Q: ShHash + Eq + ?Sized, I: Iterator<Item = &'q Q>>
    Batch<'a, 'q, K, V, Q, I>
{
    #[inline]
    pub(crate) fn of(header: &'a Header, keys: I) -> Self {
        let table = header.table_and_seed();
        Batch {
            table,
            reach: Reach::of(header),
            keys,
            pulled: [MaybeUninit::uninit(); AHEAD],
            next: 0,
            filled: 0,
            _map: PhantomData,
        }
    }

    /// Pulls keys, and asks for what their look-ups will touch: first the control bytes of all, then the first slots that these name.
    #[inline]
    fn pull(&mut self, table: Table<K, V>, seed: Seed) {
        (self.next, self.filled) = (0, 0);
        // By index, since the iterator may panic: `filled` counts what is there.
        while self.filled < AHEAD {
            let Some(key) = self.keys.next() else { break };
            let hash = table.prefetch_group(key.hash(seed));
            self.pulled[self.filled].write((key, hash));
            self.filled += 1;
        }
        for pulled in &mut self.pulled[..self.filled] {
            // SAFETY: below `filled` (invariant).
            let (key, hash) = unsafe { pulled.assume_init() };
            pulled.write((key, table.prefetch_slot(hash)));
        }
    }
}

impl<'a, 'q, K: Borrow<Q> + 'static, V, Q: ShHash + Eq + ?Sized, I: Iterator<Item = &'q Q>> Iterator
    for Batch<'a, 'q, K, V, Q, I>
{
    type Item = Option<(&'a K, &'a V)>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let Some((table, seed)) = self.table else { return self.keys.next().map(|_| None) };
        if self.next == self.filled {
            self.pull(table, seed);
            if self.filled == 0 {
                return None;
            }
        }
        // SAFETY: between `next` and `filled` (invariant).
        let (key, hash) = unsafe { self.pulled[self.next].assume_init() };
        self.next += 1;
        Some(table.find(hash, key, self.reach).map(|slot| {
            // SAFETY: `find` returns full slots of a table that nobody changes during `'a`.
            let slot = unsafe { &*slot };
            (&slot.key, &slot.value)
        }))
    }

    #[inline]
    fn size_hint(&self) -> (usize, Option<usize>) {
        let (least, most) = self.keys.size_hint();
        let pulled = self.filled - self.next;
        (least.saturating_add(pulled), most.and_then(|m| m.checked_add(pulled)))
    }
}
