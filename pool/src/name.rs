//! Names of pools in `/dev/shm`.

use crate::error::{Error, Result};
use std::path::{Path, PathBuf};

const FOLDER: &str = "/dev/shm";
const LONGEST: usize = 250;

/// Folder of the named pools.
pub(crate) fn folder() -> &'static Path {
    Path::new(FOLDER)
}

/// The file of a named pool; a leading slash, as POSIX has it, makes no difference.
pub(crate) fn path(name: &str) -> Result<PathBuf> {
    let bare = name.strip_prefix('/').unwrap_or(name);
    let wrong = if bare.is_empty() {
        "it is empty"
    } else if bare.len() > LONGEST {
        "it is longer than 250 bytes"
    } else if bare.contains('/') {
        "it holds a slash"
    } else if bare.contains('\0') {
        "it holds a NUL"
    } else if bare == "." || bare == ".." {
        "it names a folder"
    } else {
        return Ok(folder().join(bare));
    };
    Err(Error::BadName { name: name.into(), why: wrong })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leading_slash_makes_no_difference_and_bad_names_are_told_apart() {
        assert_eq!(path("a").ok(), path("/a").ok());
        for (name, why) in [("", "empty"), ("/", "empty"), ("a/b", "slash"), ("..", "folder"), ("a\0", "NUL")]
        {
            match path(name) {
                Err(Error::BadName { why: w, .. }) => assert!(w.contains(why), "{name:?}: {w}"),
                other => panic!("{name:?}: {other:?}"),
            }
        }
        assert!(path(&"x".repeat(251)).is_err());
        assert!(path(&"x".repeat(250)).is_ok());
    }
}
