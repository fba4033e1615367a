//! What holds of every fix, over the fixtures of all rules and over libvirt's own test domains, as they are and made
//! confidential in three ways.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::*;
use crate::rule::Severity;

#[expect(clippy::disallowed_methods, reason = "fixtures are files")]
fn read(path: &Path) -> Option<String> {
    std::fs::read_to_string(path).ok()
}

#[expect(clippy::disallowed_methods, reason = "the conformance data is found by it")]
fn conformance() -> Option<PathBuf> {
    std::env::var_os("LIBVIRT_TEST_DATA").map(PathBuf::from)
}

fn facts() -> Facts {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("test_data/host.json");
    serde_json::from_str(&read(&path).unwrap()).unwrap()
}

fn documents(directory: &Path) -> Vec<(String, String)> {
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let xml = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "xml");
    let named = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
    paths.iter().filter(|path| xml(path)).filter_map(|path| Some((named(path), read(path)?))).collect()
}

/// The domain as it is, and as a confidential guest of one kind or another where it is none.
fn variants(number: usize, name: &str, text: &str) -> Vec<(String, Document)> {
    let kinds = [("sev", "sev", "0x3"), ("sev-es", "sev", "0x7"), ("sev-snp", "sev-snp", "0x30000")];
    let mut texts = vec![(name.to_owned(), text.to_owned())];
    if let Some(end) = text.rfind("</domain>").filter(|_| !text.contains("<launchSecurity")) {
        let (word, kind, policy) = kinds[number % kinds.len()];
        let security =
            format!("  <launchSecurity type='{kind}'>\n    <policy>{policy}</policy>\n  </launchSecurity>\n");
        let (before, after) = text.split_at(end);
        texts.push((format!("{name} as {word}"), format!("{before}{security}{after}")));
    }
    let parsed = texts.into_iter().filter_map(|(name, text)| Some((name, Document::parse(&text).ok()?)));
    parsed.collect()
}

fn counted(findings: &[Finding]) -> BTreeMap<(&'static str, Severity), usize> {
    let mut counts = BTreeMap::new();
    for finding in findings {
        *counts.entry((finding.code, finding.severity)).or_default() += 1;
    }
    counts
}

/// Each fix by itself silences its finding and raises no error or warning of a rule that had nothing to say before. (A
/// note may come: what is mended in one way is worth knowing in another.)
fn each_fix_mends(name: &str, document: &Document, facts: &Facts, faults: &mut Vec<String>) -> usize {
    let before = lint(document, facts, &Allowed::default()).findings;
    let had = counted(&before);
    let mut tried = 0;
    for finding in &before {
        let Some(fix) = &finding.fix else { continue };
        tried += 1;
        let (code, kind) = (finding.code, (finding.code, finding.severity));
        let fixed = match document.apply(&fix.edits) {
            Ok(fixed) => fixed,
            Err(error) => {
                faults.push(format!("{name}: the fix of {code} does not fit: {error}"));
                continue;
            }
        };
        let after = lint(&fixed, facts, &Allowed::default()).findings;
        let has = counted(&after);
        if has.get(&kind).copied().unwrap_or(0) >= had[&kind] {
            faults.push(format!("{name}: {code} is not silenced by `{}`", fix.title));
        }
        let is_new = |new: &&Finding| !before.iter().any(|old| old.code == new.code);
        for new in after.iter().filter(is_new).filter(|new| new.severity != Severity::Note) {
            faults.push(format!("{name}: the fix of {code} raises {}: {}", new.code, new.message));
        }
    }
    tried
}

/// All fixes together: twice changes nothing, and what no fix names stays, in its order.
fn all_fixes_keep_the_rest(name: &str, document: &Document, facts: &Facts, faults: &mut Vec<String>) {
    let marked = with_marks(document);
    for safety in [Safety::Safe, Safety::Unsafe] {
        let once = fix(&marked, facts, &Allowed::default(), safety);
        let twice = fix(&once.document, facts, &Allowed::default(), safety);
        if once.document.text() != twice.document.text() || !twice.applied.is_empty() {
            faults.push(format!("{name}: fixed again by {:?}", twice.applied));
        }
        let kept = |text: &str| text.matches("<!--\u{a7}").count();
        if kept(once.document.text()) != kept(marked.text()) {
            faults.push(format!("{name}: a comment is lost"));
        }
        if marks(once.document.text()) != marks(marked.text()) {
            faults.push(format!("{name}: the order of comments is lost"));
        }
        if once.document.text().matches(UNKNOWN).count() != marked.text().matches(UNKNOWN).count() {
            faults.push(format!("{name}: an unknown element is lost"));
        }
        if once.applied.is_empty() && once.document.text() != marked.text() {
            faults.push(format!("{name}: changed without a fix"));
        }
    }
}

/// Odd in its quotes and blanks.
const UNKNOWN: &str = "<odd:thing xmlns:odd=\"urn:odd\"  a = \"1\" b='\"'></odd:thing >";

/// A numbered comment and an unknown element before each child of the root and of its sections.
fn with_marks(document: &Document) -> Document {
    let sections = document.root().children().flat_map(|section| {
        let inner = ["devices", "os", "features"].contains(&section.name());
        std::iter::once(section).chain(section.children().filter(move |_| inner))
    });
    let edits: Vec<Edit> = sections
        .enumerate()
        .map(|(number, element)| {
            let unknown = if number % 7 == 0 { UNKNOWN } else { "" };
            Edit::insert(element.span().start, format!("<!--\u{a7}{number}-->{unknown}"))
        })
        .collect();
    document.apply(&edits).unwrap()
}

fn marks(text: &str) -> Vec<&str> {
    text.split("<!--\u{a7}").skip(1).filter_map(|rest| rest.split("-->").next()).collect()
}

#[track_caller]
fn check(directory: &Path, at_least: usize) {
    let facts = facts();
    let mut faults = Vec::new();
    let mut tried = 0;
    for (number, (name, text)) in documents(directory).into_iter().enumerate() {
        for (name, document) in variants(number, &name, &text) {
            tried += each_fix_mends(&name, &document, &facts, &mut faults);
            all_fixes_keep_the_rest(&name, &document, &facts, &mut faults);
        }
    }
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
    assert!(tried >= at_least, "only {tried} fixes were tried");
}

#[test]
fn fixes_mend_every_fixture_and_keep_the_rest() {
    check(&Path::new(env!("CARGO_MANIFEST_DIR")).join("test_data"), 30);
}

#[test]
fn fixes_mend_libvirts_domains_and_keep_the_rest() {
    use std::io::Write as _;
    match conformance() {
        Some(data) => check(&data.join("xml-to-argv"), 1000),
        None => writeln!(std::io::stderr(), "conformance not run: LIBVIRT_TEST_DATA is not set").unwrap(),
    }
}
