//! Compiles Boost.Interprocess's side if a version that is new enough is installed.

use std::fs;
use std::path::{Path, PathBuf};

/// 1.81: before it `unordered_map` with allocators of a segment does not do what is measured here.
const LEAST: u32 = 108_100;

fn main() {
    println!("cargo::rustc-check-cfg=cfg(boost)");
    println!("cargo::rerun-if-changed=boost/shim.cpp");
    println!("cargo::rerun-if-env-changed=BOOST_ROOT");
    let Some(include) = include_folder() else { return };
    println!("cargo::rerun-if-changed={}", include.join("boost/version.hpp").display());
    if version(&include).is_none_or(|version| version < LEAST) {
        return;
    }
    let built = cc::Build::new()
        .cpp(true)
        .std("c++17")
        .file("boost/shim.cpp")
        .include(&include)
        .opt_level(3)
        .warnings(false)
        .try_compile("boost_shim");
    match built {
        Ok(()) => println!("cargo::rustc-cfg=boost"),
        Err(e) => println!("cargo::warning=Boost.Interprocess is left out: {e}"),
    }
}

fn include_folder() -> Option<PathBuf> {
    let root = std::env::var_os("BOOST_ROOT").map(|root| Path::new(&root).join("include"));
    let folders = root.into_iter().chain(["/usr/local/include".into(), "/usr/include".into()]);
    folders.into_iter().find(|folder| folder.join("boost/version.hpp").exists())
}

/// 1.81 is 108100.
fn version(include: &Path) -> Option<u32> {
    let text = fs::read_to_string(include.join("boost/version.hpp")).ok()?;
    text.lines().find_map(|line| line.strip_prefix("#define BOOST_VERSION ")?.trim().parse().ok())
}
