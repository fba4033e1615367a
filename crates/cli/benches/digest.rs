//! `sevirt digest` against `openssl dgst -sha256` on the same 4 MiB firmware, as whole processes, interleaved.
//!
//! The launch digest of a plain SEV guest is the SHA-256 of its firmware, so the peer's time is the physical limit plus
//! what a process costs.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark prints its figures and stops at a failure"
)]

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const ROUNDS: usize = 50;
const FIRMWARE_SIZE: usize = 4 << 20;

fn main() {
    let directory = tempfile::tempdir().unwrap();
    let firmware = directory.path().join("firmware.fd");
    std::fs::write(&firmware, image()).unwrap();

    let mut ours = Vec::new();
    let mut theirs = Vec::new();
    for _ in 0..ROUNDS {
        ours.push(time(env!("CARGO_BIN_EXE_sevirt"), &["digest", "--firmware"], &firmware));
        theirs.push(time("openssl", &["dgst", "-sha256"], &firmware));
    }
    let (ours, theirs) = (median(&mut ours), median(&mut theirs));
    println!("launch digest of 4 MiB, whole process, median of {ROUNDS} interleaved runs");
    println!("  sevirt digest          {:>7.2} ms", ours.as_secs_f64() * 1e3);
    println!("  openssl dgst -sha256   {:>7.2} ms", theirs.as_secs_f64() * 1e3);
    println!(
        "  ratio                  {:>7.2}  (target: at most 1.3)",
        ours.as_secs_f64() / theirs.as_secs_f64()
    );
}

/// An image in the shape of a firmware: code-like bytes and no tables.
fn image() -> Vec<u8> {
    let mut state = 0x9e37_79b9_u32;
    (0..FIRMWARE_SIZE)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_be_bytes()[0]
        })
        .collect()
}

fn time(program: &str, arguments: &[&str], file: &Path) -> Duration {
    let start = Instant::now();
    let status = Command::new(program).args(arguments).arg(file).stdout(Stdio::null()).status().unwrap();
    let taken = start.elapsed();
    assert!(status.success(), "{program} failed");
    taken
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort();
    times[times.len() / 2]
}
