//! Files: making them whole before they have a name, growing them, and what they are.

use rustix::fs::{AtFlags, CWD, FallocateFlags, MemfdFlags, Mode, OFlags, SealFlags};
use rustix::io::Errno;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// What identifies a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Identity {
    pub(crate) device: u64,
    pub(crate) inode: u64,
}

/// Opens an existing file to read and write.
pub(crate) fn open(path: &Path, follow_links: bool) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
    let links = if follow_links { OFlags::empty() } else { OFlags::NOFOLLOW };
    rustix::fs::open(path, flags | links, Mode::empty())
}

/// The same file opened afresh: a new open file description.
pub(crate) fn reopen(fd: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    rustix::fs::open(path, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
}

/// A file without a name in `folder`.
pub(crate) fn nameless(folder: &Path) -> Result<OwnedFd, Errno> {
    rustix::fs::open(folder, OFlags::RDWR | OFlags::CLOEXEC | OFlags::TMPFILE, Mode::RUSR | Mode::WUSR)
}

/// A new file with a name, for file systems without nameless ones.
pub(crate) fn create_new(path: &Path) -> Result<OwnedFd, Errno> {
    rustix::fs::open(
        path,
        OFlags::RDWR | OFlags::CLOEXEC | OFlags::CREATE | OFlags::EXCL,
        Mode::RUSR | Mode::WUSR,
    )
}

/// Marks a file as being made, for as long as this descriptor is open; false if somebody is removing it.
pub(crate) fn claim(fd: BorrowedFd<'_>) -> bool {
    let locked = rustix::fs::flock(fd, rustix::fs::FlockOperation::NonBlockingLockExclusive).is_ok();
    locked && rustix::fs::fstat(fd).is_ok_and(|s| s.st_nlink > 0)
}

/// Ends `claim`.
pub(crate) fn disclaim(fd: BorrowedFd<'_>) {
    let _ = rustix::fs::flock(fd, rustix::fs::FlockOperation::Unlock);
}

/// Gives a nameless file its name.
pub(crate) fn link(fd: BorrowedFd<'_>, path: &Path) -> Result<(), Errno> {
    let nameless = format!("/proc/self/fd/{}", fd.as_raw_fd());
    rustix::fs::linkat(CWD, nameless, CWD, path, AtFlags::SYMLINK_FOLLOW)
}

/// Gives a file a second name.
pub(crate) fn link_path(from: &Path, to: &Path) -> Result<(), Errno> {
    rustix::fs::linkat(CWD, from, CWD, to, AtFlags::empty())
}

/// An anonymous file that cannot shrink.
pub(crate) fn memfd(name: &str) -> Result<OwnedFd, Errno> {
    let fd = rustix::fs::memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    rustix::fs::fcntl_add_seals(&fd, SealFlags::SHRINK | SealFlags::SEAL)?;
    Ok(fd)
}

/// Sets exactly these mode bits, whatever the umask.
pub(crate) fn set_mode(fd: BorrowedFd<'_>, mode: u32) -> Result<(), Errno> {
    rustix::fs::fchmod(fd, Mode::from_raw_mode(mode))
}

/// Identity, length and mode of a regular file; what else it is, if it is none.
pub(crate) fn describe(fd: BorrowedFd<'_>) -> Result<Result<(Identity, u64, u32), &'static str>, Errno> {
    let s = rustix::fs::fstat(fd)?;
    Ok(match rustix::fs::FileType::from_raw_mode(s.st_mode) {
        rustix::fs::FileType::RegularFile => {
            Ok((Identity { device: s.st_dev, inode: s.st_ino }, s.st_size as u64, s.st_mode & 0o7777))
        }
        rustix::fs::FileType::Directory => Err("it is a directory"),
        _ => Err("it is not a regular file"),
    })
}

/// Reserves `from..to`, so that no access to it can fail later.
pub(crate) fn reserve(fd: BorrowedFd<'_>, from: u64, to: u64) -> Result<(), Errno> {
    let mut at = from;
    let mut step = to.saturating_sub(from);
    while at < to {
        match rustix::fs::fallocate(fd, FallocateFlags::empty(), at, step.min(to - at)) {
            Ok(()) => at += step.min(to - at),
            // tmpfs undoes all it did when a signal comes: smaller steps get through between two signals of a busy timer.
            Err(Errno::INTR) => step = (step / 2).max(64 << 10),
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => return fill(fd, at, to),
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// For file systems without fallocate: zeros are written where the file is to grow.
fn fill(fd: BorrowedFd<'_>, from: u64, to: u64) -> Result<(), Errno> {
    let zeros = [0u8; 4096];
    let start = describe(fd)?.map_or(from, |(_, len, _)| len.clamp(from, to));
    let mut at = start;
    while at < to {
        match rustix::io::pwrite(fd, &zeros[..((to - at) as usize).min(4096)], at) {
            Ok(0) => return Err(Errno::NOSPC),
            Ok(n) => at += n as u64,
            Err(Errno::INTR) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// The process's limit on the size of files it writes.
pub(crate) fn size_limit() -> Option<u64> {
    rustix::process::getrlimit(rustix::process::Resource::Fsize).current
}

/// The name of a network file system, whose locks and mappings do not reach other machines.
pub(crate) fn network(fd: BorrowedFd<'_>) -> Option<&'static str> {
    let kind = rustix::fs::fstatfs(fd).ok()?.f_type as u64 & 0xffff_ffff;
    match kind {
        0x6969 => Some("NFS"),
        0x517b => Some("SMB"),
        0xff53_4d42 | 0xfe53_4d42 => Some("CIFS"),
        0x0102_1997 => Some("9p"),
        0x00c3_6400 => Some("Ceph"),
        0x5346_414f => Some("AFS"),
        _ => None,
    }
}

/// Removes a name.
pub(crate) fn unlink(path: &Path) -> Result<(), Errno> {
    rustix::fs::unlink(path)
}

/// The first bytes of a file.
pub(crate) fn read_start(fd: impl AsFd, buffer: &mut [u8]) -> Result<usize, Errno> {
    let mut done = 0;
    while done < buffer.len() {
        match rustix::io::pread(fd.as_fd(), &mut buffer[done..], done as u64) {
            Ok(0) => break,
            Ok(n) => done += n,
            Err(Errno::INTR) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(done)
}
