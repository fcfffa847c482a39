//! Room for more records than a seat has: chunks taken from the heap, which stay with the seat.

use super::*;

/// Records in the first chunk beyond the inline ones; chunk k holds `CHUNK_FIRST << k`.
const CHUNK_FIRST: u32 = 168;
const CHUNK_HEAD: u64 = 16;

impl LogCx {
    #[cold]
    pub(super) fn find_chunk(&self, i: u32) -> &Record {
        let mut first = LOG_INLINE as u32;
        let mut link = &self.log().chunk;
        loop {
            let records = chunk_records(first);
            let chunk = self
                .chunk_at(link, records)
                .unwrap_or_else(|| panic!("the pool is damaged: record {i} of a log is missing"));
            if i - first < records {
                // SAFETY: `chunk_at` checked the chunk's whole length; its records begin behind its head.
                let start = unsafe { chunk.byte_add(CHUNK_HEAD as usize) }.cast::<Record>();
                self.recent.set((first, start));
                // SAFETY: i - first < records, as above.
                return unsafe { &*start.add((i - first) as usize) };
            }
            first += records;
            // SAFETY: a chunk begins with the offset of the next.
            link = unsafe { &*chunk };
        }
    }

    pub(super) fn chunk_at(&self, link: &AtomicU64, records: u32) -> Option<*const AtomicU64> {
        let offset = link.load(Ordering::Relaxed);
        if offset == 0 || !offset.is_multiple_of(PAGE) {
            return None;
        }
        self.pool().at(offset, chunk_bytes(records)).ok().map(|p| p.cast_const().cast())
    }

    /// Lengthens the log by a chunk, which stays with the seat.
    #[cold]
    pub(super) fn add_chunk(&self) -> Result<()> {
        let mut first = LOG_INLINE as u32;
        let mut link = &self.log().chunk;
        while let Some(chunk) = self.chunk_at(link, chunk_records(first)) {
            first += chunk_records(first);
            if first > self.room.get() + SPARE {
                self.room.set(first - SPARE);
                return Ok(()); // linked by an earlier occupant
            }
            // SAFETY: a chunk begins with the offset of the next.
            link = unsafe { &*chunk };
        }
        if self.index == LOG_INNER || first > N as u32 / 4 {
            return Err(Error::OutOfMemory("the log of one operation is too long".into()));
        }
        let records = chunk_records(first);
        let inner = self.seat().log(LOG_INNER);
        let op = inner.begin();
        let offset = self.pool().upper.log_chunk(inner, chunk_bytes(records))?;
        let at = self.pool().at(offset, chunk_bytes(records))?;
        // SAFETY: `at` is a fresh block of that length: its first word is the link to the next chunk.
        unsafe { at.cast::<u64>().write(0) };
        // Dead before this store: the inner log frees the chunk. After: it is linked, which its undo sees (`undo_one`).
        link.store(offset, Ordering::Release);
        commit_store("log-chunk");
        op.commit();
        self.room.set(first + records - SPARE);
        Ok(())
    }

    /// Whether the run at `offset` is linked in for good: a chunk of one of the seat's logs, of seats or of records, or the directory.
    pub(super) fn is_permanent(&self, offset: u64) -> bool {
        let header = self.pool().header();
        let tables = header.seat_chunks.iter().chain(&header.record_chunks).chain([&header.directory]);
        if tables.into_iter().any(|c| c.load(Ordering::SeqCst) == offset) {
            return true;
        }
        self.seat().logs().iter().any(|l| {
            let (mut first, mut link) = (LOG_INLINE as u32, &l.log().chunk);
            while let Some(chunk) = l.chunk_at(link, chunk_records(first)) {
                if link.load(Ordering::Relaxed) == offset {
                    return true;
                }
                first = first.saturating_add(chunk_records(first));
                // SAFETY: a chunk begins with the offset of the next.
                link = unsafe { &*chunk };
            }
            false
        })
    }
}

pub(super) fn chunk_records(first: u32) -> u32 {
    // Chunk k begins at INLINE + FIRST * (2^k - 1) and holds FIRST << k.
    first - LOG_INLINE as u32 + CHUNK_FIRST
}

pub(super) fn chunk_bytes(records: u32) -> u64 {
    (CHUNK_HEAD + records as u64 * size_of::<Record>() as u64).next_multiple_of(PAGE)
}
