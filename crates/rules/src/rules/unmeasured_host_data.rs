//! FW021: data for the guest that come from the host and are not measured.

use domain::model::sysinfo::{SmbiosMode, Sysinfo};
use domain::{Element, Span};

use crate::finding::{Finding, MOST};
use crate::rule::{Page, Rule, Severity};
use crate::subject::Subject;

pub(crate) static RULE: Rule = Rule {
    code: "FW021",
    name: "unmeasured-host-data",
    severity: Severity::Note,
    allowable: true,
    page: Page {
        what: "A confidential guest that gets SMBIOS tables of the domain's or the host's, or files by `<sysinfo \
               type='fwcfg'>`.",
        why: "No launch measurement covers them: the host can give the guest any others. Guests act on them all the same: \
              cloud-init takes its source of configuration from the system's serial number, systemd takes credentials and \
              Ignition takes its configuration from them.",
        example: "<sysinfo type='fwcfg'>\n  <entry name='opt/com.coreos/config' file='/var/lib/guest/config.ign'/>\n\
                  </sysinfo>",
        fix: "Have the guest take from them only what may be wrong. What it must be able to trust goes onto its encrypted \
              disk or comes as a launch secret; systemd takes no credentials from SMBIOS with \
              `systemd.import_credentials=no` on a measured kernel command line.",
        since: "0.1",
        source: "QEMU, docs/specs/fw_cfg.rst; systemd.system-credentials(7).",
    },
};

pub(crate) fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let Some(technology) = subject.technology() else { return Vec::new() };
    let domain = subject.domain;
    let is_kind = |element: &Element<'_>, kind: &str| {
        element.attribute("type").is_some_and(|written| written.value() == kind)
    };
    let of_kind = |kind: &'static str| {
        let all = subject.document.root().children_named("sysinfo");
        all.filter(move |element| is_kind(element, kind)).map(|element| element.start_tag_span())
    };
    let mode = || subject.element(&["os", "smbios"]).map(|element| element.start_tag_span());
    let tables: Option<Span> = match domain.os.smbios {
        None | Some(SmbiosMode::Emulate) => None,
        Some(SmbiosMode::Host) => mode(),
        Some(SmbiosMode::Sysinfo) => of_kind("smbios").next(),
    };
    let has_files =
        domain.sysinfo.iter().any(|it| matches!(it, Sysinfo::FwCfg(entries) if !entries.is_empty()));
    let files = of_kind("fwcfg").filter(|_| has_files).map(|span| (span, "files"));
    let told = |(span, what)| {
        let message = format!("the host can give this {technology} guest any {what}: these are not measured");
        RULE.finding(span, message).help("the guest should trust nothing that depends on them")
    };
    tables.map(|span| (span, "SMBIOS tables")).into_iter().chain(files).take(MOST).map(told).collect()
}
