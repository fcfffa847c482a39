//! The least that a table of texts needs, so that a row can show where the machine's limit is.

use super::strings::ask;
use crate::Result;
use crate::keys::Texts;
use crate::peers::hash::SameHash;
use crate::peers::mapping::{Mapping, TempFile};
use crate::row::Side;
use aquifer::hash::hash_bytes;
use std::rc::Rc;

/// Longest text that stands in the slot itself.
const INLINE: usize = 38;

/// A text, or how far from the first one of all it stands; and its value.
#[derive(Clone, Copy)]
#[repr(C)]
struct Slot {
    text: [u64; 5],
    value: u64,
}

/// A byte for each slot, the slots, and the texts that are too long for them, in shared memory as ours is: as large as a table of these texts,
/// but no text is put anywhere else than where its hash says, over what is there.
struct Table {
    control: *const u8,
    slots: *const Slot,
    texts: *const u8,
    mask: usize,
    _memory: Mapping,
}

impl Table {
    fn new(all: &Texts) -> Result<Table> {
        let slots = (all.len() * 8 / 7).next_power_of_two();
        let at_texts = slots * (1 + size_of::<Slot>());
        let mut memory = Mapping::new(TempFile::new()?, at_texts + all.bytes().len())?;
        let bytes = memory.bytes();
        bytes[..slots].fill(1);
        bytes[at_texts..].copy_from_slice(all.bytes());
        for (i, text) in all.iter().enumerate() {
            let at = slots + place(text.as_bytes(), slots - 1) * size_of::<Slot>();
            let slot = &mut bytes[at..at + size_of::<Slot>()];
            match text.len() {
                0..=INLINE => slot[..text.len()].copy_from_slice(text.as_bytes()),
                length => slot[..8].copy_from_slice(&((i * length) as u64).to_le_bytes()),
            }
            slot[40..].copy_from_slice(&(i as u64).to_le_bytes());
        }
        let control = bytes.as_ptr();
        let (from_slots, from_texts) = (control.wrapping_add(slots), control.wrapping_add(at_texts));
        Ok(Table { control, slots: from_slots.cast(), texts: from_texts, mask: slots - 1, _memory: memory })
    }

    /// What stands where the text would: its value, if all bits are the text's.
    #[inline(always)]
    fn get(&self, text: &[u8]) -> u64 {
        let i = place(text, self.mask);
        // SAFETY: as many bytes, and slots at a multiple of their alignment, as the mask says.
        let (control, slot) = unsafe { (*self.control.add(i), self.slots.add(i)) };
        if control != 1 {
            return 0;
        }
        // SAFETY: a slot, of bytes that are any number; a text begins in it, or so far from the first of all, or it is the first.
        unsafe {
            let inline = text.len() <= INLINE;
            let own = if inline { slot.cast() } else { self.texts.add((*slot).text[0] as usize) };
            (*slot).value ^ differ(own, text)
        }
    }
}

#[inline(always)]
fn place(text: &[u8], mask: usize) -> usize {
    hash_bytes(text, SameHash::default().0) as usize & mask
}

/// In which bits a text of 8 to 32 bytes differs from the one at `own`.
///
/// # Safety
/// As many bytes can be read there.
#[inline(always)]
unsafe fn differ(own: *const u8, text: &[u8]) -> u64 {
    let pair = |at: usize| {
        // SAFETY: the caller's contract, and within the text: `at` is at most its length less 8.
        let (a, b) = unsafe { (own.add(at).cast::<u64>(), text.as_ptr().add(at).cast::<u64>()) };
        // SAFETY: as above.
        unsafe { a.read_unaligned() ^ b.read_unaligned() }
    };
    let last = text.len() - 8;
    if text.len() <= 16 { pair(0) | pair(last) } else { pair(0) | pair(8) | pair(last - 8) | pair(last) }
}

/// Looks up the questions, of 8 to 32 bytes each.
pub fn bare_texts(all: &Texts, questions: Rc<Texts>) -> Result<Side> {
    let table = Table::new(all)?;
    Ok(Box::new(move || Ok(ask(&questions, |text| Some(table.get(text.as_bytes()))))))
}
