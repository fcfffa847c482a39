//! Checking values by their schema.

use super::claims::Claims;
use super::keys;
use super::path::{Path, Step};
use crate::discard::is_tag;
use crate::memory_view::{
    DELETED, EMPTY, MIRROR, MapView, StringView, TableView, VecView, byte, copy, number, word,
};
use crate::report::Problem;
use crate::schema::encode::flag;
use crate::schema::show::show;
use crate::schema::view::{FieldView, Node, ShapeView};
use aquifer_pool::lock::RawLock;
use aquifer_pool::seat::SeatCtx;
use aquifer_pool::{Inner, Result};
use std::rc::Rc;

/// Bytes of a string that are looked at in one go.
const PIECE: usize = 64 << 10;

/// What is still to be looked at. Long lists have one entry that moves on, so the list is as long as values are deep.
pub(super) enum Work<'a> {
    /// A value.
    Value { node: Node<'a>, offset: u64, path: Rc<Path> },
    /// Elements `next..len` of those at `first`.
    Elements { item: Node<'a>, first: u64, next: u64, len: u64, path: Rc<Path> },
    /// The entries of a table from slot `next` on.
    Entries { table: TableView, key: Node<'a>, value: Node<'a>, value_offset: u64, next: u64, path: Rc<Path> },
    /// A read lock to be given back, by its mark; none if it is kept.
    Unlock(Option<usize>),
}

/// Looks at one root and all that it reaches.
pub(super) struct Walker<'w, 'a, 'p> {
    pub(super) claims: &'w mut Claims<'p>,
    pub(super) seat: &'w SeatCtx,
    pub(super) work: Vec<Work<'a>>,
}

/// What one look may say: the bytes are out of reach, or the value is bad.
type Look = Result<Result<(), Problem>>;

impl<'a, 'p> Walker<'_, 'a, 'p> {
    /// Works the list off.
    pub(super) fn run(&mut self) {
        while let Some(work) = self.work.pop() {
            match work {
                Work::Value { node, offset, path } => self.look(node, offset, &path),
                Work::Elements { item, first, next, len, path } => self.element(item, first, next, len, path),
                Work::Entries { table, key, value, value_offset, next, path } => {
                    self.entry(table, key, value, value_offset, next, path);
                }
                Work::Unlock(mark) => self.claims.locks.unlock(self.seat, mark),
            }
        }
    }

    fn look(&mut self, node: Node<'a>, offset: u64, path: &Rc<Path>) {
        let found = match self.value(node, offset, path) {
            Ok(Ok(())) => return,
            Ok(Err(problem)) => problem,
            Err(e) => Problem::Unreachable(e.to_string()),
        };
        // What the value refers to was not followed.
        self.claims.partial |= node.owns();
        self.claims.find(path, offset, found);
    }

    fn element(&mut self, item: Node<'a>, first: u64, next: u64, len: u64, path: Rc<Path>) {
        if next >= len {
            return;
        }
        let element = path.to(Step::Index(next));
        self.work.push(Work::Elements { item, first, next: next + 1, len, path });
        self.push(item, first + next * item.size(), element);
    }

    fn entry(
        &mut self,
        table: TableView,
        key: Node<'a>,
        value: Node<'a>,
        value_offset: u64,
        next: u64,
        path: Rc<Path>,
    ) {
        let full = |slot: &u64| table.is_full(self.claims.pool, *slot).unwrap_or(false);
        let Some(slot) = (next..table.buckets).find(full) else { return };
        let at = table.entry(slot);
        let (in_key, in_value) = (path.to(Step::Key(slot)), path.entry(key, at));
        self.work.push(Work::Entries { table, key, value, value_offset, next: slot + 1, path });
        self.push(value, at + value_offset, in_value);
        self.push(key, at, in_key);
    }

    fn push(&mut self, node: Node<'a>, offset: u64, path: Rc<Path>) {
        if !node.has(flag::ANY) {
            self.work.push(Work::Value { node, offset, path });
        }
    }

    fn push_fields(&mut self, fields: impl Iterator<Item = FieldView<'a>>, offset: u64, path: &Rc<Path>) {
        for f in fields.filter(|f| !f.node.has(flag::ANY)) {
            self.push(f.node, offset + f.offset, path.to(Step::Field(f.name.into())));
        }
    }

    fn value(&mut self, node: Node<'a>, offset: u64, path: &Rc<Path>) -> Look {
        let pool = self.pool();
        match node.shape() {
            ShapeView::Any => Ok(Ok(())),
            ShapeView::NonZero => scalar(pool, node, offset, |n| n != 0),
            ShapeView::Bool => scalar(pool, node, offset, |n| n <= 1),
            ShapeView::Char => scalar(pool, node, offset, |n| char::from_u32(n as u32).is_some()),
            ShapeView::Nanoseconds => scalar(pool, node, offset, |n| n < 1_000_000_000),
            ShapeView::Struct => {
                self.push_fields(node.fields(), offset, path);
                Ok(Ok(()))
            }
            ShapeView::Enum { offset: at, size } => {
                let tag = number(pool, offset + at, size)?;
                let Some(variant) = node.variants().find(|v| is_tag(v.tag, tag, size)) else {
                    return Ok(Err(Problem::Value { of: show(node), found: tag }));
                };
                self.push_fields(variant.fields(), offset, path);
                Ok(Ok(()))
            }
            ShapeView::Option { item, offset: at, size, pattern, some } => {
                let found = number(pool, offset + at, size)?;
                if found == pattern {
                    return Ok(Ok(()));
                }
                // The compiler numbers the variants of an option with a tag 0 and 1.
                if some > 0 && found != 1 {
                    return Ok(Err(Problem::Value { of: show(node), found }));
                }
                self.push(item, offset + some, path.clone());
                Ok(Ok(()))
            }
            ShapeView::Array { item, len } => {
                self.work.push(Work::Elements { item, first: offset, next: 0, len, path: path.clone() });
                Ok(Ok(()))
            }
            ShapeView::Lock { item, offset: inner } => self.locked(item, offset, inner, path),
            ShapeView::String => self.string(offset, path),
            ShapeView::Vec(item) => self.vec(item, offset, path),
            ShapeView::Box(item) => self.boxed(item, offset, path),
            ShapeView::Map { .. } => self.map(node, offset, path),
        }
    }

    fn pool(&self) -> &'p Inner {
        self.claims.pool
    }

    fn locked(&mut self, item: Node<'a>, offset: u64, inner: u64, path: &Rc<Path>) -> Look {
        word(self.pool(), offset)?;
        let at = self.pool().at(offset, 8)?.cast::<RawLock>();
        // SAFETY: in bounds by `at`, aligned by `word` above; a lock is one atomic word.
        let lock = unsafe { &*at };
        self.claims.locks.name(offset, path);
        let had = self.claims.locks.read(self.seat, lock, offset);
        let freed = self.claims.locks.freed();
        self.claims.freed_locks.extend(freed.iter().map(|_| path.show(self.claims.pool)));
        match had {
            Ok(mark) => self.work.push(Work::Unlock(mark)),
            Err(e) => {
                self.claims.partial |= item.owns();
                return Ok(Err(Problem::Locked(e.to_string())));
            }
        }
        self.push(item, offset + inner, path.clone());
        Ok(Ok(()))
    }

    fn vec(&mut self, item: Node<'a>, offset: u64, path: &Rc<Path>) -> Look {
        self.claims.report.containers += 1;
        let VecView { block, len, cap } = VecView::read(self.pool(), offset)?;
        if item.size() == 0 && block == 0 {
            return Ok(Ok(()));
        }
        if len > cap || (block == 0 && cap > 0) {
            return Ok(Err(Problem::Length { len, cap }));
        }
        if block != 0
            && self.claims.claim_for(item.align(), block, cap.saturating_mul(item.size()), offset, path)
            && !item.has(flag::ANY)
        {
            self.work.push(Work::Elements { item, first: block, next: 0, len, path: path.clone() });
        }
        Ok(Ok(()))
    }

    fn boxed(&mut self, item: Node<'a>, offset: u64, path: &Rc<Path>) -> Look {
        self.claims.report.containers += 1;
        let block = word(self.pool(), offset)?;
        if block == 0 && item.size() == 0 {
            return Ok(Ok(()));
        }
        if self.claims.claim_for(item.align(), block, item.size(), offset, path) {
            self.push(item, block, path.to(Step::Inside));
        }
        Ok(Ok(()))
    }

    fn string(&mut self, offset: u64, path: &Rc<Path>) -> Look {
        self.claims.report.containers += 1;
        match StringView::read(self.pool(), offset)? {
            StringView::Bad { tag } => Ok(Err(Problem::Value { of: "ShString".into(), found: tag as u128 })),
            StringView::Inline { len } => utf8(self.pool(), offset, len as u64),
            StringView::Heap { len, cap, .. } if len > cap => Ok(Err(Problem::Length { len, cap })),
            StringView::Heap { block, len, cap } => {
                if !self.claims.claim(block, cap, offset, path) {
                    return Ok(Ok(()));
                }
                utf8(self.pool(), block, len)
            }
        }
    }

    fn map(&mut self, node: Node<'a>, offset: u64, path: &Rc<Path>) -> Look {
        let ShapeView::Map { key, value, value_offset, entry_size } = node.shape() else { return Ok(Ok(())) };
        self.claims.report.containers += 1;
        let map = MapView::read(self.pool(), offset)?;
        if map.block == 0 {
            let empty = map.items == 0 && map.growth_left == 0;
            return Ok(if empty { Ok(()) } else { Err(Problem::Table("counts entries, but has no table")) });
        }
        let Some(table) = map.table(entry_size) else {
            return Ok(Err(Problem::Table("has a number of slots that no table has")));
        };
        let align = key.align().max(value.align());
        if !self.claims.claim_for(align, table.block, table.bytes(), offset, path) {
            return Ok(Ok(()));
        }
        match controls(self.pool(), &map, &table)? {
            Err(problem) => self.claims.find(path, offset, problem),
            Ok(()) => {
                for slot in keys::misplaced(self.pool(), &table, key)? {
                    let at = table.entry(slot);
                    self.claims.find(&path.entry(key, at), at, Problem::Misplaced);
                }
            }
        }
        if !(key.has(flag::ANY) && value.has(flag::ANY)) {
            self.work.push(Work::Entries { table, key, value, value_offset, next: 0, path: path.clone() });
        }
        Ok(Ok(()))
    }
}

fn scalar(pool: &Inner, node: Node<'_>, offset: u64, is_value: impl FnOnce(u128) -> bool) -> Look {
    let found = number(pool, offset, node.size())?;
    Ok(if is_value(found) { Ok(()) } else { Err(Problem::Value { of: show(node), found }) })
}

/// Control bytes against counts: full ones are counted, and the last 16 repeat the first.
fn controls(pool: &Inner, map: &MapView, table: &TableView) -> Look {
    let (mut full, mut deleted) = (0u64, 0u64);
    for slot in 0..table.buckets {
        match byte(pool, table.control + slot)? {
            EMPTY => {}
            DELETED => deleted += 1,
            b if b & 0x80 == 0 => full += 1,
            _ => return Ok(Err(Problem::Table("has a control byte that means nothing"))),
        }
    }
    for i in table.buckets..table.buckets + MIRROR {
        if byte(pool, table.control + i)? != byte(pool, table.control + (i & map.mask))? {
            return Ok(Err(Problem::Table("has control bytes whose repetition differs")));
        }
    }
    if full != map.items as u64 {
        return Ok(Err(Problem::Table("has more or fewer entries than it counts")));
    }
    let room = if table.buckets < 8 { table.buckets - 1 } else { table.buckets / 8 * 7 };
    if full + deleted + map.growth_left as u64 > room {
        return Ok(Err(Problem::Table("counts more room than it has")));
    }
    Ok(Ok(()))
}

/// Whether bytes are UTF-8, piece by piece.
fn utf8(pool: &Inner, offset: u64, len: u64) -> Look {
    let mut piece = vec![0u8; PIECE.min(len as usize)];
    let (mut done, mut kept) = (0u64, 0usize);
    while done < len {
        let more = (piece.len() - kept).min((len - done) as usize);
        copy(pool, offset + done, &mut piece[kept..kept + more])?;
        done += more as u64;
        let filled = kept + more;
        kept = match std::str::from_utf8(&piece[..filled]) {
            Ok(_) => 0,
            // A character goes on in the next piece.
            Err(e) if e.error_len().is_none() && done < len => filled - e.valid_up_to(),
            Err(_) => return Ok(Err(Problem::NotUtf8)),
        };
        piece.copy_within(filled - kept..filled, 0);
    }
    Ok(Ok(()))
}
