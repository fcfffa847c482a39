//! A copy of the pool's file as a kill would leave it, recovered by the library's own code.

use aquifer::{Error, Pool};
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

const BLOCK: usize = 4096;

/// Follows a file's content and keeps a copy up to date.
pub struct Copy {
    source: PathBuf,
    path: PathBuf,
    file: File,
    /// The source as it was when last looked at.
    seen: Vec<u8>,
    buffer: Vec<u8>,
}

impl Copy {
    pub fn of(source: &Path, path: PathBuf) -> std::io::Result<Copy> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&path)?;
        let mut copy = Copy { source: source.into(), path, file, seen: Vec::new(), buffer: Vec::new() };
        copy.changed()?;
        Ok(copy)
    }

    /// Looks at the source again; whether it changed.
    pub fn changed(&mut self) -> std::io::Result<bool> {
        let file = File::open(&self.source)?;
        let length = file.metadata()?.len() as usize;
        self.buffer.resize(length, 0);
        file.read_exact_at(&mut self.buffer, 0)?;
        if self.buffer == self.seen {
            return Ok(false);
        }
        std::mem::swap(&mut self.buffer, &mut self.seen);
        Ok(true)
    }

    /// Opens the copy as it would be found after a kill: everybody who was in it is dead, and is buried.
    pub fn recover(&mut self) -> Result<Pool, Error> {
        self.refresh().map_err(|e| Error::abort(format!("copying: {e}")))?;
        Pool::options().window(64 << 20).open(self.path.as_path())
    }

    fn refresh(&mut self) -> std::io::Result<()> {
        let length = self.file.metadata()?.len() as usize;
        let mut now = vec![0; length];
        self.file.read_exact_at(&mut now, 0)?;
        self.file.set_len(self.seen.len() as u64)?;
        for (i, block) in self.seen.chunks(BLOCK).enumerate() {
            let at = i * BLOCK;
            if now.get(at..at + block.len()) != Some(block) {
                self.file.write_all_at(block, at as u64)?;
            }
        }
        Ok(())
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}
