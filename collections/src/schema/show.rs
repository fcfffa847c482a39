//! Schemas as text, and where two of them differ.

use crate::schema::encode::NodeKind;
use crate::schema::view::{FieldView, Node, ShapeView};
use std::collections::{HashSet, VecDeque};
use std::fmt::Write;

/// Deepest type that is written out; what is below is `..`.
const DEEPEST: usize = 12;
/// Longest text.
const LONGEST: usize = 16 << 10;
/// Most structs that are expanded.
const MOST: usize = 64;

/// The type as its user writes it: `ShMap<ShString, ShVec<u64>>`.
pub fn show(node: Node<'_>) -> String {
    let mut text = String::new();
    write_type(&mut text, node, 0);
    text
}

/// The type, then the fields and variants of every struct and enum in it, with their offsets.
pub fn expand(node: Node<'_>) -> String {
    let mut text = show(node);
    let (mut queue, mut seen) = (VecDeque::from([node]), HashSet::from([node.at()]));
    while let Some(n) = queue.pop_front() {
        if text.len() > LONGEST || seen.len() > MOST {
            text.push_str("\n    ..");
            break;
        }
        write_parts(&mut text, n);
        queue.extend(links(n).into_iter().map(|(_, to)| to).filter(|to| seen.insert(to.at())));
    }
    text
}

/// Where two types first differ, by path: `at stock[..].price: stored u64, 8 bytes; wanted u32, 4 bytes`. Nothing when they are equal.
pub fn difference(stored: Node<'_>, wanted: Node<'_>) -> Option<String> {
    if stored.view().bytes() == wanted.view().bytes() && stored.at() == wanted.at() {
        return None;
    }
    let mut queue = VecDeque::from([(stored, wanted, String::new())]);
    let mut seen = HashSet::from([(stored.at(), wanted.at())]);
    while let Some((s, w, path)) = queue.pop_front() {
        if let Some(what) = own_difference(s, w) {
            let place = if path.is_empty() { "the type itself" } else { path.as_str() };
            return Some(format!("at {place}: {what}"));
        }
        for ((step, to_s), (_, to_w)) in links(s).into_iter().zip(links(w)) {
            if seen.insert((to_s.at(), to_w.at())) {
                queue.push_back((to_s, to_w, format!("{path}{step}")));
            }
        }
    }
    None
}

/// Types in a type or behind it, with the step of a path that leads there. Equal for types that do not differ themselves.
fn links<'a>(n: Node<'a>) -> Vec<(String, Node<'a>)> {
    let fields = |prefix: &str, fields: &mut dyn Iterator<Item = FieldView<'a>>| {
        fields.map(|f| (format!("{prefix}.{}", f.name), f.node)).collect::<Vec<_>>()
    };
    match n.shape() {
        ShapeView::Struct => fields("", &mut n.fields()),
        ShapeView::Enum { .. } => {
            n.variants().flat_map(|v| fields(&format!("::{}", v.name), &mut v.fields())).collect()
        }
        ShapeView::Option { item, .. } => vec![(".Some".into(), item)],
        ShapeView::Array { item, .. } | ShapeView::Vec(item) => vec![("[..]".into(), item)],
        ShapeView::Box(item) => vec![(".*".into(), item)],
        ShapeView::Lock { item, .. } => vec![(".lock()".into(), item)],
        ShapeView::Map { key, value, .. } => vec![(".key".into(), key), ("[..]".into(), value)],
        _ => Vec::new(),
    }
}

fn own_difference(s: Node<'_>, w: Node<'_>) -> Option<String> {
    let brief = |n: Node<'_>| format!("{}, {} bytes aligned to {}", show(n), n.size(), n.align());
    let head = |n: Node<'_>| {
        (n.kind(), n.name().to_owned(), n.size(), n.align(), n.has(crate::schema::encode::flag::NONZERO))
    };
    if head(s) != head(w) {
        return Some(format!("stored {}; wanted {}", brief(s), brief(w)));
    }
    let differ = match (s.shape(), w.shape()) {
        (ShapeView::Struct, ShapeView::Struct) => return fields_difference(s.fields(), w.fields()),
        (ShapeView::Enum { offset: a, size: b }, ShapeView::Enum { offset: c, size: d }) => {
            if (a, b) != (c, d) {
                return Some(format!("stored with a tag of {b} bytes at {a}; wanted with one of {d} at {c}"));
            }
            return variants_difference(s, w);
        }
        (
            ShapeView::Option { offset: a, size: b, pattern: c, some: d, .. },
            ShapeView::Option { offset: e, size: f, pattern: g, some: h, .. },
        ) => (a, b, c, d) != (e, f, g, h),
        (ShapeView::Array { len: a, .. }, ShapeView::Array { len: b, .. }) => a != b,
        (
            ShapeView::Map { value_offset: a, entry_size: b, .. },
            ShapeView::Map { value_offset: c, entry_size: d, .. },
        ) => (a, b) != (c, d),
        (ShapeView::Lock { offset: a, .. }, ShapeView::Lock { offset: b, .. }) => a != b,
        _ => false,
    };
    differ.then(|| format!("stored {}; wanted {}, laid out otherwise", brief(s), brief(w)))
}

fn fields_difference<'a>(
    stored: impl Iterator<Item = FieldView<'a>>,
    wanted: impl Iterator<Item = FieldView<'a>>,
) -> Option<String> {
    let (mut stored, mut wanted) = (stored, wanted);
    let say = |f: Option<FieldView<'_>>| match f {
        Some(f) => format!("field `{}: {}` at {}", f.name, show(f.node), f.offset),
        None => "no further field".into(),
    };
    loop {
        let (s, w) = (stored.next(), wanted.next());
        let same = match (&s, &w) {
            (None, None) => return None,
            (Some(s), Some(w)) => s.name == w.name && s.offset == w.offset,
            _ => false,
        };
        if !same {
            return Some(format!("stored with {}; wanted with {}", say(s), say(w)));
        }
    }
}

fn variants_difference(s: Node<'_>, w: Node<'_>) -> Option<String> {
    let (mut stored, mut wanted) = (s.variants(), w.variants());
    loop {
        let (s, w) = (stored.next(), wanted.next());
        match (s, w) {
            (None, None) => return None,
            (Some(s), Some(w)) if s.name == w.name && s.tag == w.tag => {
                if let Some(what) = fields_difference(s.fields(), w.fields()) {
                    return Some(format!("variant `{}` {what}", s.name));
                }
            }
            _ => {
                let say = |v: Option<crate::schema::view::VariantView<'_>>| match v {
                    Some(v) => format!("variant `{} = {}`", v.name, v.tag),
                    None => "no further variant".into(),
                };
                return Some(format!("stored with {}; wanted with {}", say(s), say(w)));
            }
        }
    }
}

fn write_type(text: &mut String, n: Node<'_>, depth: usize) {
    if depth > DEEPEST || text.len() > LONGEST {
        text.push_str("..");
        return;
    }
    match n.shape() {
        ShapeView::Array { item, len } => {
            text.push('[');
            write_type(text, item, depth + 1);
            let _ = write!(text, "; {len}]");
        }
        ShapeView::Map { key, value, .. } if value.kind() == Some(NodeKind::Unit) => {
            write_generic(text, n, &[key], depth)
        }
        ShapeView::Map { key, value, .. } => write_generic(text, n, &[key, value], depth),
        ShapeView::Option { item, .. } | ShapeView::Lock { item, .. } => {
            write_generic(text, n, &[item], depth)
        }
        ShapeView::Vec(item) | ShapeView::Box(item) => write_generic(text, n, &[item], depth),
        ShapeView::Struct if n.name().is_empty() || n.name().starts_with('(') => {
            let parts: Vec<_> = n.fields().map(|f| f.node).collect();
            write_list(text, ['(', ')'], &parts, depth);
        }
        _ => text.push_str(n.name()),
    }
}

fn write_generic(text: &mut String, n: Node<'_>, parts: &[Node<'_>], depth: usize) {
    // Names stand for themselves; tolerate those that bring their parameters along.
    text.push_str(n.name().split('<').next().unwrap_or_default());
    write_list(text, ['<', '>'], parts, depth);
}

fn write_list(text: &mut String, [open, close]: [char; 2], parts: &[Node<'_>], depth: usize) {
    text.push(open);
    for (i, p) in parts.iter().enumerate() {
        if i > 0 {
            text.push_str(", ");
        }
        write_type(text, *p, depth + 1);
    }
    text.push(close);
}

fn write_parts(text: &mut String, n: Node<'_>) {
    let write_field = |text: &mut String, f: FieldView<'_>| {
        let _ = write!(text, "\n        {}: {} at {}", f.name, show(f.node), f.offset);
    };
    match n.shape() {
        ShapeView::Struct => {
            let _ = write!(text, "\n    {} ({} bytes)", show(n), n.size());
            n.fields().take(MOST).for_each(|f| write_field(text, f));
        }
        ShapeView::Enum { offset, size } => {
            let _ = write!(text, "\n    {} ({} bytes, tag of {size} at {offset})", show(n), n.size());
            for v in n.variants().take(MOST) {
                let _ = write!(text, "\n      {} = {}", v.name, v.tag);
                v.fields().take(MOST).for_each(|f| write_field(text, f));
            }
        }
        _ => {}
    }
}
