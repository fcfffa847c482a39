//! See `aquifer_fuzz_ops::heap`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| aquifer_fuzz_ops::heap::run(data));
