//! POSIX locks in memory that processes share.

use crate::Result;
use crate::partner::shared_memory;
use std::io;

fn check(code: libc::c_int) -> Result<()> {
    match code {
        0 => Ok(()),
        _ => Err(io::Error::from_raw_os_error(code).into()),
    }
}

/// A mutex of all processes and the number it guards, on a page of their own.
#[derive(Clone, Copy)]
pub struct Mutex(*mut (libc::pthread_mutex_t, u64));

impl Mutex {
    pub fn new(robust: bool) -> Result<Mutex> {
        let at = shared_memory(size_of::<(libc::pthread_mutex_t, u64)>())?.cast();
        let mutex = Mutex(at);
        // SAFETY: attributes are made before they are used; the mutex is new, and its page is never unmapped.
        unsafe {
            let mut attributes: libc::pthread_mutexattr_t = std::mem::zeroed();
            check(libc::pthread_mutexattr_init(&mut attributes))?;
            check(libc::pthread_mutexattr_setpshared(&mut attributes, libc::PTHREAD_PROCESS_SHARED))?;
            if robust {
                check(libc::pthread_mutexattr_setrobust(&mut attributes, libc::PTHREAD_MUTEX_ROBUST))?;
            }
            check(libc::pthread_mutex_init(&raw mut (*at).0, &attributes))?;
        }
        Ok(mutex)
    }

    /// Adds to the number under the mutex.
    #[inline(always)]
    pub fn add(self, n: u64) {
        // SAFETY: an initialised mutex that is never unmapped; the number is changed under it.
        unsafe {
            libc::pthread_mutex_lock(&raw mut (*self.0).0);
            let number = &raw mut (*self.0).1;
            number.write_volatile(number.read_volatile() + n);
            libc::pthread_mutex_unlock(&raw mut (*self.0).0);
        }
    }
}

/// A readers-writer lock of all processes and the number it guards, on a page of their own.
#[derive(Clone, Copy)]
pub struct RwLock(*mut (libc::pthread_rwlock_t, u64));

// SAFETY: a lock is there to be used by many threads.
unsafe impl Sync for RwLock {}

impl RwLock {
    pub fn new() -> Result<RwLock> {
        let at = shared_memory(size_of::<(libc::pthread_rwlock_t, u64)>())?.cast();
        let lock = RwLock(at);
        // SAFETY: attributes are made before they are used; the lock is new, and its page is never unmapped.
        unsafe {
            let mut attributes: libc::pthread_rwlockattr_t = std::mem::zeroed();
            check(libc::pthread_rwlockattr_init(&mut attributes))?;
            check(libc::pthread_rwlockattr_setpshared(&mut attributes, libc::PTHREAD_PROCESS_SHARED))?;
            check(libc::pthread_rwlock_init(&raw mut (*at).0, &attributes))?;
        }
        Ok(lock)
    }

    /// Reads the number under the lock.
    #[inline(always)]
    pub fn get(self) -> u64 {
        // SAFETY: never unmapped, and read under the lock.
        self.with(|| unsafe { (&raw const (*self.0).1).read_volatile() })
    }

    /// Reads something else under the lock.
    #[inline(always)]
    pub fn with<R>(self, read: impl FnOnce() -> R) -> R {
        // SAFETY: an initialised lock that is never unmapped.
        unsafe { libc::pthread_rwlock_rdlock(&raw mut (*self.0).0) };
        let result = read();
        // SAFETY: locked just before, by this thread.
        unsafe { libc::pthread_rwlock_unlock(&raw mut (*self.0).0) };
        result
    }
}
