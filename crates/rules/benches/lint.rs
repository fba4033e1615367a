//! What linting one domain of 150 lines costs, stage by stage, on one core and without any file.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark prints its figures and stops at a failure"
)]
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock and its facts")]

use std::hint::black_box;
use std::time::Instant;

use domain::{Document, Domain};
use rules::Allowed;

const GUEST: &str = include_str!("guest.xml");
const ROUNDS: u32 = 2000;

fn main() {
    let facts = concat!(env!("CARGO_MANIFEST_DIR"), "/test_data/host.json");
    let facts = serde_json::from_str(&std::fs::read_to_string(facts).unwrap()).unwrap();
    let allowed = Allowed::default();
    println!("one domain of {} lines, mean of {ROUNDS}", GUEST.lines().count());
    let parse = time("Document::parse", || drop(black_box(Document::parse(black_box(GUEST)))));
    let document = Document::parse(GUEST).unwrap();
    let read = time("Domain::read", || drop(black_box(Domain::read(black_box(&document)))));
    let lint = time("rules::lint, reading included", || {
        drop(black_box(rules::lint(black_box(&document), &facts, &allowed)));
    });
    println!("  {:<32}{:>8.1} µs", "the rules alone", lint - read);
    println!("  {:<32}{:>8.1} µs  (target: 150)", "parsed and judged", parse + lint);
}

/// Microseconds that one call takes.
fn time(name: &str, act: impl Fn()) -> f64 {
    let start = Instant::now();
    for _ in 0..ROUNDS {
        act();
    }
    let mean = start.elapsed().as_secs_f64() * 1e6 / f64::from(ROUNDS);
    println!("  {name:<32}{mean:>8.1} µs");
    mean
}
