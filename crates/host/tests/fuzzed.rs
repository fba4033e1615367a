//! The fuzzer's own function, on its corpus and on what proptest makes.

#[path = "../../../fuzz/src/boot.rs"]
mod boot;

use std::fs;
use std::path::Path;

use proptest::prelude::*;

#[test]
fn the_corpus_holds() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/boot");
    let seeds: Vec<_> =
        fs::read_dir(corpus).unwrap().map(|entry| fs::read(entry.unwrap().path()).unwrap()).collect();
    assert!(seeds.len() > 10, "only {} seeds", seeds.len());
    for seed in seeds {
        boot::run(&seed);
    }
}

proptest! {
    #[test]
    fn anything_holds(
        words in prop::collection::vec(prop_oneof![prop::sample::select(WORDS).prop_map(str::to_owned), "[ -~\\n]{0,4}"], 0..30)
    ) {
        boot::run(words.concat().as_bytes());
    }
}

const WORDS: &[&str] = &[
    "GRUB_CMDLINE_LINUX=",
    "GRUB_CMDLINE_LINUX+=",
    "$GRUB_CMDLINE_LINUX",
    "${GRUB_CMDLINE_LINUX",
    "'",
    "\"",
    "\\\n",
    "\\",
    "\r\n",
    "$(",
    "`",
    "(",
    ")",
    "if ",
    "fi\n",
    "case x in",
    "esac",
    "<<E",
    "options kvm_amd ",
    "sev=1",
    "#",
    "kvm_amd.sev=0",
    "$kernelopts",
    "kernelopts=",
    "\u{e9}",
];
