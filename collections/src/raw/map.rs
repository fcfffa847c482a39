//! Operations on hash tables, in an order of stores that a kill cannot hurt.
//!
//! A table is never reordered in place: what grows, or has collected too many removed slots, moves to a new block, and three saved header
//! words swap it in. Values and keys that own memory are built in a free slot of the table itself, so that they can be hashed and compared
//! where they lie, and what was taken out stays there until its new owner is done with it.
//!
//! An entry that comes or goes is one record: the old control byte and the old counts.

mod batch;
mod find;
mod grow;
mod insert;
mod iter;
mod remove;

pub(crate) use batch::Batch;
pub(crate) use find::access_ref;
pub(crate) use iter::{Iter, IterMut, Slots};
pub(crate) use remove::discard;

use super::group::{EMPTY, WIDTH};
use super::mem::{self, is_plain};
use super::ptr::{self, Reach};
use super::table::{self, Counts, Header, Slot, Slotted, Table};
use crate::cx::Cx;
use crate::hash::{Seed, ShHash};
use crate::key::{Key, KeySource};
use crate::map::ShMap;
use crate::moving::release_locks_in;
use crate::place::Place;
use crate::relocatable::{Emplace, Relocatable};
use crate::schema::{Schema, Shape};
use crate::set::ShSet;
use aquifer_pool::log::{LogCx, Op, Pair, ResolvedTable};
use aquifer_pool::{Error, Result};
use std::borrow::Borrow;
use std::hint::cold_path;
use std::marker::PhantomData;
use std::mem::{MaybeUninit, offset_of};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering, compiler_fence};

/// A map that may be changed: its header, and the log that the changes go to.
///
/// Two words, so that what is not inlined takes it in registers, and what is keeps nothing of it in memory.
pub(crate) struct MapMut<'a, K, V> {
    /// Invariant: a header in the pool, exclusively ours for `'a`.
    header: *mut Header,
    log: &'a LogCx,
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

/// A map of plain data whose log is idle: changes need neither be undone with others nor free anything.
struct Simple<K, V> {
    table: Table<K, V>,
    /// Offset of the map's header.
    header: u64,
}

impl<K, V> Clone for Simple<K, V> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<K, V> Copy for Simple<K, V> {}

/// A word of a map's header.
#[derive(Clone, Copy)]
enum Word {
    Block,
    Mask,
    Counts,
}

impl<'a, K: Key, V: Relocatable> MapMut<'a, K, V> {
    /// The map whose header and context a place has.
    ///
    /// # Safety
    /// Header and context are those of one `&'a mut Place`, of a map or set.
    #[inline(always)]
    pub(crate) unsafe fn new(header: *mut Header, cx: Cx) -> MapMut<'a, K, V> {
        // SAFETY: whoever has a place has the guard, operation or transaction of its context, on this thread, for as long.
        let log = unsafe { cx.log() };
        MapMut { header, log, _entries: PhantomData }
    }

    /// The same once more, for as long as this one is borrowed.
    #[inline(always)]
    fn again(&self) -> MapMut<'_, K, V> {
        MapMut { header: self.header, log: self.log, _entries: PhantomData }
    }

    #[inline(always)]
    fn cx(&self) -> Cx {
        Cx::of(self.log)
    }

    #[inline(always)]
    fn header(&self) -> &Header {
        // SAFETY: ours (invariant), and changed by `change` and `mark` alone, which no reference to it outlives.
        unsafe { &*self.header }
    }

    #[inline(always)]
    fn table(&self) -> Table<K, V> {
        self.header().table().unwrap_or_else(|| ptr::damaged("a map with entries has no table"))
    }

    #[inline(always)]
    fn reach(&self) -> Reach {
        Reach::at(self.header.addr())
    }

    #[inline(always)]
    fn seed(&self) -> Seed {
        self.log.hash_seed()
    }

    #[inline(always)]
    fn word(&self, word: Word) -> &AtomicU64 {
        // SAFETY: three words that are ours (invariant).
        unsafe {
            AtomicU64::from_ptr(match word {
                Word::Block => &raw mut (*self.header).block,
                Word::Mask => &raw mut (*self.header).mask,
                Word::Counts => &raw mut (*self.header).counts,
            })
        }
    }

    #[inline(always)]
    fn offset(&self) -> u64 {
        ptr::offset_of_container(self.header.addr())
    }

    #[inline(always)]
    fn offset_of_control(&self, table: Table<K, V>, number: usize) -> u64 {
        self.header().block.wrapping_add(table.distance_of_control(number))
    }

    /// Saves a word and changes it, within the open operation.
    fn change(&self, word: Word, value: u64) {
        mem::change(self.log, self.word(word), value);
    }

    /// Control byte and counts as they are, of the map whose header is at `header` in the pool.
    #[inline(always)]
    fn marks(&self, header: u64, table: Table<K, V>, index: usize) -> Pair {
        Pair {
            offset: header + offset_of!(Header, counts) as u64,
            word: self.header().counts,
            byte_offset: self.offset_of_control(table, index & table.mask),
            byte: table.control(index),
        }
    }

    /// Changes a control byte and the counts, within the open operation.
    #[inline]
    fn mark(&self, table: Table<K, V>, index: usize, byte: u8, counts: Counts) {
        let old = self.marks(self.offset(), table, index);
        for repeat in table.repeats(index) {
            mem::save_byte(self.log, self.offset_of_control(table, repeat), old.byte);
        }
        self.log.save_pair(old);
        // The entry before the byte that says it is there.
        compiler_fence(Ordering::SeqCst);
        table.set_control(index, byte);
        self.word(Word::Counts).store(counts.packed(), Ordering::Relaxed);
    }

    /// The same as an operation of its own, on an idle log.
    #[inline(always)]
    fn mark_alone(&self, Simple { table, header }: Simple<K, V>, index: usize, byte: u8, counts: Counts) {
        // The log was idle before the key was hashed and compared.
        if table.is_repeated(index) || (is_hashed_by_others::<K>() && !self.log.is_idle()) {
            return self.again().mark_repeated(table, index, byte, counts);
        }
        let word = self.word(Word::Counts);
        self.log.change_pair(self.marks(header, table, index), || {
            table.set_one_control(index, byte);
            word.store(counts.packed(), Ordering::Relaxed);
        });
    }

    #[cold]
    #[inline(never)]
    fn mark_repeated(self, table: Table<K, V>, index: usize, byte: u8, counts: Counts) {
        let op = self.log.begin();
        self.mark(table, index, byte, counts);
        // Dead before this: the entry is not in, or not out. After: it is.
        op.commit();
        // The log has forgotten the map over these records, which have left the table where it is.
        self.resolve_simple();
    }

    /// The map, if its entries own nothing, it has a table, and the log is idle.
    #[inline(always)]
    fn simple(&self) -> Option<Simple<K, V>> {
        if !is_plain::<K>() || !is_plain::<V>() {
            return None;
        }
        let known = || self.log.resolved_table(self.header.addr());
        let ResolvedTable { first, mask, header } = match known() {
            Some(known) => known,
            None => {
                cold_path();
                self.again().resolve_simple();
                known()?
            }
        };
        Some(Simple { table: Table::at(first.as_ptr(), mask), header })
    }

    /// Has the log know the map, if it is idle and there is a table.
    #[inline(never)]
    fn resolve_simple(self) {
        if self.log.is_idle()
            && let Some(table) = self.header().table::<K, V>()
            && let Some(first) = NonNull::new(table.slot(0))
        {
            let known = ResolvedTable { first: first.cast(), mask: table.mask, header: self.offset() };
            self.log.note_resolved_table(self.header.addr(), known);
        }
    }

    /// Before entries are moved or dropped: see [`release_locks_in`].
    #[inline(always)]
    fn release_locks(&self) {
        release_locks_in::<(K, V)>(self.log, || {
            self.header().extent::<K, V>().map_or((0, 0), |(block, _, entries)| (block, entries as usize))
        });
    }
}

/// Whether hash and equality of a key may be the user's code, which may use the log, by another part of what a forgotten guard lends for good.
#[inline(always)]
fn is_hashed_by_others<K: Relocatable>() -> bool {
    !matches!(K::SCHEMA.shape, Shape::Unsigned { .. } | Shape::Signed { .. } | Shape::Bool | Shape::Char)
}

/// The map at a place.
#[inline(always)]
pub(crate) fn of_map<K: Key, V: Relocatable>(place: &mut Place<ShMap<K, V>>) -> MapMut<'_, K, V> {
    let (at, cx) = (place.ptr(), place.cx());
    // SAFETY: header and context of one place.
    unsafe { MapMut::new(&raw mut (*at).header, cx) }
}

/// The set at a place, as a map of nothing.
#[inline(always)]
pub(crate) fn of_set<K: Key>(place: &mut Place<ShSet<K>>) -> MapMut<'_, K, ()> {
    let (at, cx) = (place.ptr(), place.cx());
    // SAFETY: header and context of one place; a set is a map of nothing.
    unsafe { MapMut::new(&raw mut (*at).map.header, cx) }
}
