//! See `aquifer_fuzz_ops::damaged`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| aquifer_fuzz_ops::damaged::run(data));
