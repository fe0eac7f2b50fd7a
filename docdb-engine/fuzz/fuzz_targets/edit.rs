#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| docdb_engine_fuzz::edit(data));
