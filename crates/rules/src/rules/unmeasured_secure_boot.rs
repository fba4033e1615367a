//! FW015: Secure Boot that the host can turn off.

use domain::Span;
use domain::model::Switch;
use domain::model::os::FirmwareFeatureName;

use crate::finding::Finding;
use crate::rule::{Page, Rule, Severity};
use crate::subject::Subject;

pub(crate) static RULE: Rule = Rule {
    code: "FW015",
    name: "unmeasured-secure-boot",
    severity: Severity::Warning,
    allowable: true,
    page: Page {
        what: "A confidential guest that asks for Secure Boot: `<loader secure='yes'>`, or the firmware feature \
               `secure-boot` or `enrolled-keys`.",
        why: "The keys of Secure Boot, and whether it is on, are variables in `<nvram>`: a file of the host, which the launch \
              measurement does not cover. The host can enrol its own keys or turn Secure Boot off, and the measurement \
              stays the same. System management mode, which protects the variables from the guest's own software, does \
              not protect them from the host.",
        example: "<os firmware='efi'>\n  <type arch='x86_64' machine='q35'>hvm</type>\n  <loader secure='yes'/>\n</os>",
        fix: "Have what boots measured: a kernel with `kernelHashes='yes'`, or a stateless firmware that boots only what it \
              holds. There is no automatic fix: the guest may want Secure Boot against other attackers.",
        since: "0.1",
        source: "AMD 55766 §6.3, LAUNCH_UPDATE_DATA: what is measured is what is given to it; QEMU, hw/i386/pc_sysfw.c: that \
                 is the first flash, not the second; OvmfPkg/AmdSev.",
    },
};

pub(crate) fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let (Some(technology), Some(span)) = (subject.technology(), asked(subject)) else { return Vec::new() };
    let message = format!(
        "Secure Boot proves nothing to the owner of an {technology} guest: its keys are the host's file, unmeasured"
    );
    vec![
        RULE.finding(span, message)
            .help("measure what boots: a kernel with kernelHashes, or stateless firmware"),
    ]
}

/// Where Secure Boot is asked for.
fn asked(subject: &Subject<'_>) -> Option<Span> {
    let os = &subject.domain.os;
    if os.loader.as_ref().and_then(|loader| loader.secure) == Some(Switch::On) {
        return Some(subject.element(&["os", "loader"])?.attribute("secure")?.span());
    }
    let wanted = os.firmware_features.iter().find(|feature| {
        matches!(feature.name, FirmwareFeatureName::SecureBoot | FirmwareFeatureName::EnrolledKeys)
            && feature.enabled == Switch::On
    })?;
    let name = wanted.name.to_string();
    let features = subject.element(&["os", "firmware"])?;
    let feature = features
        .children_named("feature")
        .find(|feature| feature.attribute("name").is_some_and(|attribute| attribute.value() == name))?;
    Some(feature.span())
}
