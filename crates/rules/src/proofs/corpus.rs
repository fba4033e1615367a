//! Every x86 domain among libvirt's own test data is read, kept and judged.
//!
//! `LIBVIRT_TEST_DATA` names the directory that holds `xml-to-argv`.

use std::io::{self, Write as _};
use std::path::Path;

use domain::{Document, Domain};

use crate::fixtures::{facts, read};
use crate::{Allowed, lint};

/// Past the capture of tests' output: whoever reads a log must see whether anything was compared.
fn say(line: &str) {
    io::stderr().write_all(format!("rules: {line}\n").as_bytes()).unwrap();
}

/// Whether libvirt reads the case and makes an x86 guest of it.
fn is_good(cases: &Path, name: &str, text: &str) -> bool {
    let refused = cases.join(format!("{name}.x86_64-latest.err")).exists();
    let x86 =
        text.contains("arch='x86_64'") || text.contains("arch='i686'") || text.contains("arch=\"x86_64\"");
    !refused && (x86 || cases.join(format!("{name}.x86_64-latest.args")).exists())
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the data is elsewhere, if anywhere")]
fn no_domain_of_libvirt_is_called_unreadable() {
    let Some(data) = std::env::var_os("LIBVIRT_TEST_DATA") else {
        say("conformance not run: LIBVIRT_TEST_DATA is not set");
        return;
    };
    let cases = Path::new(&data).join("xml-to-argv");
    let mut names: Vec<String> = std::fs::read_dir(&cases)
        .unwrap()
        .filter_map(|entry| Some(entry.unwrap().file_name().to_str()?.strip_suffix(".xml")?.to_owned()))
        .collect();
    names.sort();
    let (mut judged, mut findings, mut confidential) = (0, 0, 0);
    let mut faults = Vec::new();
    let host = facts("host");
    for name in &names {
        let text = read(&cases.join(format!("{name}.xml")));
        if !is_good(&cases, name, &text) {
            continue;
        }
        judged += 1;
        let document = match Document::parse(&text) {
            Ok(document) => document,
            Err(error) => {
                faults.push(format!("{name}: {} {}", error.position, error.message));
                continue;
            }
        };
        assert_eq!(document.text(), text, "{name} is not kept");
        assert_eq!(document.apply(&[]).unwrap().text(), text, "{name} does not print back");
        confidential += usize::from(Domain::read(&document).0.launch_security.is_some());
        let report = lint(&document, &host, &Allowed::default());
        findings += report.findings.len();
        for finding in report.findings.iter().filter(|finding| matches!(finding.code, "XML001" | "XML002")) {
            let place = document.position(finding.span.start);
            faults.push(format!("{name}: {place} {} {}", finding.code, finding.message));
        }
    }
    say(&format!("{judged} domains of libvirt judged, {confidential} confidential, {findings} findings"));
    assert!(judged > 400, "only {judged} domains");
    assert!(faults.is_empty(), "{} domains are called unreadable:\n{}", faults.len(), faults.join("\n"));
}
