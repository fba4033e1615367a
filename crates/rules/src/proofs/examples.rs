//! The two full examples of libvirt's page about SEV, on three hosts: all that is found, and nothing else.
//!
//! `test_data/examples/HOST.host.json` is the host; `test_data/examples/DOMAIN.HOST.txt` what is said there.

use domain::{Document, Edit};

use crate::fixtures::{facts, folder};
use crate::{Allowed, Neighbours, Severity, lint};

const Q35: &str = include_str!("../../../../examples/q35.xml");
const I440FX: &str = include_str!("../../../../examples/i440fx.xml");

/// `old`: EPYC 7001, QEMU 5.2, kernel 5.0 in host and guest, libvirt 4.9. `current`: the same processor, QEMU 10.0.2,
/// kernel 6.12, libvirt 11.3. `lab`: the simulated host.
const HOSTS: [&str; 3] = ["old", "current", "lab"];

fn told(text: &str, host: &str) -> String {
    let document = Document::parse(text).unwrap();
    let findings = lint(&document, &facts(&format!("examples/{host}")), &Allowed::default()).findings;
    let line = |finding: &crate::Finding| {
        let place = document.position(finding.span.start);
        format!("{place} {} {}: {}\n", finding.code, finding.severity, finding.message)
    };
    findings.iter().map(line).collect()
}

#[test]
fn the_examples_are_judged_by_the_versions_of_the_host() {
    for host in HOSTS {
        for (name, text) in [("q35", Q35), ("i440fx", I440FX)] {
            let path = folder("test_data/examples").join(format!("{name}.{host}.txt"));
            expect_test::expect_file![path].assert_eq(&told(text, host));
        }
    }
}

/// The example without any `<driver iommu='on'/>`.
fn stripped(text: &str) -> Document {
    let document = Document::parse(text).unwrap();
    let drivers = document
        .root()
        .descendants()
        .filter(|element| element.name() == "driver" && element.attribute("iommu").is_some());
    let edits: Vec<Edit> = drivers.map(Edit::remove_element).collect();
    document.apply(&edits).unwrap()
}

/// What is said of missing `iommu='on'`, with the lines that it is said of.
#[track_caller]
fn check(text: &str, host: &str, severity: Severity, expected: &[&str]) {
    let document = stripped(text);
    let report = lint(&document, &facts(&format!("examples/{host}")), &Allowed::default());
    let lines: Vec<&str> = document.text().lines().collect();
    let found: Vec<&str> = report
        .findings
        .iter()
        .filter(|finding| finding.code == "DEV002")
        .inspect(|finding| assert_eq!(finding.severity, severity))
        .map(|finding| lines[document.position(finding.span.start).line - 1].trim())
        .collect();
    assert_eq!(found, expected, "{host}");
    assert!(report.findings.iter().all(|finding| finding.code != "DEV003"));
}

#[test]
fn what_is_stripped_is_missed_device_by_device() {
    let q35 = [
        "<controller type='virtio-serial' index='0'>",
        "<controller type='scsi' index='0' model='virtio-scsi'>",
        "<interface type='network'>",
        "<memballoon model='virtio'>",
        "<rng model='virtio'>",
    ];
    let i440fx = [
        "<interface type='network'>",
        "<memballoon model='virtio-non-transitional'>",
        "<rng model='virtio-non-transitional'>",
    ];
    for (host, severity) in [("old", Severity::Error), ("current", Severity::Note), ("lab", Severity::Note)] {
        check(Q35, host, severity, &q35);
        check(I440FX, host, severity, &i440fx);
    }
}

#[test]
fn together_they_share_their_variables() {
    let (facts, allowed) = (facts("examples/current"), Allowed::default());
    let mut neighbours = Neighbours::default();
    let mut said = Vec::new();
    for (file, text) in [("q35.xml", Q35), ("i440fx.xml", I440FX)] {
        let document = Document::parse(text).unwrap();
        let mut report = lint(&document, &facts, &allowed);
        neighbours.judge(file, &document, &mut report, &allowed);
        let shared = report.findings.iter().filter(|finding| finding.code == "FW019");
        said.extend(shared.map(|finding| format!("{file}: {}", finding.message)));
    }
    let path = "/var/lib/libvirt/qemu/nvram/sev-dummy_VARS.fd";
    assert_eq!(
        said,
        [format!("i440fx.xml: `{path}` holds the variables of domain `sev-dummy` too (q35.xml)")]
    );
}
