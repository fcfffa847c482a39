//! Moving the elements of a vector by one place so that a kill in the middle can be undone.
//!
//! The record names the first slot, the number of elements, their size and the direction; its value counts the elements moved so far.
//! Moving element by element never destroys the only copy of one: the slot just written was copied before, to its neighbour.

use crate::log::{Kind, LogCx, RecordView};

/// Direction of a shift.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// `slot[i] = slot[i + 1]` for i = 0 .. count: closes the gap at slot 0.
    Down,
    /// `slot[i + 1] = slot[i]` for i = count - 1 .. 0: opens a gap at slot 0.
    Up,
}

const UP: u64 = 1 << 47;

/// Moves `count` elements of `size` bytes by one slot; `slots` is slot 0 of `count + 1` slots.
///
/// # Safety
/// The `count + 1` slots are in the pool, under a lock held until the commit (or beyond the vector's length), and what is overwritten
/// first (slot 0 for `Down`, slot `count` for `Up`) was saved or need not be kept. `size` and `count` are below 2^32.
pub unsafe fn shift(cx: &LogCx, slots: *mut u8, count: usize, size: usize, direction: Direction) {
    if count == 0 || size == 0 {
        return;
    }
    let Some(offset) = cx.pool().offset_of(slots) else { panic!("shifted bytes are not in the pool") };
    let up = if direction == Direction::Up { UP } else { 0 };
    let record = cx.len();
    cx.push(RecordView::new(Kind::Shift, offset, pack(0, count as u64)).with_aux(size as u64 | up));
    for done in 0..count {
        let i = if up != 0 { count - 1 - done } else { done };
        let (from, to) = if up != 0 { (i, i + 1) } else { (i + 1, i) };
        // SAFETY: slots 0..=count are the caller's.
        unsafe { std::ptr::copy(slots.add(from * size).cast_const(), slots.add(to * size), size) };
        // Dead before this store: element `i` may be half copied; undo restores its target first. After: it counts as moved.
        cx.set_value(record, pack(done as u64 + 1, count as u64));
    }
}

/// Bytes of all slots that a shift has moved or will move.
pub(crate) fn bytes(r: RecordView) -> u64 {
    ((r.value >> 32) + 1).saturating_mul(r.aux & (UP - 1))
}

/// Progress and, for `Up`, the count are both needed to undo: 32 bits each.
fn pack(done: u64, count: u64) -> u64 {
    done | count << 32
}

/// Moves the elements back, last moved first, counting down in record `i` of the log. Repeatable: what a kill leaves moved back but still counted is
/// moved back again, from a slot that was not written since.
pub(crate) fn undo(cx: &LogCx, i: u32, r: RecordView) {
    let (done, count) = (r.value & 0xffff_ffff, r.value >> 32);
    let (size, up) = (r.aux & (UP - 1), r.aux & UP != 0);
    if size == 0 {
        return; // damaged: `shift` writes no such record
    }
    let Ok(slots) = cx.pool().at(r.offset, (count + 1).saturating_mul(size)) else { return };
    for k in (0..done.min(count)).rev() {
        let slot = if up { count - 1 - k } else { k };
        let (from, to) = if up { (slot + 1, slot) } else { (slot, slot + 1) };
        // SAFETY: slots 0..=count are in bounds by `at` above; they were the dead operation's own.
        unsafe {
            std::ptr::copy(
                slots.add((from * size) as usize).cast_const(),
                slots.add((to * size) as usize),
                size as usize,
            );
        }
        // Dead before this store: the element is moved back once more. After: it is back, and the slot it came from is next to be written.
        cx.set_value(i, pack(k, count));
    }
}
