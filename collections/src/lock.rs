//! Locks in a pool, which survive the death of whoever holds them.

use crate::cx::Cx;
use crate::guard::{MutexGuard, ReadGuard, WriteGuard};
use crate::hold::{Exclusive, Home, Shared};
use crate::place::Place;
use crate::relocatable::{DefaultInPool, Emplace, InPlace, Kind, Relocatable};
use crate::schema::{Schema, Shape};
use crate::taken::Taken;
use crate::transaction::{self, Running};
use aquifer_pool::lock::{Patience, RawLock};
use aquifer_pool::{Error, Inner, Result};
use std::cell::UnsafeCell;
use std::fmt;
use std::marker::PhantomData;
use std::mem::offset_of;
use std::ptr::NonNull;
use std::time::{Duration, Instant};

/// A lock word and what it guards.
#[repr(C)]
struct Guarded<T> {
    lock: RawLock,
    value: UnsafeCell<T>,
}

// SAFETY: the value is reached through guards alone, which the lock hands out as `RwLock` does; `Relocatable` is `Send + Sync`.
unsafe impl<T: Send + Sync> Sync for Guarded<T> {}

impl<T: Relocatable> Guarded<T> {
    #[inline(always)]
    fn read(&self, patience: Patience) -> Result<ReadGuard<'_, T>> {
        let hold = Shared::take(&self.lock, patience)?;
        // SAFETY: readable as long as the lock is held for reading.
        Ok(unsafe { ReadGuard::new(self.pointer(), hold) })
    }

    #[inline(always)]
    fn write(&self, patience: Patience) -> Result<WriteGuard<'_, T>> {
        let hold = Exclusive::take(&self.lock, patience)?;
        // SAFETY: exclusively ours as long as the lock is held for writing.
        Ok(unsafe { WriteGuard::new(self.pointer(), hold) })
    }

    #[inline(always)]
    fn pointer(&self) -> NonNull<T> {
        NonNull::from(&self.value).cast()
    }

    fn transaction<R, E: From<Error>>(&self, f: impl FnOnce(&mut T::Access) -> Result<R, E>) -> Result<R, E> {
        let home = Home::of(&self.lock)?;
        transaction::run(home.seat, |_| {
            let hold = Exclusive::take(&self.lock, Patience::Forever)?;
            // SAFETY: exclusively ours until `hold` is dropped, which is after `f`.
            f(unsafe { T::access(self.value.get(), hold.cx()) })
        })
    }

    /// The value, for who has the lock itself exclusively, so that no guard of it is alive.
    fn get_mut(&mut self, cx: Cx) -> Result<&mut T::Access> {
        // SAFETY: the guard that lent the place is alive on this thread.
        let log = unsafe { cx.log::<'_>() };
        refuse_dead_writer(&self.lock, log.pool())?;
        // Whoever has locked it since it was reached this way had another log.
        log.forget_resolved();
        // Who takes the lock before that is final learns of it.
        let offset = Home::of(&self.lock)?.offset;
        match Running::on(log.seat()) {
            None => log.lend(offset)?,
            Some(_) => log.note_lent(offset),
        }
        // SAFETY: nobody else can reach the value: `self` is exclusive.
        Ok(unsafe { T::access(self.value.get(), cx) })
    }
}

/// Buries the lock's writer if it is dead: what it had open is undone before the value is touched.
fn refuse_dead_writer(lock: &RawLock, pool: &Inner) -> Result<()> {
    let Some(writer) = lock.writer() else { return Ok(()) };
    if pool.seat()?.number() == writer && transaction::keeps(pool.seat()?, lock) {
        return Ok(());
    }
    if let Some(record) = pool.record_of_seat(writer) {
        pool.bury_record(record);
    }
    match lock.writer() {
        None => Ok(()),
        Some(writer) => Err(Error::WouldBlock(pool.holder(writer))),
    }
}

fn until(timeout: Duration) -> Patience {
    Instant::now().checked_add(timeout).map_or(Patience::Forever, Patience::Until)
}

/// Source of a [`ShMutex`]: what it shall guard.
#[derive(Debug)]
pub struct NewMutex<T, S>(S, PhantomData<fn() -> T>);

/// Source of a [`ShRwLock`]: what it shall guard.
#[derive(Debug)]
pub struct NewRwLock<T, S>(S, PhantomData<fn() -> T>);

fn schema_of<T: Relocatable>() -> &'static Schema {
    T::SCHEMA
}

macro_rules! lock {
    ($(#[$doc:meta])* $name:ident, $new:ident, $text:literal) => {
        $(#[$doc])*
        #[repr(transparent)]
        pub struct $name<T>(Guarded<T>);

        impl<T: Relocatable> $name<T> {
            /// Source of a free lock around what is built from `source`.
            #[expect(clippy::new_ret_no_self, reason = "no lock exists outside of a pool: this says what to build there")]
            pub fn new<S>(source: S) -> $new<T, S> {
                $new(source, PhantomData)
            }

            /// All or nothing: what `f` does, also under other locks of the same pool that it takes, is final when this returns
            /// `Ok`, and undone when `f` fails or panics or its process dies.
            ///
            /// Locks taken inside are kept until the end. Inside another transaction of the pool this is a part of that one.
            /// Give up with [`Error::abort`]. What may leave it: see [`Pool::transaction`](crate::Pool::transaction).
            ///
            /// # Errors
            /// That of `f`; `WouldDeadlock` when a lock is not to be had in an order that is safe; `Unsupported` when this thread holds a
            /// guard for writing from before; those of locking.
            pub fn transaction<R>(&self, f: impl FnOnce(&mut T::Access) -> Result<R>) -> Result<R> {
                self.0.transaction(f)
            }

            /// The same with an error type of the caller's.
            ///
            /// # Errors
            /// As [`transaction`](Self::transaction).
            pub fn try_transaction<R, E: From<Error>>(&self, f: impl FnOnce(&mut T::Access) -> Result<R, E>) -> Result<R, E> {
                self.0.transaction(f)
            }

            pub(crate) fn raw(&self) -> &RawLock {
                &self.0.lock
            }

            pub(crate) fn value(&self) -> *mut T {
                self.0.value.get()
            }
        }

        impl<T: Relocatable> Place<$name<T>> {
            /// The value, without locking: whoever has the lock exclusively is alone.
            ///
            /// Outside of a transaction, what is changed through it becomes final as what is written through `&mut` to plain data does: when the guard that
            /// lends the lock is next dereferenced mutably, committed or dropped. Until then a value taken out cannot be put under another guard (`TakenElsewhere`).
            ///
            /// # Errors
            /// `WouldBlock` when a guard of the lock was forgotten and its thread lives; `OutOfMemory` and the like.
            pub fn get_mut(&mut self) -> Result<&mut T::Access> {
                let cx = self.cx();
                // SAFETY: a place is a valid value, borrowed exclusively as long as `self`.
                unsafe { &mut (*self.ptr()).0 }.get_mut(cx)
            }
        }

        // SAFETY: a lock word and a relocatable value, as the schema says; no address, no destructor.
        unsafe impl<T: Relocatable> Relocatable for $name<T> {
            type Kind = InPlace;
            type Access = Place<Self>;
            type Taken<'a> = Taken<'a, Self>;
            const SCHEMA: &'static Schema = &Schema {
                name: $text,
                size: size_of::<Self>(),
                align: align_of::<Self>(),
                shape: Shape::Lock { item: schema_of::<T>, offset: offset_of!(Guarded<T>, value) },
            };
            // At least 1, though a lock owns no block: who drops many values walks over those that seem to own some, and a lock must be
            // forgotten by whoever still names it (`Inner::retire_lock`).
            const OWNED: usize = if T::OWNED > 0 { T::OWNED } else { 1 };
            const LOCKS: bool = true;

            #[inline(always)]
            unsafe fn access<'a>(p: *mut Self, cx: Cx) -> &'a mut Place<Self> {
                // SAFETY: the caller's contract.
                unsafe { InPlace::access(p, cx) }
            }

            #[inline(always)]
            unsafe fn access_ref<'a>(p: *const Self, cx: Cx) -> &'a Place<Self> {
                // SAFETY: the caller's contract.
                unsafe { InPlace::access_ref(p, cx) }
            }

            #[inline(always)]
            unsafe fn taken<'a>(p: *const Self, cx: Cx) -> Taken<'a, Self> {
                // SAFETY: the caller's contract.
                unsafe { InPlace::taken(p, cx) }
            }

            unsafe fn discard(p: *const Self, cx: Cx) {
                // SAFETY: the caller's contract, for the value as for the lock around it.
                unsafe {
                    crate::moving::release_locks_at::<Self>(cx.log(), p);
                    T::discard((*p).0.value.get(), cx);
                }
            }
        }

        impl<T: Emplace<S>, S> Emplace<$new<T, S>> for $name<T> {
            unsafe fn emplace(source: $new<T, S>, dst: *mut Self, cx: Cx) -> Result<()> {
                let guarded = dst.cast::<Guarded<T>>();
                // SAFETY: both parts lie in `dst`, which is writable; the rest is the caller's contract.
                unsafe {
                    (&raw mut (*guarded).lock).write(RawLock::new());
                    cx.log().note_locks();
                    T::emplace(source.0, UnsafeCell::raw_get(&raw const (*guarded).value), cx)
                }
            }
        }

        impl<T: Relocatable> Emplace<Taken<'_, $name<T>>> for $name<T> {
            unsafe fn emplace(source: Taken<'_, $name<T>>, dst: *mut Self, cx: Cx) -> Result<()> {
                // SAFETY: the caller's contract.
                unsafe { source.put(dst, cx) }
            }
        }

        impl<T: DefaultInPool> DefaultInPool for $name<T> {
            type Empty = $new<T, T::Empty>;
            fn empty() -> Self::Empty {
                $new(T::empty(), PhantomData)
            }
        }

        impl<T> fmt::Debug for $name<T> {
            /// Does not lock, and so does not show the value.
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let state = if self.0.lock.writer().is_some() { "locked" } else { "not locked" };
                write!(f, "{}({state})", $text)
            }
        }
    };
}

lock! {
    /// A mutual exclusion lock in a pool, as `Mutex`, for all threads of all processes that have the pool open.
    ///
    /// When its holder dies, whoever waits goes on: see [`WriteGuard`]. A thread that ends while a guard of it was forgotten, or a
    /// process that is stopped, keeps it.
    ShMutex, NewMutex, "ShMutex"
}

lock! {
    /// A readers-writer lock in a pool, as `RwLock`, for all threads of all processes that have the pool open.
    ///
    /// Readers touch a line of their own thread and share none, so more of them do not slow each other; a writer looks at the marks of all threads that
    /// have read since the last writer. Dead readers and writers are noticed by whoever waits for them.
    ShRwLock, NewRwLock, "ShRwLock"
}

impl<T: Relocatable> ShMutex<T> {
    /// Locks, waiting as long as it takes.
    ///
    /// # Errors
    /// `WouldDeadlock` when this thread holds the lock already, or another thread of the process has moved, made or lent it by changes that are not
    /// final; `TooManyWriteLocks`; `AddressSpace` when the pool has grown and cannot be mapped.
    #[inline]
    pub fn lock(&self) -> Result<MutexGuard<'_, T>> {
        self.0.write(Patience::Forever)
    }

    /// Locks if nobody has the lock.
    ///
    /// # Errors
    /// `WouldBlock`, which names the holder; else as [`lock`](Self::lock).
    #[inline]
    pub fn try_lock(&self) -> Result<MutexGuard<'_, T>> {
        self.0.write(Patience::Try)
    }

    /// Locks, waiting no longer than `timeout`.
    ///
    /// # Errors
    /// `Timeout`, which names the holder; else as [`lock`](Self::lock).
    pub fn lock_timeout(&self, timeout: Duration) -> Result<MutexGuard<'_, T>> {
        self.0.write(until(timeout))
    }
}

impl<T: Relocatable> ShRwLock<T> {
    /// Locks for reading, waiting as long as it takes. A thread that reads already may do so again.
    ///
    /// # Errors
    /// `WouldDeadlock` when this thread holds the lock for writing; `TooManyReadLocks`; `AddressSpace` when the pool has grown and cannot be mapped.
    #[inline]
    pub fn read(&self) -> Result<ReadGuard<'_, T>> {
        self.0.read(Patience::Forever)
    }

    /// Locks for reading if nobody writes.
    ///
    /// # Errors
    /// `WouldBlock`, which names the writer; else as [`read`](Self::read).
    #[inline]
    pub fn try_read(&self) -> Result<ReadGuard<'_, T>> {
        self.0.read(Patience::Try)
    }

    /// Locks for reading, waiting no longer than `timeout`.
    ///
    /// # Errors
    /// `Timeout`, which names the writer; else as [`read`](Self::read).
    pub fn read_timeout(&self, timeout: Duration) -> Result<ReadGuard<'_, T>> {
        self.0.read(until(timeout))
    }

    /// Locks for writing, waiting as long as it takes.
    ///
    /// # Errors
    /// `WouldDeadlock` when this thread holds the lock already, or another thread of the process has moved, made or lent it by changes that are not
    /// final; `TooManyWriteLocks`; `AddressSpace` when the pool has grown and cannot be mapped.
    #[inline]
    pub fn write(&self) -> Result<WriteGuard<'_, T>> {
        self.0.write(Patience::Forever)
    }

    /// Locks for writing if nobody has the lock.
    ///
    /// # Errors
    /// `WouldBlock`, which names a holder; else as [`write`](Self::write).
    #[inline]
    pub fn try_write(&self) -> Result<WriteGuard<'_, T>> {
        self.0.write(Patience::Try)
    }

    /// Locks for writing, waiting no longer than `timeout`.
    ///
    /// # Errors
    /// `Timeout`, which names a holder; else as [`write`](Self::write).
    pub fn write_timeout(&self, timeout: Duration) -> Result<WriteGuard<'_, T>> {
        self.0.write(until(timeout))
    }
}
