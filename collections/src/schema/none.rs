//! What the compiler writes for `None`, found by trying.
//!
//! The compiler promises nothing here. What it does is one of two:
//! - An `Option` as large as its item uses a value that some part of the item cannot have. The bytes of that part are those that make it
//!   `Some` when they are overwritten; all others may be anything.
//! - An `Option` larger than its item has a tag in front of it. `None` is written over two differently filled buffers: the bytes before
//!   the item that come out equal are the tag.

use crate::schema::NonePattern;
use std::hint::black_box;
use std::mem::MaybeUninit;

/// Longest pattern.
const MOST: usize = 16;

/// The pattern of `Option<T>`. O(size of T); meant to be asked once for each type.
pub fn none_pattern<T>() -> NonePattern {
    let some_offset = size_of::<Option<T>>() - size_of::<T>();
    let mut probe = Probe::<T>(MaybeUninit::uninit());
    let tells: Vec<usize> = match some_offset {
        // Miri minds when a character is no character, even if only its being one is asked for; small items are all pattern.
        0 if cfg!(miri) && size_of::<T>() <= 8 => (0..size_of::<T>()).collect(),
        0 => (0..size_of::<T>()).filter(|i| probe.is_telling(*i)).collect(),
        _ => tag_bytes::<T>(some_offset),
    };
    let (Some(first), Some(last)) = (tells.first(), tells.last()) else {
        // `T` has no values: every `Option<T>` is `None`, and the empty pattern matches always.
        return NonePattern { offset: 0, size: 0, value: 0, some_offset };
    };
    let size = last + 1 - first;
    assert!(size <= MOST && size == tells.len(), "the compiler writes None to the bytes {tells:?}");
    probe.reset(0);
    let mut value = [0u8; MOST];
    for (to, i) in value.iter_mut().zip(&tells) {
        *to = probe.byte(*i);
    }
    NonePattern { offset: *first, size, value: u128::from_le_bytes(value), some_offset }
}

/// The bytes before the item that `None` writes.
fn tag_bytes<T>(before: usize) -> Vec<usize> {
    let [first, second] = [0x55, 0xaa].map(|fill| {
        let mut probe = Probe::<T>(MaybeUninit::uninit());
        probe.reset(fill);
        (0..before).map(|i| probe.byte(i)).collect::<Vec<_>>()
    });
    (0..before).take_while(|i| first[*i] == second[*i]).collect()
}

/// A place that holds `None` or is being changed.
struct Probe<T>(MaybeUninit<Option<T>>);

impl<T> Probe<T> {
    /// Writes `None` over bytes that are all `fill`.
    fn reset(&mut self, fill: u8) {
        let at = self.0.as_mut_ptr();
        // SAFETY: the bytes of our own place, not used as an `Option` until `write_none` has written it.
        unsafe { at.cast::<u8>().write_bytes(fill, size_of::<Option<T>>()) };
        fill_stack::<T>(fill);
        write_none(black_box(at));
    }

    /// Byte `i`, which `None` writes, or which was left as it was filled.
    fn byte(&mut self, i: usize) -> u8 {
        assert!(i < size_of::<Option<T>>());
        // SAFETY: in bounds by the assertion; `reset` has filled it. Volatile and behind `black_box`, so that the compiler does not
        // reason about which bytes `None` leaves unwritten.
        unsafe { black_box(self.0.as_mut_ptr()).cast::<u8>().add(i).read_volatile() }
    }

    /// Whether overwriting byte `i` of a `None` as large as its item makes it `Some`. Bytes for which it does not need not be restored.
    fn is_telling(&mut self, i: usize) -> bool {
        if i == 0 {
            self.reset(0);
        }
        let tells = [0x00, 0x01, 0x7e, 0xff].into_iter().any(|v| self.is_some_with(i, v));
        if tells {
            self.reset(0);
        }
        tells
    }

    // `is_some` would make a reference to what may be no value.
    #[allow(clippy::redundant_pattern_matching)]
    #[inline(never)]
    fn is_some_with(&mut self, i: usize, value: u8) -> bool {
        assert!(i < size_of::<Option<T>>());
        let at = black_box(self.0.as_mut_ptr());
        // SAFETY: in bounds by the assertion. Only the discriminant is read, through a raw pointer, and the item is not looked at. For some
        // bytes the item would be invalid; the discriminant of an option without a tag is one comparison of these bytes with those of `None`.
        unsafe {
            at.cast::<u8>().add(i).write_volatile(value);
            matches!(*black_box(at), Some(_))
        }
    }
}

#[inline(never)]
fn write_none<T>(at: *mut Option<T>) {
    // SAFETY: `at` is the probe's own place.
    unsafe { at.write(None) };
}

/// Leaves `fill` in the stack below the caller: a build without optimisation copies `None` through a temporary there, with whatever lies
/// in the bytes that `None` does not write. They must differ between the two fills too.
#[inline(never)]
fn fill_stack<T>(fill: u8) {
    let mut below = MaybeUninit::<([MaybeUninit<Option<T>>; 4], [u8; 4096])>::uninit();
    // SAFETY: the bytes of a local that is never read.
    unsafe { below.as_mut_ptr().cast::<u8>().write_bytes(fill, size_of_val(&below)) };
    black_box(&mut below);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::num::{NonZeroU16, NonZeroU64};

    /// Whether the bytes of `value` match the pattern.
    fn matches<T>(p: NonePattern, value: Option<T>) -> bool {
        let value = MaybeUninit::new(value);
        (0..p.size).all(|i| {
            // SAFETY: within the local; the bytes of the pattern are written in `None` and `Some`.
            let found = unsafe { value.as_ptr().cast::<u8>().add(p.offset + i).read_volatile() };
            found == p.value.to_le_bytes()[i]
        })
    }

    /// The pattern matches `None`, and none of the given values, which stand where it says.
    fn holds<T: Copy>(values: &[T]) -> NonePattern {
        let p = none_pattern::<T>();
        assert!(matches(p, None::<T>));
        for v in values {
            let some = Some(*v);
            let at =
                some.as_ref().map(|r| std::ptr::from_ref(r) as usize - std::ptr::from_ref(&some) as usize);
            assert_eq!(at, Some(p.some_offset));
            assert!(!matches(p, some));
        }
        p
    }

    #[test]
    fn a_tag_stands_in_front_of_items_without_a_niche() {
        assert_eq!(holds(&[0u64, 1, u64::MAX]), NonePattern { offset: 0, size: 8, value: 0, some_offset: 8 });
        assert_eq!(holds(&[0u8, 1, 255]), NonePattern { offset: 0, size: 1, value: 0, some_offset: 1 });
        assert_eq!(holds(&[(1u8, 2u32)]).some_offset, 4);
        assert_eq!(holds(&[[0u8; 3], [1, 2, 3]]).some_offset, 1);
        assert_eq!(holds(&[0u128, 1]).some_offset, 16);
        assert_eq!(holds(&[()]).size, 1);
    }

    #[test]
    fn values_that_the_item_cannot_have_mean_none() {
        assert_eq!(holds(&[false, true]).size, 1);
        assert_eq!(holds(&['a', '\u{10ffff}', '\0']).size, 4);
        assert_eq!(holds(&[NonZeroU64::MIN, NonZeroU64::MAX]).value, 0);
        // Which of the other values it is differs between versions of the compiler.
        assert_eq!(holds(&[Some(false), Some(true), None]).size, 1);
        // Passed in two registers, one of which `None` leaves as it was.
        assert_eq!(holds(&[(NonZeroU64::MIN, 7u64)]).size, 8);
        let p = holds(&[(false, 0x5555_5555_5555_5555u64), (true, 3)]);
        assert_eq!((p.size, p.some_offset), (1, 0));
    }

    #[test]
    fn a_niche_inside_a_large_item_is_found_and_nothing_around_it() {
        #[derive(Clone, Copy)]
        #[repr(C)]
        struct Large {
            before: [u64; 40],
            niche: NonZeroU16,
            after: [u16; 31],
        }
        let one = Large { before: [0x5555_5555; 40], niche: NonZeroU16::MIN, after: [0xaaaa; 31] };
        let p = holds(&[one]);
        assert_eq!(p, NonePattern { offset: 320, size: 2, value: 0, some_offset: 0 });
        assert_eq!(one.before.len() + one.after.len() + one.niche.get() as usize, 72);
    }

    #[test]
    fn an_item_without_values_is_always_none() {
        #[derive(Clone, Copy)]
        enum Never {}
        assert_eq!(holds::<Never>(&[]).size, 0);
    }

    #[repr(C, align(64))]
    #[derive(Clone, Copy)]
    struct Wide(u64);

    #[test]
    #[cfg_attr(miri, ignore = "reads the gap behind the tag, to see that it is not written")]
    fn a_wide_alignment_leaves_a_gap_that_is_not_part_of_the_pattern() {
        let p = holds(&[Wide(0), Wide(1)]);
        assert!(p.some_offset == 64 && p.size <= 8);
        assert_eq!(Wide(3).0, 3);
    }
}
