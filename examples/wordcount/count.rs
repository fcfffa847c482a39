//! The shared object, and how a piece of text is counted into it.
//!
//! For each word: how often it occurs, and in which pieces of the text.

use aquifer::{Error, Named, Pool, Relocatable, ShMap, ShMutex, ShString, ShVec};
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

const SHARDS: usize = 16;

/// One part of the words. What a piece has of them is claimed, by marking the piece, and added in one transaction: a process killed at any
/// instruction leaves it counted or not, never in part or twice.
#[derive(Relocatable)]
#[repr(C)]
pub struct Shard {
    /// Bit i: the words of piece i that belong here are counted.
    counted: ShVec<u64>,
    words: ShMap<ShString, Word>,
}

/// What is known of one word.
#[derive(Relocatable)]
#[repr(C)]
pub struct Word {
    count: u64,
    pieces: ShVec<u32>,
}

/// The same in private memory.
#[derive(Default, PartialEq)]
pub struct Occurrences {
    pub count: u64,
    pub pieces: Vec<u32>,
}

/// Counts one piece in private memory.
pub fn count_privately<'t>(counts: &mut HashMap<&'t str, Occurrences>, piece: u32, text: &'t str) {
    words(text, |w| {
        let word = counts.entry(w).or_default();
        word.count += 1;
        if word.pieces.last() != Some(&piece) {
            word.pieces.push(piece);
        }
    });
}

/// All that the processes share.
#[derive(Relocatable)]
#[repr(C)]
pub struct Shared {
    /// Pieces handed out.
    next: AtomicU64,
    /// Bytes counted.
    bytes: AtomicU64,
    /// So many bytes may be counted before somebody is killed.
    allowed: AtomicU64,
    /// Windows mapped anew, in all processes that ended, and the least in one of them.
    moved: AtomicU64,
    least_moved: AtomicU64,
    shards: [ShMutex<Shard>; SHARDS],
}

pub struct Job {
    shared: Named<Shared>,
    pieces: u64,
}

impl Job {
    pub fn open(pool: &Pool, pieces: u64) -> Result<Job, Error> {
        let empty = || ShMutex::new(ShardNew { counted: ShVec::new(), words: ShMap::new() });
        let shared = pool.named_with("words", || SharedNew {
            next: 0u64,
            bytes: 0u64,
            allowed: u64::MAX,
            moved: 0u64,
            least_moved: u64::MAX,
            shards: std::array::from_fn::<_, SHARDS, _>(|_| empty()),
        })?;
        let job = Job { shared, pieces };
        for shard in &job.shared.shards {
            let mut shard = shard.lock()?;
            while (shard.counted.len() as u64) < pieces.div_ceil(64) {
                shard.counted_mut().push(0)?;
            }
        }
        Ok(job)
    }

    /// The next piece that nobody has begun, then any that nobody has finished.
    pub fn next_piece(&self) -> Result<Option<u64>, Error> {
        while self.bytes() >= self.shared.allowed.load(Relaxed) {
            std::thread::yield_now();
        }
        let next = self.shared.next.fetch_add(1, Relaxed);
        if next < self.pieces {
            return Ok(Some(next));
        }
        for shard in &self.shared.shards {
            let shard = shard.lock()?;
            if let Some(piece) = (0..self.pieces).find(|p| !has(&shard.counted, *p)) {
                return Ok(Some(piece));
            }
        }
        Ok(None)
    }

    /// Adds the counts of a piece.
    pub fn count(&self, piece: u64, text: &str) -> Result<(), Error> {
        let mut parts: [HashMap<&str, u64>; SHARDS] = Default::default();
        words(text, |w| *parts[shard_of(w)].entry(w).or_insert(0) += 1);
        for (shard, part) in self.shared.shards.iter().zip(&parts) {
            shard.transaction(|shard| {
                if has(&shard.counted, piece) {
                    return Ok(());
                }
                let shard = shard.fields_mut();
                shard.counted[piece as usize / 64] |= 1 << (piece % 64);
                for (word, n) in part {
                    let word = shard
                        .words
                        .entry(*word)
                        .or_insert_with(|| WordNew { count: 0, pieces: ShVec::new() })?;
                    *word.count_mut() += n;
                    word.pieces_mut().push(piece as u32)?;
                }
                Ok(())
            })?;
        }
        self.shared.bytes.fetch_add(text.len() as u64, Relaxed);
        Ok(())
    }

    /// Bytes counted so far.
    pub fn bytes(&self) -> u64 {
        self.shared.bytes.load(Relaxed)
    }

    /// Lets the processes count on, until so many bytes are counted.
    pub fn allow(&self, bytes: u64) {
        self.shared.allowed.store(bytes, Relaxed);
    }

    /// Notes how often a process that ends has moved.
    pub fn note_moves(&self, moved: u64) {
        self.shared.moved.fetch_add(moved, Relaxed);
        self.shared.least_moved.fetch_min(moved, Relaxed);
    }

    pub fn moves(&self) -> (u64, u64) {
        (self.shared.moved.load(Relaxed), self.shared.least_moved.load(Relaxed))
    }

    /// All words, copied out; pieces in order.
    pub fn counts(&self) -> Result<HashMap<String, Occurrences>, Error> {
        let mut all = HashMap::new();
        for shard in &self.shared.shards {
            for (text, word) in &shard.lock()?.words {
                let mut pieces = word.pieces.to_vec();
                pieces.sort_unstable();
                all.insert(text.to_string(), Occurrences { count: word.count, pieces });
            }
        }
        Ok(all)
    }
}

fn has(bits: &[u64], i: u64) -> bool {
    bits.get(i as usize / 64).is_some_and(|b| b >> (i % 64) & 1 != 0)
}

/// The same in every process: `DefaultHasher::new` has fixed keys.
fn shard_of(word: &str) -> usize {
    let mut hasher = DefaultHasher::new();
    word.hash(&mut hasher);
    hasher.finish() as usize % SHARDS
}

/// Calls `f` for each word: a run of letters, digits and underscores.
pub fn words<'t>(text: &'t str, f: impl FnMut(&'t str)) {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|w| !w.is_empty()).for_each(f);
}
