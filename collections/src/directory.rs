//! The directory: which objects have names, of what type they are, and who holds them.
//!
//! It is made of the crate's own containers, under a lock of its own, in a block that the header names. It is made by whoever first needs it;
//! a block of zeros is an empty directory.
//!
//! | part | what it says |
//! |---|---|
//! | `names` | name to [`Entry`] |
//! | `removed` | entries whose name is gone while some process still holds them |
//! | `pins` | [`Pin`]s: which process holds which object. One of a process that has left or was buried counts for nothing |
//! | `schemas` | content hash of a type's schema to the block that it stands in; never freed, shared by all objects of the type |
//! | `next` | the next object's number |
//!
//! The lock is the last that anybody takes: who holds it waits for no other lock. So it may be waited for inside transactions.

use crate::check::{Check, Inventory, PATIENCE, Root, RootSchema};
use crate::cx::Cx;
use crate::hold::{Exclusive, Home, Shared};
use crate::lock::ShRwLock;
use crate::map::ShMap;
use crate::place::Place;
use crate::pool_schemas;
use crate::relocatable::{InPlace, Kind, Relocatable};
use crate::report::{Problem, Repair, Report};
use crate::schema::encode::{content_hash, encode};
use crate::schema::show::{difference, expand};
use crate::schema::view::View;
use crate::schema::{Field, Schema, Shape};
use crate::string::ShString;
use crate::taken::Taken;
use crate::vec::ShVec;
use aquifer_pool::layout::LIVE;
use aquifer_pool::lock::Patience;
use aquifer_pool::log::{Kind as Record, LogCx, Op, RecordView};
use aquifer_pool::plant::commit_store;
use aquifer_pool::{Error, Inner, Result};
use std::mem::offset_of;
use std::sync::atomic::Ordering;
use std::time::Instant;

/// Bytes of the directory's block: a run of its own, so that undo can tell it from others (see `LogCx::is_permanent`).
const BLOCK: usize = 4096;

/// An object: its number, the offset of its value, which begins a block, and that of its schema.
pub(crate) type Entry = [u64; 3];
/// A process that holds an object: the object's number, the index of the process's record and that record's state.
pub(crate) type Pin = [u64; 3];

/// See the module.
#[repr(C)]
pub(crate) struct Directory {
    pub(crate) names: ShMap<ShString, Entry>,
    pub(crate) removed: ShVec<Entry>,
    pub(crate) pins: ShMap<Pin, ()>,
    pub(crate) schemas: ShMap<u64, u64>,
    pub(crate) next: u64,
}

/// The same, to be changed.
pub(crate) struct Parts<'a> {
    pub(crate) names: &'a mut Place<ShMap<ShString, Entry>>,
    pub(crate) removed: &'a mut Place<ShVec<Entry>>,
    pub(crate) pins: &'a mut Place<ShMap<Pin, ()>>,
    pub(crate) schemas: &'a mut Place<ShMap<u64, u64>>,
    pub(crate) next: &'a mut u64,
}

const _: () = assert!(size_of::<ShRwLock<Directory>>() <= BLOCK && align_of::<ShRwLock<Directory>>() <= 16);

fn of<T: Relocatable>() -> &'static Schema {
    T::SCHEMA
}

// SAFETY: the schema names every field with its place and type; all of them are relocatable, without destructors.
unsafe impl Relocatable for Directory {
    type Kind = InPlace;
    type Access = Place<Self>;
    type Taken<'a> = Taken<'a, Self>;
    const SCHEMA: &'static Schema = &Schema {
        name: "Directory",
        size: size_of::<Self>(),
        align: align_of::<Self>(),
        shape: Shape::Struct(&[
            Field {
                name: "names",
                offset: offset_of!(Directory, names),
                schema: of::<ShMap<ShString, Entry>>,
            },
            Field { name: "removed", offset: offset_of!(Directory, removed), schema: of::<ShVec<Entry>> },
            Field { name: "pins", offset: offset_of!(Directory, pins), schema: of::<ShMap<Pin, ()>> },
            Field { name: "schemas", offset: offset_of!(Directory, schemas), schema: of::<ShMap<u64, u64>> },
            Field { name: "next", offset: offset_of!(Directory, next), schema: of::<u64> },
        ]),
    };
    const OWNED: usize = 4;
    const LOCKS: bool = false;

    unsafe fn access<'a>(p: *mut Self, cx: Cx) -> &'a mut Place<Self> {
        // SAFETY: the caller's contract.
        unsafe { InPlace::access(p, cx) }
    }

    unsafe fn access_ref<'a>(p: *const Self, cx: Cx) -> &'a Place<Self> {
        // SAFETY: the caller's contract.
        unsafe { InPlace::access_ref(p, cx) }
    }

    unsafe fn taken<'a>(p: *const Self, cx: Cx) -> Taken<'a, Self> {
        // SAFETY: the caller's contract.
        unsafe { InPlace::taken(p, cx) }
    }

    unsafe fn discard(p: *const Self, cx: Cx) {
        // SAFETY: the caller's contract, for each part.
        unsafe {
            ShMap::discard(&raw const (*p).names, cx);
            ShVec::discard(&raw const (*p).removed, cx);
            ShMap::discard(&raw const (*p).pins, cx);
            ShMap::discard(&raw const (*p).schemas, cx);
        }
    }
}

/// The directory's lock, if there is one.
///
/// # Errors
/// `Damaged` when the header leads elsewhere.
pub(crate) fn find(pool: &Inner) -> Result<Option<&ShRwLock<Directory>>> {
    let offset = pool.header().directory.load(Ordering::Acquire);
    if offset == 0 {
        return Ok(None);
    }
    if !offset.is_multiple_of(BLOCK as u64) {
        return Err(Error::Damaged(format!("the directory at {offset:#x} is not aligned")));
    }
    let at = pool.at(offset, BLOCK as u64)?.cast::<ShRwLock<Directory>>();
    // SAFETY: in bounds by `at`, aligned as checked; opening has checked that a block begins there, and it is never freed. Its bytes were
    // zeros, which is an empty directory under a free lock, and are changed by this module alone.
    Ok(Some(unsafe { &*at }))
}

/// The directory's lock; made if there is none.
fn find_or_make(pool: &Inner) -> Result<&ShRwLock<Directory>> {
    loop {
        if let Some(found) = find(pool)? {
            return Ok(found);
        }
        let _building = pool.seat()?.build();
        if let Some(op) = make(pool)? {
            op.commit();
        }
    }
}

/// Makes the directory, unless somebody is faster; its block stays, whether or not the operation is committed.
fn make(pool: &Inner) -> Result<Option<Op<'_>>> {
    let op = pool.seat()?.bare().begin();
    // A run of its own: undo can tell that only runs are permanent.
    let offset = aquifer_alloc::run_zeroed(op.cx(), BLOCK as u64)?;
    // Dead before this store: the block is given back. After: it is the directory, which undo sees (`LogCx::is_permanent`).
    let made =
        pool.header().directory.compare_exchange(0, offset, Ordering::SeqCst, Ordering::SeqCst).is_ok();
    commit_store("directory");
    Ok(made.then_some(op))
}

/// Looks at the directory under its read lock; nothing when there is none.
pub(crate) fn read<R>(pool: &Inner, f: impl FnOnce(&Directory) -> Result<R>) -> Result<Option<R>> {
    let Some(directory) = find(pool)? else { return Ok(None) };
    let _hold = Shared::apart(directory.raw(), Home::of(directory.raw())?)?;
    // SAFETY: read-locked until `_hold` is dropped, after `f`.
    f(unsafe { &*directory.value() }).map(Some)
}

/// The directory under its write lock.
pub(crate) struct Writing<'a> {
    directory: &'a ShRwLock<Directory>,
    hold: Exclusive<'a>,
}

impl<'a> Writing<'a> {
    pub(crate) fn begin(pool: &'a Inner) -> Result<Writing<'a>> {
        let directory = find_or_make(pool)?;
        let hold = Exclusive::apart(directory.raw(), Home::of(directory.raw())?)?;
        Ok(Writing { directory, hold })
    }

    pub(crate) fn get(&self) -> &Directory {
        // SAFETY: write-locked by `hold`; changed only through `parts`, which borrows `self` mutably.
        unsafe { &*self.directory.value() }
    }

    /// To change it by operations of their own, each final when it ends.
    pub(crate) fn parts(&mut self) -> Parts<'_> {
        self.parts_on(self.hold.log())
    }

    /// To change it as part of an operation that is open on `log`.
    pub(crate) fn parts_on(&mut self, log: &LogCx) -> Parts<'_> {
        let (p, cx) = (self.directory.value(), Cx::of(log));
        // SAFETY: write-locked by `hold`, and borrowed mutably from `self`; each part once.
        unsafe {
            Parts {
                names: ShMap::access(&raw mut (*p).names, cx),
                removed: ShVec::access(&raw mut (*p).removed, cx),
                pins: ShMap::access(&raw mut (*p).pins, cx),
                schemas: ShMap::access(&raw mut (*p).schemas, cx),
                next: u64::access(&raw mut (*p).next, cx),
            }
        }
    }
}

impl Directory {
    /// The object of that number, whether or not it still has a name.
    pub(crate) fn knows(&self, id: u64) -> bool {
        self.names.values().chain(self.removed.iter()).any(|e| e[0] == id)
    }

    /// Whether a living process holds the object. O(pins).
    pub(crate) fn is_pinned(&self, pool: &Inner, id: u64) -> bool {
        self.pins.keys().any(|p| p[0] == id && is_live(pool, p))
    }
}

/// Whether the process of a pin is in the pool.
fn is_live(pool: &Inner, pin: &Pin) -> bool {
    pin[2] & LIVE != 0 && u32::try_from(pin[1]).is_ok_and(|record| pool.record_state(record) == pin[2])
}

/// The calling process's pin of an object.
pub(crate) fn own_pin(pool: &Inner, id: u64) -> Result<Pin> {
    let record = pool.own_record().ok_or(Error::Forked)?;
    Ok([id, record as u64, pool.record_state(record)])
}

impl Parts<'_> {
    /// Drops the pins of processes that are gone.
    pub(crate) fn drop_dead_pins(&mut self, pool: &Inner) {
        if self.pins.keys().any(|p| !is_live(pool, p)) {
            self.pins.retain(|p, ()| is_live(pool, p));
        }
    }

    /// The block of a type's schema; made if there is none, as part of the open operation.
    pub(crate) fn schema(&mut self, log: &LogCx, blob: &[u8]) -> Result<u64> {
        let mut hash = content_hash(blob);
        while let Some(known) = self.schemas.get(&hash).copied() {
            if pool_schemas::view(log.pool(), known)?.bytes() == blob {
                return Ok(known);
            }
            hash = hash.wrapping_add(1);
        }
        let offset = aquifer_alloc::alloc(log, blob.len(), 16)?;
        let at = log.pool().at(offset, blob.len() as u64)?;
        // SAFETY: a fresh block of that length, which nothing refers to yet.
        unsafe { std::ptr::copy_nonoverlapping(blob.as_ptr(), at, blob.len()) };
        self.schemas.insert(hash, offset)?;
        Ok(offset)
    }
}

/// Pushes what frees an object: what its value owns, and its block.
pub(crate) fn push_discard(log: &LogCx, entry: &Entry) -> Result<()> {
    let pool = log.pool();
    let schema = pool_schemas::view(pool, entry[2])?;
    let node = entry[2] + schema.root().at() as u64;
    log.reserve(2)?;
    aquifer_alloc::free(log, entry[1])?;
    if crate::discard::is_concerned(schema.root()) {
        log.push(RecordView::new(Record::DropVec, entry[1], 1).with_aux(node >> 3));
    }
    Ok(())
}

/// Whether an object is a `T`.
///
/// # Errors
/// `SchemaMismatch`, which shows both; `Damaged`.
pub(crate) fn check_type<T: Relocatable>(pool: &Inner, name: &str, entry: &Entry) -> Result<()> {
    let stored = pool_schemas::view(pool, entry[2])?;
    let node = entry[2] + stored.root().at() as u64;
    if pool_schemas::node_offset(pool, T::SCHEMA).is_ok_and(|known| known == node) {
        return Ok(());
    }
    let blob = encode(T::SCHEMA);
    if stored.bytes() != blob {
        let wanted = View::checked_before(&blob);
        let difference =
            difference(stored.root(), wanted.root()).unwrap_or_else(|| "they are written differently".into());
        return Err(Error::SchemaMismatch {
            name: name.into(),
            stored: expand(stored.root()),
            wanted: expand(wanted.root()),
            difference,
        });
    }
    pool_schemas::register(pool, T::SCHEMA, entry[2])
}

/// The value of an object that is a `T`.
///
/// # Errors
/// `Damaged` when its block does not hold one.
pub(crate) fn value<T: Relocatable>(pool: &Inner, name: &str, entry: &Entry) -> Result<*const T> {
    let size = size_of::<T>() as u64;
    if !entry[1].is_multiple_of(align_of::<T>() as u64)
        || aquifer_alloc::block_size(pool, entry[1]).is_none_or(|s| s < size)
    {
        return Err(Error::Damaged(format!("`{name}` has no block of its size at {:#x}", entry[1])));
    }
    Ok(pool.at(entry[1], size)?.cast_const().cast())
}

/// The directory as a root of a check.
fn root(pool: &Inner) -> Root {
    Root {
        name: "(directory)".into(),
        offset: pool.header().directory.load(Ordering::Acquire),
        schema: RootSchema::Type(of::<ShRwLock<Directory>>()),
        owns_block: true,
    }
}

/// Checks what is reachable from the directory on, which is held for reading until `then` was called.
///
/// # Errors
/// What keeps the calling thread from using the pool at all.
pub(crate) fn check(pool: &Inner, keep: bool, then: impl FnOnce(&mut Check<'_>)) -> Result<Report> {
    let mut check = Check::begin(pool, keep)?;
    match hold(pool) {
        Ok(None) => then(&mut check),
        Ok(Some((directory, _hold))) => {
            if check.root(&root(pool)) {
                // SAFETY: read-locked until `_hold` is dropped; just found to be whole.
                check.walk(&inventory(unsafe { &*directory.value() }));
            }
            then(&mut check);
        }
        Err(e) => {
            let at = pool.header().directory.load(Ordering::Acquire);
            check.fail("(directory)", at, Problem::Locked(e.to_string()));
            then(&mut check);
        }
    }
    Ok(check.end())
}

/// Checks the directory alone: that it, the schemas and the blocks of the objects are whole. O(objects).
///
/// # Errors
/// As [`check`].
pub(crate) fn check_itself(pool: &Inner) -> Result<Report> {
    let mut check = Check::begin(pool, false)?;
    if let Some((directory, _hold)) = hold(pool)?
        && check.root(&root(pool))
    {
        // SAFETY: as in `check`.
        check.claim(&inventory(unsafe { &*directory.value() }));
    }
    Ok(check.end())
}

/// Frees removed objects that nobody holds any more, unless the directory is damaged: the check that follows says how.
pub(crate) fn sweep_if_whole(pool: &Inner) -> Result<()> {
    match check_itself(pool) {
        Ok(report) if report.findings.is_empty() => crate::named::sweep(pool),
        // Damaged, or held by somebody who keeps it: what could be freed stays for the next time.
        _ => Ok(()),
    }
}

/// The directory, read-locked; waited for as long as for any lock of a check.
fn hold(pool: &Inner) -> Result<Option<(&ShRwLock<Directory>, Shared<'_>)>> {
    let Some(directory) = find(pool)? else { return Ok(None) };
    let patience = Patience::Until(Instant::now() + PATIENCE);
    let hold = Shared::apart_for(directory.raw(), Home::of(directory.raw())?, patience)?;
    Ok(Some((directory, hold)))
}

/// Frees the directory's lock if it names nobody.
pub(crate) fn free_word_of_nobody(pool: &Inner, repair: &mut Repair) {
    let Ok(Some(directory)) = find(pool) else { return };
    let offset = pool.header().directory.load(Ordering::Acquire);
    if pool.free_word_of_nobody(directory.raw().word(), offset) {
        repair.locks.push("(directory)".into());
    }
}

fn inventory(d: &Directory) -> Inventory {
    let object = |name: String, entry: &Entry| Root {
        name,
        offset: entry[1],
        schema: RootSchema::Blob(entry[2]),
        owns_block: true,
    };
    let named = d.names.iter().map(|(name, entry)| object(name.to_string(), entry));
    let removed = d.removed.iter().map(|entry| object(format!("(removed object {})", entry[0]), entry));
    let blocks = d.schemas.values().map(|blob| (*blob, format!("(schema at {blob:#x})"))).collect();
    Inventory { roots: named.chain(removed).collect(), blocks }
}

#[cfg(test)]
mod tests {
    use crate::Pool;

    /// The block came from a slab once, where undo could not see that it was linked in: a kill between the two stores of its maker left a
    /// directory in memory that was free.
    #[test]
    fn a_directory_stays_when_its_maker_dies_before_it_has_committed() {
        let pool = Pool::options().private().expect("a pool");
        drop(super::make(pool.inner()).expect("room").expect("nobody was faster"));
        let report = pool.check().expect("a check");
        assert!(report.is_clean(), "{report}");
        assert_eq!(report.roots, 1);
    }
}
