//! Every structure of the pool that more than one process reads, byte by byte (`docs/layout.md` is its prose).
//!
//! All fields are atomics of at most 8 bytes: other processes change them at any time, and a process may be killed between any two
//! stores. Ordering is relaxed with compiler order unless the code that uses a field says otherwise.

use std::mem::{offset_of, size_of};
use std::sync::atomic::{AtomicU32, AtomicU64};

/// First bytes of every pool.
pub const MAGIC: [u8; 8] = *b"AQUIFER\0";
/// Version of this layout. A pool of another version is refused.
pub const VERSION: u32 = 3;
/// Size of a heap page and unit of growth, in bytes (the system's page may be larger).
pub const PAGE: u64 = 4096;
/// log2 of [`PAGE`].
pub const PAGE_SHIFT: u32 = 12;
/// Locks that one thread may hold, or wait for, for writing at a time.
pub const HELD: usize = 8;
/// Locks that one thread may hold for reading at a time.
pub const MARKS: usize = 8;
/// Logs of a seat: one for each write lock, then [`LOG_BARE`] and [`LOG_INNER`].
pub const LOGS: usize = HELD + 2;
/// The log of work under no lock: building a value, making a name.
pub const LOG_BARE: usize = HELD;
/// The log of work that another log's commit needs.
pub const LOG_INNER: usize = HELD + 1;
/// Records of a log that stand in the seat itself; more are taken from the heap.
pub const LOG_INLINE: usize = 32;
/// Kinds of slabs that a seat may own.
pub const CLASSES: usize = 96;
/// The first kind of slabs whose blocks are allocated by hand.
pub const BY_HAND: usize = 47;
/// Bits of a handle that are an offset; above it stands the pool's tag.
pub const OFFSET_BITS: u32 = 48;
/// Spare runs that a seat may keep.
pub const SPARE: usize = 4;
/// Seats of the first chunk; chunk k holds `SEATS_FIRST << k`.
pub const SEATS_FIRST: u32 = 16;
/// Process records of the first chunk; chunk k holds `RECORDS_FIRST << k`.
pub const RECORDS_FIRST: u32 = 64;
/// Chunks of seats (65,520 seats: a seat's number + 1 fits 16 bits).
pub const SEAT_CHUNKS: usize = 12;
/// Chunks of process records (65,472 processes).
pub const RECORD_CHUNKS: usize = 10;
/// Territories of the heap: enough for 2^(9+TERRITORIES-1) pages.
pub const TERRITORIES: usize = 32;
/// Pages of territory 0, and pages that one summary word describes.
pub const TERRITORY_FIRST: u64 = 512;

/// `Header::modes`: readers of locks store their marks plainly (see `protocol`).
pub const ASYMMETRIC: u16 = 1;

/// The first page of a pool.
#[repr(C)]
#[derive(Debug)]
pub struct Header {
    /// [`MAGIC`].
    pub magic: [u8; 8],
    /// [`VERSION`].
    pub version: u32,
    /// [`PAGE_SHIFT`] when made.
    pub page_shift: u16,
    /// [`ASYMMETRIC`], or 0.
    pub modes: u16,
    /// Random tag of this pool: handles of other pools are told apart by it.
    pub tag: u64,
    /// Seed of the keyed hash, and what hashing fixed probe values gave where the pool was made.
    pub hash_seed: [u64; 2],
    /// See `hash_seed`: compared on opening.
    pub hash_probe: [u64; 4],
    /// Hard limit in bytes (0: none).
    pub hard_limit: u64,
    /// Smallest step of growth, in bytes.
    pub grow_step: u64,
    /// Largest step of growth, in bytes.
    pub grow_ceiling: u64,
    /// Checksum of all bytes above, FNV-1a.
    pub checksum: u64,
    /// Bytes of the pool that are backed and may be used. Grows only; stored (Release) after the file has grown.
    pub length: AtomicU64,
    /// 1 when the last process left in order. For pools in regular files.
    pub clean: AtomicU32,
    /// Reserved, 0.
    pub reserved: AtomicU32,
    /// Changes whenever a process was buried.
    pub deaths: AtomicU64,
    /// Heap lock: seat + 1 of its owner in the low 16 bits, WAIT in bit 31.
    pub heap_lock: AtomicU64,
    /// Growth ticket: as the heap lock.
    pub growth_ticket: AtomicU64,
    /// Offset of the directory's block, 0 until made.
    pub directory: AtomicU64,
    /// Offset of each chunk of seats, 0 while there is none.
    pub seat_chunks: [AtomicU64; SEAT_CHUNKS],
    /// Offset of each chunk of process records, 0 while there is none.
    pub record_chunks: [AtomicU64; RECORD_CHUNKS],
    /// Offset of each territory's metadata, 0 while there is none.
    pub territories: [AtomicU64; TERRITORIES],
    /// How often the pool has grown.
    pub grown: AtomicU64,
}

/// Byte of `length`; all before it is fixed when the pool is made and covered by the checksum.
pub const HEADER_FIXED: usize = offset_of!(Header, checksum);

/// One process that has joined the pool.
#[repr(C, align(64))]
#[derive(Debug)]
pub struct ProcessRecord {
    /// `generation << 1 | LIVE`; changed only by who has the record's byte.
    pub state: AtomicU64,
    /// Process id, for messages only.
    pub pid: AtomicU32,
    /// 1: barriers that others have the kernel make reach this process (`membarrier`).
    pub reached: AtomicU32,
    /// 1 once the process knows the pool to be whole: it made it, found it closed in order, or beside another such process, or has checked it.
    pub trusts: AtomicU32,
}

/// `ProcessRecord::state`: the process has joined and was not buried.
pub const LIVE: u64 = 1;

/// One record of a log.
#[repr(C)]
#[derive(Debug)]
pub struct Record {
    /// Kind in bits 0..8, a length or flag in bits 8..16, more in bits 16..64: see `log`.
    pub head: AtomicU64,
    /// Offset that the record speaks of.
    pub offset: AtomicU64,
    /// Old bytes, token or count.
    pub value: AtomicU64,
}

/// One log of a seat: a stack of records under one head word (see `log`).
#[repr(C)]
#[derive(Debug)]
pub struct Log {
    /// Bits 0..31 n, bits 32..62 base, bit 63 COMMITTED.
    pub head: AtomicU64,
    /// Offset of the first chunk of further records, 0 while there is none.
    pub chunk: AtomicU64,
    /// The first records.
    pub records: [Record; LOG_INLINE],
}

/// A seat's part of the heap.
#[repr(C, align(64))]
#[derive(Debug)]
pub struct SeatHeap {
    /// L0: page range being changed under the heap lock, `first << 24 | pages`; 0: none.
    pub busy: AtomicU64,
    /// Page + 1 whose descriptor's page lock this seat has or is taking; 0: none.
    pub page_lock: AtomicU64,
    /// Count of tokens this seat has given to runs (unique with the seat's number).
    pub token: AtomicU64,
    /// 1 while whoever sits here is at work in its slabs.
    pub turn: AtomicU64,
    /// Seat + 1 of who works in this seat's slabs in its owner's place; STALE after that, until the owner has seen it; 0: open.
    pub closed: AtomicU64,
    /// Seat + 1 that this seat has closed or is closing; 0: none.
    pub closing: AtomicU64,
    /// Reserved, 0.
    pub reserved: [AtomicU64; 2],
    /// Pages of runs that this seat has freed and keeps for its next request, 0: none.
    pub spare: [AtomicU64; SPARE],
    pad: [u64; 4],
    /// For each kind of slab the page of one in this seat's ring of such slabs, 0: none.
    pub slabs: [AtomicU64; CLASSES],
}

/// One thread of one process.
#[repr(C, align(128))]
#[derive(Debug)]
pub struct Seat {
    /// 0: free; else the index + 1 of the process record it belongs to. One word: taken by one CAS.
    pub record: AtomicU64,
    /// Thread id, for messages only.
    pub thread: AtomicU32,
    /// Changes when a thread sits down, when it begins to build an object under no lock, and when it ends; odd in between.
    pub builds: AtomicU32,
    /// Offset of the lock that the thread sleeps for, 0: none; and since when it has waited (`sys::clock`).
    pub waits_for: AtomicU64,
    /// See `waits_for`.
    pub waits_since: AtomicU64,
    pad0: [u64; 4],
    /// Offsets of the locks this seat holds or wants for writing, 0: none; bit 1: it is being retired (see [`crate::retire`]).
    pub held: [AtomicU64; HELD],
    /// Offsets of the locks this seat reads, 0: none; bit 0: a writer waits for this mark.
    pub marks: Marks,
    /// The seat's slabs and L0.
    pub heap: SeatHeap,
    /// The seat's logs.
    pub logs: [Log; LOGS],
}

/// Read marks, on lines of their own: readers of different seats share none.
#[repr(C, align(128))]
#[derive(Debug)]
pub struct Marks(pub [AtomicU64; MARKS]);

// Layout is a promise to other builds: change VERSION with any of these.
const _: () = assert!(size_of::<Header>() <= PAGE as usize);
const _: () = assert!(offset_of!(Header, checksum) == 96 && offset_of!(Header, length) == 104);
const _: () = assert!(size_of::<ProcessRecord>() == 64);
const _: () = assert!(size_of::<Record>() == 24 && size_of::<Log>() == 16 + LOG_INLINE * 24);
const _: () =
    assert!(offset_of!(Seat, held) == 64 && offset_of!(Seat, marks) == 128 && offset_of!(Seat, heap) == 256);
const _: () = assert!(size_of::<SeatHeap>() == 896);
const _: () = assert!(offset_of!(Seat, logs) == 1152 && size_of::<Seat>() == 9088);

/// Where the parts of a new pool stand, in bytes from its start; all multiples of [`PAGE`].
pub mod fresh {
    use super::*;
    /// First chunk of process records.
    pub const RECORDS: u64 = PAGE;
    /// First chunk of seats.
    pub const SEATS: u64 = RECORDS + RECORDS_FIRST as u64 * size_of::<ProcessRecord>() as u64;
    /// Metadata of territory 0 (see the heap).
    pub const TERRITORY: u64 = (SEATS + SEATS_FIRST as u64 * size_of::<Seat>() as u64).next_multiple_of(PAGE);
    /// First page that the heap gives out.
    pub const HEAP: u64 = TERRITORY + territory_bytes(0);
    /// Smallest pool.
    pub const LEAST: u64 = HEAP + 16 * PAGE;
}

/// The territory of a page: below 64, as the compiler sees.
#[inline(always)]
pub const fn territory_of(page: u64) -> usize {
    // As 64 - (page / TERRITORY_FIRST).leading_zeros(), but never of 0.
    ((page / (TERRITORY_FIRST / 2)) | 1).ilog2() as usize
}

/// First page of territory `t`.
pub const fn territory_start(t: usize) -> u64 {
    if t == 0 { 0 } else { TERRITORY_FIRST << (t - 1) }
}

/// Pages of territory `t`.
pub const fn territory_pages(t: usize) -> u64 {
    if t == 0 { TERRITORY_FIRST } else { TERRITORY_FIRST << (t - 1) }
}

/// Bytes of a page descriptor.
pub const DESCRIPTOR: u64 = 64;

/// Bytes of the metadata block of territory `t`: descriptors, then the bitmap, then a summary word for each 512 pages.
pub const fn territory_bytes(t: usize) -> u64 {
    let pages = territory_pages(t);
    (pages * DESCRIPTOR + pages / 8 + pages / TERRITORY_FIRST * 8).next_multiple_of(PAGE)
}

/// Chunk and place in it of element `index` of a table whose chunk k holds `first << k` elements (`first` a power of two).
#[inline]
pub const fn chunk_of(index: u32, first: u32) -> (usize, u32) {
    // An index out of a damaged pool may be anything: one beyond all chunks gives a chunk beyond all.
    let i = index.saturating_add(first);
    let k = 31 - i.leading_zeros() - first.trailing_zeros();
    (k as usize, i - (first << k))
}
