//! Who has and who wants which lock, read from a pool's bytes without joining it: that may be just what does not work.

use aquifer_pool::layout::{
    HELD, Header, LIVE, LOGS, Log, MARKS, ProcessRecord, RECORDS_FIRST, SEATS_FIRST, Seat, SeatHeap, chunk_of,
};
use aquifer_pool::protocol::OWNER;
use std::fmt::Write;
use std::mem::offset_of;
use std::path::Path;

/// The bytes of a pool at some moment.
struct Picture(Vec<u8>);

/// What the seats of live and dead processes have and want.
pub fn who_waits(pool: &Path) -> String {
    let Ok(bytes) = std::fs::read(pool) else { return "the pool cannot be read".into() };
    let picture = Picture(bytes);
    let mut text = String::new();
    for (what, at) in
        [("heap lock", offset_of!(Header, heap_lock)), ("growth ticket", offset_of!(Header, growth_ticket))]
    {
        let _ = writeln!(text, "{what}: {}", picture.owner(picture.word(at as u64)));
    }
    for seat in 0.. {
        let Some(at) = picture.seat(seat) else { break };
        if picture.word(at) != 0 {
            picture.describe(seat, at, &mut text);
        }
    }
    text
}

impl Picture {
    fn word(&self, at: u64) -> u64 {
        let bytes = self.0.get(at as usize..).and_then(|b| b.first_chunk());
        bytes.map_or(0, |b| u64::from_ne_bytes(*b))
    }

    /// Where an element of a table stands whose chunks double.
    fn element(&self, chunks: usize, first: u32, size: usize, index: u32) -> Option<u64> {
        let (k, i) = chunk_of(index, first);
        let chunk = self.word(chunks as u64 + 8 * k as u64);
        (k < 12 && chunk != 0).then(|| chunk + i as u64 * size as u64)
    }

    fn seat(&self, seat: u32) -> Option<u64> {
        self.element(offset_of!(Header, seat_chunks), SEATS_FIRST, size_of::<Seat>(), seat)
    }

    fn process(&self, record: u64) -> String {
        let chunks = offset_of!(Header, record_chunks);
        let at = self.element(chunks, RECORDS_FIRST, size_of::<ProcessRecord>(), record as u32);
        let word = |field| at.map_or(0, |at| self.word(at + field as u64));
        let state = word(offset_of!(ProcessRecord, state));
        let pid = word(offset_of!(ProcessRecord, pid)) as u32;
        format!("process {pid}{}", if state & LIVE == 0 { " (not live)" } else { "" })
    }

    fn owner(&self, word: u64) -> String {
        match (word & OWNER).checked_sub(1) {
            None => format!("free ({word:#x})"),
            Some(seat) => {
                let record = self.seat(seat as u32).map_or(0, |at| self.word(at));
                match record.checked_sub(1) {
                    None => format!("seat {seat}, which is empty ({word:#x})"),
                    Some(record) => format!("seat {seat} of {} ({word:#x})", self.process(record)),
                }
            }
        }
    }

    fn describe(&self, seat: u32, at: u64, text: &mut String) {
        let thread = self.word(at + offset_of!(Seat, thread) as u64) as u32;
        let _ = writeln!(text, "seat {seat}: {} thread {thread}", self.process(self.word(at) - 1));
        let words = |field: usize, n: usize| {
            (0..n).map(move |i| (i, self.word(at + field as u64 + 8 * i as u64))).filter(|(_, w)| *w != 0)
        };
        for (i, lock) in words(offset_of!(Seat, held), HELD) {
            let _ = writeln!(text, "  held[{i}] {lock:#x}: {}", self.owner(self.word(lock)));
        }
        for (i, mark) in words(offset_of!(Seat, marks), MARKS) {
            let _ = writeln!(text, "  reads[{i}] {mark:#x}: writer {}", self.owner(self.word(mark & !1)));
        }
        let heap = offset_of!(Seat, heap);
        for (what, field) in
            [("busy pages", offset_of!(SeatHeap, busy)), ("page lock", offset_of!(SeatHeap, page_lock))]
        {
            for (_, w) in words(heap + field, 1) {
                let _ = writeln!(text, "  {what}: {w:#x}");
            }
        }
        for i in 0..LOGS {
            for (_, head) in words(offset_of!(Seat, logs) + i * size_of::<Log>(), 1) {
                let _ = writeln!(text, "  log {i}: {head:#x}");
            }
        }
    }
}
