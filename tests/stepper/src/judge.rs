//! What a state is worth: recovered by the library's own code, checked, and compared with the allowed outcomes.

use crate::image::{self, Image};
use crate::scene::Scene;
use aquifer::{Error, Pool};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// What is in a pool after recovery, or what is broken.
pub type Verdict = Result<String, String>;

/// A pool of a scene, small, in a window that it does not outgrow.
pub fn open(path: &Path) -> Result<Pool, Error> {
    Pool::options().window(64 << 20).second_mapping(true).open(path)
}

/// Opens the file as it would be found after a kill: everybody who was in it is dead, and is buried.
pub fn recover(scene: &Scene, path: &Path) -> Verdict {
    guarded(|| {
        if !path.exists() {
            return Ok("no pool".into());
        }
        sound(scene, &open(path)?)
    })
}

/// The same for an image, which is put into the file at `path`.
pub fn judge(scene: &Scene, path: &Path, image: &Image) -> Verdict {
    image::put(path, image).map_err(|e| e.to_string())?;
    recover(scene, path)
}

/// Checks a pool, and tells what is in it.
pub fn sound(scene: &Scene, pool: &Pool) -> Result<String, Error> {
    let report = pool.check()?;
    if !report.is_clean() {
        return Err(Error::abort(format!("check: {report}")));
    }
    (scene.observe)(pool)
}

/// Runs code of the library; a panic is something broken too.
pub fn guarded(f: impl FnOnce() -> Result<String, Error>) -> Verdict {
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(result) => result.map_err(|e| e.to_string()),
        Err(payload) => {
            let text = payload.downcast_ref::<String>().cloned();
            let text = text.or_else(|| payload.downcast_ref::<&str>().map(|s| s.to_string()));
            Err(format!("panic: {}", text.unwrap_or_default()))
        }
    }
}
