//! A schema as bytes.
//!
//! A *blob* is a graph of nodes, one for each type, without addresses: the same type gives the same bytes in every process and build, so
//! equal types have equal blobs. All numbers are little-endian, all links count bytes from the blob's start.
//!
//! | part | bytes |
//! |---|---|
//! | header | magic, hash of all that follows it, length of the blob, number of nodes, start of the names, 0: 8 each |
//! | nodes, the root first | 72 each: see [`word`] |
//! | tables, in the order of their nodes | fields: name, offset, node (24 each); variants: name, tag (16), fields, their number (40 each) |
//! | names | UTF-8; a name is its place behind the start of the names and its length, 4 bytes each |

use crate::schema::{Field, NonePattern, Schema, SchemaRef, Shape, Variant};
use std::collections::HashMap;

/// First word of a blob.
pub const MAGIC: u64 = u64::from_le_bytes(*b"AQSCHEM1");
/// Bytes of a blob's header.
pub const HEADER: usize = 48;
/// Bytes of a node.
pub const NODE: usize = 72;
/// Bytes of a field.
pub const FIELD: usize = 24;
/// Bytes of a variant.
pub const VARIANT: usize = 40;
/// The longest blob that is read.
pub const LONGEST: usize = 16 << 20;
/// The longest name; what is longer is cut.
pub const LONGEST_NAME: usize = 255;
/// How deep types may lie in one another without a container between them.
pub const DEEPEST: usize = 200;

/// The words of a node.
pub mod word {
    /// Kind in bits 0..8, flags in bits 8..32, distance of this node from the blob's start in bits 32..64.
    pub const HEAD: usize = 0;
    /// The type's name.
    pub const NAME: usize = 1;
    /// Bytes of a value.
    pub const SIZE: usize = 2;
    /// Alignment of a value.
    pub const ALIGN: usize = 3;
    /// Item, key, fields or variants.
    pub const A: usize = 4;
    /// Value of a map, number of fields, variants or elements, offset of what a lock guards; of an `Option`: offset of the pattern in
    /// bits 0..56, its length in bits 56..64.
    pub const B: usize = 5;
    /// Offset of a tag or of a map's value; low half of an `Option`'s pattern.
    pub const C: usize = 6;
    /// Length of a tag; bytes of a map's entry; high half of an `Option`'s pattern.
    pub const D: usize = 7;
    /// Where an `Option`'s item stands.
    pub const E: usize = 8;
}

/// The flags of a node, from bit 8 of its first word.
pub mod flag {
    /// 0 is not a value.
    pub const NONZERO: u64 = 1;
    /// Every pattern of bytes is a value, and none refers to anything.
    pub const ANY: u64 = 2;
    /// Values may own blocks of the heap.
    pub const OWNS: u64 = 4;
    /// Values hold a lock.
    pub const LOCKS: u64 = 8;
}

/// What a node is; the numbers are part of the layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum NodeKind {
    /// [`Shape::Unit`].
    Unit = 1,
    /// [`Shape::Unsigned`].
    Unsigned = 2,
    /// [`Shape::Signed`].
    Signed = 3,
    /// [`Shape::Float`].
    Float = 4,
    /// [`Shape::Bool`].
    Bool = 5,
    /// [`Shape::Char`].
    Char = 6,
    /// [`Shape::Bytes`].
    Bytes = 7,
    /// [`Shape::Struct`].
    Struct = 8,
    /// [`Shape::Enum`].
    Enum = 9,
    /// [`Shape::Option`].
    Option = 10,
    /// [`Shape::Array`].
    Array = 11,
    /// [`Shape::String`].
    String = 12,
    /// [`Shape::Vec`].
    Vec = 13,
    /// [`Shape::Box`].
    Box = 14,
    /// [`Shape::Map`].
    Map = 15,
    /// [`Shape::Lock`].
    Lock = 16,
    /// [`Shape::Nanoseconds`].
    Nanoseconds = 17,
}

impl NodeKind {
    /// The kind with that number.
    pub fn of(number: u8) -> Option<NodeKind> {
        use NodeKind::*;
        const ALL: [NodeKind; 17] = [
            Unit,
            Unsigned,
            Signed,
            Float,
            Bool,
            Char,
            Bytes,
            Struct,
            Enum,
            Option,
            Array,
            String,
            Vec,
            Box,
            Map,
            Lock,
            Nanoseconds,
        ];
        ALL.get((number as usize).checked_sub(1)?).copied()
    }

    fn of_shape(shape: &Shape) -> NodeKind {
        match shape {
            Shape::Unit => NodeKind::Unit,
            Shape::Unsigned { .. } => NodeKind::Unsigned,
            Shape::Signed { .. } => NodeKind::Signed,
            Shape::Float => NodeKind::Float,
            Shape::Bool => NodeKind::Bool,
            Shape::Char => NodeKind::Char,
            Shape::Nanoseconds => NodeKind::Nanoseconds,
            Shape::Bytes => NodeKind::Bytes,
            Shape::Struct(_) => NodeKind::Struct,
            Shape::Enum { .. } => NodeKind::Enum,
            Shape::Option { .. } => NodeKind::Option,
            Shape::Array { .. } => NodeKind::Array,
            Shape::String => NodeKind::String,
            Shape::Vec(_) => NodeKind::Vec,
            Shape::Box(_) => NodeKind::Box,
            Shape::Map { .. } => NodeKind::Map,
            Shape::Lock { .. } => NodeKind::Lock,
        }
    }
}

/// A schema as bytes, and where in them each type's node stands.
#[derive(Debug)]
pub struct Encoded {
    /// The blob.
    pub bytes: Vec<u8>,
    /// Every schema that was met, with the place of its node in the blob. One type may be met as several schemas: the compiler may give
    /// a constant several addresses.
    pub nodes: Vec<(&'static Schema, usize)>,
}

/// The blob of a schema. O(types reached, squared at worst).
pub fn encode(schema: &'static Schema) -> Vec<u8> {
    encode_with_nodes(schema).bytes
}

/// The blob of a schema, and where its nodes stand.
pub fn encode_with_nodes(schema: &'static Schema) -> Encoded {
    let graph = Graph::from(schema);
    let class = graph.classes();
    let order = graph.order(&class);
    let mut place = HashMap::new();
    for (i, member) in order.iter().enumerate() {
        place.insert(class[*member], HEADER + i * NODE);
    }
    let link = |s: SchemaRef| graph.index.get(&address(s())).map_or(0, |i| place[&class[*i]]) as u64;
    let bytes = Writer::new(order.len(), &link).write(order.iter().map(|i| graph.schemas[*i]));
    let nodes = graph.schemas.iter().enumerate().map(|(i, s)| (*s, place[&class[i]])).collect();
    Encoded { bytes, nodes }
}

/// The hash of a blob's content (FNV-1a over all behind the hash's own word), for tables of blobs.
pub fn content_hash(blob: &[u8]) -> u64 {
    let content = blob.get(16..).unwrap_or(&[]);
    content.iter().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ *b as u64).wrapping_mul(0x100_0000_01b3))
}

fn address(schema: &'static Schema) -> usize {
    std::ptr::from_ref(schema) as usize
}

/// All schemas that a root reaches, as the compiler made them.
struct Graph {
    schemas: Vec<&'static Schema>,
    index: HashMap<usize, usize>,
    links: Vec<Vec<usize>>,
}

impl Graph {
    /// Ends because a program has finitely many constants.
    fn from(root: &'static Schema) -> Graph {
        let mut g =
            Graph { schemas: vec![root], index: HashMap::from([(address(root), 0)]), links: Vec::new() };
        while g.links.len() < g.schemas.len() {
            let of = links(&g.schemas[g.links.len()].shape);
            let found = of.into_iter().map(|s| g.find(s())).collect();
            g.links.push(found);
        }
        g
    }

    fn find(&mut self, schema: &'static Schema) -> usize {
        *self.index.entry(address(schema)).or_insert_with(|| {
            self.schemas.push(schema);
            self.schemas.len() - 1
        })
    }

    /// A class for each schema; equal for those that say the same, all the way down: start with what each says itself, split classes
    /// whose members' links lead to different ones, until none splits.
    fn classes(&self) -> Vec<usize> {
        let mut class = number(self.schemas.iter().map(|s| say(s)));
        loop {
            let finer = number((0..class.len()).map(|i| {
                let links: Vec<usize> = self.links[i].iter().map(|l| class[*l]).collect();
                (class[i], links)
            }));
            if finer.iter().max() == class.iter().max() {
                return finer;
            }
            class = finer;
        }
    }

    /// One member of each class, in the order in which they are met from the root.
    fn order(&self, class: &[usize]) -> Vec<usize> {
        let mut met = vec![false; class.len()];
        let mut order = vec![0];
        met[class[0]] = true;
        let mut next = 0;
        while next < order.len() {
            for l in &self.links[order[next]] {
                if !std::mem::replace(&mut met[class[*l]], true) {
                    order.push(*l);
                }
            }
            next += 1;
        }
        order
    }
}

/// Numbers values by their first occurrence.
fn number<T: std::hash::Hash + Eq>(values: impl Iterator<Item = T>) -> Vec<usize> {
    let mut known = HashMap::new();
    values
        .map(|v| {
            let next = known.len();
            *known.entry(v).or_insert(next)
        })
        .collect()
}

fn links(shape: &Shape) -> Vec<SchemaRef> {
    match shape {
        Shape::Struct(fields) => fields.iter().map(|f| f.schema).collect(),
        Shape::Enum { variants, .. } => variants.iter().flat_map(|v| v.fields).map(|f| f.schema).collect(),
        Shape::Option { item, .. } | Shape::Array { item, .. } | Shape::Lock { item, .. } => vec![*item],
        Shape::Vec(item) | Shape::Box(item) => vec![*item],
        Shape::Map { key, value, .. } => vec![*key, *value],
        _ => Vec::new(),
    }
}

/// What a schema says itself: its blob as if all links led nowhere.
fn say(schema: &'static Schema) -> Vec<u8> {
    Writer::new(1, &|_| 0).write(std::iter::once(schema))
}

/// The flags of a schema. Ends because no type holds itself without a container between.
fn flags(schema: &Schema) -> u64 {
    let all = |own: u64, parts: &mut dyn Iterator<Item = SchemaRef>| {
        parts.fold(own, |f, p| join_flags(f, flags(p())))
    };
    if schema.size == 0 {
        return flag::ANY;
    }
    match &schema.shape {
        Shape::Unit | Shape::Float | Shape::Bytes => flag::ANY,
        Shape::Unsigned { nonzero } | Shape::Signed { nonzero } => {
            if *nonzero {
                flag::NONZERO
            } else {
                flag::ANY
            }
        }
        Shape::Bool | Shape::Char | Shape::Nanoseconds => 0,
        Shape::Struct(fields) => all(flag::ANY, &mut fields.iter().map(|f| f.schema)),
        Shape::Enum { variants, .. } => all(0, &mut variants.iter().flat_map(|v| v.fields).map(|f| f.schema)),
        Shape::Option { item, .. } => all(0, &mut std::iter::once(*item)),
        Shape::Array { item, .. } => all(flag::ANY, &mut std::iter::once(*item)),
        Shape::Lock { item, .. } => all(flag::LOCKS, &mut std::iter::once(*item)),
        Shape::String | Shape::Vec(_) | Shape::Box(_) | Shape::Map { .. } => flag::OWNS,
    }
}

/// Flags of a whole to which a part is added.
pub(crate) fn join_flags(whole: u64, part: u64) -> u64 {
    (whole & part & flag::ANY) | ((whole | part) & (flag::OWNS | flag::LOCKS)) | (whole & flag::NONZERO)
}

/// Writes nodes, tables and names.
struct Writer<'a> {
    nodes: Vec<u8>,
    tables: Vec<u8>,
    tables_at: usize,
    names: Vec<u8>,
    known: HashMap<&'static str, u64>,
    link: &'a dyn Fn(SchemaRef) -> u64,
}

impl<'a> Writer<'a> {
    fn new(nodes: usize, link: &'a dyn Fn(SchemaRef) -> u64) -> Writer<'a> {
        Writer {
            nodes: Vec::new(),
            tables: Vec::new(),
            tables_at: HEADER + nodes * NODE,
            names: Vec::new(),
            known: HashMap::new(),
            link,
        }
    }

    fn write(mut self, schemas: impl Iterator<Item = &'static Schema>) -> Vec<u8> {
        schemas.for_each(|s| self.node(s));
        let count = self.nodes.len() / NODE;
        let names_at = self.tables_at + self.tables.len();
        let length = (names_at + self.names.len()).next_multiple_of(8);
        let mut blob = Vec::with_capacity(length);
        for w in [MAGIC, 0, length as u64, count as u64, names_at as u64, 0] {
            put(&mut blob, w);
        }
        for part in [&self.nodes, &self.tables, &self.names] {
            blob.extend_from_slice(part);
        }
        blob.resize(length, 0);
        let hash = content_hash(&blob);
        blob[8..16].copy_from_slice(&hash.to_le_bytes());
        blob
    }

    fn node(&mut self, s: &'static Schema) {
        let at = (HEADER + self.nodes.len()) as u64;
        let head = NodeKind::of_shape(&s.shape) as u64 | flags(s) << 8 | at << 32;
        let name = self.name(s.name);
        let [a, b, c, d, e] = self.shape(&s.shape);
        for w in [head, name, s.size as u64, s.align as u64, a, b, c, d, e] {
            put(&mut self.nodes, w);
        }
    }

    fn shape(&mut self, shape: &Shape) -> [u64; 5] {
        let link = self.link;
        match shape {
            Shape::Struct(fields) => {
                let at = self.fields(fields);
                [at, fields.len() as u64, 0, 0, 0]
            }
            Shape::Enum { tag_offset, tag_size, variants } => {
                let at = self.variants(variants);
                [at, variants.len() as u64, *tag_offset as u64, *tag_size as u64, 0]
            }
            Shape::Option { item, none } => {
                let NonePattern { offset, size, value, some_offset } = none();
                let pattern = offset as u64 | (size as u64) << 56;
                [link(*item), pattern, value as u64, (value >> 64) as u64, some_offset as u64]
            }
            Shape::Array { item, len } => [link(*item), *len as u64, 0, 0, 0],
            Shape::Vec(item) | Shape::Box(item) => [link(*item), 0, 0, 0, 0],
            Shape::Map { key, value, value_offset, entry_size } => {
                [link(*key), link(*value), *value_offset as u64, *entry_size as u64, 0]
            }
            Shape::Lock { item, offset } => [link(*item), *offset as u64, 0, 0, 0],
            _ => [0; 5],
        }
    }

    fn fields(&mut self, fields: &'static [Field]) -> u64 {
        let at = self.tables_at + self.tables.len();
        for f in fields {
            let (name, node) = (self.name(f.name), (self.link)(f.schema));
            for w in [name, f.offset as u64, node] {
                put(&mut self.tables, w);
            }
        }
        at as u64
    }

    fn variants(&mut self, variants: &'static [Variant]) -> u64 {
        let at = self.tables_at + self.tables.len();
        let start = self.tables.len();
        self.tables.resize(start + variants.len() * VARIANT, 0);
        for (i, v) in variants.iter().enumerate() {
            let (name, fields) = (self.name(v.name), self.fields(v.fields));
            let words = [name, v.tag as u64, (v.tag >> 64) as u64, fields, v.fields.len() as u64];
            let mut bytes = Vec::with_capacity(VARIANT);
            words.iter().for_each(|w| put(&mut bytes, *w));
            self.tables[start + i * VARIANT..][..VARIANT].copy_from_slice(&bytes);
        }
        at as u64
    }

    fn name(&mut self, name: &'static str) -> u64 {
        let name = &name[..name.floor_char_boundary(LONGEST_NAME)];
        *self.known.entry(name).or_insert_with(|| {
            let at = self.names.len() as u64;
            self.names.extend_from_slice(name.as_bytes());
            at | (name.len() as u64) << 32
        })
    }
}

fn put(to: &mut Vec<u8>, word: u64) {
    to.extend_from_slice(&word.to_le_bytes());
}
