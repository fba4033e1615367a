//! libFuzzer's way into `src/lint.rs`.
#![no_main]

#[path = "../src/lint.rs"]
mod lint;

libfuzzer_sys::fuzz_target!(|data: &[u8]| lint::run(data));
