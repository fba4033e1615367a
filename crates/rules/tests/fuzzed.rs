//! The fuzzer's own function, on its corpus, on every fixture and on what proptest makes of them.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail anywhere")]
#![expect(clippy::disallowed_methods, reason = "corpora are files")]

#[path = "../../../fuzz/src/lint.rs"]
mod lint;

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use proptest::sample::Index;

/// Every text that there is to begin with.
fn seeds() -> Vec<Vec<u8>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let places = ["test_data", "../../examples", "../../fuzz/corpus/lint"];
    let files = places.iter().flat_map(|place| fs::read_dir(root.join(place)).unwrap());
    let mut paths: Vec<_> = files.map(|entry| entry.unwrap().path()).filter(|path| path.is_file()).collect();
    paths.sort();
    paths.into_iter().map(|path| fs::read(path).unwrap()).collect()
}

#[test]
fn the_corpus_and_the_fixtures_hold() {
    let seeds = seeds();
    assert!(seeds.len() > 50, "only {} seeds", seeds.len());
    for seed in seeds {
        lint::run(&seed);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn mutations_of_them_hold(
        seed: Index,
        changes in prop::collection::vec((any::<Index>(), 0..24_usize, prop::sample::select(WORDS)), 0..6),
    ) {
        let seeds = seeds();
        let mut text = seed.get(&seeds).clone();
        for (at, length, word) in changes {
            let at = at.index(text.len() + 1);
            let end = (at + length).min(text.len());
            text.splice(at..end, word.bytes());
        }
        lint::run(&text);
    }
}

const WORDS: &[&str] = &[
    "",
    "<",
    ">",
    "/>",
    "</",
    "'",
    "\"",
    "&lt;",
    "&#0;",
    "<!--",
    "-->",
    "<![CDATA[",
    "]]>",
    "é",
    "\0",
    "\r\n",
    "=",
    " x='1'",
    "<rng/>",
    "0xffffffff",
    "18446744073709551616",
    "-1",
    "<domain>",
];
