//! Reading schemas from bytes that may be damaged.
//!
//! [`View::new`] checks a blob once, in time linear in its length; a `View` is the proof. After it, walks over a value's type end, need
//! no more than [`DEEPEST`] levels, and visit no more parts than the value has bytes (times that depth). Accessors check bounds
//! nevertheless and give 0 or nothing beyond them: a blob may be damaged after it was checked.

use crate::schema::encode::{DEEPEST, FIELD, HEADER, LONGEST, LONGEST_NAME, MAGIC, NODE, NodeKind, VARIANT};
use crate::schema::encode::{content_hash, flag, join_flags, word};

/// A blob that was checked.
#[derive(Clone, Copy)]
pub struct View<'a> {
    bytes: &'a [u8],
}

impl std::fmt::Debug for View<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "View({})", crate::schema::show::show(self.root()))
    }
}

/// What is wrong with a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadSchema(pub &'static str);

impl std::error::Error for BadSchema {}

impl std::fmt::Display for BadSchema {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "bad schema: {}", self.0)
    }
}

type Checked<T = ()> = Result<T, BadSchema>;

fn ensure(holds: bool, otherwise: &'static str) -> Checked {
    if holds { Ok(()) } else { Err(BadSchema(otherwise)) }
}

impl<'a> View<'a> {
    /// Checks a blob. O(length).
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn new(bytes: &'a [u8]) -> Result<View<'a>, BadSchema> {
        let view = View { bytes };
        ensure(bytes.len() >= HEADER + NODE && bytes.len() <= LONGEST, "length")?;
        ensure(view.word(0) == MAGIC && view.word(16) == bytes.len() as u64, "header")?;
        ensure(view.word(8) == content_hash(bytes), "hash")?;
        ensure(view.count() > 0 && view.count() <= (bytes.len() - HEADER) / NODE, "number of nodes")?;
        ensure(
            view.names_at() >= HEADER + view.count() * NODE && view.names_at() <= bytes.len(),
            "place of the names",
        )?;
        Checker { view, table: HEADER + view.count() * NODE }.check()?;
        Ok(view)
    }

    /// A blob that was checked before and has not changed since.
    pub(crate) fn checked_before(bytes: &'a [u8]) -> View<'a> {
        View { bytes }
    }

    /// The type that the blob was made of.
    pub fn root(&self) -> Node<'a> {
        Node { view: *self, at: HEADER }
    }

    /// The node at a place of the blob.
    pub fn node(&self, at: usize) -> Option<Node<'a>> {
        self.is_node(at).then_some(Node { view: *self, at })
    }

    /// All nodes.
    pub fn nodes(&self) -> impl Iterator<Item = Node<'a>> + use<'a> {
        let view = *self;
        (0..view.count()).map(move |i| Node { view, at: HEADER + i * NODE })
    }

    /// The bytes.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    fn is_node(&self, at: usize) -> bool {
        at >= HEADER && (at - HEADER).is_multiple_of(NODE) && (at - HEADER) / NODE < self.count()
    }

    fn count(&self) -> usize {
        self.word(24) as usize
    }

    fn names_at(&self) -> usize {
        self.word(32) as usize
    }

    fn word(&self, at: usize) -> u64 {
        let end = at.saturating_add(8);
        self.bytes.get(at..end).and_then(|b| b.try_into().ok()).map_or(0, u64::from_le_bytes)
    }

    fn name(&self, packed: u64) -> Option<&'a str> {
        let (place, len) = ((packed & 0xffff_ffff) as usize, (packed >> 32) as usize);
        let start = self.names_at().checked_add(place)?;
        std::str::from_utf8(self.bytes.get(start..start.checked_add(len)?)?).ok()
    }

    fn link(&self, at: u64) -> Node<'a> {
        let at = at as usize;
        Node { view: *self, at: if self.is_node(at) { at } else { HEADER } }
    }
}

/// One type of a blob.
#[derive(Clone, Copy)]
pub struct Node<'a> {
    view: View<'a>,
    at: usize,
}

impl std::fmt::Debug for Node<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Node({})", crate::schema::show::show(*self))
    }
}

impl PartialEq for Node<'_> {
    /// Whether both are the same place of the same bytes.
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at && std::ptr::eq(self.view.bytes, other.view.bytes)
    }
}

/// A field as its node's table has it.
#[derive(Debug, Clone, Copy)]
pub struct FieldView<'a> {
    /// Its name.
    pub name: &'a str,
    /// Where it stands.
    pub offset: u64,
    /// What it is.
    pub node: Node<'a>,
}

/// A variant as its node's table has it.
#[derive(Debug, Clone, Copy)]
pub struct VariantView<'a> {
    /// Its name.
    pub name: &'a str,
    /// Value of the tag.
    pub tag: i128,
    view: View<'a>,
    fields: usize,
    count: usize,
}

/// [`Shape`](crate::schema::Shape) as a node has it.
#[derive(Debug, Clone, Copy)]
pub enum ShapeView<'a> {
    /// Nothing, or any bytes of its size.
    Any,
    /// An integer that is not 0.
    NonZero,
    /// 0 or 1.
    Bool,
    /// A Unicode scalar value.
    Char,
    /// A number below 10^9.
    Nanoseconds,
    /// Fields: see [`Node::fields`].
    Struct,
    /// A tag of `size` bytes at `offset`: see [`Node::variants`].
    Enum {
        /// Where the tag stands.
        offset: u64,
        /// Its bytes.
        size: u64,
    },
    /// `None` if the bytes at `offset` are `pattern`.
    Option {
        /// What it may hold.
        item: Node<'a>,
        /// Where the pattern stands.
        offset: u64,
        /// Its bytes.
        size: u64,
        /// The pattern.
        pattern: u128,
        /// Where the item stands.
        some: u64,
    },
    /// `len` items, one behind the other.
    Array {
        /// The item.
        item: Node<'a>,
        /// How many.
        len: u64,
    },
    /// `ShString`.
    String,
    /// `ShVec` of the item.
    Vec(Node<'a>),
    /// `ShBox` of the item.
    Box(Node<'a>),
    /// `ShMap`.
    Map {
        /// The key.
        key: Node<'a>,
        /// The value.
        value: Node<'a>,
        /// Where the value stands in an entry.
        value_offset: u64,
        /// Bytes of an entry.
        entry_size: u64,
    },
    /// A lock word at 0, and the item at `offset`.
    Lock {
        /// What it guards.
        item: Node<'a>,
        /// Where that stands.
        offset: u64,
    },
}

impl<'a> Node<'a> {
    /// Place in the blob.
    pub fn at(&self) -> usize {
        self.at
    }

    /// The blob.
    pub fn view(&self) -> View<'a> {
        self.view
    }

    /// Name of the type.
    pub fn name(&self) -> &'a str {
        self.view.name(self.word(word::NAME)).unwrap_or("?")
    }

    /// Bytes of a value.
    pub fn size(&self) -> u64 {
        self.word(word::SIZE)
    }

    /// Alignment of a value.
    pub fn align(&self) -> u64 {
        self.word(word::ALIGN)
    }

    /// What it is; nothing for a number that stands for nothing.
    pub fn kind(&self) -> Option<NodeKind> {
        NodeKind::of(self.word(word::HEAD) as u8)
    }

    /// Whether a flag of [`flag`] is set.
    pub fn has(&self, flag: u64) -> bool {
        self.flags() & flag != 0
    }

    /// Whether values may own blocks of the heap.
    pub fn owns(&self) -> bool {
        self.has(flag::OWNS)
    }

    /// What it is, with its parts.
    pub fn shape(&self) -> ShapeView<'a> {
        let [a, b, c, d, e] = [word::A, word::B, word::C, word::D, word::E].map(|i| self.word(i));
        let item = || self.view.link(a);
        match self.kind() {
            Some(NodeKind::Unsigned | NodeKind::Signed) if self.has(flag::NONZERO) => ShapeView::NonZero,
            Some(NodeKind::Bool) => ShapeView::Bool,
            Some(NodeKind::Char) => ShapeView::Char,
            Some(NodeKind::Nanoseconds) => ShapeView::Nanoseconds,
            Some(NodeKind::Struct) => ShapeView::Struct,
            Some(NodeKind::Enum) => ShapeView::Enum { offset: c, size: d },
            Some(NodeKind::Option) => ShapeView::Option {
                item: item(),
                offset: b & ((1 << 56) - 1),
                size: b >> 56,
                pattern: c as u128 | (d as u128) << 64,
                some: e,
            },
            Some(NodeKind::Array) => ShapeView::Array { item: item(), len: b },
            Some(NodeKind::String) => ShapeView::String,
            Some(NodeKind::Vec) => ShapeView::Vec(item()),
            Some(NodeKind::Box) => ShapeView::Box(item()),
            Some(NodeKind::Map) => {
                ShapeView::Map { key: item(), value: self.view.link(b), value_offset: c, entry_size: d }
            }
            Some(NodeKind::Lock) => ShapeView::Lock { item: item(), offset: b },
            _ => ShapeView::Any,
        }
    }

    /// The fields of a struct; none for anything else.
    pub fn fields(&self) -> impl Iterator<Item = FieldView<'a>> + use<'a> {
        let count = if self.kind() == Some(NodeKind::Struct) { self.word(word::B) as usize } else { 0 };
        fields(self.view, self.word(word::A) as usize, count)
    }

    /// The variants of an enum; none for anything else.
    pub fn variants(&self) -> impl Iterator<Item = VariantView<'a>> + use<'a> {
        let count = if self.kind() == Some(NodeKind::Enum) { self.word(word::B) as usize } else { 0 };
        let (view, table) = (self.view, self.word(word::A) as usize);
        (0..count.min(view.bytes.len() / VARIANT)).map(move |i| {
            let w = |k: usize| view.word(table.saturating_add(i * VARIANT + k * 8));
            VariantView {
                name: view.name(w(0)).unwrap_or("?"),
                tag: (w(1) as u128 | (w(2) as u128) << 64) as i128,
                view,
                fields: w(3) as usize,
                count: w(4) as usize,
            }
        })
    }

    fn flags(&self) -> u64 {
        self.word(word::HEAD) >> 8 & 0xff_ffff
    }

    fn word(&self, i: usize) -> u64 {
        self.view.word(self.at + i * 8)
    }
}

impl<'a> VariantView<'a> {
    /// The fields of the variant.
    pub fn fields(&self) -> impl Iterator<Item = FieldView<'a>> + use<'a> {
        fields(self.view, self.fields, self.count)
    }
}

fn fields(view: View<'_>, table: usize, count: usize) -> impl Iterator<Item = FieldView<'_>> {
    (0..count.min(view.bytes.len() / FIELD)).map(move |i| {
        let w = |k: usize| view.word(table.saturating_add(i * FIELD + k * 8));
        FieldView { name: view.name(w(0)).unwrap_or("?"), offset: w(1), node: view.link(w(2)) }
    })
}

/// Checks all nodes of a blob.
struct Checker<'a> {
    view: View<'a>,
    /// End of the last table: tables stand in the order of their nodes, so none is read twice.
    table: usize,
}

impl<'a> Checker<'a> {
    fn check(mut self) -> Checked {
        for node in self.view.nodes() {
            self.node(node)?;
        }
        ensure(self.table == self.view.names_at(), "end of the tables")?;
        self.depths()?;
        self.view.nodes().try_for_each(|n| ensure(flags_of(n) == n.flags(), "flags"))
    }

    fn node(&mut self, n: Node<'a>) -> Checked {
        ensure(n.kind().is_some(), "kind")?;
        ensure(n.word(word::HEAD) >> 32 == n.at as u64, "place of a node")?;
        ensure(n.align().is_power_of_two() && n.align() <= 1 << 29, "alignment")?;
        ensure(n.size() < 1 << 47 && n.size().is_multiple_of(n.align()), "size")?;
        self.name(n.word(word::NAME))?;
        match n.shape() {
            ShapeView::Struct => self.fields(n.word(word::A), n.word(word::B), n.size()),
            ShapeView::Enum { offset, size } => {
                ensure(size <= 16 && within(offset, size, n.size()), "tag")?;
                self.variants(n)
            }
            ShapeView::Option { item, offset, size, some, .. } => {
                self.link(n.word(word::A))?;
                ensure(
                    size <= 16 && within(offset, size, n.size()) && within(some, item.size(), n.size()),
                    "option",
                )
            }
            ShapeView::Array { item, len } => {
                self.link(n.word(word::A))?;
                ensure(item.size().checked_mul(len) == Some(n.size()), "array")
            }
            ShapeView::Lock { item, offset } => {
                self.link(n.word(word::A))?;
                ensure(offset >= 8 && within(offset, item.size(), n.size()), "lock")
            }
            ShapeView::Vec(_) => self.container(n, 24),
            ShapeView::Box(_) => self.container(n, 8),
            ShapeView::Map { key, value, value_offset, entry_size } => {
                self.container(n, 24)?;
                self.link(n.word(word::B))?;
                let apart = key.size() <= value_offset || value.size() == 0;
                let inside =
                    within(0, key.size(), entry_size) && within(value_offset, value.size(), entry_size);
                ensure(apart && inside && entry_size < 1 << 47, "map")
            }
            ShapeView::String => ensure(n.size() == 40 && n.align() == 8, "string"),
            ShapeView::Bool => ensure(n.size() == 1, "bool"),
            ShapeView::Char => ensure(n.size() == 4, "char"),
            ShapeView::Nanoseconds => ensure(n.size() == 4, "nanoseconds"),
            ShapeView::NonZero => ensure((1..=16).contains(&n.size()), "integer"),
            ShapeView::Any => Ok(()),
        }
    }

    fn container(&self, n: Node<'a>, size: u64) -> Checked {
        self.link(n.word(word::A))?;
        ensure(n.size() == size && n.align() == 8, "container")
    }

    fn link(&self, at: u64) -> Checked {
        ensure(self.view.is_node(at as usize), "link")
    }

    fn name(&self, packed: u64) -> Checked {
        ensure(packed >> 32 <= LONGEST_NAME as u64 && self.view.name(packed).is_some(), "name")
    }

    /// A table of `count` records; moves on behind it.
    fn table(&mut self, at: u64, count: u64, record: usize) -> Checked<usize> {
        ensure(at == self.table as u64, "place of a table")?;
        let end = (count as usize).checked_mul(record).and_then(|n| n.checked_add(self.table));
        let end = end.filter(|e| *e <= self.view.names_at()).ok_or(BadSchema("length of a table"))?;
        Ok(std::mem::replace(&mut self.table, end))
    }

    /// Fields lie in their whole, and together are no larger: so a value has no more parts than bytes.
    fn fields(&mut self, at: u64, count: u64, size: u64) -> Checked {
        let table = self.table(at, count, FIELD)?;
        let mut sum = 0u64;
        for i in 0..count as usize {
            let w = |k: usize| self.view.word(table + i * FIELD + k * 8);
            self.name(w(0))?;
            self.link(w(2))?;
            let part = self.view.link(w(2)).size();
            sum = sum.saturating_add(part);
            ensure(within(w(1), part, size), "field")?;
        }
        ensure(sum <= size, "fields")
    }

    fn variants(&mut self, n: Node<'a>) -> Checked {
        let count = n.word(word::B);
        let table = self.table(n.word(word::A), count, VARIANT)?;
        for i in 0..count as usize {
            let w = |k: usize| self.view.word(table + i * VARIANT + k * 8);
            self.name(w(0))?;
            self.fields(w(3), w(4), n.size())?;
        }
        Ok(())
    }

    /// No type holds itself, and none is deeper than [`DEEPEST`]: depth first, with a stack of its own.
    fn depths(&self) -> Checked {
        let index = |n: Node<'_>| (n.at - HEADER) / NODE;
        let mut depth = vec![0usize; self.view.count()];
        // 0: not met, 1: on the stack, 2: done.
        let mut state = vec![0u8; depth.len()];
        for root in self.view.nodes() {
            let mut stack = vec![(root, parts(root), 0usize)];
            while let Some((n, parts_of, next)) = stack.last_mut() {
                state[index(*n)] = state[index(*n)].max(1);
                if let Some(part) = parts_of.get(*next).copied() {
                    *next += 1;
                    ensure(state[index(part)] != 1, "a type holds itself")?;
                    if state[index(part)] == 0 {
                        ensure(stack.len() < DEEPEST, "depth")?;
                        stack.push((part, parts(part), 0));
                    }
                    continue;
                }
                depth[index(*n)] = parts_of.iter().map(|p| depth[index(*p)] + 1).max().unwrap_or(0);
                ensure(depth[index(*n)] < DEEPEST, "depth")?;
                state[index(*n)] = 2;
                stack.pop();
            }
        }
        Ok(())
    }
}

fn within(offset: u64, len: u64, size: u64) -> bool {
    offset.checked_add(len).is_some_and(|end| end <= size)
}

/// The types that lie in a type.
fn parts<'a>(n: Node<'a>) -> Vec<Node<'a>> {
    match n.shape() {
        ShapeView::Struct => n.fields().map(|f| f.node).collect(),
        ShapeView::Enum { .. } => n.variants().flat_map(|v| v.fields()).map(|f| f.node).collect(),
        ShapeView::Option { item, .. } | ShapeView::Array { item, .. } | ShapeView::Lock { item, .. } => {
            vec![item]
        }
        _ => Vec::new(),
    }
}

/// The flags that a node should have, from those of its parts.
fn flags_of(n: Node<'_>) -> u64 {
    if n.size() == 0 {
        return flag::ANY;
    }
    let own = match n.shape() {
        ShapeView::Struct | ShapeView::Array { .. } | ShapeView::Any => flag::ANY,
        ShapeView::NonZero => flag::NONZERO,
        ShapeView::Enum { .. } | ShapeView::Option { .. } | ShapeView::Bool => 0,
        ShapeView::Char | ShapeView::Nanoseconds => 0,
        ShapeView::Lock { .. } => flag::LOCKS,
        ShapeView::String | ShapeView::Vec(_) | ShapeView::Box(_) | ShapeView::Map { .. } => flag::OWNS,
    };
    parts(n).into_iter().fold(own, |f, p| join_flags(f, p.flags()))
}
