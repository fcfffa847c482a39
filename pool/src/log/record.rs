//! Records: what a log says.

/// What a record asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Nothing: a place holder.
    Nothing = 0,
    /// Undo: write `size` bytes of `value` back at `offset`.
    Old = 1,
    /// Undo: give block `value` of the slab at page `offset` back.
    Alloc = 2,
    /// Undo: give the run at page `offset` with token `value` back.
    AllocRun = 3,
    /// Commit: free the block at `offset`; `value` is the token of a run, or 0. If `aux` is not 0, it is an eighth of the offset of the word
    /// that names the block: the block is freed unless that is 0, and the word is cleared then.
    Free = 4,
    /// Commit: free what the first `value` elements at `offset` own, last first; `aux` is their schema.
    DropVec = 5,
    /// Commit: free what the entries of the table at `offset` own; `value` counts its slots, `aux` is the map's schema.
    DropTable = 6,
    /// Commit: commit log `offset` of the same seat too, from record `value` on. Record `aux` there is the `Cancel` that goes with it.
    Join = 7,
    /// Undo: move elements back that a shift has moved: see `shift`.
    Shift = 8,
    /// Undo: write `value` bytes back at `offset`; they stand in the `aux` records just below, 24 in each, and go with this one.
    OldBytes = 9,
    /// Undo: copy `value` bytes back to `offset` from where they were copied to, at eight times `aux`.
    OldBlock = 10,
    /// Commit: the `value` intents from record `offset` on, below this one, are void: their value has found another place.
    Cancel = 11,
    /// Undo: write `value` back at `offset`, and the byte `size` at `aux`.
    OldPair = 12,
    /// Neither: what the lock at `offset` guards (`value` is 8, the bytes of its word) is lent, and changed on this log: see `concern`.
    Lent = 13,
}

impl Kind {
    pub(super) fn of(head: u64) -> Kind {
        match head as u8 {
            1 => Kind::Old,
            2 => Kind::Alloc,
            3 => Kind::AllocRun,
            4 => Kind::Free,
            5 => Kind::DropVec,
            6 => Kind::DropTable,
            7 => Kind::Join,
            8 => Kind::Shift,
            9 => Kind::OldBytes,
            10 => Kind::OldBlock,
            11 => Kind::Cancel,
            12 => Kind::OldPair,
            13 => Kind::Lent,
            _ => Kind::Nothing,
        }
    }

    /// Whether the commit has something to do for it.
    pub(super) fn is_intent(self) -> bool {
        matches!(self, Kind::Free | Kind::DropVec | Kind::DropTable | Kind::Join | Kind::Cancel)
    }
}

/// A record read out of a log.
#[derive(Debug, Clone, Copy)]
pub struct RecordView {
    /// What it asks for.
    pub kind: Kind,
    /// Bytes of an `Old`; the byte of an `OldPair`; 0 else.
    pub size: u8,
    /// 48 bits of further information: an offset of a schema or block.
    pub aux: u64,
    /// What it speaks of.
    pub offset: u64,
    /// Old bytes, token or count.
    pub value: u64,
}

impl RecordView {
    /// A record without size and `aux`.
    #[inline(always)]
    pub fn new(kind: Kind, offset: u64, value: u64) -> RecordView {
        RecordView { kind, size: 0, aux: 0, offset, value }
    }

    /// How many records it takes in the log: itself, and the bytes below it.
    #[inline(always)]
    pub fn records(&self) -> u32 {
        if self.kind == Kind::OldBytes { 1 + self.aux as u32 } else { 1 }
    }

    /// The same with `aux`.
    #[inline(always)]
    pub fn with_aux(self, aux: u64) -> RecordView {
        RecordView { aux, ..self }
    }
}
