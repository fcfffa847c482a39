//! What must be true of the heap's blocks.

use super::{Bad, Op, Size, Step};
use crate::setup::{HARD_LIMIT, log_chunks};
use aquifer_alloc as heap;
use aquifer_pool::layout::PAGE;
use aquifer_pool::log::LogCx;
use aquifer_pool::{Error, Inner, RawPool};
use std::alloc::Layout;
use std::collections::{BTreeMap, BTreeSet};

/// Bytes of a block's start and end that are written and compared.
const EDGE: usize = 256;

#[derive(Clone, Copy, Debug, PartialEq)]
struct Block {
    size: usize,
    fill: u8,
    /// Freed by an operation that is not final yet: the block stands, but nobody may use it.
    freed: bool,
}

type Blocks = BTreeMap<u64, Block>;

/// A heap and what it should hold.
#[derive(Debug)]
pub struct Model {
    pool: RawPool,
    blocks: Blocks,
    last_freed: u64,
    next_fill: u8,
    /// The blocks when the transaction began that runs now.
    held: Option<Blocks>,
    other_threads: bool,
}

impl Model {
    pub fn new(pool: &RawPool) -> Model {
        Model {
            pool: pool.clone(),
            blocks: Blocks::new(),
            last_freed: 0,
            next_fill: 1,
            held: None,
            other_threads: false,
        }
    }

    pub fn apply(&mut self, op: Op) {
        match op {
            Op::Alloc { size, align } => self.alloc(size, align),
            Op::Zeroed { size } => self.zeroed(size),
            Op::Free { which } => self.free(which),
            Op::Resize { which, size } => self.resize(which, size),
            Op::BadFree(bad) => self.bad_free(bad),
            Op::Whole(steps) => self.operation(&steps, true),
            Op::Undone(steps) => self.operation(&steps, false),
            Op::Thread(steps) => self.on_another_thread(&steps),
            Op::Reclaim => drop(heap::reclaim(self.pool.seat().unwrap()).unwrap()),
        }
    }

    /// Whether another thread has been here, whose slabs stay with its seat.
    pub fn other_threads(&self) -> bool {
        self.other_threads
    }

    // ---- a transaction around all that follows

    pub fn hold(&mut self) {
        self.pool.seat().unwrap().bare().hold();
        self.held = Some(self.blocks.clone());
    }

    pub fn roll_back(&mut self) {
        self.pool.seat().unwrap().bare().roll_back();
        let Some(held) = self.held.take() else { return };
        self.blocks = held;
        for (offset, block) in &self.blocks {
            assert!(
                filled(&self.pool, *offset, *block),
                "the block at {offset:#x} was changed by what was rolled back"
            );
        }
    }

    // ---- steps

    fn alloc(&mut self, size: Size, align: u8) {
        let layout = layout_of(size, align);
        let seat = self.pool.seat().unwrap();
        match heap::raw_alloc(seat, layout) {
            Ok(offset) => self.enter(offset, layout),
            Err(e) => refused(&self.pool, layout.size(), layout.align(), &e),
        }
    }

    fn zeroed(&mut self, size: Size) {
        let layout = layout_of(size, 0);
        let pool = self.pool.clone();
        let op = pool.seat().unwrap().bare().begin();
        match heap::alloc_zeroed(op.cx(), layout.size(), layout.align()) {
            Ok(offset) => {
                op.commit();
                let at = pool.at(offset, layout.size() as u64).unwrap();
                // SAFETY: in bounds by `at`; zeroed, and ours.
                let bytes = unsafe { std::slice::from_raw_parts(at, layout.size()) };
                assert!(bytes.iter().all(|b| *b == 0), "the zeroed block at {offset:#x} is not zero");
                self.enter(offset, layout);
            }
            Err(e) => refused(&pool, layout.size(), layout.align(), &e),
        }
    }

    /// A block that the heap has just given.
    fn enter(&mut self, offset: u64, layout: Layout) {
        let size = layout.size();
        let held = heap::block_size(&self.pool, offset).expect("a new block is a block");
        assert!(
            held as usize >= size && offset.is_multiple_of(layout.align().max(16) as u64),
            "{offset:#x} for {layout:?}"
        );
        let before = self
            .blocks
            .range(..=offset)
            .next_back()
            .map(|(o, _)| o + heap::block_size(&self.pool, *o).unwrap());
        assert!(before.is_none_or(|end| end <= offset), "{offset:#x} overlaps the block before it");
        assert!(
            self.blocks.range(offset..).next().is_none_or(|(o, _)| offset + held <= *o),
            "{offset:#x} overlaps the next block"
        );
        let block = Block { size, fill: self.next_fill, freed: false };
        self.next_fill = self.next_fill.wrapping_add(1);
        fill(&self.pool, offset, block);
        self.blocks.insert(offset, block);
    }

    /// A live block.
    fn pick(&self, which: u8) -> Option<u64> {
        let live: Vec<u64> = self.blocks.iter().filter(|(_, b)| !b.freed).map(|(o, _)| *o).collect();
        live.get(usize::from(which) % live.len().max(1)).copied()
    }

    fn free(&mut self, which: u8) {
        let Some(offset) = self.pick(which) else { return };
        heap::raw_free(self.pool.seat().unwrap(), offset).unwrap();
        self.note_freed(offset);
        if self.held.is_none() {
            self.blocks.remove(&offset);
        }
    }

    fn note_freed(&mut self, offset: u64) {
        let block = self.blocks.get_mut(&offset).expect("a block of the model");
        block.freed = true;
        assert!(filled(&self.pool, offset, *block), "the block at {offset:#x} was changed");
        self.last_freed = offset;
    }

    fn resize(&mut self, which: u8, size: Size) {
        let Some(offset) = self.pick(which) else { return };
        let (old, size) = (self.blocks[&offset], size.bytes());
        let op = self.pool.seat().unwrap().bare().begin();
        let resized = heap::resize_in_place(op.cx(), offset, size);
        op.commit();
        assert!(
            filled(&self.pool, offset, Block { size: old.size.min(size).min(EDGE), ..old }),
            "resizing changed bytes at {offset:#x}"
        );
        if !resized.unwrap() {
            return;
        }
        assert!(heap::block_size(&self.pool, offset).unwrap() as usize >= size);
        // In a transaction only the room is ours: the bytes are those that a rollback must find.
        if self.held.is_none() {
            let block = Block { size, ..old };
            fill(&self.pool, offset, block);
            self.blocks.insert(offset, block);
        }
    }

    fn bad_free(&self, bad: Bad) {
        let offset = match bad {
            Bad::Anything(offset) => offset,
            Bad::Inside { which, by } => match self.pick(which) {
                Some(offset) => offset + u64::from(by),
                None => return,
            },
            Bad::Twice => self.last_freed,
            Bad::Page(page) => u64::from(page) * PAGE,
        };
        if self.blocks.contains_key(&offset) || self.log_chunks().contains(&offset) {
            return;
        }
        let before = heap::stats(&self.pool).unwrap();
        let refused = heap::raw_free(self.pool.seat().unwrap(), offset);
        assert!(matches!(refused, Err(Error::BadBlock { .. })), "freeing {offset:#x}: {refused:?}");
        assert_eq!(heap::block_size(&self.pool, offset), None);
        assert_eq!(heap::stats(&self.pool).unwrap(), before);
    }

    fn operation(&mut self, steps: &[Step], whole: bool) {
        let before = self.blocks.clone();
        let pool = self.pool.clone();
        let op = pool.seat().unwrap().bare().begin();
        for step in steps {
            self.step(op.cx(), step);
        }
        if whole {
            op.commit();
        } else {
            drop(op);
            self.blocks = before;
        }
        if self.held.is_none() {
            self.blocks.retain(|_, b| !b.freed);
        }
    }

    fn step(&mut self, cx: &LogCx, step: &Step) {
        match step {
            Step::Alloc { size, align } => {
                let layout = layout_of(*size, *align);
                match heap::alloc(cx, layout.size(), layout.align()) {
                    Ok(offset) => self.enter(offset, layout),
                    Err(e) => refused(&self.pool, layout.size(), layout.align(), &e),
                }
            }
            Step::Free { which } | Step::FreeTwice { which } => {
                let Some(offset) = self.pick(*which) else { return };
                heap::free(cx, offset).unwrap();
                if matches!(step, Step::FreeTwice { .. }) {
                    heap::free(cx, offset).unwrap();
                }
                self.note_freed(offset);
            }
        }
    }

    /// The same on a seat of another thread, which leaves then. Not inside of a transaction: that is the first thread's.
    fn on_another_thread(&mut self, steps: &[Step]) {
        if self.held.is_some() {
            return;
        }
        self.other_threads = true;
        std::thread::scope(|scope| {
            scope.spawn(|| {
                self.operation(steps, true);
                self.pool.give_up_seat();
            });
        });
    }

    // ---- the end

    pub fn free_all(&mut self) {
        while !self.blocks.is_empty() {
            self.free(0);
        }
    }

    /// Exactly the blocks of the model stand in the heap, with their bytes, and the heap's own tables agree.
    pub fn compare(&self) {
        let chunks = self.log_chunks();
        let mut walked = Vec::new();
        heap::for_each_block(&self.pool, |b| {
            walked.extend((!chunks.contains(&b.offset)).then_some(b.offset));
            Ok(())
        })
        .unwrap();
        assert_eq!(walked, self.blocks.keys().copied().collect::<Vec<_>>());
        for (offset, block) in &self.blocks {
            assert!(filled(&self.pool, *offset, *block), "the block at {offset:#x} was changed");
        }
        let s = heap::stats(&self.pool).unwrap();
        assert_eq!(s.blocks as usize, walked.len() + chunks.len());
        assert_eq!((s.pages_free + s.pages_slab + s.pages_run + s.pages_meta) * PAGE, s.length);
        assert!(s.length <= HARD_LIMIT);
        heap::verify(&self.pool).unwrap();
        heap::check_index(&self.pool).unwrap();
    }

    /// Blocks that the logs of the seats keep.
    pub fn log_chunks(&self) -> BTreeSet<u64> {
        log_chunks(&self.pool)
    }
}

fn layout_of(size: Size, align: u8) -> Layout {
    // Mostly what the heap gives anyhow; now and then up to 64 KiB.
    let shift = if align >= 240 { align % 17 } else { align % 5 };
    let bytes = size.bytes().min(isize::MAX as usize >> 1);
    Layout::from_size_align(bytes, 1 << shift).expect("a power of two")
}

/// A request that fails does so for lack of room: within a pool of that length there is none as long.
fn refused(pool: &Inner, size: usize, align: usize, error: &Error) {
    assert!(
        matches!(error, Error::HardLimit { .. } | Error::TooLarge(..) | Error::OutOfMemory(_)),
        "{size} bytes: {error}"
    );
    let s = heap::stats(pool).unwrap();
    let growable = HARD_LIMIT - s.length;
    let needed = (size + align) as u64 + PAGE;
    assert!(
        s.largest_free_run.max(growable) < needed.saturating_add(2 << 20),
        "{size} bytes are refused ({error}), though there is room: {s:?}"
    );
}

fn edges(size: usize) -> [std::ops::Range<usize>; 2] {
    [0..size.min(EDGE), size.saturating_sub(EDGE)..size]
}

fn fill(pool: &Inner, offset: u64, block: Block) {
    let at = pool.at(offset, block.size as u64).unwrap();
    for range in edges(block.size) {
        // SAFETY: in bounds by `at`; a block of the model.
        unsafe { at.add(range.start).write_bytes(block.fill, range.len()) };
    }
}

fn filled(pool: &Inner, offset: u64, block: Block) -> bool {
    let at = pool.at(offset, block.size as u64).unwrap();
    // SAFETY: in bounds by `at`; a block of the model, whose edges were filled.
    let whole = |r: std::ops::Range<usize>| unsafe { std::slice::from_raw_parts(at.add(r.start), r.len()) };
    edges(block.size).into_iter().all(|r| whole(r).iter().all(|b| *b == block.fill))
}
