//! Encoding, reading, damaging and comparing schemas.

use super::encode::{HEADER, NODE, content_hash, encode, encode_with_nodes};
use super::none::none_pattern;
use super::show::{difference, expand, show};
use super::view::{Node, ShapeView, View};
use super::{Field, Schema, SchemaRef, Shape, Variant};

const fn schema(name: &'static str, size: usize, align: usize, shape: Shape) -> Schema {
    Schema { name, size, align, shape }
}

macro_rules! schemas {
    ($($f:ident = $name:expr, $size:expr, $align:expr, $shape:expr;)*) => {
        $(fn $f() -> &'static Schema {
            static S: Schema = schema($name, $size, $align, $shape);
            &S
        })*
    };
}

const fn field(name: &'static str, offset: usize, schema: SchemaRef) -> Field {
    Field { name, offset, schema }
}

schemas! {
    unit = "()", 0, 1, Shape::Unit;
    u64_ = "u64", 8, 8, Shape::Unsigned { nonzero: false };
    u64_again = "u64", 8, 8, Shape::Unsigned { nonzero: false };
    u32_ = "u32", 4, 4, Shape::Unsigned { nonzero: false };
    bool_ = "bool", 1, 1, Shape::Bool;
    string = "ShString", 40, 8, Shape::String;
    numbers = "ShVec", 24, 8, Shape::Vec(u64_);
    stock = "ShMap", 24, 8, Shape::Map { key: string, value: numbers, value_offset: 40, entry_size: 64 };
    names = "ShSet", 24, 8, Shape::Map { key: string, value: unit, value_offset: 40, entry_size: 40 };
    locked = "ShRwLock", 32, 8, Shape::Lock { item: stock, offset: 8 };
    trees = "ShVec", 24, 8, Shape::Vec(tree);
    tree = "Tree", 32, 8, Shape::Struct(&[field("kids", 0, trees), field("weight", 24, u64_)]);
    tree_b = "Tree", 32, 8, Shape::Struct(&[field("kids", 0, trees_c), field("weight", 24, u64_again)]);
    trees_c = "ShVec", 24, 8, Shape::Vec(tree);
    lighter = "Tree", 32, 8, Shape::Struct(&[field("kids", 0, lighter_kids), field("weight", 24, u32_)]);
    lighter_kids = "ShVec", 24, 8, Shape::Vec(lighter);
    renamed = "Tree", 32, 8, Shape::Struct(&[field("kids", 0, trees), field("height", 24, u64_)]);
    pair = "", 16, 8, Shape::Struct(&[field("0", 0, bool_), field("1", 8, u64_)]);
    maybe = "Option", 16, 8, Shape::Option { item: u64_, none: none_pattern::<u64> };
    grid = "", 320, 8, Shape::Array { item: trees_grid, len: 10 };
    trees_grid = "Tree", 32, 8, Shape::Struct(&[field("kids", 0, trees), field("weight", 24, u64_)]);
    auth = "Auth", 48, 8, Shape::Enum { tag_offset: 0, tag_size: 1, variants: &[
        Variant { name: "Guest", tag: 0, fields: &[] },
        Variant { name: "User", tag: -1, fields: &[field("name", 8, string)] },
    ] };
    all = "All", 496, 8, Shape::Struct(&[
        field("locked", 0, locked), field("pair", 32, pair), field("maybe", 48, maybe), field("grid", 64, grid),
        field("auth", 384, auth), field("tree", 432, tree), field("names", 464, names), field("flag", 488, bool_),
    ]);
}

fn differ(stored: SchemaRef, wanted: SchemaRef) -> Option<String> {
    let (a, b) = (encode(stored()), encode(wanted()));
    difference(View::new(&a).unwrap().root(), View::new(&b).unwrap().root())
}

fn shown(s: SchemaRef) -> String {
    show(View::new(&encode(s())).unwrap().root())
}

#[test]
fn a_blob_says_what_the_schema_says() {
    let blob = encode(all());
    let root = View::new(&blob).unwrap().root();
    assert_eq!((root.name(), root.size(), root.align()), ("All", 496, 8));
    let fields: Vec<_> = root.fields().map(|f| (f.name, f.offset)).collect();
    assert_eq!(fields[..3], [("locked", 0), ("pair", 32), ("maybe", 48)]);
    let maybe = root.fields().nth(2).unwrap().node;
    let ShapeView::Option { item, offset: 0, size: 8, pattern: 0, some: 8 } = maybe.shape() else {
        panic!("{:?}", maybe.shape())
    };
    assert_eq!(item.name(), "u64");
    let auth = root.fields().nth(4).unwrap().node;
    let variants: Vec<_> = auth.variants().map(|v| (v.name, v.tag, v.fields().count())).collect();
    assert_eq!(variants, [("Guest", 0, 0), ("User", -1, 1)]);
    assert!(root.owns() && auth.owns() && !maybe.owns());
    assert_eq!(blob.len() % 8, 0);
}

#[test]
fn equal_types_have_equal_blobs_however_often_the_compiler_placed_their_constants() {
    assert_eq!(encode(tree()), encode(tree_b()));
    assert_eq!(encode(tree()), encode(trees_grid()));
    assert_eq!(encode(u64_()), encode(u64_again()));
    assert_ne!(encode(tree()), encode(lighter()));
    let encoded = encode_with_nodes(tree_b());
    assert_eq!(View::new(&encoded.bytes).unwrap().nodes().count(), 3, "tree, vector, number");
    let at = |s: &'static Schema| encoded.nodes.iter().find(|(n, _)| std::ptr::eq(*n, s)).unwrap().1;
    assert_eq!(at(tree_b()), HEADER);
    assert_eq!((at(tree()), at(trees_c())), (at(tree_b()), at(trees())));
}

#[test]
fn recursive_types_have_finite_blobs() {
    let blob = encode(tree());
    let root = View::new(&blob).unwrap().root();
    let ShapeView::Vec(item) = root.fields().next().unwrap().node.shape() else { panic!("not a vector") };
    assert!(item == root);
}

#[test]
fn types_are_shown_as_they_are_written() {
    assert_eq!(shown(locked), "ShRwLock<ShMap<ShString, ShVec<u64>>>");
    assert_eq!(shown(names), "ShSet<ShString>");
    assert_eq!(shown(trees), "ShVec<Tree>");
    assert_eq!(shown(maybe), "Option<u64>");
    assert_eq!(shown(pair), "(bool, u64)");
    assert_eq!(shown(grid), "[Tree; 10]");
    let blob = encode(trees());
    let text = expand(View::new(&blob).unwrap().root());
    assert!(text.contains("Tree (32 bytes)") && text.contains("weight: u64 at 24"), "{text}");
}

#[test]
fn the_first_difference_is_named_by_its_path() {
    assert_eq!(differ(all, all), None);
    assert_eq!(differ(tree, tree_b), None);
    let text = differ(trees, lighter_kids).unwrap();
    assert!(
        text.starts_with("at [..].weight: stored u64, 8 bytes") && text.contains("wanted u32, 4 bytes"),
        "{text}"
    );
    let text = differ(tree, renamed).unwrap();
    assert!(
        text.contains("field `weight: u64` at 24") && text.contains("field `height: u64` at 24"),
        "{text}"
    );
    assert!(differ(u64_, u32_).unwrap().starts_with("at the type itself: stored u64"));
    assert!(
        differ(locked, stock).is_some() && differ(grid, trees).is_some() && differ(maybe, auth).is_some()
    );
}

/// Everything that can be asked of a blob that was found good.
fn read_all(view: View<'_>) {
    for n in view.nodes() {
        let _ = (n.name(), n.size(), n.shape(), expand(n));
        assert!(parts_below(n, 0) < 1 << 20);
    }
    assert_eq!(difference(view.root(), view.root()), None);
    let other = encode(all());
    let _ = difference(view.root(), View::new(&other).unwrap().root());
}

/// What a walk over one value meets, but for long arrays.
fn parts_below(n: Node<'_>, depth: usize) -> usize {
    assert!(depth <= super::encode::DEEPEST);
    let below = match n.shape() {
        ShapeView::Struct => n.fields().map(|f| parts_below(f.node, depth + 1)).sum(),
        ShapeView::Enum { .. } => {
            n.variants().flat_map(|v| v.fields()).map(|f| parts_below(f.node, depth + 1)).sum()
        }
        ShapeView::Option { item, .. } | ShapeView::Array { item, .. } | ShapeView::Lock { item, .. } => {
            parts_below(item, depth + 1)
        }
        _ => 0,
    };
    below + 1
}

fn with_hash(mut blob: Vec<u8>) -> Vec<u8> {
    let hash = content_hash(&blob);
    blob[8..16].copy_from_slice(&hash.to_le_bytes());
    blob
}

#[test]
#[cfg_attr(miri, ignore = "slow there")]
fn every_damaged_byte_is_noticed() {
    let blob = encode(all());
    for i in 0..blob.len() {
        let mut bad = blob.clone();
        bad[i] ^= 1 << (i % 8);
        assert!(View::new(&bad).is_err(), "byte {i}");
    }
    for len in 0..blob.len() {
        assert!(View::new(&blob[..len]).is_err(), "length {len}");
    }
}

#[test]
#[cfg_attr(miri, ignore = "slow there")]
fn damage_with_a_matching_hash_is_refused_or_harmless() {
    let blob = encode(all());
    let mut refused = 0;
    for i in (16..blob.len()).chain(HEADER..HEADER + 2 * NODE) {
        for flip in [0x01, 0x80, 0xff, blob[i], 0x48] {
            let mut bad = blob.clone();
            bad[i] ^= flip;
            match View::new(&with_hash(bad)) {
                Ok(view) => read_all(view),
                Err(_) => refused += 1,
            }
        }
    }
    assert!(refused > blob.len());
}

#[test]
#[cfg_attr(miri, ignore = "slow there")]
fn damage_at_several_places_is_refused_or_harmless() {
    let blob = encode(all());
    let mut state = 1u64;
    let mut random = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) as usize
    };
    for _ in 0..5000 {
        let mut bad = blob.clone();
        for _ in 0..1 + random() % 4 {
            let (at, from) = (random() % bad.len() / 8 * 8, random() % bad.len() / 8 * 8);
            bad.copy_within(from..from + 8, at);
        }
        if bad.len() >= 16
            && let Ok(view) = View::new(&with_hash(bad))
        {
            read_all(view);
        }
    }
}

#[test]
fn a_type_that_holds_itself_is_refused() {
    let mut blob = encode(pair());
    // The table of fields stands behind the three nodes; let field 1 be the pair itself at 0.
    let table = HEADER + 3 * NODE;
    blob[table + 24 + 8..][..8].copy_from_slice(&0u64.to_le_bytes());
    blob[table + 24 + 16..][..8].copy_from_slice(&(HEADER as u64).to_le_bytes());
    assert!(View::new(&with_hash(blob.clone())).is_err());
    blob[table + 16..][..8].copy_from_slice(&((HEADER + 2 * NODE) as u64).to_le_bytes());
    assert!(View::new(&with_hash(blob)).is_err());
}
