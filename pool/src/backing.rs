//! What a pool's bytes are kept in.

use crate::error::{Error, Result};
use crate::sys::file::{self, Identity};
use rustix::io::Errno;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

/// Where a pool lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A named object in `/dev/shm`.
    Shm,
    /// A regular file.
    File,
    /// An anonymous file without a name, sealed against shrinking.
    Memfd,
    /// Memory of this process alone.
    Private,
}

/// The file behind a pool, or none.
#[derive(Debug)]
pub(crate) struct Backing {
    pub(crate) kind: Kind,
    /// Name or path, for messages and `info`.
    pub(crate) name: String,
    /// Carries no lock and is never locked through.
    pub(crate) fd: Option<OwnedFd>,
    pub(crate) identity: Identity,
    /// Whether this process asks for huge pages.
    pub(crate) huge_pages: bool,
    /// Whether this process found the file as the last to use it had left it in order.
    clean: AtomicBool,
}

impl Backing {
    /// A backing on an open regular file.
    pub(crate) fn on_file(kind: Kind, name: &str, fd: OwnedFd) -> Result<Backing> {
        if let Some(system) = file::network(fd.as_fd()) {
            return Err(Error::Unsupported(format!(
                "`{name}` is on {system}, whose locks and memory do not reach other machines"
            )));
        }
        match file::describe(fd.as_fd()) {
            Ok(Ok((identity, ..))) => {
                let (clean, huge_pages) = (AtomicBool::new(true), false);
                Ok(Backing { kind, name: name.into(), fd: Some(fd), identity, huge_pages, clean })
            }
            Ok(Err(why)) => Err(Error::NotAPool { name: name.into(), why: why.into() }),
            Err(e) => Err(Error::system("stat", name, e)),
        }
    }

    /// Private memory.
    pub(crate) fn private() -> Backing {
        let identity = Identity { device: 0, inode: 0 };
        Backing {
            kind: Kind::Private,
            name: "private memory".into(),
            fd: None,
            identity,
            huge_pages: false,
            clean: AtomicBool::new(true),
        }
    }

    /// The same, asking for huge pages or not.
    pub(crate) fn with_huge_pages(mut self, yes: bool) -> Backing {
        self.huge_pages = yes;
        self
    }

    /// Notes the state of a file that is being opened.
    pub(crate) fn note_clean(&self, clean: bool) {
        self.clean.store(clean, Ordering::Relaxed);
    }

    /// Whether the last process before this one had left in order. False also when others have it open now.
    pub(crate) fn was_clean(&self) -> bool {
        self.clean.load(Ordering::Relaxed)
    }

    pub(crate) fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.fd.as_ref().map(OwnedFd::as_fd)
    }

    /// The file opened afresh, for locks; `None` for private memory.
    ///
    /// # Errors
    /// `System` when it cannot be opened, or when the descriptor has been closed behind our back and is another file now.
    pub(crate) fn reopen(&self) -> Result<Option<OwnedFd>> {
        let Some(fd) = self.fd() else { return Ok(None) };
        let again = file::reopen(fd).map_err(|e| Error::system("open", &self.name, e))?;
        match file::describe(again.as_fd()) {
            Ok(Ok((identity, ..))) if identity == self.identity => Ok(Some(again)),
            _ => Err(Error::system(
                "open",
                &self.name,
                std::io::Error::other("its descriptor is another file now"),
            )),
        }
    }

    /// Bytes of the file.
    pub(crate) fn file_length(&self) -> Result<u64> {
        let Some(fd) = self.fd() else { return Ok(u64::MAX) };
        match file::describe(fd) {
            Ok(Ok((_, length, _))) => Ok(length),
            Ok(Err(why)) => Err(Error::NotAPool { name: self.name.clone(), why: why.into() }),
            Err(e) => Err(Error::system("stat", &self.name, e)),
        }
    }

    /// Mode bits of the file.
    pub(crate) fn mode(&self) -> u32 {
        self.fd().and_then(|fd| file::describe(fd).ok()).and_then(|d| d.ok()).map_or(0, |(.., mode)| mode)
    }

    /// Reserves memory for `from..to`, so that no access to it can fail later.
    ///
    /// # Errors
    /// `FileSizeLimit` before the kernel would send SIGXFSZ; `OutOfMemory` when the file system is full.
    pub(crate) fn extend(&self, from: u64, to: u64) -> Result<()> {
        let Some(fd) = self.fd() else { return Ok(()) };
        if let Some(limit) = file::size_limit()
            && to > limit
        {
            return Err(Error::FileSizeLimit { limit, wanted: to });
        }
        file::reserve(fd, from, to).map_err(|e| match e {
            Errno::NOSPC | Errno::DQUOT | Errno::NOMEM => Error::OutOfMemory(format!(
                "no room for {} more bytes where `{}` is kept",
                to - from,
                self.name
            )),
            Errno::FBIG => Error::TooLarge(to as usize, 1),
            e => Error::system("grow", &self.name, e),
        })
    }
}
