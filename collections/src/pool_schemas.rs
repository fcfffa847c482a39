//! Schemas that stand in a pool, and how this process finds them.
//!
//! A blob (see [`crate::schema::encode`]) is one block of the heap, never freed, shared by all named objects of its type. Records of
//! the log name a type by the offset of its node in the pool, so that anyone can finish a deep drop, whether or not it knows the type.
//!
//! Who opens or makes a named object
//! 1. calls [`encode`](crate::schema::encode::encode) and looks the blob up by [`content_hash`](crate::schema::encode::content_hash) in the
//!    directory, or stores it in a block aligned to 16;
//! 2. calls [`register`] with the schema and the blob's offset: from then on [`node_offset`] finds the node of every type that the
//!    object's type reaches;
//! 3. calls [`forget`] when the pool is closed.
//!
//! [`view`] gives a blob of the pool, checked once for each process.
//!
//! The caches are append-only lists of atomics: no lock, so nothing to hold over a fork.

use crate::schema::Schema;
use crate::schema::encode::{self, HEADER, LONGEST, MAGIC, NODE, word};
use crate::schema::show::difference;
use crate::schema::view::{Node, View};
use aquifer_pool::{Error, Inner, Result};
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

/// By address of the schema, as the compiler placed it.
static BY_ADDRESS: Cache = Cache::new();
/// By hash of the type's own blob: constants may have several addresses.
static BY_CONTENT: Cache = Cache::new();
/// Blobs that were checked, by offset.
static CHECKED: Cache = Cache::new();

/// Makes the blob of `schema` at `blob`, which must hold just these bytes, known for every type that it describes. O(types, squared).
///
/// # Errors
/// `Damaged` when the blob is not one, or is another type's.
pub fn register(pool: &Inner, schema: &'static Schema, blob: u64) -> Result<()> {
    let stored = view(pool, blob)?;
    let encoded = encode::encode_with_nodes(schema);
    if stored.bytes() != encoded.bytes {
        return Err(Error::Damaged(format!("the schema at {blob:#x} is not that of {}", schema.name)));
    }
    for (schema, at) in encoded.nodes {
        let node = blob + at as u64;
        BY_ADDRESS.put(pool.id(), address(schema), node);
        BY_CONTENT.put(pool.id(), encode::content_hash(&encode::encode(schema)), node);
    }
    Ok(())
}

/// Offset in the pool of the node of a type that some registered schema reaches. A look-up in private memory.
///
/// # Errors
/// `Unsupported` when no registered schema reaches the type.
#[inline]
pub fn node_offset(pool: &Inner, schema: &'static Schema) -> Result<u64> {
    match BY_ADDRESS.get(pool.id(), address(schema)) {
        Some(node) => Ok(node),
        None => node_by_content(pool, schema),
    }
}

#[cold]
fn node_by_content(pool: &Inner, schema: &'static Schema) -> Result<u64> {
    let unknown =
        || Error::Unsupported(format!("no named object of this pool reaches the type {}", schema.name));
    let blob = encode::encode(schema);
    let at = BY_CONTENT.get(pool.id(), encode::content_hash(&blob)).ok_or_else(unknown)?;
    let wanted = View::checked_before(&blob).root();
    if difference(node(pool, at)?, wanted).is_some() {
        return Err(unknown());
    }
    BY_ADDRESS.put(pool.id(), address(schema), at);
    Ok(at)
}

/// The blob at an offset of the pool. O(1) when this process has checked it before.
///
/// # Errors
/// `Damaged` when there is none, or it is not whole.
pub fn view(pool: &Inner, blob: u64) -> Result<View<'_>> {
    let bytes = blob_bytes(pool, blob)?;
    if CHECKED.get(pool.id(), blob) == Some(bytes.len() as u64) {
        return Ok(View::checked_before(bytes));
    }
    let view = View::new(bytes).map_err(|e| Error::Damaged(format!("{e} at {blob:#x}")))?;
    CHECKED.put(pool.id(), blob, bytes.len() as u64);
    Ok(view)
}

/// The node at an offset of the pool, as records of the log name it.
///
/// # Errors
/// `Damaged` when there is none, or its blob is not whole.
pub fn node(pool: &Inner, offset: u64) -> Result<Node<'_>> {
    let bad = || Error::Damaged(format!("no schema at {offset:#x}"));
    if !offset.is_multiple_of(8) {
        return Err(bad());
    }
    let head = pool.at(offset, NODE as u64)?;
    // SAFETY: in bounds by `at`, aligned as checked; atomic, since damaged offsets may lead to words that others change.
    let distance =
        u64::from_le(unsafe { &*head.cast::<AtomicU64>().add(word::HEAD) }.load(Ordering::Relaxed)) >> 32;
    let blob = offset.checked_sub(distance).ok_or_else(bad)?;
    view(pool, blob)?.node(distance as usize).ok_or_else(bad)
}

/// Forgets what is known of a pool that this process closes: its id is never used again.
pub fn forget(pool: u64) {
    for cache in [&BY_ADDRESS, &BY_CONTENT, &CHECKED] {
        cache.forget(pool);
    }
}

/// The bytes of a blob, by the length that its header has; unchecked else.
fn blob_bytes(pool: &Inner, blob: u64) -> Result<&[u8]> {
    let bad = || Error::Damaged(format!("no schema at {blob:#x}"));
    if blob == 0 || !blob.is_multiple_of(8) {
        return Err(bad());
    }
    let header = pool.at(blob, HEADER as u64)?.cast::<AtomicU64>();
    // SAFETY: in bounds by `at`, aligned as checked; atomic, since damaged offsets may lead to words that others change.
    let [magic, len] = [0, 2].map(|i| u64::from_le(unsafe { &*header.add(i) }.load(Ordering::Relaxed)));
    if magic != MAGIC || len > LONGEST as u64 {
        return Err(bad());
    }
    let at = pool.at(blob, len)?;
    // SAFETY: in bounds by `at`, in a window that stays mapped as long as `pool`. Blobs are written before anything refers to them and
    // never change or go afterwards; their magic stands here.
    Ok(unsafe { std::slice::from_raw_parts(at, len as usize) })
}

fn address(schema: &'static Schema) -> u64 {
    std::ptr::from_ref(schema) as u64
}

const LISTS: usize = 256;
/// `Entry::pool` of an entry that nobody uses.
const VACANT: u64 = u64::MAX;
/// `Entry::pool` of an entry that is being filled.
const BUSY: u64 = u64::MAX - 1;

/// From pool and key to a value, without locks. Entries are never freed, but used again.
struct Cache {
    lists: [AtomicPtr<Entry>; LISTS],
}

struct Entry {
    /// Invariant: stored last; while it is a pool's id, key and value stay as they are until that pool is closed.
    pool: AtomicU64,
    key: AtomicU64,
    value: AtomicU64,
    next: *const Entry,
}

impl Cache {
    const fn new() -> Cache {
        Cache { lists: [const { AtomicPtr::new(std::ptr::null_mut()) }; LISTS] }
    }

    #[inline]
    fn list(&self, pool: u64, key: u64) -> &AtomicPtr<Entry> {
        let mixed = (key ^ pool.rotate_left(32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        &self.lists[(mixed >> 56) as usize]
    }

    fn entries(list: &AtomicPtr<Entry>) -> impl Iterator<Item = &'static Entry> {
        let mut at = list.load(Ordering::Acquire).cast_const();
        std::iter::from_fn(move || {
            // SAFETY: null, or made by `put` from a box that is never freed.
            let entry = unsafe { at.as_ref() }?;
            at = entry.next;
            Some(entry)
        })
    }

    #[inline]
    fn get(&self, pool: u64, key: u64) -> Option<u64> {
        Self::entries(self.list(pool, key))
            .find(|e| e.pool.load(Ordering::Acquire) == pool && e.key.load(Ordering::Relaxed) == key)
            .map(|e| e.value.load(Ordering::Relaxed))
    }

    /// Two threads may put the same at once; it then stands there twice.
    fn put(&self, pool: u64, key: u64, value: u64) {
        if self.get(pool, key).is_some() {
            return;
        }
        let list = self.list(pool, key);
        let vacant = Self::entries(list)
            .find(|e| e.pool.compare_exchange(VACANT, BUSY, Ordering::Acquire, Ordering::Relaxed).is_ok());
        if let Some(entry) = vacant {
            entry.key.store(key, Ordering::Relaxed);
            entry.value.store(value, Ordering::Relaxed);
            entry.pool.store(pool, Ordering::Release);
            return;
        }
        let mut next = list.load(Ordering::Relaxed);
        let new = Box::new(Entry { pool: pool.into(), key: key.into(), value: value.into(), next });
        let new = Box::into_raw(new);
        while let Err(now) = list.compare_exchange(next, new, Ordering::AcqRel, Ordering::Acquire) {
            next = now;
            // SAFETY: not published yet: only this thread has it.
            unsafe { (*new).next = next };
        }
    }

    fn forget(&self, pool: u64) {
        for entry in self.lists.iter().flat_map(Self::entries) {
            if entry.pool.load(Ordering::Relaxed) == pool {
                entry.pool.store(VACANT, Ordering::Release);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cache_tells_pools_and_keys_apart_and_uses_entries_again() {
        // As the real one: its entries are never given back.
        static CACHE: Cache = Cache::new();
        let cache = &CACHE;
        for key in 0..2000 {
            cache.put(1, key, key + 1);
            cache.put(2, key, key + 2);
        }
        assert!((0..2000).all(|k| cache.get(1, k) == Some(k + 1) && cache.get(2, k) == Some(k + 2)));
        assert_eq!(cache.get(1, 2000), None);
        let count = |c: &Cache| c.lists.iter().flat_map(Cache::entries).count();
        cache.forget(1);
        assert!((0..2000).all(|k| cache.get(1, k).is_none() && cache.get(2, k) == Some(k + 2)));
        let before = count(cache);
        cache.put(2, 0, 9);
        assert_eq!((count(cache), cache.get(2, 0)), (before, Some(2)));
    }
}
