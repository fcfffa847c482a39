//! Comparing short texts of bytes by a few overlapping loads, without a call.

/// Whether two texts of bytes are equal.
#[inline(always)]
pub(crate) fn same(a: &[u8], b: &[u8]) -> bool {
    let len = a.len();
    if len != b.len() {
        return false;
    }
    match len {
        8..=16 => same_8_to_16(a, b),
        17..=32 => same_16_to_32(a, b),
        33..=48 => same_32_to_48(a, b),
        4..8 => same_4_to_8(a, b),
        _ => a == b,
    }
}

/// The same for two texts of one length, 4 to 8 bytes.
#[inline(always)]
pub(crate) fn same_4_to_8(a: &[u8], b: &[u8]) -> bool {
    differ::<4>(a, b, 0) | differ::<4>(a, b, a.len() - 4) == 0
}

/// The same for 8 to 16 bytes.
#[inline(always)]
pub(crate) fn same_8_to_16(a: &[u8], b: &[u8]) -> bool {
    differ::<8>(a, b, 0) | differ::<8>(a, b, a.len() - 8) == 0
}

/// The same for 16 to 32 bytes.
#[inline(always)]
pub(crate) fn same_16_to_32(a: &[u8], b: &[u8]) -> bool {
    let end = a.len() - 16;
    differ::<8>(a, b, 0) | differ::<8>(a, b, 8) | differ::<8>(a, b, end) | differ::<8>(a, b, end + 8) == 0
}

/// The same for 32 to 48 bytes.
#[inline(always)]
pub(crate) fn same_32_to_48(a: &[u8], b: &[u8]) -> bool {
    let end = a.len() - 16;
    let first = differ::<8>(a, b, 0) | differ::<8>(a, b, 8) | differ::<8>(a, b, 16) | differ::<8>(a, b, 24);
    first | differ::<8>(a, b, end) | differ::<8>(a, b, end + 8) == 0
}

/// In which bits the `N` bytes at `at` differ.
#[inline(always)]
fn differ<const N: usize>(a: &[u8], b: &[u8], at: usize) -> u64 {
    word::<N>(a, at) ^ word::<N>(b, at)
}

/// The `N` bytes at `at` as a number, 4 or 8.
#[inline(always)]
fn word<const N: usize>(bytes: &[u8], at: usize) -> u64 {
    assert!(at.checked_add(N).is_some_and(|end| end <= bytes.len()));
    let at = bytes.as_ptr().wrapping_add(at);
    // SAFETY: in bounds, as was just checked; any bytes are a number.
    unsafe {
        if N == 4 { at.cast::<u32>().read_unaligned() as u64 } else { at.cast::<u64>().read_unaligned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_the_same_only_if_every_one_is() {
        for len in 0..80 {
            let a: Vec<u8> = (0..len).collect();
            assert!(same(&a, &a.clone()), "{len}");
            for i in 0..len as usize {
                let mut b = a.clone();
                b[i] ^= 0x10;
                assert!(!same(&a, &b), "byte {i} of {len}");
                assert!(!same(&a, &a[..i]), "{i} bytes of {len}");
            }
        }
    }
}
