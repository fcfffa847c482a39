//! Ordinary collections in memory that many processes share.
//!
//! A *pool* of shared memory grows while it is in use, holds vectors, maps, sets and strings nested as deep as you like, and survives the
//! SIGKILL of any process at any instruction. There is no daemon, nothing to configure, and no `unsafe` in your code.
//!
//! ```
//! use aquifer::{Named, Pool, ShMap, ShRwLock, ShString, ShVec};
//!
//! let pool = Pool::options().memfd()?; // or Pool::open_or_create("inventory")?: /dev/shm/inventory, mode 0600
//! let stock: Named<ShRwLock<ShMap<ShString, ShVec<u64>>>> = pool.named("stock")?;
//!
//! stock.write()?.insert("bolts", [500, 250])?; // any process, any thread
//! stock.write()?["bolts"].push(125)?;
//! let total: u64 = stock.read()?["bolts"].iter().sum(); // a plain &[u64]
//! assert_eq!(total, 875);
//! # Ok::<(), aquifer::Error>(())
//! ```
//!
//! # From `std` to the pool
//!
//! | `std` | here |
//! |---|---|
//! | `Arc<T>` in a static or in your state | [`Named<T>`]: the object that all processes find by its name |
//! | `RwLock<T>`, `Mutex<T>` | [`ShRwLock<T>`], [`ShMutex<T>`] |
//! | `HashMap<K, V>`, `HashSet<K>` | [`ShMap<K, V>`], [`ShSet<K>`] |
//! | `Vec<T>`, `String`, `Box<T>` | [`ShVec<T>`], [`ShString`], [`ShBox<T>`] |
//! | numbers, `bool`, `char`, `Duration`, addresses, `Option`, arrays, tuples, atomics | themselves |
//! | your structs and enums | themselves, with `#[derive(Relocatable)]`, or `#[derive(Plain)]` if they are `Copy` |
//!
//! Names, order of arguments and behaviour are `std`'s. Three things differ everywhere:
//!
//! 1. what may allocate returns [`Result`];
//! 2. fields of structs that own pool memory are changed through `field_mut()`;
//! 3. such structs are built from a twin, `SessionNew { .. }` for `Session`.
//!
//! # Two fields at once
//!
//! The one thing to know before porting code. Each `field_mut()` borrows the whole struct. Where two fields are needed at the same time,
//! take them all apart first, with `fields_mut()`; the rest reads as in `std`:
//!
//! ```
//! use aquifer::{Pool, Relocatable, ShMutex, ShString, ShVec};
//!
//! #[derive(Relocatable)]
//! #[repr(C)]
//! struct Item {
//!     name: ShString,
//!     size: u64,
//!     tags: ShVec<u64>,
//! }
//!
//! // Your own methods that change an item are methods of the derived `ItemMut`.
//! impl ItemMut {
//!     fn enlarge(&mut self, by: u64) -> aquifer::Result<()> {
//!         let item = self.fields_mut();
//!         *item.size += by;
//!         item.tags.push(*item.size)
//!     }
//! }
//!
//! let pool = Pool::options().private()?;
//! let item = pool.named_with::<ShMutex<Item>, _>("item", || {
//!     ShMutex::new(ItemNew { name: "bolt", size: 5u64, tags: ShVec::new() })
//! })?;
//! item.lock()?.enlarge(3)?;
//! item.lock()?.tags_mut().push(9)?;
//! item.lock()?.set_name("long bolt")?;
//! let guard = item.lock()?;
//! assert_eq!((guard.name.as_str(), guard.size, &guard.tags[..]), ("long bolt", 8, &[8, 9][..]));
//! # Ok::<(), aquifer::Error>(())
//! ```
//!
//! Reading needs none of this: guards deref to `&Item`, and its fields are plain fields.
//!
//! # Reading and writing
//!
//! A read guard gives `&T`. A write guard gives `&mut T` for plain data, and a [`&mut Place<T>`](Place) for what owns memory of the
//! pool. A place is a real `&mut`: it is reborrowed, stored and split as any other, and derefs to `T` for reading. Only, it cannot be swapped, moved
//! or overwritten (`mem::swap`, `*a = *b`), since then a block of the pool would have two owners, or none.
//!
//! What is removed and owns memory comes as a [`Taken`]: it derefs to the value, can be put elsewhere in the pool without a copy, and is freed when
//! it is dropped.
//!
//! ```
//! use aquifer::{Pool, ShMap, ShRwLock, ShString, ShVec};
//!
//! let pool = Pool::options().private()?;
//! let jobs = pool.named::<ShRwLock<ShMap<ShString, ShVec<u64>>>>("jobs")?;
//! let done = pool.named::<ShRwLock<ShMap<ShString, ShVec<u64>>>>("done")?;
//! jobs.write()?.extend([("a", [1, 2]), ("b", [3, 4])])?;
//!
//! let (mut from, mut to) = (jobs.write()?, done.write()?);
//! if let Some(job) = from.remove("a") {
//!     to.insert("a", job)?; // moved: no copy, and never in both or in neither, whoever dies
//! }
//! for (_, numbers) in from.iter_mut() {
//!     numbers.iter_mut().for_each(|n| *n *= 10);
//! }
//! to.entry("b").or_default()?.push(5)?;
//! assert_eq!(from["b"], [30, 40]);
//! assert_eq!(to["a"], [1, 2]);
//! # Ok::<(), aquifer::Error>(())
//! ```
//!
//! # Many operations that happen together
//!
//! Each call that changes something happens whole or not at all. [`ShMutex::transaction`], [`ShRwLock::transaction`] and, over several locks,
//! [`Pool::transaction`] make many calls so:
//!
//! ```
//! use aquifer::{Error, Pool, ShMap, ShRwLock, ShString};
//!
//! let pool = Pool::options().private()?;
//! let accounts = pool.named::<ShRwLock<ShMap<ShString, u64>>>("accounts")?;
//! accounts.write()?.extend([("ann", 10), ("bob", 0)])?;
//! let pay = |n| accounts.transaction(|a| {
//!     *a.entry("bob").or_insert(0)? += n;
//!     let ann = a.get_mut("ann").ok_or(Error::abort("no ann"))?;
//!     *ann = ann.checked_sub(n).ok_or(Error::abort("too little"))?;
//!     Ok(())
//! });
//! pay(7)?;
//! assert!(pay(7).is_err(), "all of it is undone");
//! assert_eq!(accounts.read()?["bob"], 7);
//! # Ok::<(), Error>(())
//! ```
//!
//! # When a process dies
//!
//! However it dies, and wherever it was:
//!
//! - every finished call stands, the unfinished one never happened, an unfinished transaction never happened;
//! - its locks are free: who waits goes on some milliseconds after the kernel has taken the dead process down, and
//!   [`WriteGuard::recovered`] tells the next writer. Dead readers keep nobody out;
//! - memory that it was about to link in, or to free, is freed; named objects that only it held and whose name was removed go too.
//!
//! The survivors do this work, whoever first meets the dead: at a lock, on joining, when memory runs short. A write through `&mut` to plain data is finished when
//! its guard is next used or dropped, or at [`WriteGuard::commit`]. A process that is stopped is alive, and keeps its locks.
//! Panics are as in `std` without poisoning: the call that panicked has not happened, what was finished stands.
//!
//! A child of a `fork` uses what it inherits: pools join anew by themselves, and [`Named`] handles stay good. Guards belong to the parent:
//! dropping one in the child does nothing, writing through one panics.
//!
//! # Looking inside
//!
//! [`Pool::check`] walks everything by its type, from processes that have never seen those types too: values, keys, blocks that are lost or have two
//! owners, and who holds or waits for which lock. [`Pool::repair`] buries the dead and frees what is lost. Both may run beside others at work.
//!
//! ```
//! use aquifer::{Pool, ShMutex, ShVec};
//!
//! let pool = Pool::options().private()?;
//! let jobs = pool.named_with::<ShMutex<ShVec<u64>>, _>("jobs", || ShMutex::new([1, 2, 3]))?;
//! let report = pool.check()?;
//! assert!(report.is_clean() && report.has_passed("jobs"), "{report}");
//! assert_eq!(pool.repair()?.freed_bytes, 0);
//! # Ok::<(), aquifer::Error>(())
//! ```
//!
//! A pool in a file that was not closed in order is checked when it is opened, others with [`PoolOptions::verify`].
//!
//! # What it costs
//!
//! - Reading is as fast as in private memory: references are plain references, and nothing that you hold ever moves, also while another
//!   process grows the pool.
//! - A lock is a few tens of instructions when it is free. Readers share no line, so they do not slow each other.
//! - A changing call writes what it needs to undo itself into its thread's log: some stores, no system call.
//! - A new object takes at least 32 bytes of the pool. The pool grows by some MiB at a time; memory that is freed is used again.
//! - A thread reads at most 8 locks, and writes under at most 8, at a time.
//!
//! # What it does not do
//!
//! - Processes that may write a pool trust each other not to be malicious. Who may is decided by the file's mode, 0600 by default.
//! - Guards stay on their thread, and must not be held over an `.await`. Where futures need not be `Send`, only a lint can tell; put this into your
//!   `clippy.toml`:
//!
//!   ```toml
//!   await-holding-invalid-types = ["aquifer::ReadGuard", "aquifer::WriteGuard", "aquifer::MappedWriteGuard"]
//!   ```
//! - Forgetting values (`mem::forget`) of guards keeps their locks as long as the process lives.
//! - It runs on 64-bit Linux only.
//!
//! # When the compiler complains
//!
//! | it says | cure |
//! |---|---|
//! | ``no method named `push` found for struct `ShVec` `` | `item.tags_mut().push(..)`, or `fields_mut()` first |
//! | `cannot borrow as mutable more than once` between two fields | `let item = item.fields_mut();` |
//! | ``the size for values of type `[StaysInItsPool]` cannot be known`` | places are not swapped or moved: `set`, `replace`, or [`Taken`] |
//! | `` `String` cannot live in a pool`` | [`ShString`] in the type; `&str` and `String` are still its sources |
//! | ``a `ShVec<u64>` in the pool cannot be built from `&str` `` | the source does not fit the type: see [`Emplace`] |
//! | ``cannot be sent between threads``, `NotSend_GuardBelongsToItsThread` | drop the guard first, or take it in the other thread |
//! | `type annotations needed` for `[]` or `None` | [`ShVec::new()`], [`NONE`] |

pub use aquifer_collections::{
    BackingKind, DefaultInPool, Emplace, Error, Handle, Holder, HugePages, Info, Key, KeySource, Location,
    MappedWriteGuard, MutexGuard, NONE, Named, NamedInfo, New, NotSend_GuardBelongsToItsThread, Nothing,
    Place, Plain, Pool, PoolOptions, ReadGuard, Recovered, Relocatable, Repair, Report, Result, ShBox,
    ShHash, ShMap, ShMutex, ShRwLock, ShSet, ShString, ShVec, Shared, Stats, Taken, Tx, WriteGuard,
    from_iter, parse_size,
};
pub use aquifer_collections::{entry, hash, iter, lock, map, report, schema, set, string, vec};

#[doc(hidden)]
pub use aquifer_collections::__private;

/// The example of the README, run with the other examples.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
