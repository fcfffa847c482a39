//! What tests of the pool share: an empty upper layer, names that are cleaned up, tests that run themselves in a process of their own.

#![allow(dead_code, unreachable_pub, missing_docs, clippy::unwrap_used)]

use aquifer_pool::log::{LogCx, RecordView};
use aquifer_pool::open::Place;
use aquifer_pool::seat::SeatCtx;
use aquifer_pool::upper::{Progress, Upper};
use aquifer_pool::{Error, Inner, Result};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// A pool without a heap.
#[derive(Debug)]
pub struct Nothing {
    hash: u64,
}

pub static NOTHING_ABOVE: Nothing = Nothing { hash: 1 };
/// The same, of a build with another hash function.
pub static OTHER_HASH: Nothing = Nothing { hash: 2 };

impl Upper for Nothing {
    fn lay_out(&self, _: &Inner) -> Result<()> {
        Ok(())
    }
    fn verify(&self, _: &Inner) -> Result<()> {
        Ok(())
    }
    fn settle(&self, _: &SeatCtx) {}
    fn undo(&self, _: &LogCx, _: RecordView) {}
    fn carry_out(&self, _: &LogCx, _: RecordView) -> Progress {
        Progress::Done
    }
    fn log_chunk(&self, _: &LogCx, _: u64) -> Result<u64> {
        Err(Error::OutOfMemory("there is no heap".into()))
    }
    fn permanent(&self, _: &LogCx, _: u64) -> Result<u64> {
        Err(Error::OutOfMemory("there is no heap".into()))
    }
    fn rejoined(&self, _: &Inner) -> Result<()> {
        Ok(())
    }
    fn hash_probe(&self, seed: [u64; 2]) -> [u64; 4] {
        [seed[0] ^ self.hash, seed[1], seed[0].wrapping_mul(self.hash), self.hash]
    }
}

/// A name in the shared folder and a folder of one test's own, gone when it ends, also by a panic.
pub struct Scratch {
    name: String,
    folder: PathBuf,
}

impl Scratch {
    pub fn new() -> Scratch {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("aquifer-test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let folder = std::env::temp_dir().join(&name);
        std::fs::create_dir_all(&folder).unwrap();
        Scratch { name, folder }
    }

    pub fn text(&self) -> &str {
        &self.name
    }

    pub fn name(&self) -> Place<'_> {
        Place::Name(&self.name)
    }

    /// A file in the folder; the folder itself for "".
    pub fn path(&self, file: &str) -> PathBuf {
        if file.is_empty() { self.folder.clone() } else { self.folder.join(file) }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(Path::new("/dev/shm").join(&self.name));
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

pub fn overwrite(path: &Path, offset: u64, bytes: &[u8]) {
    let file = std::fs::File::options().write(true).open(path).unwrap();
    file.write_all_at(bytes, offset).unwrap();
}

pub fn bytes_of(path: &Path, offset: u64) -> [u8; 4] {
    let mut bytes = [0; 4];
    std::fs::File::open(path).unwrap().read_exact_at(&mut bytes, offset).unwrap();
    bytes
}

const ROLE: &str = "AQUIFER_TEST_CHILD_OF";
const ARGUMENT: &str = "AQUIFER_TEST_ARGUMENT";

/// The argument, if this process was started to run the inner half of `test`.
pub fn as_child(test: &str) -> Option<String> {
    (std::env::var(ROLE).ok()? == test).then(|| std::env::var(ARGUMENT).unwrap_or_default())
}

/// Starts this program anew to run only `test`, as a child.
pub fn spawn(test: &str, argument: &str) -> Child {
    let program = std::env::current_exe().unwrap();
    let mut command = Command::new(program);
    command.args(["--exact", test, "--nocapture", "--test-threads=1"]);
    command.env(ROLE, test).env(ARGUMENT, argument);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Waits for a child, which must succeed; returns what it said.
pub fn finish(child: Child) -> String {
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{said}\n{complained}", output.status);
    for line in said.lines().filter(|l| l.contains("not run:")) {
        println!("{line}");
    }
    said
}

/// Runs the inner half of `test` in a process of its own.
pub fn in_child(test: &str, argument: &str) {
    finish(spawn(test, argument));
}

/// Sets a limit of this process.
pub fn limit(resource: rustix::process::Resource, bytes: u64) {
    let rlimit = rustix::process::Rlimit {
        current: Some(bytes),
        maximum: rustix::process::getrlimit(resource).maximum,
    };
    rustix::process::setrlimit(resource, rlimit).unwrap();
}

/// Bytes of address space that this process uses.
pub fn address_space() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = statm.split(' ').next().unwrap().parse().unwrap();
    pages * rustix::param::page_size() as u64
}

/// Mounts a small file system in place of the shared folder, for the calling thread alone.
pub fn small_shared_folder(options: &str) -> std::io::Result<()> {
    let options = std::ffi::CString::new(options).unwrap();
    let check = |r| if r == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) };
    // SAFETY: system calls on strings that outlive them; they change this process's view of the file systems only.
    unsafe {
        check(libc::unshare(libc::CLONE_NEWNS))?;
        let quiet = libc::MS_REC | libc::MS_PRIVATE;
        check(libc::mount(std::ptr::null(), c"/".as_ptr(), std::ptr::null(), quiet, std::ptr::null()))?;
        check(libc::mount(
            c"tmpfs".as_ptr(),
            c"/dev/shm".as_ptr(),
            c"tmpfs".as_ptr(),
            0,
            options.as_ptr().cast(),
        ))
    }
}

/// Forked children that do nothing, killed and reaped at the end.
#[derive(Default)]
pub struct Children(Vec<libc::pid_t>);

impl Children {
    pub fn fork_one(&mut self) {
        // SAFETY: the child calls only functions that are allowed after a fork of a program with threads.
        unsafe {
            match libc::fork() {
                -1 => panic!("fork: {}", std::io::Error::last_os_error()),
                0 => {
                    libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                    loop {
                        libc::pause();
                    }
                }
                pid => self.0.push(pid),
            }
        }
    }
}

impl Drop for Children {
    fn drop(&mut self) {
        for pid in self.0.drain(..) {
            // SAFETY: our own children, not reaped yet.
            unsafe {
                libc::kill(pid, libc::SIGKILL);
                libc::waitpid(pid, std::ptr::null_mut(), 0);
            }
        }
    }
}

/// The first byte beyond any pool's data that somebody has locked.
pub fn locked_beyond_data(path: &Path) -> Option<i64> {
    use std::os::fd::AsRawFd;
    let file = std::fs::File::options().read(true).write(true).open(path).unwrap();
    // SAFETY: plain integers, for which zero is valid; the kernel reads and writes only them.
    let lock = unsafe {
        let mut lock: libc::flock = std::mem::zeroed();
        lock.l_type = libc::F_WRLCK as _;
        lock.l_start = 1 << 62;
        assert_eq!(libc::fcntl(file.as_raw_fd(), libc::F_OFD_GETLK, &mut lock), 0);
        lock
    };
    (lock.l_type != libc::F_UNLCK as libc::c_short).then_some(lock.l_start)
}
