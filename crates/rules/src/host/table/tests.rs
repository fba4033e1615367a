//! The table polices itself: what a new rule about hosts still lacks fails here by name.
//!
//! `test_data/CODE.json` is a list of changes to the facts of `test_data/good-host.json`, each of which the rule must
//! find; `test_data/CODE.txt` is what must be said.

use std::collections::BTreeSet;

use host::Facts;
use serde_json::Value;

use crate::Technology;
use crate::fixtures::{check_table, folder, read};
use crate::host::{Effect, HostFinding, Verdict, check};

use super::HOST_TABLE;

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
fn the_table_is_in_order_and_complete() {
    let rules: Vec<_> = HOST_TABLE.iter().map(|entry| entry.rule).collect();
    assert!(rules.iter().all(|rule| rule.code.starts_with("HOST")));
    check_table(&rules, "src/host/rules");
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

/// What a file of facts leaves out is not known; it is not absent.
#[test]
fn nothing_is_said_of_what_a_file_of_facts_leaves_out() {
    let report = check(&Facts::of_json("{}").unwrap());
    for technology in Technology::ALL {
        assert_eq!(report.judgement(technology).now, Verdict::CouldNotTell, "{technology}");
    }
    // The parts of a good host that decide are enough, but for its programs.
    let good = good_host();
    let mut part = serde_json::Map::new();
    for key in ["cpu", "kernel_release", "kvm", "kvm_amd", "sev_device", "platform", "asids", "qemu_user"] {
        part.insert(key.to_owned(), good[key].clone());
    }
    let part = Facts::of_json(&Value::Object(part).to_string()).unwrap();
    let report = check(&part);
    assert_eq!(report.judgement(Technology::Sev).now, Verdict::CouldNotTell);
    assert!(
        report.findings.iter().all(|finding| finding.effect != Effect::Prevents),
        "{:?}",
        report.findings
    );
    let whole = facts(&serde_json::json!({}));
    assert_eq!(Facts::of_json(&whole.to_json().to_string()).unwrap(), whole);
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
