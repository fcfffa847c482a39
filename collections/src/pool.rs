//! [`Pool`], the handle of an open pool, and how one is made or opened.

use crate::directory;
use crate::info::Stats;
use crate::report::{Repair, Report};
use crate::transaction::{self, Tx};
use crate::upper::LAYERS;
use aquifer_pool::open::Place;
use aquifer_pool::{Error, HugePages, Info, Inner, Options, RawPool, Result, fork};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

/// An open pool: memory that grows, shared by all processes that have it open.
///
/// Cheap to clone, `Send + Sync`. Objects in it are found by name: [`Pool::named`]. The pool is closed when the last clone and the last
/// [`Named`](crate::Named) of it are dropped; its contents stay as long as its name, or as long as somebody has it open.
///
/// ```
/// use aquifer_collections::{Pool, ShMap, ShRwLock, ShString, ShVec};
///
/// let pool = Pool::options().memfd()?; // Pool::open_or_create("inventory")? for one with a name
/// let stock = pool.named::<ShRwLock<ShMap<ShString, ShVec<u64>>>>("stock")?;
/// stock.write()?.insert("bolts", [500, 250])?;
/// stock.write()?["bolts"].push(125)?;
/// assert_eq!(stock.read()?["bolts"].iter().sum::<u64>(), 875);
/// # Ok::<(), aquifer_collections::Error>(())
/// ```
#[derive(Clone)]
pub struct Pool(Arc<Joined>);

/// What all handles of one join of a pool share.
pub(crate) struct Joined {
    raw: RawPool,
    /// Number of the join.
    id: u64,
    /// Upper 16 bits of its handles.
    tag: u64,
    /// The named objects that this process holds, by number.
    held: Mutex<HashMap<u64, Held>>,
    /// Fork epoch in which `held` stands in the pool's directory too.
    epoch: AtomicU64,
    /// The pool's count of deaths when this process last looked for pins of the dead.
    deaths: AtomicU64,
    /// Whether this process has made the directory, or looked at it.
    checked: AtomicBool,
}

/// How a process holds an object.
#[derive(Default)]
struct Held {
    /// By how many handles.
    count: usize,
    /// Removed and freed before this process, a child of a fork, could take hold of it.
    lost: bool,
}

/// All of this process. Only looked at with forks held off, so that a child never finds it locked or half changed; and nothing is
/// dropped under it that could close a pool.
static JOINED: Mutex<Vec<(u64, Weak<Joined>)>> = Mutex::new(Vec::new());

impl Joined {
    /// Number of the join.
    #[inline(always)]
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// Upper 16 bits of the pool's handles, the rest 0.
    #[inline(always)]
    pub(crate) fn tag(&self) -> u64 {
        self.tag
    }

    /// What is shared for a join; made if this is its first handle.
    fn of(raw: RawPool) -> Arc<Joined> {
        let id = raw.id();
        let tag = crate::handle::tag(&raw);
        let new = Arc::new(Joined {
            raw,
            id,
            tag,
            held: Mutex::default(),
            epoch: fork::epoch().into(),
            deaths: 0.into(),
            checked: false.into(),
        });
        let _no_fork = fork::no_fork();
        let mut all = JOINED.lock();
        if let Some(known) = all.iter().find(|(i, _)| *i == id).and_then(|(_, j)| j.upgrade()) {
            drop(all);
            return known;
        }
        all.push((id, Arc::downgrade(&new)));
        new
    }

    pub(crate) fn find(id: u64) -> Option<Arc<Joined>> {
        let _no_fork = fork::no_fork();
        let all = JOINED.lock();
        all.iter().find_map(|(i, j)| if *i == id { j.upgrade() } else { None })
    }

    /// Looks at what is held, with forks held off.
    fn with<R>(&self, f: impl FnOnce(&mut HashMap<u64, Held>) -> R) -> R {
        let _no_fork = fork::no_fork();
        f(&mut self.held.lock())
    }

    /// One handle more. Under the directory's write lock if it may be the first.
    pub(crate) fn hold(&self, id: u64) {
        self.with(|held| held.entry(id).or_default().count += 1);
    }

    /// One handle more, if there are some.
    pub(crate) fn hold_if_held(&self, id: u64) -> bool {
        self.with(|held| held.get_mut(&id).filter(|h| !h.lost).map(|h| h.count += 1).is_some())
    }

    /// One handle less, unless it is the last one, which takes the directory's lock to go. In a child that has not joined anew no
    /// handle means anything to the pool.
    pub(crate) fn let_go_unless_last(&self, id: u64) -> bool {
        let foreign = self.epoch.load(Ordering::Relaxed) != fork::epoch();
        self.with(|held| {
            let Some(h) = held.get_mut(&id) else { return true };
            if h.count > 1 {
                h.count -= 1;
                return true;
            }
            if foreign || h.lost {
                held.remove(&id);
                return true;
            }
            false
        })
    }

    /// One handle less; true if it was the last. Under the directory's write lock.
    pub(crate) fn let_go(&self, id: u64) -> bool {
        self.with(|held| {
            let Some(h) = held.get_mut(&id) else { return false };
            h.count -= 1;
            h.count == 0 && held.remove(&id).is_some()
        })
    }

    pub(crate) fn holds(&self, id: u64) -> bool {
        self.with(|held| held.get(&id).is_some_and(|h| !h.lost))
    }

    /// All that is held.
    pub(crate) fn held(&self) -> Vec<u64> {
        self.with(|held| held.keys().copied().collect())
    }

    pub(crate) fn lose(&self, id: u64) {
        self.with(|held| held.entry(id).or_default().lost = true);
    }

    /// Whether processes have left or were buried since this was last asked.
    pub(crate) fn sees_deaths(&self) -> bool {
        let now = self.raw.header().deaths.load(Ordering::Relaxed);
        self.deaths.swap(now, Ordering::Relaxed) != now
    }

    /// What is held stands in the directory for this process.
    pub(crate) fn note_joined(&self) {
        self.epoch.store(fork::epoch(), Ordering::Relaxed);
    }
}

impl Drop for Joined {
    fn drop(&mut self) {
        let id = self.raw.id();
        let _no_fork = fork::no_fork();
        let mut all = JOINED.lock();
        all.retain(|(i, j)| *i != id || j.strong_count() > 0);
        // Unless the pool was opened again at this moment.
        if !all.iter().any(|(i, _)| *i == id) {
            crate::pool_schemas::forget(id);
        }
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let info = self.info();
        f.debug_struct("Pool")
            .field("name", &info.name)
            .field("kind", &info.kind)
            .field("length", &info.length)
            .finish()
    }
}

/// Where a pool with a name is: `"inventory"` in `/dev/shm`, or the path of a regular file.
#[derive(Debug, Clone)]
pub enum Location {
    /// A name in `/dev/shm`, without slashes but perhaps a leading one.
    Name(String),
    /// A regular file, which outlives a reboot.
    File(PathBuf),
}

impl Location {
    fn place(&self) -> Place<'_> {
        match self {
            Location::Name(name) => Place::Name(name),
            Location::File(path) => Place::Path(path),
        }
    }
}

impl From<&str> for Location {
    fn from(name: &str) -> Location {
        Location::Name(name.into())
    }
}

impl From<&String> for Location {
    fn from(name: &String) -> Location {
        Location::Name(name.clone())
    }
}

impl From<String> for Location {
    fn from(name: String) -> Location {
        Location::Name(name)
    }
}

impl From<&Path> for Location {
    fn from(path: &Path) -> Location {
        Location::File(path.into())
    }
}

impl From<&PathBuf> for Location {
    fn from(path: &PathBuf) -> Location {
        Location::File(path.clone())
    }
}

impl From<PathBuf> for Location {
    fn from(path: PathBuf) -> Location {
        Location::File(path)
    }
}

/// How a pool is made or opened: [`Pool::options`]. Sizes are in bytes and rounded up to pages of 4 KiB.
///
/// What concerns making a pool is ignored when one is opened.
#[derive(Debug, Clone, Default)]
#[must_use = "nothing happens before `create`, `open` or the like"]
pub struct PoolOptions(Options);

impl PoolOptions {
    /// Exact mode bits of a new pool's file, whatever the umask. Default 0600.
    pub fn mode(self, bits: u32) -> PoolOptions {
        PoolOptions(self.0.mode(bits))
    }

    /// Bytes of a new pool; at least what its tables need. Default 1 MiB. A pool grows as needed.
    pub fn size(self, bytes: u64) -> PoolOptions {
        PoolOptions(self.0.size(bytes))
    }

    /// Least and most bytes by which a new pool will grow at a time; in between, a 32nd part of its length. Default 1 and 16 MiB.
    pub fn growth(self, least: u64, most: u64) -> PoolOptions {
        PoolOptions(self.0.growth(least, most))
    }

    /// A length that a new pool may never pass: [`Error::HardLimit`] then. Default none.
    pub fn hard_limit(self, bytes: u64) -> PoolOptions {
        PoolOptions(self.0.hard_limit(bytes))
    }

    /// Makes read locks of a new pool cheaper, by plain stores in place of an atomic instruction, and writing after reading dearer, by a system
    /// call (`membarrier`) that interrupts the processors on which the pool's processes run: some microseconds. For locks that are read far more often
    /// than written. Default no.
    ///
    /// A process to which the system refuses that call (before Linux 4.16, or in a sandbox) cannot make or open such a pool:
    /// [`Error::Unsupported`].
    pub fn asymmetric_locks(self, yes: bool) -> PoolOptions {
        PoolOptions(self.0.asymmetric_locks(yes))
    }

    /// Whether this process asks for huge pages (2 MiB), which make accesses all over a large pool faster, and growth slower. Default no.
    ///
    /// Whatever the system refuses stays in small pages, and all works as well: [`Pool::collapse`] tells how much it gave, and why not more.
    pub fn huge_pages(self, yes: bool) -> PoolOptions {
        PoolOptions(self.0.huge_pages(yes))
    }

    /// Address space that this process sets aside; default 64 GiB, or `AQUIFER_WINDOW`. A pool that outgrows it is mapped again, larger, and
    /// no reference into it becomes invalid.
    pub fn window(self, bytes: u64) -> PoolOptions {
        PoolOptions(self.0.window(bytes))
    }

    /// Checks every value on opening, as is done for a file that was not closed in order.
    pub fn verify(self, yes: bool) -> PoolOptions {
        PoolOptions(self.0.verify(yes))
    }

    /// Maps a pool that this process has open once more, at another address, as if by another process. For tests.
    #[doc(hidden)]
    pub fn second_mapping(self, yes: bool) -> PoolOptions {
        PoolOptions(self.0.second_mapping(yes))
    }

    /// What is random in new pools is drawn from this number. For tests.
    #[doc(hidden)]
    pub fn seed(self, seed: u64) -> PoolOptions {
        PoolOptions(self.0.seed(seed))
    }

    /// Makes new pools as on file systems that know no nameless files. For tests.
    #[doc(hidden)]
    pub fn without_nameless_files(self, yes: bool) -> PoolOptions {
        PoolOptions(self.0.without_nameless_files(yes))
    }

    /// Makes a pool. It gets its name when it is whole, so that nobody ever sees half of one.
    ///
    /// # Errors
    /// `AlreadyExists`, `Permission`, `OutOfMemory`, `HardLimit`, `FileSizeLimit`, `AddressSpace`, `BadName`.
    pub fn create(&self, location: impl Into<Location>) -> Result<Pool> {
        Ok(Pool::from_raw(RawPool::create(&self.0, location.into().place(), &LAYERS)?))
    }

    /// Opens a pool; one that this process has open already is the same pool.
    ///
    /// # Errors
    /// `NoSuchPool`, `Permission`, `NotAPool`, `Version`, `Damaged`, `Truncated`, `AddressSpace`, `TooMany`, `BadName`.
    pub fn open(&self, location: impl Into<Location>) -> Result<Pool> {
        self.checked(RawPool::open(&self.0, location.into().place(), &LAYERS)?)
    }

    /// Opens a pool, or makes it if there is none.
    ///
    /// # Errors
    /// As [`open`](Self::open) and [`create`](Self::create).
    pub fn open_or_create(&self, location: impl Into<Location>) -> Result<Pool> {
        self.checked(RawPool::open_or_create(&self.0, location.into().place(), &LAYERS)?)
    }

    /// Makes a pool without a name: shared with children of a fork, gone with the last of them.
    ///
    /// # Errors
    /// `OutOfMemory`, `HardLimit`, `AddressSpace`.
    pub fn memfd(&self) -> Result<Pool> {
        Ok(Pool::from_raw(RawPool::memfd(&self.0, &LAYERS)?))
    }

    /// The same as [`memfd`](Self::memfd).
    ///
    /// # Errors
    /// As there.
    pub fn anonymous(&self) -> Result<Pool> {
        self.memfd()
    }

    /// Makes a pool in memory of this process alone: for tests, and where sharing is an option of the program.
    ///
    /// # Errors
    /// As [`memfd`](Self::memfd).
    pub fn private(&self) -> Result<Pool> {
        Ok(Pool::from_raw(RawPool::private(&self.0, &LAYERS)?))
    }

    /// Checks the directory, if nobody has done so before; and every value where that was asked for, or where the file was left behind by a crash
    /// of the system or of all its users.
    fn checked(&self, raw: RawPool) -> Result<Pool> {
        let pool = Pool::from_raw(raw);
        let inner = pool.inner();
        let report = match inner.is_trusted() && !self.0.wants_verify() {
            false => pool.check()?,
            true if pool.0.checked.load(Ordering::Relaxed) || inner.is_trusted_by_others() => {
                return Ok(pool);
            }
            true => directory::check_itself(inner)?,
        };
        if !report.findings.is_empty() {
            return Err(Error::Damaged(format!("`{}`: {report}", pool.info().name)));
        }
        inner.trust();
        pool.0.checked.store(true, Ordering::Relaxed);
        Ok(pool)
    }
}

impl Pool {
    /// How a pool is made or opened, in detail.
    pub fn options() -> PoolOptions {
        PoolOptions::default()
    }

    /// Makes a pool: see [`PoolOptions::create`].
    ///
    /// # Errors
    /// As there.
    pub fn create(location: impl Into<Location>) -> Result<Pool> {
        Pool::options().create(location)
    }

    /// Opens a pool: see [`PoolOptions::open`].
    ///
    /// # Errors
    /// As there.
    pub fn open(location: impl Into<Location>) -> Result<Pool> {
        Pool::options().open(location)
    }

    /// Opens a pool, or makes it if there is none.
    ///
    /// # Errors
    /// As [`PoolOptions::open`] and [`PoolOptions::create`].
    pub fn open_or_create(location: impl Into<Location>) -> Result<Pool> {
        Pool::options().open_or_create(location)
    }

    /// Removes the name of a pool in `/dev/shm`. Who has it open goes on; the memory goes with the last of them.
    ///
    /// # Errors
    /// `NoSuchPool`, `Permission`, `BadName`.
    pub fn unlink(name: &str) -> Result<()> {
        aquifer_pool::open::unlink(name)
    }

    /// Names of the pools in `/dev/shm` that this process may read.
    pub fn list() -> Vec<String> {
        aquifer_pool::open::list()
    }

    /// What is known of the pool and of this process's join of it. O(processes).
    pub fn info(&self) -> Info {
        self.0.raw.info()
    }

    /// Gathers the pool's memory into huge pages (2 MiB), for all processes, and tells how much of it is in such pages now. Nothing that refers
    /// into the pool becomes invalid. Worth it once a large pool is filled; takes seconds for each GiB.
    ///
    /// # Errors
    /// `AddressSpace` when the pool has grown and cannot be mapped. What the system refuses (all, before Linux 6.1) is in the result.
    pub fn collapse(&self) -> Result<HugePages> {
        self.inner().collapse()
    }

    /// What the pool's memory is used for. O(pages).
    pub fn stats(&self) -> Stats {
        Stats::of(self.inner())
    }

    /// Buries the dead; returns how many. For tests: whoever meets the dead buries them.
    #[doc(hidden)]
    pub fn bury_dead(&self) -> usize {
        self.inner().bury_dead()
    }

    /// Gives the calling thread's seat up, if nothing is held on it, as at the thread's end. For tests.
    #[doc(hidden)]
    pub fn give_up_seat(&self) {
        self.inner().give_up_seat();
    }

    /// Checks everything in the pool: values against their types, blocks against what refers to them, and counts what is lost. O(bytes in use).
    ///
    /// Buries the dead first, and frees removed objects that they held. Holds the directory for reading meanwhile, so that names are
    /// looked up but neither made nor removed; each object's locks are held for reading while it is looked at.
    ///
    /// # Errors
    /// What keeps the calling thread from using the pool at all. Damage is in the report.
    pub fn check(&self) -> Result<Report> {
        let pool = self.inner();
        pool.bury_dead();
        directory::sweep_if_whole(pool)?;
        directory::check(pool, false, |check| drop(check.rest()))
    }

    /// Repairs what can be repaired without touching anything that was finished: buries the dead, frees what nobody refers to, clears locks
    /// that name nobody. Others may be at work meanwhile. O(bytes in use).
    ///
    /// Keeps up to four objects' locks for reading until its end, and the directory's, so that their writers wait. What others have under way is
    /// no leak: where it cannot be told for certain, the blocks stay, and a repair while less is going on frees them.
    ///
    /// ```
    /// # let pool = aquifer_collections::Pool::options().private()?;
    /// let repair = pool.repair()?;
    /// assert!(repair.is_nothing() && repair.report.is_clean(), "{repair}");
    /// # Ok::<(), aquifer_collections::Error>(())
    /// ```
    ///
    /// # Errors
    /// What keeps the calling thread from using the pool at all. What cannot be repaired is in the report.
    pub fn repair(&self) -> Result<Repair> {
        crate::repair::repair(self.inner())
    }

    /// All or nothing, under several locks: what `f` does is final when this returns `Ok`, and undone when `f` fails or panics or its process dies.
    ///
    /// ```
    /// # use aquifer_collections::{Error, Pool, ShMutex};
    /// # let pool = Pool::options().private()?;
    /// let a = pool.named::<ShMutex<u64>>("a")?;
    /// let b = pool.named_with::<ShMutex<u64>, _>("b", || ShMutex::new(5))?;
    /// let pay = |n: u64| pool.transaction(|tx| {
    ///     let (a, b) = (tx.lock(&a)?, tx.lock(&b)?);
    ///     *a += n;
    ///     *b = b.checked_sub(n).ok_or(Error::abort("too little"))?;
    ///     Ok(())
    /// });
    /// pay(3)?;
    /// assert!(pay(3).is_err());
    /// assert_eq!((*a.lock()?, *b.lock()?), (3, 2));
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// All locks of the pool that are taken inside, by [`Tx`] or by guards, take part, and are kept until the end. The first is waited
    /// for, others too if they lie behind all that the thread holds; else they are only tried: `WouldDeadlock` means to try again.
    /// Inside another transaction of the pool this is a part of that one, and its failure is that one's. Nothing that was taken out of a collection may
    /// leave the transaction, nor any guard that was taken inside if it then fails: the process is aborted if it does, or if such a guard was forgotten. Objects are neither named
    /// nor removed inside. Another thread, scoped inside, cannot lock what lies within what the transaction has moved or made (`WouldDeadlock`).
    ///
    /// # Errors
    /// That of `f`, such as [`Error::abort`]; `WouldDeadlock`; `Unsupported` when this thread holds a guard for writing from before; those of
    /// locking.
    pub fn transaction<'env, R>(&self, f: impl for<'t> FnOnce(&'t Tx<'t, 'env>) -> Result<R>) -> Result<R> {
        self.try_transaction(f)
    }

    /// The same with an error type of the caller's.
    ///
    /// # Errors
    /// As [`transaction`](Self::transaction).
    pub fn try_transaction<'env, R, E: From<Error>>(
        &self,
        f: impl for<'t> FnOnce(&'t Tx<'t, 'env>) -> Result<R, E>,
    ) -> Result<R, E> {
        transaction::run(self.inner().seat()?, |running| f(&Tx::new(running)))
    }

    /// The pool without its types.
    #[doc(hidden)]
    pub fn raw(&self) -> &RawPool {
        &self.0.raw
    }

    fn from_raw(raw: RawPool) -> Pool {
        Pool(Joined::of(raw))
    }

    #[inline]
    pub(crate) fn inner(&self) -> &Inner {
        &self.0.raw
    }

    #[inline]
    pub(crate) fn joined(&self) -> &Joined {
        &self.0
    }
}
