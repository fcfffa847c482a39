//! The heap alone: blocks keep their bytes and lie apart, bad frees are refused, what is undone leaves nothing.

mod layers;
mod model;

use crate::setup::Setup;
use aquifer_alloc::{reclaim, stats};
use arbitrary::Arbitrary;
use model::Model;

/// How many bytes are asked for.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Size {
    /// Less than 256.
    Small(u8),
    /// Up to a page and more, which slabs serve, or just not.
    Medium(u16),
    /// So many pages.
    Pages(u8),
    /// So many times 1 MiB: a few of them reach the hard limit.
    Large(u8),
    /// What no pool can hold.
    Absurd(u64),
}

impl Size {
    fn bytes(self) -> usize {
        match self {
            Size::Small(n) => n.into(),
            Size::Medium(n) => usize::from(n) % 4500,
            Size::Pages(n) => usize::from(n) * 4096,
            Size::Large(n) => usize::from(n % 8) << 20,
            Size::Absurd(n) => (n | 1 << 40) as usize,
        }
    }
}

/// An offset where no live block begins, made from one where one does, or did.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Bad {
    /// Any number.
    Anything(u64),
    /// Inside a block.
    Inside { which: u8, by: u16 },
    /// The block that was freed last.
    Twice,
    /// The start of any page.
    Page(u16),
}

/// One step of an operation.
#[derive(Arbitrary, Clone, Debug)]
pub enum Step {
    Alloc { size: Size, align: u8 },
    Free { which: u8 },
    FreeTwice { which: u8 },
}

/// What is done to the heap.
#[derive(Arbitrary, Clone, Debug)]
pub enum Op {
    Alloc {
        size: Size,
        align: u8,
    },
    Zeroed {
        size: Size,
    },
    Free {
        which: u8,
    },
    Resize {
        which: u8,
        size: Size,
    },
    BadFree(Bad),
    /// An operation of several steps that is committed.
    Whole(Vec<Step>),
    /// One that is dropped.
    Undone(Vec<Step>),
    /// Allocations and frees by another thread, whose blocks stay.
    Thread(Vec<Step>),
    Reclaim,
}

/// Applies an input to a heap and to the model of one.
pub fn run(data: &[u8]) {
    let (setup, ops) = Setup::read::<Op>(data);
    let pool = setup.raw_pool(&layers::HEAP_ONLY);
    let mut model = Model::new(&pool);
    let held_from = if setup.rolled_back { ops.len() / 2 } else { usize::MAX };
    for (i, op) in ops.into_iter().enumerate() {
        if i == held_from {
            model.hold();
        }
        model.apply(op);
        if i % 16 == 15 {
            model.compare();
        }
    }
    model.compare();
    if setup.rolled_back {
        model.roll_back();
        model.compare();
    }
    model.free_all();
    reclaim(pool.seat().unwrap()).unwrap();
    model.compare();
    let left = stats(&pool).unwrap();
    assert_eq!(
        left.blocks,
        model.log_chunks().len() as u64,
        "more than the chunks of the logs is left: {left:?}"
    );
    assert!(model.other_threads() || left.pages_slab == 0, "slabs are left: {left:?}");
}
