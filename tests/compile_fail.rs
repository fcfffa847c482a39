//! What must not compile, with what the compiler says: one file for each kind of promise that types keep.
//!
//! The texts are those of the compiler that `rust-version` names. `TRYBUILD=overwrite cargo test --test compile_fail` writes them anew;
//! look then that each mistake still has its error, and at its place.

#[test]
fn misuse_does_not_compile() {
    trybuild::TestCases::new().compile_fail("tests/compile_fail/*.rs");
}
