//! The locks that stand in a value itself, found by its schema: what moves or takes out values must not take a locked lock along.

use crate::schema::{Field, Schema, Shape};
use std::sync::atomic::{AtomicU64, Ordering};

/// The writer's part of a lock word whose value was taken out of its collection. No seat has this number.
pub(crate) const TAKEN_OUT: u32 = 0xfffe;

/// Whether values of the type hold locks in their own bytes. Those in blocks that they own do not count.
fn has_some(schema: &Schema) -> bool {
    let in_fields = |fields: &[Field]| fields.iter().any(|f| has_some((f.schema)()));
    match &schema.shape {
        Shape::Lock { .. } => true,
        Shape::Struct(fields) => in_fields(fields),
        Shape::Enum { variants, .. } => variants.iter().any(|v| in_fields(v.fields)),
        Shape::Option { item, .. } | Shape::Array { item, .. } => has_some(item()),
        _ => false,
    }
}

/// Marks all locks of a copy that only serves to be looked at: locking one is an error.
///
/// # Safety
/// A valid value of that type stands at `value`, exclusively the caller's.
pub(crate) unsafe fn mark_taken_out(schema: &Schema, value: *mut u8) {
    // SAFETY: the caller's contract, for each part as for the whole.
    unsafe {
        match &schema.shape {
            Shape::Lock { .. } => (*value.cast::<AtomicU64>()).store(TAKEN_OUT as u64 + 1, Ordering::Relaxed),
            Shape::Struct(fields) => in_fields(fields, value),
            Shape::Array { item, len } if has_some(item()) => {
                (0..*len).for_each(|i| mark_taken_out(item(), value.add(i * item().size)));
            }
            Shape::Option { item, none } if has_some(item()) => {
                let none = none();
                if number(value.add(none.offset), none.size) != none.value {
                    mark_taken_out(item(), value.add(none.some_offset));
                }
            }
            Shape::Enum { tag_offset, tag_size, variants } => {
                let tag = number(value.add(*tag_offset), *tag_size);
                let variant = variants.iter().find(|v| crate::discard::is_tag(v.tag, tag, *tag_size as u64));
                if let Some(variant) = variant {
                    in_fields(variant.fields, value);
                }
            }
            _ => {}
        }
    }
}

/// # Safety
/// As for [`mark_taken_out`].
unsafe fn in_fields(fields: &[Field], value: *mut u8) {
    for f in fields {
        // SAFETY: the caller's contract.
        unsafe { mark_taken_out((f.schema)(), value.add(f.offset)) };
    }
}

/// The number in at most 16 bytes, little-endian.
///
/// # Safety
/// They are readable and initialised.
unsafe fn number(at: *const u8, size: usize) -> u128 {
    // SAFETY: the caller's contract.
    (0..size.min(16)).rev().fold(0, |n, i| n << 8 | unsafe { at.add(i).read() } as u128)
}

#[cfg(test)]
mod tests {
    use crate::{Relocatable, ShBox, ShMap, ShMutex, ShRwLock, ShString, ShVec};

    #[test]
    fn a_type_says_by_its_constant_what_its_schema_says() {
        fn assert_locks<T: Relocatable>(has_some: bool) {
            assert_eq!((T::LOCKS, super::has_some(T::SCHEMA)), (has_some, has_some), "{}", T::SCHEMA.name);
        }
        assert_locks::<ShMutex<u64>>(true);
        assert_locks::<(u64, Option<ShRwLock<ShString>>)>(true);
        assert_locks::<[(ShString, ShMutex<u64>); 3]>(true);
        assert_locks::<(u64, ShString, [u8; 4])>(false);
        // In blocks of their own.
        assert_locks::<ShVec<ShMutex<u64>>>(false);
        assert_locks::<(ShBox<ShMutex<u64>>, ShMap<u64, ShMutex<u64>>)>(false);
    }
}
