//! See `aquifer_fuzz_ops::vec`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| aquifer_fuzz_ops::vec::run(data));
