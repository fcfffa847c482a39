//! Values in a pool that cannot live there.
use aquifer::{Named, Pool, ShMutex, ShVec};

fn strings(pool: &Pool) {
    let _: Named<ShMutex<ShVec<String>>> = pool.named("x").unwrap();
}

fn references(pool: &Pool) {
    let _ = pool.look_up::<ShMutex<&'static str>>("x");
}

fn main() {}
