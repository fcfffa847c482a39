//! Memory by hand: handles, offsets, and what is refused.

#![allow(missing_docs, clippy::unwrap_used)]

use aquifer::{Error, Handle, Pool, ShMutex, ShVec, Shared};
use std::alloc::Layout;

fn pool() -> Pool {
    Pool::options().private().unwrap()
}

#[test]
fn a_block_is_allocated_resolved_and_freed_once() {
    let pool = pool();
    let handle = pool.alloc(Layout::new::<[u64; 4]>()).unwrap();
    let again = Handle::from_bits(handle.to_bits()).unwrap();
    assert_eq!(pool.resolve_handle(again).unwrap(), pool.resolve_handle(handle).unwrap());
    let shared: Shared<[u64; 4]> = pool.shared(handle).unwrap();
    let at = pool.resolve(shared).unwrap();
    // SAFETY: a fresh block of that size, which only this test knows.
    unsafe {
        at.write([1, 2, 3, 4]);
        assert_eq!(*pool.resolve(shared).unwrap(), [1, 2, 3, 4]);
    }
    let report = pool.check().unwrap();
    assert!(report.is_clean(), "{report}");
    assert!(report.by_hand.len() == 1 && report.by_hand[0].handle == handle && report.by_hand_bytes >= 32);
    // SAFETY: a block of this test's, freed once; nothing was allocated before the second attempt.
    unsafe {
        pool.free(handle).unwrap();
        assert!(matches!(pool.free(handle), Err(Error::BadBlock { .. })));
    }
    assert!(matches!(pool.resolve(shared), Err(Error::BadBlock { .. })));
    assert!(pool.check().unwrap().is_clean());
}

#[test]
fn what_is_no_block_of_this_pool_is_refused() {
    let (one, other) = (pool(), pool());
    let handle = one.alloc(Layout::new::<u64>()).unwrap();
    assert!(matches!(other.resolve_handle(handle), Err(Error::OtherPool)));
    // SAFETY: a block of another pool is refused.
    assert!(matches!(unsafe { other.free(handle) }, Err(Error::OtherPool)));
    for bits in [handle.to_bits() + 1, handle.to_bits() + (1 << 40), handle.to_bits() & !((1 << 48) - 1)] {
        let bad = Handle::from_bits(bits).unwrap();
        assert!(matches!(one.resolve_handle(bad), Err(Error::BadBlock { .. })), "{bad:?}");
        // SAFETY: no block begins there, which is refused.
        assert!(unsafe { one.free(bad) }.is_err());
    }
    assert!(matches!(one.shared::<[u64; 4096]>(handle), Err(Error::BadBlock { .. })), "too small");
    // SAFETY: a block of this test's, freed once.
    unsafe { one.free(handle) }.unwrap();
}

#[test]
fn what_a_collection_owns_cannot_be_freed_by_hand() {
    let pool = pool();
    let list = pool.named_with::<ShMutex<ShVec<u64>>, _>("list", || ShMutex::new([1, 2, 3])).unwrap();
    let by_hand = pool.alloc(Layout::new::<[u64; 4]>()).unwrap();
    let tag = by_hand.to_bits() & !((1 << 48) - 1);
    let block = pool.raw().offset_of(list.lock().unwrap().as_ptr().cast()).unwrap();
    let handle = Handle::from_bits(tag | block).unwrap();
    assert!(pool.resolve_handle(handle).is_ok());
    // SAFETY: refused.
    assert!(matches!(unsafe { pool.free(handle) }, Err(Error::BadBlock { .. })));
    assert_eq!(**list.lock().unwrap(), [1, 2, 3]);
    assert!(pool.check().unwrap().is_clean());
}

#[test]
fn offsets_live_in_collections() {
    let pool = pool();
    let list = pool.named::<ShMutex<ShVec<Option<Shared<u64>>>>>("list").unwrap();
    let shared = pool.shared::<u64>(pool.alloc(Layout::new::<u64>()).unwrap()).unwrap();
    list.lock().unwrap().extend([Some(shared), None]).unwrap();
    assert_eq!(**list.lock().unwrap(), [Some(shared), None]);
}

#[test]
fn a_rolled_back_transaction_takes_blocks_back() {
    let pool = pool();
    let (mut handle, before) = (None, pool.stats().used);
    let result = pool.transaction(|_| {
        handle = Some(pool.alloc(Layout::new::<[u64; 1000]>())?);
        Err::<(), _>(Error::abort("no"))
    });
    assert!(result.is_err());
    assert_eq!(pool.stats().used, before);
    assert!(pool.resolve_handle(handle.unwrap()).is_err());
}

#[test]
fn small_blocks_take_part_in_a_transaction_too() {
    let pool = pool();
    let small = Layout::new::<u64>();
    // A slab is in hand, with room, and the next free would be of it.
    let (kept, freed) = (pool.alloc(small).unwrap(), pool.alloc(small).unwrap());
    let mut handle = None;
    let result = pool.transaction(|_| {
        handle = Some(pool.alloc(small)?);
        // SAFETY: allocated above; the transaction that frees it fails.
        unsafe { pool.free(freed)? };
        Err::<(), _>(Error::abort("no"))
    });
    assert!(result.is_err());
    assert!(pool.resolve_handle(handle.unwrap()).is_err());
    for block in [kept, freed] {
        pool.resolve_handle(block).unwrap();
        // SAFETY: allocated above, and not freed.
        unsafe { pool.free(block).unwrap() };
    }
    let again = pool.alloc(small).unwrap();
    // SAFETY: allocated just before.
    unsafe { pool.free(again).unwrap() };
    assert!(pool.check().unwrap().is_clean());
}
