//! The table polices itself: what a new rule about hosts still lacks fails here by name.
//!
//! `test_data/CODE.json` is a list of changes to the facts of `test_data/good-host.json`, each of which the rule must
//! find; `test_data/CODE.txt` is what must be said.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use host::Facts;
use serde_json::Value;

use crate::host::{HostFinding, Verdict, check};
use crate::{Technology, rule};

use super::HOST_TABLE;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

#[expect(clippy::disallowed_methods, reason = "fixtures are files")]
fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn good_host() -> Value {
    serde_json::from_str(&read(&folder("test_data/good-host.json"))).unwrap()
}

/// Puts `change` over `facts`: objects member by member, all else as a whole.
fn merge(facts: &mut Value, change: &Value) {
    match (facts, change) {
        (Value::Object(facts), Value::Object(change)) if is_partial(facts, change) => {
            for (name, value) in change {
                merge(facts.entry(name.clone()).or_insert(Value::Null), value);
            }
        }
        (facts, change) => *facts = change.clone(),
    }
}

/// A variant of an enum replaces another that was there.
fn is_partial(facts: &serde_json::Map<String, Value>, change: &serde_json::Map<String, Value>) -> bool {
    let variants = ["known", "unreadable", "grub", "bls"];
    variants.iter().all(|variant| !change.contains_key(*variant) || facts.contains_key(*variant))
}

fn facts(change: &Value) -> Facts {
    let mut facts = good_host();
    merge(&mut facts, change);
    serde_json::from_value(facts).unwrap_or_else(|error| panic!("{change}: {error}"))
}

fn told(finding: &HostFinding) -> String {
    let HostFinding { severity, effect, when, technologies, message, help, commands, evidence, .. } = finding;
    let mut out = format!("  {severity} {effect:?} {when:?} {technologies:?}: {message}\n");
    if let Some(help) = help {
        out.push_str(&format!("    help: {help}\n"));
    }
    commands.iter().for_each(|command| out.push_str(&format!("    $ {command}\n")));
    for evidence in evidence {
        let crate::host::Evidence { fact, source, value } = evidence;
        out.push_str(&format!("    {fact} = {value} ({source})\n"));
    }
    out
}

#[test]
fn the_table_is_sorted_and_unambiguous() {
    let codes: Vec<_> = HOST_TABLE.iter().map(|entry| entry.rule.code).collect();
    assert!(codes.is_sorted(), "{codes:?}");
    let all = crate::all();
    let words: BTreeSet<_> = all.iter().flat_map(|rule| [rule.code, rule.name]).collect();
    assert_eq!(words.len(), 2 * all.len(), "a code or a name stands twice");
    for entry in HOST_TABLE {
        assert!(entry.rule.code.starts_with("HOST"));
        assert_eq!(rule(entry.rule.code), Some(entry.rule));
        assert_eq!(rule(entry.rule.name), Some(entry.rule));
    }
}

#[test]
fn every_file_is_a_rule_of_its_name() {
    let mut files: BTreeSet<String> = std::fs::read_dir(folder("src/host/rules"))
        .unwrap()
        .filter_map(|entry| entry.unwrap().path().file_stem()?.to_str().map(str::to_owned))
        .collect();
    files.remove("mod");
    let names = HOST_TABLE.iter().map(|entry| entry.rule.name.replace('-', "_")).collect();
    assert_eq!(files, names);
}

#[test]
fn every_page_is_complete() {
    for entry in HOST_TABLE {
        let page = &entry.rule.page;
        for (section, text) in
            [("what", page.what), ("why", page.why), ("fix", page.fix), ("source", page.source)]
        {
            assert!(text.ends_with('.'), "{}: {section} is not made of sentences", entry.rule.code);
        }
        assert!(!page.example.is_empty() && !page.since.is_empty(), "{}", entry.rule.code);
    }
}

#[test]
fn nothing_stands_against_a_good_host() {
    let report = check(&facts(&serde_json::json!({})));
    // No host says whether its firmware launches SEV-ES guests beside SEV-SNP.
    let codes: Vec<_> = report.findings.iter().map(|finding| finding.code).collect();
    assert_eq!(codes, ["HOST033"]);
    for (technology, verdict) in
        Technology::ALL.into_iter().zip([Verdict::Can, Verdict::CouldNotTell, Verdict::Can])
    {
        let judgement = report.judgement(technology);
        assert_eq!((judgement.now, judgement.next_boot), (verdict, verdict), "{technology}");
    }
}

#[test]
fn nothing_is_said_of_a_host_of_which_nothing_is_known() {
    let unknown = |path: &str| serde_json::json!({"unreadable": {"path": path, "errno": 5, "why": "gone"}});
    let change = serde_json::json!({
        "cpu": {"vendor": unknown("/proc"), "kernel_flags": unknown("/proc"), "memory_encryption": unknown("/proc")},
        "kernel_release": unknown("/proc"), "kernel_command_line": unknown("/proc"),
        "boot": {"command_line": unknown("/etc"), "loader": unknown("/etc")},
        "kvm": unknown("/dev"), "kvm_amd": unknown("/sys"), "sev_device": unknown("/dev"),
        "platform": unknown("/dev"), "asids": unknown("/sys"), "machine_slice": unknown("/sys"),
        "qemu_user": unknown("/etc"), "selinux": unknown("/sys"), "apparmor": unknown("/sys"),
        "libvirt": unknown("/usr"), "locked_memory": unknown("/proc"), "memory": unknown("/proc"),
    });
    let report = check(&facts(&change));
    for technology in Technology::ALL {
        let judgement = report.judgement(technology);
        let verdicts = (judgement.now, judgement.next_boot);
        assert_eq!(verdicts, (Verdict::CouldNotTell, Verdict::CouldNotTell), "{technology}");
    }
}

#[test]
fn every_rule_has_fixtures_that_break_it() {
    for entry in HOST_TABLE {
        let code = entry.rule.code;
        let changes: Vec<Value> =
            serde_json::from_str(&read(&folder("test_data").join(format!("{code}.json")))).unwrap();
        let mut said = String::new();
        for change in &changes {
            let report = check(&facts(change));
            said.push_str(&format!("{change}\n"));
            let of_rule = report.findings.iter().filter(|finding| finding.code == code);
            assert!(of_rule.clone().next().is_some(), "{code} is not found with {change}");
            of_rule.for_each(|finding| said.push_str(&told(finding)));
            let others: BTreeSet<_> =
                report.findings.iter().map(|finding| finding.code).filter(|it| *it != code).collect();
            said.push_str(&format!("  others: {others:?}\n"));
        }
        expect_test::expect_file![folder("test_data").join(format!("{code}.txt"))].assert_eq(&said);
    }
}
