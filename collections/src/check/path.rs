//! Paths to values, for findings: written out only when something is wrong.

use crate::memory_view::{StringView, copy, number};
use crate::schema::encode::NodeKind;
use crate::schema::view::Node;
use aquifer_pool::Inner;
use std::fmt::Write;
use std::rc::Rc;

/// Longest path and longest key that are written out, in bytes.
const LONGEST: usize = 512;
const LONGEST_KEY: usize = 48;

/// One value of a pool, by the way from its root.
pub(super) struct Path {
    parent: Option<Rc<Path>>,
    step: Step,
}

/// From a value to one that it holds.
pub(super) enum Step {
    /// The root's name.
    Root(String),
    /// A field, by name.
    Field(String),
    /// An element.
    Index(u64),
    /// The key in a slot of a table.
    Key(u64),
    /// The value of a key: where that key stands, its size and kind.
    Entry(u64, u64, Option<NodeKind>),
    /// What a box holds or a lock guards.
    Inside,
}

impl Path {
    pub(super) fn root(name: &str) -> Rc<Path> {
        Rc::new(Path { parent: None, step: Step::Root(name.into()) })
    }

    pub(super) fn to(self: &Rc<Path>, step: Step) -> Rc<Path> {
        Rc::new(Path { parent: Some(self.clone()), step })
    }

    pub(super) fn entry(self: &Rc<Path>, key: Node<'_>, at: u64) -> Rc<Path> {
        self.to(Step::Entry(at, key.size(), key.kind()))
    }

    /// The name of its root.
    pub(super) fn object(&self) -> String {
        let mut at = self;
        while let Some(parent) = &at.parent {
            at = parent;
        }
        match &at.step {
            Step::Root(name) => name.clone(),
            _ => String::new(),
        }
    }

    /// The path as its user would write it.
    pub(super) fn show(&self, pool: &Inner) -> String {
        let mut steps = Vec::new();
        let mut at = Some(self);
        while let Some(path) = at {
            steps.push(&path.step);
            at = path.parent.as_deref();
        }
        let mut text = String::new();
        for step in steps.into_iter().rev() {
            if text.len() > LONGEST {
                text.push_str("..");
                break;
            }
            step.write(&mut text, pool);
        }
        text
    }
}

impl Drop for Path {
    /// Long chains (lists of boxes) are taken apart here: one after the other, not one within the other.
    fn drop(&mut self) {
        let mut parent = self.parent.take();
        while let Some(mut path) = parent.and_then(Rc::into_inner) {
            parent = path.parent.take();
        }
    }
}

impl Step {
    fn write(&self, text: &mut String, pool: &Inner) {
        let _ = match self {
            Step::Root(name) => write!(text, "{name}"),
            Step::Field(name) => write!(text, ".{name}"),
            Step::Index(i) => write!(text, "[{i}]"),
            Step::Key(slot) => write!(text, ".key in slot {slot}"),
            Step::Entry(at, size, kind) => write!(text, "[{}]", show_key(pool, *at, *size, *kind)),
            Step::Inside => Ok(()),
        };
    }
}

fn show_key(pool: &Inner, at: u64, size: u64, kind: Option<NodeKind>) -> String {
    let shown = match kind {
        Some(NodeKind::String) => string(pool, at).map(|s| format!("{s:?}")),
        Some(NodeKind::Unsigned) => number(pool, at, size).ok().map(|n| n.to_string()),
        Some(NodeKind::Signed) => number(pool, at, size).ok().map(|n| signed(n, size).to_string()),
        _ => None,
    };
    shown.unwrap_or_else(|| format!("key at {at:#x}"))
}

fn signed(n: u128, size: u64) -> i128 {
    let unused = 128 - size.clamp(1, 16) as u32 * 8;
    (n << unused) as i128 >> unused
}

fn string(pool: &Inner, at: u64) -> Option<String> {
    let (from, len) = match StringView::read(pool, at).ok()? {
        StringView::Inline { len } => (at, len as u64),
        StringView::Heap { block, len, .. } => (block, len),
        StringView::Bad { .. } => return None,
    };
    let mut bytes = vec![0; (len as usize).min(LONGEST_KEY)];
    copy(pool, from, &mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}
