#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| runjob_fuzz::names(data));
