//! What every byte of a value means, so that tools and buriers can walk values whose type they do not know.
//!
//! | module | what it is about |
//! |---|---|
//! | [`encode`] | a schema as bytes: the same type always gives the same bytes |
//! | [`view`] | reading such bytes, which may be damaged |
//! | [`show`] | schemas as text, and the first difference of two |
//! | [`none`] | what `None` looks like |

pub mod encode;
pub mod none;
pub mod show;
pub mod view;

#[cfg(test)]
mod tests;

/// Layout and meaning of a type.
#[derive(Debug)]
pub struct Schema {
    /// Name of the type, without path: `u64`, `ShVec`, `Session`.
    pub name: &'static str,
    /// Bytes.
    pub size: usize,
    /// Alignment.
    pub align: usize,
    /// What it is.
    pub shape: Shape,
}

impl Schema {
    /// Whether values are one number, character or truth value.
    pub const fn is_scalar(&self) -> bool {
        matches!(
            self.shape,
            Shape::Unsigned { .. } | Shape::Signed { .. } | Shape::Float | Shape::Bool | Shape::Char
        )
    }
}

/// A schema, by function so that recursive types have one.
pub type SchemaRef = fn() -> &'static Schema;

/// What a type is.
#[derive(Debug)]
pub enum Shape {
    /// Nothing: `()`.
    Unit,
    /// `u8` .. `u128`, `usize`, atomics of them; `nonzero`: 0 is invalid.
    Unsigned {
        /// Whether 0 is invalid.
        nonzero: bool,
    },
    /// `i8` .. `i128`, `isize`, atomics of them.
    Signed {
        /// Whether 0 is invalid.
        nonzero: bool,
    },
    /// `f32`, `f64`.
    Float,
    /// One byte, 0 or 1 (also `AtomicBool`).
    Bool,
    /// A Unicode scalar value.
    Char,
    /// Nanoseconds of a second: 4 bytes, below 10^9 (in `Duration`).
    Nanoseconds,
    /// Bytes of any value whose meaning is the name's alone (`Ipv6Addr`).
    Bytes,
    /// Named or numbered fields: structs, tuples, `Duration`.
    Struct(&'static [Field]),
    /// A tag, and fields by variant: `#[repr(C, u8)]`, `#[repr(u8)]` and the like.
    Enum {
        /// Offset of the tag.
        tag_offset: usize,
        /// Bytes of the tag.
        tag_size: usize,
        /// The variants; any other tag is invalid.
        variants: &'static [Variant],
    },
    /// `Option`: the compiler's layout, found by looking at what it writes for `None`.
    Option {
        /// The value, at offset 0 .. by `some_offset`.
        item: SchemaRef,
        /// What `None` looks like.
        none: fn() -> NonePattern,
    },
    /// `[T; N]`.
    Array {
        /// The element.
        item: SchemaRef,
        /// N.
        len: usize,
    },
    /// `ShString`.
    String,
    /// `ShVec<T>`.
    Vec(SchemaRef),
    /// `ShBox<T>`.
    Box(SchemaRef),
    /// `ShMap<K, V>`; `ShSet<K>` is one whose value is `()`.
    Map {
        /// The key.
        key: SchemaRef,
        /// The value.
        value: SchemaRef,
        /// Offset of the value in an entry of the table.
        value_offset: usize,
        /// Bytes of an entry.
        entry_size: usize,
    },
    /// `ShMutex<T>`, `ShRwLock<T>`: the lock word at 0.
    Lock {
        /// What it guards.
        item: SchemaRef,
        /// Where that stands.
        offset: usize,
    },
}

/// One field.
#[derive(Debug)]
pub struct Field {
    /// Its name, or number.
    pub name: &'static str,
    /// Where it stands.
    pub offset: usize,
    /// What it is.
    pub schema: SchemaRef,
}

/// One variant of an enum.
#[derive(Debug)]
pub struct Variant {
    /// Its name.
    pub name: &'static str,
    /// Value of the tag.
    pub tag: i128,
    /// Its fields.
    pub fields: &'static [Field],
}

/// The bytes that make an `Option` `None`, and where the value stands in `Some`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NonePattern {
    /// First byte of the pattern.
    pub offset: usize,
    /// Bytes of the pattern, at most 16.
    pub size: usize,
    /// The pattern, little-endian.
    pub value: u128,
    /// Where the value stands in `Some`.
    pub some_offset: usize,
}
