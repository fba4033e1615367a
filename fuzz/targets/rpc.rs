//! libFuzzer's way into `src/rpc.rs`.
#![no_main]

#[path = "../src/rpc.rs"]
mod wire;

libfuzzer_sys::fuzz_target!(|data: &[u8]| wire::run(data));
