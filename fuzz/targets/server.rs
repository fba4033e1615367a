//! libFuzzer's way into `src/server.rs`.
#![no_main]

#[path = "../src/server.rs"]
mod server;

libfuzzer_sys::fuzz_target!(|data: &[u8]| server::run(data));
