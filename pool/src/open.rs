//! Making, opening, listing and removing pools.

use crate::backing::{Backing, Kind};
use crate::draft;
use crate::error::{Error, Result};
use crate::layout::{self, ASYMMETRIC, HEADER_FIXED, Header, LIVE, MAGIC, PAGE, PAGE_SHIFT, VERSION, fresh};
use crate::name;
use crate::options::Options;
use crate::plant::commit_store;
use crate::process::Process;
use crate::raw::{Counters, Inner, RawPool};
use crate::registry;
use crate::sys::file;
use crate::tails::Tails;
use crate::upper::Upper;
use crate::window::Windows;
use rustix::io::Errno;
use std::mem::offset_of;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

/// What is known of a pool and of this process's join of it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Info {
    /// Name or path.
    pub name: String,
    /// Where it lives.
    pub kind: Kind,
    /// Mode bits of its file.
    pub mode: u32,
    /// Bytes of the pool.
    pub length: u64,
    /// Bytes of this process's largest window.
    pub window: u64,
    /// Address of that window.
    pub base: usize,
    /// Hard limit in bytes, 0: none.
    pub hard_limit: u64,
    /// Least and most bytes by which it grows at a time.
    pub growth: (u64, u64),
    /// Whether the file had been left in order when this process opened it. False too while others have it open.
    pub found_clean: bool,
    /// How often the pool has grown.
    pub grown: u64,
    /// How often this process mapped a larger window.
    pub moved: u64,
    /// How often this process waited for a lock.
    pub waited: u64,
    /// How many dead processes this process buried.
    pub buried: u64,
    /// Processes that have joined and were not buried.
    pub processes: u32,
    /// Whether its locks are asymmetric ([`Options::asymmetric_locks`]).
    pub asymmetric_locks: bool,
}

/// How a pool is addressed: by name in `/dev/shm`, or by path.
#[derive(Debug, Clone, Copy)]
pub enum Place<'a> {
    /// A name, with or without a leading slash.
    Name(&'a str),
    /// A regular file.
    Path(&'a Path),
}

impl Place<'_> {
    fn file(&self) -> Result<(Kind, String, PathBuf)> {
        Ok(match self {
            Place::Name(n) => (Kind::Shm, n.strip_prefix('/').unwrap_or(n).to_string(), name::path(n)?),
            Place::Path(p) => (Kind::File, p.display().to_string(), p.to_path_buf()),
        })
    }
}

impl RawPool {
    /// Makes a pool; it gets its name only when it is whole.
    ///
    /// # Errors
    /// `AlreadyExists`, `Permission`, `OutOfMemory`, `FileSizeLimit`, `AddressSpace`, `BadName`.
    pub fn create(options: &Options, place: Place<'_>, upper: &'static dyn Upper) -> Result<RawPool> {
        let (kind, name, path) = place.file()?;
        if path.symlink_metadata().is_ok() {
            return Err(Error::AlreadyExists(name));
        }
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let (fd, draft) = draft::begin(folder, !options.without_nameless).map_err(|e| match e {
            // Here not the pool is missing, but the folder it is to be in.
            Errno::NOENT | Errno::NOTDIR => Error::system("create", &name, e),
            e => refusal("create", &name, e),
        })?;
        let pool = make(options, Backing::on_file(kind, &name, fd)?, upper)?;
        if let Some(fd) = pool.backing.fd() {
            draft.publish(fd, &path).map_err(|e| refusal("create", &name, e))?;
            commit_store("pool-name");
        }
        enter(options, pool)
    }

    /// Opens a pool; one that this process has open already gives the same join.
    ///
    /// # Errors
    /// `NoSuchPool`, `Permission`, `NotAPool`, `Version`, `Damaged`, `Truncated`, `AddressSpace`, `TooMany`, `BadName`.
    pub fn open(options: &Options, place: Place<'_>, upper: &'static dyn Upper) -> Result<RawPool> {
        let (kind, name, path) = place.file()?;
        let fd = file::open(&path, kind == Kind::File).map_err(|e| refusal("open", &name, e))?;
        let backing = Backing::on_file(kind, &name, fd)?.with_huge_pages(options.huge_pages);
        if !options.second_mapping
            && let Some(open) = registry::find_file(backing.identity)
        {
            return Ok(open);
        }
        let length = check_header(&backing)?;
        let window = options.first_window(length)?;
        let windows = Windows::first(&backing, window, length)?;
        let pool = assemble(backing, windows, upper);
        let made_here = upper.hash_probe(pool.header().hash_seed);
        if made_here != pool.header().hash_probe {
            return Err(Error::Damaged("the pool was made with another hash function".into()));
        }
        // Those who have it open have done so. It takes as long as there are pages, and who joins a running system shall not wait for that.
        let trusted = pool.is_trusted_by_others();
        if !trusted || options.verify {
            upper.verify(&pool)?;
        }
        let clean = pool.header().clean.load(Ordering::SeqCst) == 1;
        pool.backing.note_clean(clean);
        pool.join()?;
        // Memory is as its last user left it. A file need not be, after a crash of the system: some of its pages may never have been written.
        if kind != Kind::File || clean || trusted {
            pool.trust();
        }
        enter(options, pool)
    }

    /// Opens a pool, or makes it if there is none.
    ///
    /// # Errors
    /// As `open` and `create`.
    pub fn open_or_create(options: &Options, place: Place<'_>, upper: &'static dyn Upper) -> Result<RawPool> {
        let mut tries = 100;
        loop {
            match RawPool::open(options, place, upper) {
                Err(Error::NoSuchPool(_)) => {}
                other => return other,
            }
            match RawPool::create(options, place, upper) {
                // Somebody was faster: open again. A symbolic link that leads nowhere would keep us here for ever.
                Err(Error::AlreadyExists(_)) if tries > 0 => tries -= 1,
                other => return other,
            }
        }
    }

    /// A pool without a name: memory that children of a fork share, sealed against shrinking.
    ///
    /// # Errors
    /// `OutOfMemory`, `AddressSpace`.
    pub fn memfd(options: &Options, upper: &'static dyn Upper) -> Result<RawPool> {
        let fd = file::memfd("aquifer").map_err(|e| Error::system("create", "memfd", e))?;
        let pool = make(options, Backing::on_file(Kind::Memfd, "memfd", fd)?, upper)?;
        enter(options, pool)
    }

    /// A pool in memory of this process alone.
    ///
    /// # Errors
    /// `OutOfMemory`, `AddressSpace`.
    pub fn private(options: &Options, upper: &'static dyn Upper) -> Result<RawPool> {
        let pool = make(options, Backing::private(), upper)?;
        registry::enter(&pool, None);
        Ok(pool)
    }

    /// What is known of the pool.
    pub fn info(&self) -> Info {
        let h = self.header();
        Info {
            name: self.backing.name.clone(),
            kind: self.backing.kind,
            mode: self.backing.mode(),
            length: h.length.load(Ordering::Acquire),
            window: self.windows.len(),
            base: self.windows.base().addr(),
            hard_limit: h.hard_limit,
            growth: (h.grow_step, h.grow_ceiling),
            found_clean: self.backing.was_clean(),
            grown: h.grown.load(Ordering::Relaxed),
            moved: self.counters.moves.load(Ordering::Relaxed),
            waited: self.counters.waits.load(Ordering::Relaxed),
            buried: self.counters.buried.load(Ordering::Relaxed),
            processes: (0..self.record_count()).filter(|r| self.record_state(*r) & LIVE != 0).count() as u32,
            asymmetric_locks: self.is_asymmetric(),
        }
    }
}

/// Removes the name of a pool. Who has it open goes on; the memory goes with the last of them.
///
/// # Errors
/// `NoSuchPool`, `Permission`, `BadName`.
pub fn unlink(name: &str) -> Result<()> {
    // Dead before: the name stands. After: it is gone, and the memory with the last who has it open.
    file::unlink(&name::path(name)?).map_err(|e| refusal("remove", name, e))?;
    commit_store("pool-name-removed");
    Ok(())
}

/// Names of the pools in `/dev/shm` that this process may read.
pub fn list() -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(name::folder()) else { return Vec::new() };
    let is_pool = |path: &Path| {
        let mut magic = [0; 8];
        let regular = path.metadata().is_ok_and(|m| m.is_file());
        let opened = regular.then(|| std::fs::File::open(path).ok()).flatten();
        opened.is_some_and(|f| file::read_start(&f, &mut magic) == Ok(8) && magic == MAGIC)
    };
    let pools = entries.flatten().filter(|e| is_pool(&e.path()));
    let mut names: Vec<String> = pools.filter_map(|e| e.file_name().into_string().ok()).collect();
    names.sort();
    names
}

impl Inner {
    /// Whether this process knows the pool to be whole: else it must be checked before values are read.
    pub fn is_trusted(&self) -> bool {
        self.process.trusts.load(Ordering::SeqCst)
    }

    /// This process knows from now on that the pool is whole.
    pub fn trust(&self) {
        self.process.trusts.store(true, Ordering::SeqCst);
        if let Some(r) = self.own_record().and_then(|r| self.record_at(r)) {
            r.trusts.store(1, Ordering::SeqCst);
        }
    }

    /// Backs the pool's bytes up to `length`. For who has the growth ticket; publishing the new length is the caller's.
    ///
    /// # Errors
    /// `HardLimit`, `FileSizeLimit`, `OutOfMemory`, `AddressSpace`.
    pub fn extend_to(&self, length: u64) -> Result<()> {
        let limit = self.header().hard_limit;
        if limit != 0 && length > limit {
            return Err(Error::HardLimit { limit, wanted: length });
        }
        if length > 1 << 46 {
            return Err(Error::TooLarge(length as usize, 1));
        }
        let before = self.header().length.load(Ordering::Acquire);
        self.backing.extend(before, length)?;
        self.enlarge(length)?;
        if self.backing.huge_pages && self.backing.kind != Kind::Private {
            // What the system refuses stays in small pages. Private memory gets huge ones when it is first touched.
            self.collapse_range(before, length);
        }
        Ok(())
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        registry::leave(self.id);
        let trusted = self.is_trusted();
        let last = self.leave();
        if last && trusted && self.backing.kind == Kind::File {
            let clean = &self.header().clean;
            // Dead before: not closed in order, as far as the next opener can tell, who then checks everything. After: in order.
            clean.store(1, Ordering::SeqCst);
            // Who joins marks its record first, then stores 0: if it came before our 1, its record is seen here.
            if (0..self.record_count()).any(|r| self.record_state(r) & LIVE != 0) {
                clean.store(0, Ordering::SeqCst);
            }
        }
        self.windows.leave(&self.backing);
    }
}

fn refusal(what: &'static str, name: &str, e: Errno) -> Error {
    match e {
        Errno::NOENT => Error::NoSuchPool(name.into()),
        Errno::EXIST => Error::AlreadyExists(name.into()),
        Errno::ACCESS | Errno::PERM | Errno::ROFS => {
            Error::Permission { name: name.into(), what, cause: e.into() }
        }
        Errno::LOOP => Error::NotAPool { name: name.into(), why: "it is a symbolic link".into() },
        Errno::NXIO => Error::NotAPool { name: name.into(), why: "it is not a regular file".into() },
        Errno::ISDIR => Error::NotAPool { name: name.into(), why: "it is a directory".into() },
        Errno::NOSPC | Errno::DQUOT => Error::OutOfMemory(format!("no room to {what} `{name}`")),
        e => Error::system(what, name, e),
    }
}

/// Lays out a new pool, joined by this process, that has no name yet.
fn make(options: &Options, backing: Backing, upper: &'static dyn Upper) -> Result<RawPool> {
    let backing = backing.with_huge_pages(options.huge_pages);
    let length = options.first_size();
    if options.hard_limit != 0 && length > options.hard_limit {
        return Err(Error::HardLimit { limit: options.hard_limit, wanted: length });
    }
    backing.extend(0, length)?;
    if let Some(fd) = backing.fd() {
        file::set_mode(fd, options.mode).map_err(|e| Error::system("set the mode of", &backing.name, e))?;
    }
    let windows = Windows::first(&backing, options.first_window(length)?, length)?;
    write_header(options, &windows, length, upper);
    let pool = assemble(backing, windows, upper);
    if options.huge_pages && pool.backing.kind != Kind::Private {
        pool.collapse()?;
    }
    upper.lay_out(&pool)?;
    pool.join()?;
    pool.trust();
    Ok(pool)
}

fn write_header(options: &Options, windows: &Windows, length: u64, upper: &'static dyn Upper) {
    let [tag, seed @ ..] = options.random();
    let at = windows.base().cast::<Header>();
    // SAFETY: the window is at least `fresh::LEAST` long, zeroed (valid for a header) and nobody else knows the file.
    let h = unsafe { &mut *at };
    h.magic = MAGIC;
    h.version = VERSION;
    h.page_shift = PAGE_SHIFT as u16;
    h.modes = if options.asymmetric_locks { ASYMMETRIC } else { 0 };
    h.tag = tag | 1;
    h.hash_seed = seed;
    h.hash_probe = upper.hash_probe(seed);
    h.hard_limit = options.hard_limit;
    h.grow_step = options.grow_step;
    h.grow_ceiling = options.grow_ceiling;
    h.seat_chunks[0] = AtomicU64::new(fresh::SEATS);
    h.record_chunks[0] = AtomicU64::new(fresh::RECORDS);
    h.territories[0] = AtomicU64::new(fresh::TERRITORY);
    h.length = AtomicU64::new(length);
    // SAFETY: the fixed part, whole and initialised, without padding (offsets asserted in `layout`).
    h.checksum = fnv1a(unsafe { std::slice::from_raw_parts(at.cast::<u8>(), HEADER_FIXED) });
}

fn assemble(backing: Backing, windows: Windows, upper: &'static dyn Upper) -> RawPool {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let id = NEXT.fetch_add(1, Ordering::Relaxed);
    let inner = Inner {
        id,
        backing,
        windows,
        process: Process::new(),
        upper,
        counters: Counters::default(),
        descriptors: [const { AtomicPtr::new(std::ptr::null_mut()) }; 64],
        tails: Tails::new(),
    };
    let pool = RawPool(Arc::new(inner));
    pool.windows.enter(Arc::as_ptr(&pool.0));
    pool
}

fn enter(options: &Options, pool: RawPool) -> Result<RawPool> {
    let identity = (!options.second_mapping).then_some(pool.backing.identity);
    pool.header().clean.store(0, Ordering::SeqCst);
    // If another thread was faster, its join is the one; ours ends.
    Ok(registry::enter(&pool, identity).unwrap_or(pool))
}

/// Checks what can be told from the file without trusting it; returns the pool's length.
fn check_header(backing: &Backing) -> Result<u64> {
    let name = || backing.name.clone();
    let mut page = vec![0u8; PAGE as usize];
    let Some(fd) = backing.fd() else { return Err(Error::NoSuchPool(name())) };
    let got = file::read_start(fd.as_fd(), &mut page).map_err(|e| Error::system("read", &backing.name, e))?;
    let not = |why: &str| Err(Error::NotAPool { name: name(), why: why.into() });
    if got == 0 {
        return not("it is empty");
    }
    if page[..8] != MAGIC {
        return not("it does not begin with a pool's magic bytes");
    }
    let u32_at = |o: usize| u32::from_ne_bytes([page[o], page[o + 1], page[o + 2], page[o + 3]]);
    let u64_at = |o: usize| u64::from(u32_at(o)) | u64::from(u32_at(o + 4)) << 32;
    let version = u32_at(offset_of!(Header, version));
    if got >= 12 && version != VERSION {
        return Err(Error::Version { name: name(), found: version, expected: VERSION });
    }
    // The length once more, after the tables: others grow the pool meanwhile, and a table may be newer than the length read with it.
    let mut again = [0u8; offset_of!(Header, length) + 8];
    let reread = file::read_start(fd.as_fd(), &mut again)
        .map_err(|e| Error::system("read", &backing.name, e))?
        == again.len();
    let length = again.last_chunk().map_or(0, |l| u64::from_ne_bytes(*l));
    let found = backing.file_length()?;
    if got < page.len() || !reread {
        return Err(Error::Truncated { name: name(), found, expected: fresh::LEAST });
    }
    let damaged = |what: &str| Err(Error::Damaged(format!("header of `{}`: {what}", backing.name)));
    if fnv1a(&page[..HEADER_FIXED]) != u64_at(HEADER_FIXED) {
        return damaged("the checksum is wrong");
    }
    let (page_shift, modes) =
        (u32_at(offset_of!(Header, page_shift)) & 0xffff, u32_at(offset_of!(Header, page_shift)) >> 16);
    if page_shift != PAGE_SHIFT {
        return damaged("it was made with pages of another size");
    }
    if modes & !(ASYMMETRIC as u32) != 0 {
        return damaged("it was made with modes that this build does not know");
    }
    if length < fresh::LEAST || length % PAGE != 0 {
        return damaged("its length is impossible");
    }
    if length > found {
        return Err(Error::Truncated { name: name(), found, expected: length });
    }
    let table = |offset: usize, n: usize| (0..n).map(move |i| offset + 8 * i);
    let chunks = table(offset_of!(Header, seat_chunks), layout::SEAT_CHUNKS)
        .chain(table(offset_of!(Header, record_chunks), layout::RECORD_CHUNKS))
        .chain(table(offset_of!(Header, territories), layout::TERRITORIES));
    if chunks.map(u64_at).any(|o| o != 0 && (o < PAGE || o >= length || o % PAGE != 0)) {
        return damaged("a table lies outside of the pool");
    }
    if u64_at(offset_of!(Header, seat_chunks)) != fresh::SEATS
        || u64_at(offset_of!(Header, record_chunks)) != fresh::RECORDS
        || u64_at(offset_of!(Header, territories)) != fresh::TERRITORY
    {
        return damaged("a first table is not in its place");
    }
    Ok(length)
}

/// FNV-1a, 64 bits (Fowler, Noll, Vo).
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ *b as u64).wrapping_mul(0x0000_0100_0000_01b3))
}
