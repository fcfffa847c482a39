//! Pools and their names, named objects, windows.

use super::*;
use std::path::Path;

pub fn scenes() -> Vec<Scene> {
    let mut scenes = pools();
    scenes.extend(names());
    scenes.extend(windows());
    scenes
}

fn small() -> aquifer::PoolOptions {
    Pool::options().size(0).growth(64 << 10, 64 << 10).window(64 << 20)
}

fn nothing(_: &Pool) -> Result<String, Error> {
    Ok("a pool".into())
}

fn pools() -> Vec<Scene> {
    vec![
        Scene {
            setup: None,
            ..act!(quick "pool: create", empty, nothing, 2, |stage| {} => {
                std::mem::forget(small().create(stage.path.as_path())?);
            })
        },
        Scene {
            setup: None,
            ..act!(long "pool: create without nameless files", empty, nothing, 2, |stage| {} => {
                std::mem::forget(small().without_nameless_files(true).create(stage.path.as_path())?);
            })
        },
        Scene {
            setup: None,
            ..act!(long "pool: open_or_create", empty, nothing, 2, |stage| {} => {
                std::mem::forget(small().open_or_create(stage.path.as_path())?);
            })
        },
        act!(quick "pool: unlink", with_numbers, show::<Numbers>, 2, |stage| {
            let name = name(&stage.path)?;
        } => Pool::unlink(&name)),
        act!(long "pool: unlink while it is open", with_numbers, show::<Numbers>, 2, |stage| {
            let name = name(&stage.path)?;
            let _pool = stage.join()?;
        } => Pool::unlink(&name)),
    ]
}

/// What `Pool::unlink` takes.
fn name(path: &Path) -> Result<String, Error> {
    let name = path.file_name().and_then(|n| n.to_str());
    name.map(String::from).ok_or_else(|| Error::abort("the pool has no name"))
}

fn names() -> Vec<Scene> {
    vec![
        act!(quick "name: make an object", with_numbers, objects, 2, |stage| {
            let pool = stage.join()?;
        } => pool.named::<Scalar>("scalar").map(drop)),
        act!(long "name: make an object of several parts", with_numbers, objects, 2, |stage| {
            let pool = stage.join()?;
        } => pool.named::<Words>("words").map(drop)),
        act!(quick "name: make the first object of a pool", empty, objects, 2, |stage| {
            let pool = crate::judge::open(&stage.path)?;
        } => pool.named::<Scalar>("scalar").map(drop)),
        act!(long "name: make an object from a source", with_numbers, objects, 2, |stage| {
            let pool = stage.join()?;
        } => pool.named_with::<Boxed, _>("box", || ShMutex::new(ShBox::new(LONG[0]))).map(drop)),
        act!(long "name: look an object up, and let it go", with_ids, show::<Ids>, 1, |stage| {
            let pool = stage.join()?;
        } => pool.look_up::<Ids>("ids").map(drop)),
        act!(quick "name: remove an object", with_deep, objects, 2, |stage| {
            let pool = stage.join()?;
        } => pool.remove("deep")),
        act!(long "name: remove an object that is held", with_deep, objects, 2, |stage| {
            let pool = stage.join()?;
            let _held = the::<Deep>(&pool)?;
        } => pool.remove("deep")),
        act!(long "name: remove an object that the dead held", with_deep, objects, 2, |stage| {
            let pool = stage.join()?;
            Other::sitting(&stage.path, |pool| the::<Deep>(pool).map(std::mem::forget))?.die()?;
        } => pool.remove("deep")),
        act!(long "name: let go of a removed object", with_deep, objects, 1, |stage| {
            let pool = stage.join()?;
            let held = the::<Deep>(&pool)?;
            pool.remove("deep")?;
        } => drop(held)),
    ]
}

fn windows() -> Vec<Scene> {
    vec![
        act!(quick "window: a larger one for what the process grows", with_numbers, show::<Numbers>, 1, |stage| {
            let pool = Pool::options().window(256 << 10).open(stage.path.as_path())?;
            sit(&pool)?;
            let numbers = the::<Numbers>(&pool)?;
        } => numbers.lock()?.reserve(60_000)),
        act!(long "window: a larger one for what others have grown", with_numbers, show::<Numbers>, 2, |stage| {
            let pool = Pool::options().window(256 << 10).open(stage.path.as_path())?;
            sit(&pool)?;
            let numbers = the::<Numbers>(&pool)?;
            Other::sitting(&stage.path, |pool| the::<Numbers>(pool)?.lock()?.reserve(60_000))?.leave()?;
        } => numbers.lock()?.push(99)),
    ]
}
