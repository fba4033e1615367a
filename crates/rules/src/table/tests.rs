//! The table polices itself: what a new rule still lacks fails here by name.
//!
//! `test_data/CODE.xml` is a domain that breaks the rule; `test_data/CODE.txt` is what must be said and what the fix
//! does. `test_data/CODE.pass.xml` is nearly the same domain, and does not break it; where it is missing, the domain is
//! the same and the host another. `test_data/CODE.before.xml` is a domain that is judged before it, where a rule is about
//! several domains. The hosts are `test_data/CODE.host.json` and `test_data/CODE.pass.host.json`, see
//! `fixtures.rs`.

use std::collections::BTreeSet;

use domain::Document;
use host::Facts;

use crate::fixtures::{check_table, facts, folder, read};
use crate::{Allowed, Finding, Neighbours, Report, Safety, ill_formed, lint};

use super::TABLE;

fn fixture(name: &str) -> String {
    read(&folder("test_data").join(format!("{name}.xml")))
}

/// The report on a rule's fixture, beside the domain before it.
fn judged(code: &str, document: &Document, facts: &Facts, allowed: &Allowed) -> Report {
    let mut neighbours = Neighbours::default();
    if folder("test_data").join(format!("{code}.before.xml")).exists() {
        let before = Document::parse(&fixture(&format!("{code}.before"))).unwrap();
        let mut report = lint(&before, facts, allowed);
        neighbours.judge("before.xml", &before, &mut report, allowed);
    }
    let mut report = lint(document, facts, allowed);
    neighbours.judge("after.xml", document, &mut report, allowed);
    report
}

fn of_rule<'f>(findings: &'f [Finding], code: &str) -> Vec<&'f Finding> {
    findings.iter().filter(|finding| finding.code == code).collect()
}

#[test]
fn the_table_is_in_order_and_complete() {
    let rules: Vec<_> = TABLE.iter().map(|entry| entry.rule).collect();
    check_table(&rules, "src/rules");
}

#[test]
fn every_rule_has_a_fixture_that_breaks_it() {
    for entry in TABLE {
        let code = entry.rule.code;
        let text = fixture(code);
        let mut said = String::new();
        match Document::parse(&text) {
            Err(error) => {
                let finding = ill_formed(&error);
                assert_eq!(finding.code, code);
                said.push_str(&format!("{}: {} {}\n", error.position, finding.severity, finding.message));
            }
            Ok(document) => {
                let findings = judged(code, &document, &facts(code), &Allowed::default()).findings;
                assert!(
                    !of_rule(&findings, code).is_empty(),
                    "{code} is not found in its fixture: {findings:#?}"
                );
                for finding in of_rule(&findings, code) {
                    said.push_str(&told(finding, &document));
                }
                let others: BTreeSet<_> =
                    findings.iter().map(|finding| finding.code).filter(|it| *it != code).collect();
                said.push_str(&format!("others: {others:?}\n"));
            }
        }
        expect_test::expect_file![folder("test_data").join(format!("{code}.txt"))].assert_eq(&said);
    }
}

/// A passing fixture far from the failing one would pass for any reason.
#[test]
fn every_rule_has_a_fixture_that_nearly_breaks_it() {
    const MOST_LINES: usize = 12;
    for entry in TABLE {
        let code = entry.rule.code;
        let own = format!("{code}.pass");
        let has = |name: &str| folder("test_data").join(name).exists();
        let (other_domain, other_host) = (has(&format!("{own}.xml")), has(&format!("{own}.host.json")));
        assert!(other_domain || other_host, "{code} has no passing fixture");
        let text = fixture(if other_domain { &own } else { code });
        let document = Document::parse(&text).unwrap_or_else(|error| panic!("{own}: {error}"));
        let facts = facts(if other_host { &own } else { code });
        let findings = judged(code, &document, &facts, &Allowed::default()).findings;
        assert_eq!(of_rule(&findings, code), Vec::<&Finding>::new(), "{own} breaks the rule");
        let differing = differing_lines(&fixture(code), &text);
        assert!(differing <= MOST_LINES, "{own} differs in {differing} lines from what breaks the rule");
    }
}

/// How many lines are only in one of the texts.
fn differing_lines(a: &str, b: &str) -> usize {
    let (in_a, in_b): (BTreeSet<&str>, BTreeSet<&str>) = (a.lines().collect(), b.lines().collect());
    in_a.symmetric_difference(&in_b).count()
}

fn told(finding: &Finding, document: &Document) -> String {
    let text = document.text();
    let place = document.position(finding.span.start);
    let mut out =
        format!("{place}: {} {}\n  at {:?}\n", finding.severity, finding.message, finding.span.of(text));
    for label in &finding.labels {
        out.push_str(&format!("  {:?}: {}\n", label.span.of(text), label.text));
    }
    if let Some(help) = &finding.help {
        out.push_str(&format!("  help: {help}\n"));
    }
    if let Some(fix) = &finding.fix {
        out.push_str(&format!("  {:?} fix: {}\n", fix.safety, fix.title));
        let fixed = document.apply(&fix.edits).unwrap();
        let old: BTreeSet<_> = text.lines().collect();
        let new: BTreeSet<_> = fixed.text().lines().collect();
        text.lines()
            .filter(|line| !new.contains(line))
            .for_each(|line| out.push_str(&format!("    -{line}\n")));
        let added = fixed.text().lines().filter(|line| !old.contains(line));
        added.for_each(|line| out.push_str(&format!("    +{line}\n")));
    }
    out
}

#[test]
fn a_fix_silences_its_finding_and_raises_no_other() {
    for entry in TABLE {
        let code = entry.rule.code;
        let Ok(document) = Document::parse(&fixture(code)) else { continue };
        let (facts, allowed) = (facts(code), Allowed::default());
        let before = lint(&document, &facts, &allowed).findings;
        for finding in of_rule(&before, code) {
            let Some(fix) = &finding.fix else { continue };
            let fixed = document.apply(&fix.edits).unwrap_or_else(|error| panic!("{code}: {error}"));
            let after = lint(&fixed, &facts, &allowed).findings;
            assert_eq!(
                of_rule(&after, code).len(),
                of_rule(&before, code).len() - 1,
                "{code} is not silenced"
            );
            for finding in &after {
                let known = before.iter().any(|old| old.code == finding.code);
                assert!(known, "{code} raises {}: {}", finding.code, finding.message);
            }
        }
    }
}

#[test]
fn fixing_twice_changes_nothing_more() {
    for entry in TABLE {
        let code = entry.rule.code;
        let Ok(document) = Document::parse(&fixture(code)) else { continue };
        let (facts, allowed) = (facts(code), Allowed::default());
        for safety in [Safety::Safe, Safety::Unsafe] {
            let once = crate::fix(&document, &facts, &allowed, safety);
            let twice = crate::fix(&once.document, &facts, &allowed, safety);
            assert_eq!(once.document.text(), twice.document.text(), "{code}");
            assert_eq!(twice.applied, [], "{code}");
        }
    }
}

#[test]
fn an_allowed_rule_is_silent_and_reported_as_allowed() {
    for entry in TABLE.iter().filter(|entry| entry.rule.allowable) {
        let code = entry.rule.code;
        let document = Document::parse(&fixture(code)).unwrap();
        let allowed = Allowed::named([entry.rule.name]).unwrap();
        let report = judged(code, &document, &facts(code), &allowed);
        assert!(of_rule(&report.findings, code).is_empty());
        assert!(!of_rule(&report.allowed, code).is_empty());
    }
}
