//! The burial itself, cut after each of its stores.
//!
//! A child joins the pool while the dead still seem to live, then buries them with the pool's window read-only: each store faults, is let
//! through alone (by the trap flag), and the page that it changed is noted. From these notes every state that a kill of the burier could
//! leave is made again. Exact: nothing but stores changes a pool's bytes during a burial, and that nothing was missed is checked at the end.

use crate::alive;
use crate::image::{self, Image};
use crate::judge::open;
use crate::scene::stop;
use crate::trace::{fork, wait};
use aquifer::Error;
use aquifer_pool::layout::PAGE;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering::SeqCst};

/// Stores that one burial may make.
const MOST: usize = 16 << 10;
const PAGE_BYTES: usize = PAGE as usize;

/// A page after a store.
#[repr(C)]
struct Note {
    page: u64,
    /// The same store changed the page of the next note too.
    and_next: bool,
    bytes: [u8; PAGE_BYTES],
}

/// Memory that burier and stepper share.
#[repr(C)]
struct Notes {
    count: AtomicUsize,
    /// The burial came to its end.
    done: AtomicBool,
    /// Commit stores that were made.
    reached: AtomicU64,
    notes: [Note; MOST],
}

/// Buries the dead of `image` in a process of its own, and shows each state on the way, in order. Tells which commit stores were made.
pub fn cut(path: &Path, image: &[u8], shared: &Shared, show: impl FnMut(&Image)) -> io::Result<u64> {
    image::put(path, &Some(image.to_vec()))?;
    shared.notes().count.store(0, SeqCst);
    shared.notes().done.store(false, SeqCst);
    let dead = alive::pretend(path, image)?;
    let burier = fork(|| bury(path, dead.count(), shared))?;
    let stopped = wait(burier, libc::WUNTRACED)?;
    if !libc::WIFSTOPPED(stopped) {
        return Err(io::Error::other("the burier did not come to its work"));
    }
    let before = image::take(path)?;
    drop(dead);
    // SAFETY: our child.
    unsafe { libc::kill(burier, libc::SIGCONT) };
    wait(burier, 0)?;
    if !shared.notes().done.load(SeqCst) {
        return Err(io::Error::other("the burier did not come to the end of its work"));
    }
    if replay(before, shared.notes(), show) != image::take(path)? {
        return Err(io::Error::other("stores of the burier were missed"));
    }
    Ok(shared.notes().reached.load(SeqCst))
}

/// Makes the states again; returns the last.
fn replay(before: Image, notes: &Notes, mut show: impl FnMut(&Image)) -> Image {
    let mut now = before;
    let mut changed = false;
    for note in &notes.notes[..notes.count.load(SeqCst)] {
        let bytes = now.get_or_insert_default();
        let at = note.page as usize * PAGE_BYTES;
        if bytes.len() < at + PAGE_BYTES {
            bytes.resize(at + PAGE_BYTES, 0);
        }
        changed |= bytes[at..at + PAGE_BYTES] != note.bytes;
        bytes[at..at + PAGE_BYTES].copy_from_slice(&note.bytes);
        if changed && !note.and_next {
            show(&now);
            changed = false;
        }
    }
    now
}

/// The notes' memory.
pub struct Shared(*mut Notes);

impl Shared {
    pub fn new() -> io::Result<Shared> {
        // SAFETY: new memory, zeroed, which is valid for notes; shared with children.
        let at = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                size_of::<Notes>(),
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
                -1,
                0,
            )
        };
        if at == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(Shared(at.cast())) }
    }

    fn notes(&self) -> &Notes {
        // SAFETY: mapped by `new` until this is dropped; the pages are read only when the burier has ended.
        unsafe { &*self.0 }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // SAFETY: mapped by `new`, unmapped once.
        unsafe { libc::munmap(self.0.cast(), size_of::<Notes>()) };
    }
}

/// In the child.
fn bury(path: &Path, dead: u32, shared: &Shared) {
    let pool = match open(path) {
        Ok(pool) => pool,
        // There is no room for a burier that joined before: all records are those of the dead.
        Err(Error::TooMany(_)) => {
            shared.notes().done.store(true, SeqCst);
            return stop();
        }
        Err(e) => return eprintln!("the burier cannot join: {e}"),
    };
    let info = pool.info();
    if info.processes != dead + 1 {
        return eprintln!("{} processes instead of {dead} and the burier", info.processes);
    }
    stop(); // until its parent has seen it
    crate::plants::forget_reached();
    let buried = watch(info.base, info.window as usize, shared, || pool.bury_dead());
    shared.notes().reached.store(crate::plants::reached(), SeqCst);
    if pool.info().base == info.base && buried > 0 || dead == 0 {
        shared.notes().done.store(true, SeqCst);
    }
    std::mem::forget(pool);
}

static START: AtomicUsize = AtomicUsize::new(0);
static LENGTH: AtomicUsize = AtomicUsize::new(0);
static FAULT: AtomicUsize = AtomicUsize::new(0);
static NOTES: AtomicPtr<Notes> = AtomicPtr::new(std::ptr::null_mut());

const TRAP_FLAG: i64 = 0x100;

/// Runs `f`, noting the page behind each store to the window at `start`.
fn watch<R>(start: usize, length: usize, shared: &Shared, f: impl FnOnce() -> R) -> R {
    START.store(start, SeqCst);
    LENGTH.store(length, SeqCst);
    NOTES.store(shared.0, SeqCst);
    handle(libc::SIGSEGV, on_fault as *const () as usize);
    handle(libc::SIGTRAP, on_trap as *const () as usize);
    protect(libc::PROT_READ);
    let result = f();
    protect(libc::PROT_READ | libc::PROT_WRITE);
    result
}

fn handle(signal: i32, handler: usize) {
    // SAFETY: `action` is filled as the kernel wants it; the handlers call nothing that is not safe in a signal handler.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        libc::sigaction(signal, &action, std::ptr::null_mut());
    }
}

fn protect(how: i32) {
    // SAFETY: the pool's window, which this process has mapped; only its protection changes.
    if unsafe { libc::mprotect(START.load(SeqCst) as *mut libc::c_void, LENGTH.load(SeqCst), how) } != 0 {
        // SAFETY: ends this process.
        unsafe { libc::abort() };
    }
}

/// A store: lets this one instruction through.
extern "C" fn on_fault(_: i32, info: *mut libc::siginfo_t, context: *mut libc::ucontext_t) {
    // SAFETY: the kernel's own, for the duration of the handler.
    let at = unsafe { (*info).si_addr() } as usize;
    if at.wrapping_sub(START.load(SeqCst)) >= LENGTH.load(SeqCst) {
        // SAFETY: a true crash: dies of it when the instruction is run again.
        unsafe { libc::signal(libc::SIGSEGV, libc::SIG_DFL) };
        return;
    }
    FAULT.store(at, SeqCst);
    protect(libc::PROT_READ | libc::PROT_WRITE);
    // SAFETY: as above.
    unsafe { (*context).uc_mcontext.gregs[libc::REG_EFL as usize] |= TRAP_FLAG };
}

/// The store was made.
extern "C" fn on_trap(_: i32, _: *mut libc::siginfo_t, context: *mut libc::ucontext_t) {
    // SAFETY: the kernel's own, for the duration of the handler.
    unsafe { (*context).uc_mcontext.gregs[libc::REG_EFL as usize] &= !TRAP_FLAG };
    protect(libc::PROT_READ);
    let start = START.load(SeqCst);
    let offset = FAULT.load(SeqCst) - start;
    let page = offset / PAGE_BYTES;
    // No store is longer.
    let may_straddle = offset % PAGE_BYTES > PAGE_BYTES - 64;
    note(start, page);
    if may_straddle && note(start, page + 1) {
        let notes = NOTES.load(SeqCst);
        // SAFETY: the notes, which nobody else writes; two have just been added.
        unsafe { (*notes).notes[(*notes).count.load(SeqCst) - 2].and_next = true };
    }
}

/// Notes a page as it is; false if there is none.
fn note(start: usize, page: usize) -> bool {
    let notes = NOTES.load(SeqCst);
    // SAFETY: the notes, which nobody else writes. The kernel copies the page: it may lie beyond the file.
    unsafe {
        let count = (*notes).count.load(SeqCst);
        if count == MOST {
            libc::abort();
        }
        let note = &raw mut (*notes).notes[count];
        let to = libc::iovec { iov_base: (&raw mut (*note).bytes).cast(), iov_len: PAGE_BYTES };
        let from =
            libc::iovec { iov_base: (start + page * PAGE_BYTES) as *mut libc::c_void, iov_len: PAGE_BYTES };
        if libc::process_vm_readv(libc::getpid(), &to, 1, &from, 1, 0) != PAGE_BYTES as isize {
            return false;
        }
        (*note).page = page as u64;
        (*note).and_next = false;
        (*notes).count.store(count + 1, SeqCst);
    }
    true
}
