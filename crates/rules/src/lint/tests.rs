//! Properties that hold for every domain, however odd.

use std::path::Path;

use domain::{Document, Edit, Element, NewElement};
use host::Facts;
use proptest::prelude::*;
use proptest::sample::Index;

use super::*;
use crate::{Safety, fix};

const DOMAIN: &str = include_str!("../../test_data/SEV004.xml");

#[expect(clippy::disallowed_methods, reason = "fixtures are files")]
fn facts() -> Facts {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("test_data/host.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// Something that a user, or somebody who means ill, might do to a domain.
fn mutated(document: &Document, kind: usize, at: Index, word: &str) -> Document {
    let elements: Vec<Element<'_>> = document.root().descendants().collect();
    let element = elements[at.index(elements.len())];
    let attribute = element.attributes().next().map(|attribute| attribute.name().to_owned());
    let edit = match (kind, attribute) {
        (0, _) if element.parent().is_some() => Edit::remove_element(element),
        (1, Some(name)) => Edit::set_attribute(element, &name, word),
        (2, Some(name)) => Edit::remove_attribute(element, &name).unwrap(),
        (3, _) => Edit::set_text(element, word),
        (4, _) if element.parent().is_some() => {
            Edit::insert(element.span().end, element.span().of(document.text()))
        }
        (_, _) => Edit::insert_child(element, &NewElement::new("rng").attribute("model", word)),
    };
    document.apply(&[edit]).unwrap()
}

fn words() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "",
            "yes",
            "no",
            "rom",
            "pflash",
            "sev",
            "sev-snp",
            "tdx",
            "0",
            "0x30000",
            "0xffffffff",
            "4294967296",
            "-1",
            "efi",
            "bios",
            "pc",
            "q35",
            "/usr/share/OVMF/OVMF_PLAIN.fd",
        ])
        .prop_map(str::to_owned),
        "[ -~é]{0,8}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases.max(500), ..ProptestConfig::default() })]

    #[test]
    fn any_domain_is_judged_and_fixed_for_good(
        changes in prop::collection::vec((0..6_usize, any::<Index>(), words()), 0..12),
    ) {
        let facts = facts();
        let mut document = Document::parse(DOMAIN).unwrap();
        for (kind, at, word) in changes {
            document = mutated(&document, kind, at, &word);
        }
        let report = lint(&document, &facts, &Allowed::default());
        for finding in &report.findings {
            prop_assert!(document.text().get(finding.span.start..finding.span.end).is_some());
            if let Some(fix) = &finding.fix {
                prop_assert!(document.apply(&fix.edits).is_ok(), "{}: {:?}", finding.code, fix);
            }
        }
        let once = fix(&document, &facts, &Allowed::default(), Safety::Unsafe);
        let twice = fix(&once.document, &facts, &Allowed::default(), Safety::Unsafe);
        prop_assert_eq!(once.document.text(), twice.document.text());
        prop_assert!(twice.applied.is_empty(), "{:?}", twice.applied);
    }
}

#[test]
fn a_rule_that_is_broken_very_often_is_told_a_thousand_times() {
    let text = format!("<domain><devices>{}</devices></domain>", "<rng model='virtio'/>".repeat(5000));
    let document = Document::parse(&text).unwrap();
    let findings = lint(&document, &facts(), &Allowed::default()).findings;
    assert_eq!(findings.iter().filter(|finding| finding.code == "DEV001").count(), 1000);
}

#[test]
fn the_domain_can_allow_a_rule_by_code_or_name() {
    let metadata = "<metadata xmlns:s='urn:sevirt:domain:1'><s:allow rule='wrong-c-bit'/><allow rule='MEM001'/></metadata>";
    let text = DOMAIN.replace("<name>guest</name>", &format!("<name>guest</name>\n  {metadata}"));
    let report = lint(&Document::parse(&text).unwrap(), &facts(), &Allowed::default());
    let left: Vec<_> = report.findings.iter().map(|finding| finding.code).collect();
    assert_eq!(left, ["SEV026"]);
    assert_eq!(report.allowed.len(), 2);
    assert!(!report.has_errors());
}
