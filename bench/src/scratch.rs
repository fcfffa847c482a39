//! Names in `/dev/shm` that are gone when the run is over, however it ends.

use crate::Result;
use std::fs;
use std::path::{Path, PathBuf};

const FOLDER: &str = "/dev/shm";
const PREFIX: &str = "aquifer-bench-";

/// A name of this run's; whatever has it is removed when this is dropped.
#[derive(Debug)]
pub struct Scratch(String);

impl Scratch {
    pub fn new(what: &str) -> Scratch {
        let scratch = Scratch(format!("{PREFIX}{}-{what}", std::process::id()));
        scratch.remove();
        scratch
    }

    pub fn name(&self) -> &str {
        &self.0
    }

    pub fn path(&self) -> PathBuf {
        Path::new(FOLDER).join(&self.0)
    }

    /// The same name as a folder, empty.
    pub fn folder(what: &str) -> Result<Scratch> {
        let scratch = Scratch::new(what);
        fs::create_dir(scratch.path())?;
        Ok(scratch)
    }

    fn remove(&self) {
        // Nothing to remove is as good as removed.
        let _ = fs::remove_file(self.path()).or_else(|_| fs::remove_dir_all(self.path()));
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        self.remove();
    }
}

/// Removes what runs that were killed have left.
pub fn sweep() {
    for entry in fs::read_dir(FOLDER).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let owner = name
            .to_str()
            .and_then(|name| name.strip_prefix(PREFIX)?.split('-').find(|part| part.parse::<u32>().is_ok()));
        if owner.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            let path = entry.path();
            let _ = fs::remove_file(&path).or_else(|_| fs::remove_dir_all(&path));
        }
    }
}
