//! Windows: where a pool is mapped in this process.
//!
//! A window stands at the start of a granule (or of several adjacent ones) at random. It is larger than the file; what others
//! grow becomes usable in it with no call of ours. When the file outgrows it, a larger one is mapped besides: the old one stays until the pool is
//! closed, so that no reference dangles.

use crate::backing::Backing;
use crate::error::{Error, Result};
use crate::fork::{Side, free_lock};
use crate::granule::{GRANULE_SHIFT, GRANULES, granule};
use crate::layout::Header;
use crate::raw::Inner;
use crate::sys;
use parking_lot::{Mutex, MutexGuard};
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

const GRANULE: u64 = 1 << GRANULE_SHIFT;
const TRIES: usize = 200;

/// All windows of one pool in this process.
#[derive(Debug)]
pub(crate) struct Windows {
    /// Start of the largest.
    base: AtomicPtr<u8>,
    /// Bytes of the pool known to be usable through `base`.
    limit: AtomicU64,
    list: Mutex<Vec<Window>>,
}

#[derive(Debug, Clone, Copy)]
struct Window {
    start: *mut u8,
    len: u64,
    /// Bytes made usable: private memory only.
    open: u64,
}

// SAFETY: addresses of mappings, which belong to the process.
unsafe impl Send for Window {}

impl Windows {
    /// The first window: at least `length` bytes, if possible `wanted`, all of `length` usable.
    pub(crate) fn first(backing: &Backing, wanted: u64, length: u64) -> Result<Windows> {
        let mut w = map_ladder(backing, wanted, length)?;
        if let Err(e) = open_up(backing, &mut w, length) {
            release(backing, w);
            return Err(e);
        }
        Ok(Windows {
            base: AtomicPtr::new(w.start),
            limit: AtomicU64::new(length),
            list: Mutex::new(vec![w]),
        })
    }

    /// Start of the largest window.
    #[inline(always)]
    pub(crate) fn base(&self) -> *mut u8 {
        self.base.load(Ordering::Acquire)
    }

    /// Bytes of the pool known to be usable.
    #[inline(always)]
    pub(crate) fn limit(&self) -> u64 {
        self.limit.load(Ordering::Acquire)
    }

    /// Address of `len` bytes at `offset`, if known to be usable.
    #[inline(always)]
    pub(crate) fn resolve(&self, offset: u64, len: u64) -> Option<*mut u8> {
        // The limit first: what base is loaded then reaches at least that far (see `granule`).
        let limit = self.limit();
        let end = offset.checked_add(len)?;
        (end <= limit).then(|| self.base().wrapping_add(offset as usize))
    }

    /// Length of the largest window.
    pub(crate) fn len(&self) -> u64 {
        self.list.lock().last().map_or(0, |w| w.len)
    }

    /// Start and length of the largest window.
    pub(crate) fn newest(&self) -> (usize, usize) {
        granule(self.base().addr()).window()
    }

    /// Puts the windows into the granule table. Called once, when `inner` has its final address.
    pub(crate) fn enter(&self, inner: *const Inner) {
        for w in self.list.lock().iter() {
            enter_granules(*w, inner, self.base(), self.limit());
        }
    }

    /// Keeps the windows as they are over a fork.
    pub(crate) fn fork_prepare(&self) {
        MutexGuard::leak(self.list.lock());
    }

    /// # Safety
    /// After `fork_prepare` by the same thread, in the parent or in the child.
    pub(crate) unsafe fn fork_done(&self, side: Side) {
        // SAFETY: locked by `fork_prepare` on this thread, or on the one it is the image of.
        unsafe { free_lock(self.list.raw(), side) };
    }

    /// Takes the windows out of the granule table and unmaps them.
    pub(crate) fn leave(&self, backing: &Backing) {
        for w in self.list.lock().drain(..) {
            for g in granules_of(w) {
                let g = granule(g);
                g.limit.store(0, Ordering::SeqCst);
                g.pool.store(std::ptr::null_mut(), Ordering::SeqCst);
                g.len.store(0, Ordering::SeqCst);
                g.start.store(0, Ordering::SeqCst);
                g.base.store(std::ptr::null_mut(), Ordering::SeqCst);
            }
            release(backing, w);
        }
    }
}

impl Inner {
    /// Makes the pool's first `length` bytes usable, in a larger window if it must be.
    ///
    /// # Errors
    /// `Truncated` when the file is shorter than that; `AddressSpace` when no window that large can be had.
    #[cold]
    pub(crate) fn enlarge(&self, length: u64) -> Result<()> {
        let windows = &self.windows;
        let mut list = windows.list.lock();
        if length <= windows.limit() {
            return Ok(());
        }
        let found = self.backing.file_length()?;
        if length > found {
            return Err(Error::Truncated { name: self.backing.name.clone(), found, expected: length });
        }
        let Some(last) = list.last_mut() else { return Err(Error::AddressSpace(length)) };
        if length <= last.len {
            open_up(&self.backing, last, length)?;
        } else {
            if self.backing.kind == crate::backing::Kind::Private {
                return Err(Error::OutOfMemory(format!(
                    "private memory cannot outgrow its window of {} bytes",
                    last.len
                )));
            }
            let wanted = length.max(2 * last.len).next_multiple_of(crate::layout::PAGE);
            list.push(map_ladder(&self.backing, wanted, length)?);
            self.counters.moves.fetch_add(1, Ordering::Relaxed);
        }
        let Some(last) = list.last() else { return Err(Error::AddressSpace(length)) };
        // The newest window's own granules first: whoever gets an address in it must find the pool by that address.
        for w in list.iter().rev() {
            enter_granules(*w, self, last.start, length);
        }
        windows.base.store(last.start, Ordering::Release);
        windows.limit.store(length, Ordering::Release);
        Ok(())
    }
}

fn granules_of(w: Window) -> impl Iterator<Item = usize> {
    (w.start.addr()..w.start.addr() + w.len as usize).step_by(GRANULE as usize)
}

/// Fields that readers use to find bytes go first (seed and base before limit), the pool last.
fn enter_granules(w: Window, inner: *const Inner, base: *mut u8, limit: u64) {
    // SAFETY: every window begins with the header, which was made or checked before; its seed never changes after that.
    let seed = unsafe { (*base.cast::<Header>()).hash_seed };
    for address in granules_of(w) {
        let g = granule(address);
        g.seed.iter().zip(seed).for_each(|(word, seed)| word.store(seed, Ordering::Relaxed));
        g.start.store(w.start.expose_provenance(), Ordering::Relaxed);
        g.len.store(w.len as usize, Ordering::Relaxed);
        g.base.store(base, Ordering::Release);
        g.limit.store(limit, Ordering::Release);
        g.pool.store(inner.cast_mut(), Ordering::Release);
    }
}

/// Tries smaller and smaller windows where address space is limited, down to the length of the file.
fn map_ladder(backing: &Backing, wanted: u64, length: u64) -> Result<Window> {
    let least = length.next_multiple_of(1 << 16);
    let mut size = wanted.max(least);
    loop {
        match map_somewhere(backing, size)? {
            Some(start) => return Ok(Window { start, len: size, open: 0 }),
            None if size > least => size = (size / 4).max(least),
            None => return Err(Error::AddressSpace(length)),
        }
    }
}

/// Maps `size` bytes at random free granules; `None` when there is no room.
#[cfg(not(miri))]
fn map_somewhere(backing: &Backing, size: u64) -> Result<Option<*mut u8>> {
    use rustix::io::Errno;
    let span = size.div_ceil(GRANULE) as usize;
    let reach = reach();
    if span >= reach {
        return Ok(None);
    }
    for _ in 0..TRIES {
        let first = 1 + sys::random() as usize % (reach - span);
        let free =
            (first..first + span).all(|g| granule(g << GRANULE_SHIFT).start.load(Ordering::SeqCst) == 0);
        if !free {
            continue;
        }
        match sys::map::window(first << GRANULE_SHIFT, size as usize, backing.fd()) {
            Ok(Some(at)) => {
                at.expose_provenance();
                if backing.huge_pages {
                    sys::map::prefer_huge(at, size as usize);
                }
                return Ok(Some(at));
            }
            // Taken, or out of reach: tools such as valgrind give their programs a part of the address space only.
            Ok(None) | Err(Errno::INVAL) => {}
            Err(Errno::NOMEM | Errno::AGAIN) => return Ok(None),
            Err(e) => return Err(Error::system("map", &backing.name, e)),
        }
    }
    Ok(None)
}

/// Granules below the stack, which every Linux puts near the end of the address space: 39, 42, 47 or 48 bits of it.
#[cfg(not(miri))]
fn reach() -> usize {
    let on_stack = 0u8;
    match (&raw const on_stack).addr() >> GRANULE_SHIFT {
        // Under valgrind the stack lies low, and 44 bits are the program's.
        0..4 => 200,
        granules => granules.min(GRANULES - 1),
    }
}

/// Makes private memory usable up to `length`.
#[cfg(not(miri))]
fn open_up(backing: &Backing, w: &mut Window, length: u64) -> Result<()> {
    if backing.kind != crate::backing::Kind::Private || length <= w.open {
        return Ok(());
    }
    let page = rustix::param::page_size() as u64;
    let to = length.next_multiple_of(page).min(w.len);
    let from = w.open / page * page;
    // In bounds: `from < to <= w.len`.
    sys::map::open_up(w.start.wrapping_add(from as usize), (to - from) as usize)
        .map_err(|_| Error::OutOfMemory(format!("no room for {} more bytes of private memory", to - from)))?;
    w.open = to;
    Ok(())
}

#[cfg(not(miri))]
fn release(_: &Backing, w: Window) {
    sys::map::unmap(w.start, w.len as usize);
}

#[cfg(miri)]
fn layout(size: u64) -> std::alloc::Layout {
    std::alloc::Layout::from_size_align(size as usize, GRANULE as usize)
        .unwrap_or(std::alloc::Layout::new::<u8>())
}

/// Miri maps nothing: a window is an allocation, aligned to its granule.
#[cfg(miri)]
fn map_somewhere(_: &Backing, size: u64) -> Result<Option<*mut u8>> {
    // SAFETY: the size is not 0.
    let at = unsafe { std::alloc::alloc_zeroed(layout(size)) };
    at.expose_provenance();
    Ok((!at.is_null() && granule(at.addr()).start.load(Ordering::SeqCst) == 0).then_some(at))
}

#[cfg(miri)]
fn open_up(_: &Backing, w: &mut Window, length: u64) -> Result<()> {
    w.open = length;
    Ok(())
}

#[cfg(miri)]
fn release(_: &Backing, w: Window) {
    // SAFETY: allocated by `map_somewhere` with the same layout.
    unsafe { std::alloc::dealloc(w.start, layout(w.len)) };
}
