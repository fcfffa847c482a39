//! A file that is being made, and gets its name only when it is whole.
//!
//! It has no name at all (`O_TMPFILE`), so that nothing is left of it when its maker dies. File systems without nameless files give it a
//! temporary name; its maker holds a lock on it, and whoever makes the next pool in that folder removes those whose lock is free.

use crate::sys::{self, file};
use rustix::io::Errno;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

const PREFIX: &str = ".aquifer-draft-";

/// The temporary name, if there is one; removed on drop.
#[derive(Debug)]
pub(crate) struct Draft {
    temporary: Option<PathBuf>,
}

/// Begins an empty file in `folder`, for its owner only.
pub(crate) fn begin(folder: &Path, nameless: bool) -> Result<(OwnedFd, Draft), Errno> {
    if nameless {
        match file::nameless(folder) {
            Ok(fd) => return Ok((fd, Draft { temporary: None })),
            // What old and new file systems say that know no nameless files.
            Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => {}
            Err(e) => return Err(e),
        }
    }
    sweep(folder);
    loop {
        let temporary = folder.join(format!("{PREFIX}{:016x}", sys::random()));
        let fd = match file::create_new(&temporary) {
            Err(Errno::EXIST) => continue,
            other => other?,
        };
        // Before the claim somebody may take it for a leftover, and remove it: then another one.
        if file::claim(fd.as_fd()) {
            return Ok((fd, Draft { temporary: Some(temporary) }));
        }
    }
}

impl Draft {
    /// Gives the file its name. `EXIST` if that is taken.
    pub(crate) fn publish(self, fd: BorrowedFd<'_>, path: &Path) -> Result<(), Errno> {
        // Dead before: there is no pool, and at most a leftover to sweep. After: there is a whole one.
        match &self.temporary {
            Some(temporary) => file::link_path(temporary, path)?,
            None => file::link(fd, path)?,
        }
        drop(self);
        file::disclaim(fd);
        Ok(())
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if let Some(temporary) = self.temporary.take() {
            let _ = file::unlink(&temporary);
        }
    }
}

/// Removes what makers that died left in `folder`.
fn sweep(folder: &Path) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let named_so = entry.file_name().to_str().is_some_and(|n| n.starts_with(PREFIX));
        if named_so
            && let Ok(fd) = file::open(&entry.path(), false)
            && file::claim(fd.as_fd())
        {
            let _ = file::unlink(&entry.path());
        }
    }
}
