//! [`ShString`], growable text in a pool.

use crate::iter::New;
use crate::place::Place;
use crate::raw::string::{Header, StringMut};
use aquifer_pool::Result;
use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;

/// Growable UTF-8 text in a pool, as `String`.
///
/// It derefs to `str` for reading. What changes it are methods of [`Place<ShString>`](Place). Text of up to 38 bytes stands in the 40 bytes
/// of the string itself; longer text has a block of its own. Sources are `&str`, `String`, `&String`, `char`, `Cow<str>`,
/// `format_args!(..)`, and [`ShString::new`] for an empty one.
#[repr(C)]
pub struct ShString {
    pub(crate) header: Header,
}

impl ShString {
    /// Source of an empty string. Takes no memory.
    pub fn new() -> New<ShString> {
        New::SOURCE
    }

    /// The text.
    #[inline(always)]
    pub fn as_str(&self) -> &str {
        self.header.as_str()
    }

    /// Bytes of text that fit without another block.
    pub fn capacity(&self) -> usize {
        self.header.capacity()
    }
}

impl Place<ShString> {
    fn raw(&mut self) -> StringMut<'_> {
        StringMut::of(self)
    }

    /// Appends text. O(text) on average.
    ///
    /// # Errors
    /// `OutOfMemory`, `HardLimit` and the like. Nothing is changed then.
    pub fn push_str(&mut self, text: &str) -> Result<()> {
        self.raw().push_str(text)
    }

    /// Appends a character. O(1) on average.
    ///
    /// # Errors
    /// As [`push_str`](Self::push_str).
    pub fn push(&mut self, character: char) -> Result<()> {
        self.raw().push_str(character.encode_utf8(&mut [0; 4]))
    }

    /// Removes the last character. O(1).
    pub fn pop(&mut self) -> Option<char> {
        let last = self.as_str().chars().next_back()?;
        let rest = self.as_str().len() - last.len_utf8();
        self.raw().truncate(rest);
        Some(last)
    }

    /// Cuts the text to `len` bytes, if it is longer; panics inside of a character. O(1).
    pub fn truncate(&mut self, len: usize) {
        if len < self.as_str().len() {
            assert!(self.is_char_boundary(len), "{len} is not a boundary of characters");
            self.raw().truncate(len);
        }
    }

    /// Removes all text, and keeps the block. O(1).
    pub fn clear(&mut self) {
        self.raw().truncate(0);
    }

    /// Puts text in before byte `index`; panics inside of a character. O(len + text).
    ///
    /// # Errors
    /// As [`push_str`](Self::push_str).
    pub fn insert_str(&mut self, index: usize, text: &str) -> Result<()> {
        let (before, after) = self.as_str().split_at(index);
        let whole = [before, text, after].concat();
        self.raw().assign(&whole)
    }

    /// Puts a character in before byte `index`; panics inside of a character. O(len).
    ///
    /// # Errors
    /// As [`push_str`](Self::push_str).
    pub fn insert(&mut self, index: usize, character: char) -> Result<()> {
        self.insert_str(index, character.encode_utf8(&mut [0; 4]))
    }

    /// Makes room for `additional` bytes of text.
    ///
    /// # Errors
    /// As [`push_str`](Self::push_str).
    pub fn reserve(&mut self, additional: usize) -> Result<()> {
        self.raw().reserve(additional)
    }
}

/// So that `write!(place, ..)` works. The piece that finds no memory is not written, those before it stay.
impl fmt::Write for Place<ShString> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push_str(text).map_err(|_| fmt::Error)
    }
}

impl Deref for ShString {
    type Target = str;
    #[inline(always)]
    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl AsRef<str> for ShString {
    fn as_ref(&self) -> &str {
        self
    }
}

impl AsRef<[u8]> for ShString {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl Borrow<str> for ShString {
    #[inline(always)]
    fn borrow(&self) -> &str {
        self
    }
}

impl fmt::Debug for ShString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

impl fmt::Display for ShString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

impl PartialEq for ShString {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for ShString {}

macro_rules! equal {
    ($($t:ty),*) => { $(
        impl PartialEq<$t> for ShString {
            #[inline]
            fn eq(&self, other: &$t) -> bool {
                self.as_str() == &other[..]
            }
        }

        impl PartialEq<ShString> for $t {
            #[inline]
            fn eq(&self, other: &ShString) -> bool {
                &self[..] == other.as_str()
            }
        }
    )* };
}
equal!(str, &str, String, std::borrow::Cow<'_, str>);

impl PartialOrd for ShString {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ShString {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_str().cmp(other.as_str())
    }
}

impl Hash for ShString {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}
