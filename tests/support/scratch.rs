//! Names and files of one test's own.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// A name in the shared folder and a folder of one test's own, gone when it ends, also by a panic.
///
/// Forked children never drop it: they end without running destructors.
pub struct Scratch {
    name: String,
    folder: PathBuf,
}

impl Scratch {
    pub fn new() -> Scratch {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("aquifer-it-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let folder = std::env::temp_dir().join(&name);
        std::fs::create_dir_all(&folder).unwrap();
        Scratch { name, folder }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where a pool of that name lies.
    pub fn shared_path(&self) -> PathBuf {
        Path::new("/dev/shm").join(&self.name)
    }

    /// A file in the folder.
    pub fn file(&self, file: &str) -> PathBuf {
        self.folder.join(file)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(self.shared_path());
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
