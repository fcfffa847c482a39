//! See `aquifer_fuzz_ops::set`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| aquifer_fuzz_ops::set::run(data));
