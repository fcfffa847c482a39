//! What a scene is: what was there before, what is done, and how to tell what came of it.

use crate::trace::{Finish, fork, wait};
use aquifer::{Error, Named, Pool, Relocatable, ShBox, ShMap, ShMutex, ShRwLock, ShSet, ShString, ShVec};
use std::path::{Path, PathBuf};

/// Fills a pool.
pub type Setup = fn(&Pool) -> Result<(), Error>;

/// One operation.
pub struct Scene {
    pub name: &'static str,
    /// Among those that matter most.
    pub quick: bool,
    /// Fills a new pool, which is closed then; `None`: there is no pool yet.
    pub setup: Option<Setup>,
    /// In a child: gets ready, then does its work inside of [`stepped`](crate::trace::stepped).
    pub operation: fn(&Stage) -> Result<(), Error>,
    pub observe: fn(&Pool) -> Result<String, Error>,
    /// How many outcomes there are, the first (nothing happened) included.
    pub outcomes: usize,
    /// Hard limit of the pool in bytes; 0: none.
    pub limit: u64,
}

impl Scene {
    /// The same in a pool that cannot grow beyond `bytes`.
    pub fn limited(self, bytes: u64) -> Scene {
        Scene { limit: bytes, ..self }
    }
}

/// What the child works on.
pub struct Stage {
    pub path: PathBuf,
}

impl Stage {
    /// Joins the pool and sits down.
    pub fn join(&self) -> Result<Pool, Error> {
        let pool = crate::judge::open(&self.path)?;
        sit(&pool)?;
        Ok(pool)
    }

    /// The same on a seat that no block in the pool was allocated from: another process sits on that one meanwhile.
    pub fn join_behind(&self) -> Result<Pool, Error> {
        let other = Other::sitting(&self.path, |_| Ok(()))?;
        let pool = self.join()?;
        other.leave()?;
        Ok(pool)
    }
}

/// Takes a seat and touches what most operations need, so that only the operation itself is stepped through.
pub fn sit(pool: &Pool) -> Result<(), Error> {
    pool.named::<Names>("adversary")?;
    pool.named::<Numbers>("warm")?.lock()?.push(1)
}

/// Another process that has joined a pool, and waits until it is told to leave.
pub struct Other {
    pid: i32,
}

impl Other {
    /// Joins the pool, sits down and does `work` before it waits.
    pub fn sitting(path: &Path, work: impl FnOnce(&Pool) -> Result<(), Error>) -> Result<Other, Error> {
        let pid = fork(|| {
            let pool = Stage { path: path.into() }.join();
            let done = pool.and_then(|pool| work(&pool).map(|()| pool));
            match done {
                Ok(pool) => {
                    stop();
                    drop(pool);
                }
                Err(e) => eprintln!("the other process: {e}"),
            }
        });
        let other = Other { pid: pid.map_err(system)? };
        match libc::WIFSTOPPED(wait(other.pid, libc::WUNTRACED).map_err(system)?) {
            true => Ok(other),
            false => Err(Error::abort("the other process is not there")),
        }
    }

    /// Lets it go on.
    pub fn go_on(&self) {
        // SAFETY: our child.
        unsafe { libc::kill(self.pid, libc::SIGCONT) };
    }

    /// Lets it close the pool, and waits for its end.
    pub fn leave(self) -> Result<(), Error> {
        self.go_on();
        wait(self.pid, 0).map(drop).map_err(system)
    }

    /// Kills it, and waits for its end.
    pub fn die(self) -> Result<(), Error> {
        // SAFETY: our child.
        unsafe { libc::kill(self.pid, libc::SIGKILL) };
        wait(self.pid, 0).map(drop).map_err(system)
    }
}

/// Stops this process until it is told to go on.
pub fn stop() {
    // SAFETY: a signal to this process, which has no handler for it.
    unsafe { libc::raise(libc::SIGSTOP) };
}

fn system(e: std::io::Error) -> Error {
    Error::abort(e.to_string())
}

// ---- objects

pub type Numbers = ShMutex<ShVec<u64>>;
pub type Names = ShMutex<ShVec<ShString>>;
pub type Lists = ShMutex<ShVec<ShVec<u64>>>;
pub type Keys = ShMutex<ShMap<u64, u64>>;
pub type Words = ShMutex<ShMap<ShString, ShVec<u64>>>;
pub type Ids = ShMutex<ShSet<u64>>;
pub type Tags = ShMutex<ShSet<ShString>>;
pub type Text = ShMutex<ShString>;
pub type Boxed = ShMutex<ShBox<ShString>>;
pub type Maybe = ShMutex<Option<ShString>>;
pub type Scalar = ShMutex<u64>;
pub type Deep = ShMutex<ShMap<ShString, ShVec<ShMap<u64, ShString>>>>;
pub type Stock = ShRwLock<ShMap<ShString, ShVec<u64>>>;

/// A type of which each scene has at most one object, and what is in it.
pub trait Object: Relocatable {
    const NAME: &'static str;
    fn show(&self) -> Result<String, Error>;
}

macro_rules! object {
    ($type:ty, $name:literal, |$guard:ident| $show:expr) => {
        impl Object for $type {
            const NAME: &'static str = $name;
            fn show(&self) -> Result<String, Error> {
                let $guard = self.lock()?;
                Ok($show)
            }
        }
    };
}

fn sorted<T: Ord + std::fmt::Debug>(items: impl Iterator<Item = T>) -> String {
    let mut all: Vec<T> = items.collect();
    all.sort();
    format!("{all:?}")
}

object!(Numbers, "numbers", |g| format!("{:?}", g.as_slice()));
object!(Names, "names", |g| format!("{:?}", g.iter().map(|s| s.as_str()).collect::<Vec<_>>()));
object!(Lists, "lists", |g| format!("{:?}", g.iter().map(|l| l.as_slice()).collect::<Vec<_>>()));
object!(Keys, "keys", |g| format!("{} {}", g.len(), sorted(g.iter().map(|(k, v)| (*k, *v)))));
object!(Words, "words", |g| sorted(g.iter().map(|(k, v)| (k.as_str(), &v[..]))));
object!(Ids, "ids", |g| sorted(g.iter().copied()));
object!(Tags, "tags", |g| sorted(g.iter().map(|s| s.as_str())));
object!(Text, "text", |g| g.as_str().to_string());
object!(Boxed, "box", |g| g.to_string());
object!(Maybe, "maybe", |g| format!("{:?}", &*g));
object!(Scalar, "scalar", |g| g.to_string());
object!(Deep, "deep", |g| {
    let inner = |m: &ShMap<u64, ShString>| sorted(m.iter().map(|(k, v)| (*k, v.as_str())));
    sorted(g.iter().map(|(k, v)| (k.as_str(), v.iter().map(inner).collect::<Vec<_>>())))
});

impl Object for Stock {
    const NAME: &'static str = "stock";
    fn show(&self) -> Result<String, Error> {
        let shown = sorted(self.read()?.iter().map(|(k, v)| (k.as_str(), &v[..])));
        drop(self.write()?); // which a reader that was forgotten would not let us have
        Ok(shown)
    }
}

/// The object of that type, which the setup has made.
pub fn the<T: Object>(pool: &Pool) -> Result<Named<T>, Error> {
    pool.look_up(T::NAME)?.ok_or_else(|| Error::NoSuchObject(T::NAME.into()))
}

/// What is in that object.
pub fn show<T: Object>(pool: &Pool) -> Result<String, Error> {
    the::<T>(pool)?.show()
}

/// Which objects there are, but for those of the stepper's own.
pub fn objects(pool: &Pool) -> Result<String, Error> {
    let own = ["warm", "adversary"];
    let names = pool.names()?.into_iter().map(|n| n.name).filter(|n| !own.contains(&n.as_str()));
    Ok(names.collect::<Vec<_>>().join(" "))
}

// ---- what bodies of scenes may return

macro_rules! finishes {
    ($([$($generics:tt)*] $type:ty),* $(,)?) => {
        $(impl<$($generics)*> Finish for $type {
            fn finish(self) -> Result<(), Error> {
                Ok(())
            }
        })*
    };
}

impl<T: Finish> Finish for Result<T, Error> {
    fn finish(self) -> Result<(), Error> {
        self?.finish()
    }
}

finishes!([] (), [] bool, [] u64, [T] Option<T>, [T: ?Sized] &mut T, ['a, T: Relocatable] aquifer::Taken<'a, T>);

/// A scene of one change to one object, from taking its lock to giving it back.
#[macro_export]
macro_rules! change {
    ($speed:ident $name:literal, $setup:expr, $type:ty, $outcomes:expr, |$guard:ident| $body:expr) => {
        $crate::scene::Scene {
            name: $name,
            quick: $crate::is_quick!($speed),
            setup: Some($setup),
            operation: |stage| {
                let pool = stage.join()?;
                let object = $crate::scene::the::<$type>(&pool)?;
                drop(object.lock()?);
                $crate::trace::stepped(|| {
                    #[allow(unused_mut)]
                    let mut $guard = object.lock()?;
                    $crate::trace::Finish::finish($body)
                })
            },
            observe: $crate::scene::show::<$type>,
            outcomes: $outcomes,
            limit: 0,
        }
    };
}

/// A scene of anything that is done to a joined pool; what gets it ready comes first.
#[macro_export]
macro_rules! act {
    ($speed:ident $name:literal, $setup:expr, $observe:expr, $outcomes:expr, |$stage:ident| { $($ready:tt)* } => $body:expr) => {
        $crate::scene::Scene {
            name: $name,
            quick: $crate::is_quick!($speed),
            setup: Some($setup),
            operation: |$stage| {
                $($ready)*
                $crate::trace::stepped(|| -> Result<(), aquifer::Error> { $crate::trace::Finish::finish($body) })
            },
            observe: $observe,
            outcomes: $outcomes,
            limit: 0,
        }
    };
}

/// `quick` or `long`.
#[macro_export]
macro_rules! is_quick {
    (quick) => {
        true
    };
    (long) => {
        false
    };
}
