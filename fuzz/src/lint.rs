//! Domain XML from an enemy: parsed, printed, edited, judged and fixed. A plain function: the fuzzer calls it, and so
//! do the tests of `rules`.

use std::sync::OnceLock;

use domain::{Document, Domain, Edit, Element, NewElement};
use host::Facts;
use rules::{Allowed, Safety};

/// Panics where something that holds for every text does not hold for this one.
pub(crate) fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(document) = Document::parse(text) else { return };
    assert_eq!(document.text(), text, "an unedited document prints as it was read");
    edit(&document);
    for facts in hosts() {
        judge(&document, facts);
    }
}

/// A host of which nothing is known, one that can run SEV, and the same with programs for which rules are other ones.
fn hosts() -> &'static [Facts] {
    static HOSTS: OnceLock<Vec<Facts>> = OnceLock::new();
    HOSTS.get_or_init(|| {
        let capable = include_str!("../../crates/rules/test_data/host.json");
        let capable: Facts = serde_json::from_str(capable).expect("the fixture is facts");
        let mut old = capable.clone();
        for assumption in ["qemu=5.2", "kernel=5.0", "guest_kernel=5.0", "libvirt=4.9"] {
            old.assume(assumption).expect("it can be assumed");
        }
        vec![Facts::default(), capable, old]
    })
}

fn judge(document: &Document, facts: &Facts) {
    let allowed = Allowed::default();
    let report = rules::lint(document, facts, &allowed);
    for finding in &report.findings {
        assert!(
            document.text().get(finding.span.start..finding.span.end).is_some(),
            "{}: the place is in the text",
            finding.code
        );
        if let Some(fix) = &finding.fix {
            let applied = document.apply(&fix.edits);
            assert!(applied.is_ok(), "{}: the fix fits: {:?}", finding.code, applied.err());
        }
    }
    for safety in [Safety::Safe, Safety::Unsafe] {
        let once = rules::fix(document, facts, &allowed, safety);
        let again = Document::parse(once.document.text());
        assert!(again.is_ok(), "a fixed document parses: {:?}", again.err());
        if once.applied.is_empty() {
            assert_eq!(once.document.text(), document.text(), "nothing fixed, nothing changed");
            continue;
        }
        let twice = rules::fix(&once.document, facts, &allowed, safety);
        assert!(twice.applied.is_empty(), "fixing twice changes nothing: {:?}", twice.applied);
    }
}

/// One edit of each kind, at places that the text itself decides.
fn edit(document: &Document) {
    let elements: Vec<Element<'_>> = document.root().descendants().take(1 << 16).collect();
    let mut seed = document.text().bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    for kind in 0..6 {
        seed = seed.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        let Some(element) = elements.get((seed >> 33) as usize % elements.len().max(1)).copied() else {
            return;
        };
        // Without its declaration a prefix is an error, and rightly so.
        let attribute = element.attributes().map(|attribute| attribute.name().to_owned());
        let attribute = attribute.into_iter().find(|name| !name.starts_with("xmlns"));
        let new = NewElement::new("rng").attribute("model", "vir'<\"&tio");
        let edit = match (kind, attribute) {
            (0, Some(name)) => Some(Edit::set_attribute(element, &name, "a'b\"<&c")),
            (1, Some(name)) => Edit::remove_attribute(element, &name),
            (2, _) => Some(Edit::set_text(element, "]]> & <x/>")),
            (3, _) => Some(Edit::insert_child(element, &new)),
            (4, _) => Some(Edit::insert_after(element, &new)),
            (5, _) if element.parent().is_some() => Some(Edit::remove_element(element)),
            (_, _) => None,
        };
        let Some(edit) = edit else { continue };
        let edited = document.apply(std::slice::from_ref(&edit)).expect("an edit of this document fits it");
        let text = document.text();
        assert!(edited.text().starts_with(&text[..edit.span.start]), "what stands before an edit stays");
        assert!(edited.text().ends_with(&text[edit.span.end..]), "what stands behind an edit stays");
        let _ = Domain::read(&edited);
    }
}
