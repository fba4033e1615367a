//! Domains that nobody would write: whatever they say, planning ends with a command line or a reason, and what is
//! rendered is well-formed.

use std::fs;

use domain::{Document, Domain, model::Surroundings as Definition};
use proptest::prelude::*;
use qemu::plan::Plan;

use crate::host;

/// Values that have broken programs before.
const VALUES: &[&str] = &[
    "",
    "0",
    "-1",
    "1",
    "3",
    "255",
    "4294967295",
    "18446744073709551615",
    "on",
    "off",
    "yes",
    "no",
    "none",
    "default",
    "a,b=c",
    "sda",
    "vdzzzzzzzzzz",
    "0x1f",
    "virtio",
    "qcow2",
    "2001:db8::1",
    "/a b,c\"",
    "host-model",
    "../..",
];

#[derive(Debug, Clone)]
enum Damage {
    /// The line at this position, modulo their number, is dropped.
    Drop(usize),
    /// The line is there twice.
    Repeat(usize),
    /// The quoted value at this position, modulo their number, becomes another.
    Replace(usize, &'static str),
}

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        any::<usize>().prop_map(Damage::Drop),
        any::<usize>().prop_map(Damage::Repeat),
        (any::<usize>(), prop::sample::select(VALUES)).prop_map(|(at, value)| Damage::Replace(at, value)),
    ]
}

fn apply(xml: &str, damage: &Damage) -> String {
    let mut lines: Vec<&str> = xml.lines().collect();
    match damage {
        Damage::Drop(at) => {
            lines.remove(at % lines.len());
        }
        Damage::Repeat(at) => lines.insert(at % lines.len(), lines[at % lines.len()]),
        Damage::Replace(at, value) => {
            let mut parts: Vec<&str> = xml.split('\'').collect();
            let values = parts.len() / 2;
            if values > 0 {
                parts[1 + 2 * (at % values)] = value;
            }
            return parts.join("'");
        }
    }
    lines.join("\n")
}

proptest! {
    #[test]
    fn planning_never_fails_but_by_saying_why(
        case in any::<prop::sample::Index>(),
        damages in prop::collection::vec(damage(), 1..6),
    ) {
        let cases = host::cases();
        let mut xml = fs::read_to_string(case.get(&cases)).unwrap();
        for damage in &damages {
            xml = apply(&xml, damage);
        }
        let Ok(document) = Document::parse(&xml) else { return Ok(()) };
        let (mut domain, _) = Domain::read(&document);
        let mut definition = Definition {
            machine: None,
            cpu_model: "qemu64".to_owned(),
            emulator: Some("/usr/bin/qemu-system-x86_64".to_owned()),
            random: &mut || [0x11; 16],
        };
        // A domain that could not be completed is planned as it is: the daemon may hold an older one.
        let _ = domain.complete(&mut definition);
        if let Ok(plan) = Plan::new(&domain, &host::caps(), &host::surroundings()) {
            for word in plan.argv() {
                let word = word.into_string().unwrap();
                prop_assert!(!word.contains('\0'));
                if word.starts_with('{') {
                    prop_assert!(serde_json::from_str::<serde_json::Value>(&word).is_ok(), "{}", word);
                }
            }
        }
    }
}
