//! Named objects: how processes find what they share.

use crate::cx::Cx;
use crate::directory::{self, Entry, Writing};
use crate::pool::{Joined, Pool};
use crate::pool_schemas;
use crate::relocatable::{DefaultInPool, Emplace, Relocatable};
use crate::schema::encode::encode;
use crate::schema::show::show;
use crate::transaction::{Running, refuse_open_log};
use aquifer_pool::log::{LogCx, Op};
use aquifer_pool::quick;
use aquifer_pool::{Error, Inner, Result, fork};
use std::fmt;
use std::hint::cold_path;
use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Longest name, in bytes.
const LONGEST: usize = 255;

/// A named object of a pool: derefs to the object, and keeps it and the pool as long as it lives.
///
/// Cheap to clone, and `Send + Sync + 'static`: keep one where an `Arc` would be kept. A name may be removed while its object is held; the
/// object goes when the last process lets go of it, or dies.
///
/// ```
/// # use aquifer_collections::{Pool, ShMutex};
/// let pool = Pool::options().private()?;
/// let counter = pool.named::<ShMutex<u64>>("counter")?;
/// let for_thread = counter.clone();
/// std::thread::spawn(move || *for_thread.lock().unwrap() += 1).join().unwrap();
/// assert_eq!(*counter.lock()?, 1);
/// # Ok::<(), aquifer_collections::Error>(())
/// ```
pub struct Named<T: Relocatable> {
    value: NonNull<T>,
    object: Arc<Object>,
    /// Fork epoch in which the object is known to be held. Here, where it is at hand.
    epoch: AtomicU64,
}

// SAFETY: it gives `&T` only, and `Relocatable` is `Send + Sync`; the object is atomics and a pool.
unsafe impl<T: Relocatable> Send for Named<T> {}
// SAFETY: as above.
unsafe impl<T: Relocatable> Sync for Named<T> {}

/// One look-up of an object by this process.
struct Object {
    pool: Pool,
    id: u64,
}

impl<T: Relocatable> Clone for Named<T> {
    fn clone(&self) -> Self {
        let epoch = self.epoch.load(Ordering::Relaxed).into();
        Named { value: self.value, object: self.object.clone(), epoch }
    }
}

impl<T: Relocatable> Deref for Named<T> {
    type Target = T;

    /// # Panics
    /// In a child of a fork: when the child cannot join the pool, or the object was removed before it did.
    #[inline(always)]
    fn deref(&self) -> &T {
        let epoch = self.epoch.load(Ordering::Relaxed);
        // The thread's slot is at hand, and a lock will look at it anyhow.
        if !quick::knows_epoch(epoch) {
            cold_path();
            if epoch != fork::known_epoch() {
                self.epoch.store(self.object.hold_in_child(), Ordering::Relaxed);
            }
        }
        // SAFETY: a value of type `T` by its schema, in a window that stays mapped while the pool is open, held by this process.
        unsafe { self.value.as_ref() }
    }
}

impl<T: Relocatable + fmt::Debug> fmt::Debug for Named<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: Relocatable> Named<T> {
    /// The pool that the object lies in.
    pub fn pool(&self) -> &Pool {
        &self.object.pool
    }
}

impl Object {
    /// In a child: joins the pool anew, which takes hold of all that the parent held when it forked. The child's epoch.
    #[cold]
    fn hold_in_child(&self) -> u64 {
        let epoch = fork::epoch();
        let held = self.pool.inner().seat().map(|_| self.pool.joined().holds(self.id));
        match held {
            Ok(true) => epoch,
            Ok(false) => {
                panic!("a named object of the parent was removed before this child could take hold of it")
            }
            Err(e) => panic!("this child cannot join the pool of its parent: {e}"),
        }
    }
}

impl Drop for Object {
    fn drop(&mut self) {
        let joined = self.pool.joined();
        if joined.let_go_unless_last(self.id) {
            return;
        }
        if let Err(_e) = let_go(self.pool.inner(), joined, self.id) {
            // Kept until this process leaves: then the pin counts for nothing, and whoever sweeps next frees what it held.
            joined.let_go(self.id);
        }
    }
}

/// Ends this process's hold of an object, and frees it if its name is gone and nobody else holds it.
fn let_go(pool: &Inner, joined: &Joined, id: u64) -> Result<()> {
    let seat = pool.seat()?;
    let mut writing = Writing::begin(pool)?;
    let pin = directory::own_pin(pool, id)?;
    // Only under this lock does a count rise from 0 or fall to it.
    if joined.let_go(id) {
        // Dead before: as good as removed, since the process is gone. After: removed.
        writing.parts().pins.remove(&pin);
    }
    if !writing.get().removed.is_empty() && Running::on(seat).is_none() && !seat.bare().is_open() {
        // What cannot be freed now is found by a later sweep.
        let _ = sweep_under(pool, &mut writing);
    }
    Ok(())
}

/// Frees the objects whose names are gone and that nobody holds any more. O(pins), and O(1) when there are none.
pub(crate) fn sweep(pool: &Inner) -> Result<()> {
    let some = directory::read(pool, |d| Ok(!d.removed.is_empty()))?;
    if some != Some(true) || Running::on(pool.seat()?).is_some() || pool.seat()?.bare().is_open() {
        return Ok(());
    }
    let mut writing = Writing::begin(pool)?;
    writing.parts().drop_dead_pins(pool);
    sweep_under(pool, &mut writing)
}

fn sweep_under(pool: &Inner, writing: &mut Writing<'_>) -> Result<()> {
    let mut i = 0;
    while let Some(entry) = writing.get().removed.get(i).copied() {
        if writing.get().is_pinned(pool, entry[0]) {
            i += 1;
            continue;
        }
        let step = Step::begin(pool.seat()?.bare());
        directory::push_discard(step.log(), &entry)?;
        writing.parts_on(step.log()).removed.swap_remove(i);
        // Dead before the store in here: the entry is there. After: it is gone, and so is the object, whoever frees it.
        step.commit_then(|| {});
    }
    Ok(())
}

/// An operation of several on the bare log, each of which would be final on its own; undone when dropped.
struct Step<'a> {
    op: Option<Op<'a>>,
    log: &'a LogCx,
    before: u32,
}

impl<'a> Step<'a> {
    fn begin(log: &'a LogCx) -> Step<'a> {
        let op = log.begin();
        Step { op: Some(op), log, before: log.keep() }
    }

    fn log(&self) -> &'a LogCx {
        self.log
    }

    fn commit_then(mut self, between: impl FnOnce()) {
        self.log.restore(self.before);
        if let Some(op) = self.op.take() {
            op.commit_then(between);
            self.forget();
        }
    }
}

impl Step<'_> {
    /// Nothing is under way on the log any more.
    fn forget(&self) {
        self.log.settle();
        self.log.forget_locks();
    }
}

impl Drop for Step<'_> {
    fn drop(&mut self) {
        if let Some(op) = self.op.take() {
            self.log.restore(self.before);
            op.roll_back();
            self.forget();
        }
    }
}

/// What is known of a named object.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct NamedInfo {
    /// Its name.
    pub name: String,
    /// Its type, in one line.
    pub type_name: String,
    /// Bytes of its root value.
    pub size: u64,
    /// Offset of that value in the pool.
    pub offset: u64,
}

fn check_name(name: &str) -> Result<()> {
    let why = if name.is_empty() {
        "it is empty"
    } else if name.len() > LONGEST {
        "it is longer than 255 bytes"
    } else if name.contains('\0') {
        "it holds a NUL"
    } else {
        return Ok(());
    };
    Err(Error::BadName { name: name.into(), why })
}

impl Pool {
    /// The object of that name, made empty if there is none: `pool.named::<ShMutex<ShVec<u64>>>("jobs")`. O(1), under the directory's lock.
    ///
    /// When several processes come at once, one of them makes it and all get the same.
    ///
    /// # Errors
    /// `BadName`; `SchemaMismatch` when the object has another type; `OutOfMemory` and the like; `Unsupported` when it
    /// would have to be made inside a transaction.
    pub fn named<T: DefaultInPool>(&self, name: &str) -> Result<Named<T>> {
        self.named_with(name, T::empty)
    }

    /// The object of that name, made from what `source` gives if there is none. `source` is not called else.
    ///
    /// # Errors
    /// As [`named`](Self::named).
    pub fn named_with<T: Emplace<S>, S>(&self, name: &str, source: impl FnOnce() -> S) -> Result<Named<T>> {
        if let Some(found) = self.look_up(name)? {
            return Ok(found);
        }
        let seat = self.inner().seat()?;
        if Running::on(seat).is_some() {
            return Err(Error::Unsupported("making a named object inside a transaction".into()));
        }
        refuse_open_log(seat)?;
        sweep(self.inner())?;
        let source = source();
        self.make::<T, S>(name, seat.bare(), source)
    }

    /// Builds an object and gives it its name; if the name was given meanwhile, that object is the one.
    fn make<T: Emplace<S>, S>(&self, name: &str, log: &LogCx, source: S) -> Result<Named<T>> {
        let pool = self.inner();
        let _building = log.seat().build();
        let op = log.begin();
        let root = aquifer_alloc::alloc(log, size_of::<T>().max(1), align_of::<T>())?;
        let at = pool.at(root, size_of::<T>() as u64)?.cast::<T>();
        // SAFETY: a fresh block for one value; `op` is open, and undoes all of it unless it is committed.
        unsafe { T::emplace(source, at, Cx::of(log))? };
        let blob = encode(T::SCHEMA);
        let mut writing = Writing::begin(pool)?;
        // Declared after `writing`: what is not committed is undone before the lock is given back.
        let step = Step { op: Some(op), log, before: log.keep() };
        if let Some(entry) = writing.get().names.get(name).copied() {
            // Somebody was faster. What we had built goes; theirs is held under the same lock, so that it cannot be removed in between.
            drop(step);
            return self.hold_under(writing, name, &entry);
        }
        let entry = link(&mut writing, step.log(), name, root, &blob)?;
        self.joined().hold(entry[0]);
        // Dead before the store in here: there is no such object. After: there is.
        step.commit_then(|| drop(writing));
        let named = self.handle(at.cast_const(), entry[0]);
        pool_schemas::register(pool, T::SCHEMA, entry[2])?;
        Ok(named)
    }

    /// The object of that name, if there is one. O(1).
    ///
    /// # Errors
    /// `BadName`, `SchemaMismatch`.
    pub fn look_up<T: Relocatable>(&self, name: &str) -> Result<Option<Named<T>>> {
        check_name(name)?;
        let pool = self.inner();
        pool.seat()?; // in a child of a fork: joins anew, and takes hold of what the parent held
        let seen = directory::read(pool, |d| {
            let Some(entry) = d.names.get(name).copied() else { return Ok(None) };
            directory::check_type::<T>(pool, name, &entry)?;
            let value = directory::value::<T>(pool, name, &entry)?;
            // An object that this process holds already cannot go while we count one more.
            Ok(Some(self.joined().hold_if_held(entry[0]).then(|| self.handle(value, entry[0]))))
        })?;
        match seen.flatten() {
            None => Ok(None),
            Some(Some(named)) => Ok(Some(named)),
            Some(None) => self.take_hold(name),
        }
    }

    /// Marks the object as held by this process.
    #[cold]
    fn take_hold<T: Relocatable>(&self, name: &str) -> Result<Option<Named<T>>> {
        let writing = Writing::begin(self.inner())?;
        let Some(entry) = writing.get().names.get(name).copied() else { return Ok(None) };
        self.hold_under(writing, name, &entry).map(Some)
    }

    /// The same under the directory's lock, which is given back.
    fn hold_under<T: Relocatable>(
        &self,
        mut writing: Writing<'_>,
        name: &str,
        entry: &Entry,
    ) -> Result<Named<T>> {
        let pool = self.inner();
        directory::check_type::<T>(pool, name, entry)?;
        let value = directory::value::<T>(pool, name, entry)?;
        let pin = directory::own_pin(pool, entry[0])?;
        if self.joined().sees_deaths() {
            writing.parts().drop_dead_pins(pool);
        }
        // Dead before: not held. After: held by a process that is gone, which counts for nothing.
        writing.parts().pins.insert(pin, ())?;
        self.joined().hold(entry[0]);
        drop(writing);
        Ok(self.handle(value, entry[0]))
    }

    /// A handle of an object that was just counted.
    fn handle<T: Relocatable>(&self, value: *const T, id: u64) -> Named<T> {
        // SAFETY: addresses in a window are not null.
        let value = unsafe { NonNull::new_unchecked(value.cast_mut()) };
        let object = Arc::new(Object { pool: self.clone(), id });
        Named { value, object, epoch: fork::epoch().into() }
    }

    /// What has a name, in the order of names. O(objects).
    ///
    /// # Errors
    /// `Damaged`; those of locking.
    pub fn names(&self) -> Result<Vec<NamedInfo>> {
        let pool = self.inner();
        let found = directory::read(pool, |d| {
            let info = |(name, entry): (&crate::string::ShString, &Entry)| {
                let root = pool_schemas::view(pool, entry[2])?.root();
                Ok(NamedInfo {
                    name: name.to_string(),
                    type_name: show(root),
                    size: root.size(),
                    offset: entry[1],
                })
            };
            d.names.iter().map(info).collect::<Result<Vec<_>>>()
        })?;
        let mut found = found.unwrap_or_default();
        found.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    }

    /// Removes a name; false when there is none. Who holds the object goes on; its memory goes with the last of them, be it by dying.
    ///
    /// # Errors
    /// `BadName`; `Unsupported` inside a transaction; those of locking.
    pub fn remove(&self, name: &str) -> Result<bool> {
        check_name(name)?;
        let pool = self.inner();
        let seat = pool.seat()?;
        if Running::on(seat).is_some() {
            return Err(Error::Unsupported("removing a named object inside a transaction".into()));
        }
        refuse_open_log(seat)?;
        if directory::read(pool, |d| Ok(d.names.contains_key(name)))? != Some(true) {
            return Ok(false);
        }
        pool.bury_dead();
        let mut writing = Writing::begin(pool)?;
        writing.parts().drop_dead_pins(pool);
        sweep_under(pool, &mut writing)?;
        let Some(entry) = writing.get().names.get(name).copied() else { return Ok(false) };
        let step = Step::begin(seat.bare()); // declared after `writing`, as in `make`
        if writing.get().is_pinned(pool, entry[0]) {
            writing.parts_on(step.log()).removed.push(entry)?;
        } else {
            directory::push_discard(step.log(), &entry)?;
        }
        writing.parts_on(step.log()).names.remove(name);
        // Dead before the store in here: the name stands. After: it is gone; what is to be freed is freed with the lock given back.
        step.commit_then(|| drop(writing));
        Ok(true)
    }
}

/// Puts an object into the directory, held by this process.
fn link(writing: &mut Writing<'_>, log: &LogCx, name: &str, root: u64, blob: &[u8]) -> Result<Entry> {
    let mut parts = writing.parts_on(log);
    let schema = parts.schema(log, blob)?;
    *parts.next += 1;
    let entry = [*parts.next, root, schema];
    parts.names.insert(name, entry)?;
    parts.pins.insert(directory::own_pin(log.pool(), entry[0])?, ())?;
    Ok(entry)
}

/// After this process, a child of a fork, has joined a pool anew: takes hold of the objects that its parent held when it forked.
pub(crate) fn rejoined(pool: &Inner) -> Result<()> {
    let Some(joined) = Joined::find(pool.id()) else { return Ok(()) };
    let held = joined.held();
    joined.note_joined();
    if held.is_empty() {
        return Ok(());
    }
    let mut writing = Writing::begin(pool)?;
    for id in held {
        if writing.get().knows(id) {
            writing.parts().pins.insert(directory::own_pin(pool, id)?, ())?;
        } else {
            joined.lose(id);
        }
    }
    Ok(())
}
