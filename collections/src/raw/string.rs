//! Strings: up to 38 bytes in the header itself, longer ones in a block.
//!
//! | bytes | inline | in a block |
//! |---|---|---|
//! | 0..8 | text | offset of the block |
//! | 8..16 | text | length |
//! | 16..32 | text | 0 |
//! | 32..39 | text | capacity, 56 bits |
//! | 39 | length, 0..=38 | 0xff |
//!
//! 40 zero bytes are the empty string.

use super::bytes;
use super::mem;
use super::ptr::{self, Reach};
use crate::place::Place;
use crate::string::ShString;
use aquifer_pool::Result;
use aquifer_pool::granule::granule;
use aquifer_pool::log::LogCx;
use std::sync::atomic::{AtomicU64, Ordering};

/// Words of a header.
const WORDS: usize = 5;
/// The word with the tag.
const LAST: usize = WORDS - 1;
/// Longest text that needs no block: a UUID or 32 hexadecimal digits stand in place.
pub(crate) const INLINE: usize = 8 * WORDS - 2;
const IN_BLOCK: u64 = 0xff;
const TAG_SHIFT: u32 = 56;
const CAP: u64 = (1 << TAG_SHIFT) - 1;
const NO_TEXT: &str = "a string has a tag or a block that none can have";

/// Header of a string.
///
/// Invariant: as the table of the module says; the text is UTF-8.
#[repr(C)]
pub(crate) struct Header {
    words: [AtomicU64; WORDS],
}

const _: () = assert!(size_of::<Header>() == 40 && align_of::<Header>() == 8);

/// Where a string's text is.
enum Text {
    Inline(usize),
    Block { offset: u64, len: usize, cap: usize },
}

impl Header {
    pub(crate) fn empty() -> Header {
        Header::of_words([0; WORDS])
    }

    fn of_words(words: [u64; WORDS]) -> Header {
        Header { words: words.map(AtomicU64::new) }
    }

    fn inline(text: &[u8]) -> Header {
        Header::of_words(inline_words(text))
    }

    fn in_block(offset: u64, len: usize, cap: usize) -> Header {
        Header::of_words(block_words(offset, len, cap))
    }

    #[inline(always)]
    fn word(&self, i: usize) -> u64 {
        self.words[i].load(Ordering::Relaxed)
    }

    #[inline(always)]
    fn text(&self) -> Text {
        let last = self.word(LAST);
        match last >> TAG_SHIFT {
            IN_BLOCK => {
                Text::Block { offset: self.word(0), len: self.word(1) as usize, cap: (last & CAP) as usize }
            }
            len if len as usize <= INLINE => Text::Inline(len as usize),
            _ => ptr::damaged(NO_TEXT),
        }
    }

    #[inline(always)]
    pub(crate) fn as_str(&self) -> &str {
        let (at, len) = match self.text() {
            Text::Inline(len) => (std::ptr::from_ref(self).cast::<u8>(), len),
            Text::Block { len: 0, .. } => (std::ptr::dangling(), 0),
            Text::Block { offset, len, .. } => (ptr::resolve(self, offset, len as u64).cast_const(), len),
        };
        // SAFETY: within the header, or in bounds by `resolve`; UTF-8 (invariant); nobody changes it while the header is borrowed.
        unsafe { std::str::from_utf8_unchecked(std::slice::from_raw_parts(at, len)) }
    }

    /// A word, read plainly, so that the compiler may lift other reads over this one.
    #[inline(always)]
    fn plain_word(&self, i: usize) -> u64 {
        // SAFETY: a word of the header, which nobody changes while it is borrowed.
        unsafe { self.words[i].as_ptr().read() }
    }

    /// Whether the text is this one: of a string in a pool that can be reached so.
    ///
    /// By the length of the other one first, which is the same all through most loops.
    #[inline(always)]
    pub(crate) fn is_text(&self, text: &[u8], reach: Reach) -> bool {
        let (tag, len) = (self.plain_word(LAST) >> TAG_SHIFT, text.len());
        let is_inline = tag == len as u64;
        // SAFETY: only where the tag says that so many bytes of text stand in the header.
        let inline = || unsafe { std::slice::from_raw_parts(std::ptr::from_ref(self).cast(), len) };
        match len {
            4..8 if is_inline => bytes::same_4_to_8(inline(), text),
            8..=16 if is_inline => bytes::same_8_to_16(inline(), text),
            17..=32 if is_inline => bytes::same_16_to_32(inline(), text),
            33..=INLINE if is_inline => bytes::same_32_to_48(inline(), text),
            17.. if tag == IN_BLOCK && self.plain_word(1) == len as u64 => {
                let block = reach.resolve(self.plain_word(0), len as u64).cast_const();
                // SAFETY: in bounds by `resolve`.
                let own = unsafe { std::slice::from_raw_parts(block, len) };
                if len <= 32 { bytes::same_16_to_32(own, text) } else { own == text }
            }
            _ => self.is_any_text(text).unwrap_or_else(|| ptr::damaged(NO_TEXT)),
        }
    }

    /// The same for any text; `None` if the header is none. As a call that neither panics nor writes, so that the compiler may lift what it
    /// likes over it.
    #[cold]
    #[inline]
    fn is_any_text(&self, text: &[u8]) -> Option<bool> {
        let own = std::ptr::from_ref(self).cast::<u8>();
        let (at, len) = match self.plain_word(LAST) >> TAG_SHIFT {
            IN_BLOCK => (
                granule(own.addr()).resolve(self.plain_word(0), self.plain_word(1))?.cast_const(),
                self.plain_word(1) as usize,
            ),
            len if len as usize <= INLINE => (own, len as usize),
            _ => return None,
        };
        // SAFETY: in bounds by `resolve`, or within the header.
        Some(unsafe { std::slice::from_raw_parts(at, len) } == text)
    }

    /// Bytes of text that fit without another block.
    pub(crate) fn capacity(&self) -> usize {
        match self.text() {
            Text::Inline(_) => INLINE,
            Text::Block { cap, .. } => cap,
        }
    }
}

fn inline_words(text: &[u8]) -> [u64; WORDS] {
    let mut bytes = [0; 8 * WORDS];
    bytes[..text.len()].copy_from_slice(text);
    bytes[8 * WORDS - 1] = text.len() as u8;
    std::array::from_fn(|i| u64::from_le_bytes(std::array::from_fn(|k| bytes[i * 8 + k])))
}

fn block_words(offset: u64, len: usize, cap: usize) -> [u64; WORDS] {
    [offset, len as u64, 0, 0, IN_BLOCK << TAG_SHIFT | cap as u64 & CAP]
}

/// Builds a string's header from text.
///
/// An operation is open on `log`; undoing it gives the block back.
#[inline]
pub(crate) fn build(text: &str, log: &LogCx) -> Result<Header> {
    if text.len() <= INLINE {
        return Ok(Header::inline(text.as_bytes()));
    }
    let (offset, at) = mem::block(log, text.len(), 1)?;
    // SAFETY: a new block of that length.
    unsafe { std::ptr::copy_nonoverlapping(text.as_ptr(), at, text.len()) };
    Ok(Header::in_block(offset, text.len(), text.len()))
}

/// Pushes the intent to free a string's block, if it has one.
pub(crate) fn discard(header: &Header, log: &LogCx) {
    if let Text::Block { offset, .. } = header.text() {
        mem::free(log, offset);
    }
}

/// A string that may be changed: its header, and the log that the changes go to.
pub(crate) struct StringMut<'a> {
    header: &'a Header,
    log: &'a LogCx,
}

impl<'a> StringMut<'a> {
    #[inline(always)]
    pub(crate) fn of(place: &'a mut Place<ShString>) -> StringMut<'a> {
        // SAFETY: whoever has a place has the guard, operation or transaction of its context, on this thread, for as long.
        let log = unsafe { place.cx().log() };
        StringMut { header: &place.header, log }
    }

    /// Appends text. Amortized O(text).
    pub(crate) fn push_str(&self, text: &str) -> Result<()> {
        if text.is_empty() {
            return Ok(());
        }
        match self.header.text() {
            Text::Inline(len) if len + text.len() <= INLINE => {
                mem::reserve_log(self.log, 0)?;
                let mut bytes = [0; INLINE];
                bytes[..len].copy_from_slice(self.header.as_str().as_bytes());
                bytes[len..len + text.len()].copy_from_slice(text.as_bytes());
                self.put(inline_words(&bytes[..len + text.len()]));
                Ok(())
            }
            Text::Block { offset, len, cap } if text.len() <= cap.saturating_sub(len) => {
                self.append(offset, len, text)
            }
            _ => self.push_growing(text),
        }
    }

    /// Appends text that fits the block.
    fn append(&self, offset: u64, len: usize, text: &str) -> Result<()> {
        mem::reserve_log(self.log, text.len())?;
        let start = ptr::resolve(self.header, offset, (len + text.len()) as u64);
        // SAFETY: in bounds by `resolve`, within the capacity as the caller has checked; `text` is a shared borrow, not of spare room.
        unsafe {
            let at = start.add(len);
            mem::save_spare(self.log, at, text.len());
            std::ptr::copy_nonoverlapping(text.as_ptr(), at, text.len());
        }
        mem::publish_alone(self.log, &self.header.words[1], (len + text.len()) as u64);
        Ok(())
    }

    #[cold]
    fn push_growing(&self, text: &str) -> Result<()> {
        let len = self.header.as_str().len();
        self.reserve(text.len())?;
        let Text::Block { offset, .. } = self.header.text() else {
            ptr::damaged("a long string has no block")
        };
        self.append(offset, len, text)
    }

    /// Room for `more` bytes of text.
    pub(crate) fn reserve(&self, more: usize) -> Result<()> {
        let (len, cap) = (self.header.as_str().len(), self.header.capacity());
        let need = mem::bytes_of(len.saturating_add(more), 1)?;
        if need <= cap { Ok(()) } else { self.resize(need.max(cap * 2)) }
    }

    fn resize(&self, cap: usize) -> Result<()> {
        mem::reserve_log(self.log, 0)?;
        let op = self.log.begin();
        if let Text::Block { offset, .. } = self.header.text()
            && mem::lengthen(self.log, offset, cap)
        {
            mem::change(self.log, &self.header.words[LAST], IN_BLOCK << TAG_SHIFT | cap as u64);
            op.commit();
            return Ok(());
        }
        let (offset, at) = mem::block(self.log, cap, 1)?;
        let text = self.header.as_str();
        // SAFETY: a new block of `cap` bytes, at least the text's.
        unsafe { std::ptr::copy_nonoverlapping(text.as_ptr(), at, text.len()) };
        self.change_all(block_words(offset, text.len(), cap));
        op.commit();
        Ok(())
    }

    /// Puts new words in, frees the old block: an operation of its own.
    fn put(&self, words: [u64; WORDS]) {
        let op = self.log.begin();
        self.change_all(words);
        // Dead before this: the old words come back. After: the new text counts, the old block is freed.
        op.commit();
    }

    /// Saves and changes the words that differ, and frees the block they speak of, within the open operation.
    fn change_all(&self, words: [u64; WORDS]) {
        discard(self.header, self.log);
        for (at, word) in self.header.words.iter().zip(words) {
            if at.load(Ordering::Relaxed) != word {
                mem::change(self.log, at, word);
            }
        }
    }

    /// Puts other text in place of all there is.
    pub(crate) fn assign(&self, text: &str) -> Result<()> {
        let op = self.log.begin();
        let new = build(text, self.log)?;
        mem::reserve_log(self.log, 0)?;
        self.change_all(std::array::from_fn(|i| new.word(i)));
        op.commit();
        Ok(())
    }

    /// Cuts the text at `len`, which is not beyond its end, and a boundary of characters.
    pub(crate) fn truncate(&self, len: usize) {
        let op = self.log.begin();
        let before = self.log.len();
        match self.header.text() {
            Text::Inline(_) => {
                let last = self.header.word(LAST) & CAP | (len as u64) << TAG_SHIFT;
                mem::publish(self.log, before, &self.header.words[LAST], last);
            }
            Text::Block { .. } => mem::publish(self.log, before, &self.header.words[1], len as u64),
        }
        op.commit();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_text_stands_in_the_header_itself() {
        for len in 0..=INLINE {
            let text = "abcdefghijklmnopqrstuvwxyz0123456789-_".get(..len).unwrap();
            assert_eq!(Header::inline(text.as_bytes()).as_str(), text);
        }
        assert_eq!(Header::empty().as_str(), "");
        assert_eq!(Header::empty().capacity(), INLINE);
    }

    #[test]
    #[should_panic(expected = "damaged")]
    fn what_is_no_header_is_compared_with_nothing() {
        let header = Header::of_words([0, 0, 0, 0, 0x27 << TAG_SHIFT]);
        header.is_text(b"abcdefgh", Reach::of(&header));
    }
}
