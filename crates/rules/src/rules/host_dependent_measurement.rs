//! SEV023: a launch measurement that depends on the host's processor.

use domain::model::cpu::CpuMode;

use crate::Technology;
use crate::finding::Finding;
use crate::rule::{Page, Rule, Severity};
use crate::subject::Subject;

pub(crate) static RULE: Rule = Rule {
    code: "SEV023",
    name: "host-dependent-measurement",
    severity: Severity::Note,
    allowable: true,
    page: Page {
        what: "An SEV-ES or SEV-SNP guest whose `<cpu>` is `host-passthrough`, `host-model` or `maximum`.",
        why: "The launch measurement covers the registers in which a vCPU starts, and RDX holds the processor's family, model \
              and stepping. With these modes they are the host's: the guest measures differently on another generation \
              of processors, and its owner must know which one it is.",
        example: "<launchSecurity type='sev-snp'>\n  <policy>0x30000</policy>\n</launchSecurity>\n<cpu \
                  mode='host-passthrough'/>",
        fix: "Name a model, such as `EPYC-Milan`, where the measurement must be the same on all hosts. There is no \
              automatic fix: the guest would see another processor.",
        since: "0.1",
        source: "AMD APM volume 2 §14.1.3, processor state at reset; virtee/sev-snp-measure, vcpu types.",
    },
};

pub(crate) fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let Some(technology @ (Technology::SevEs | Technology::SevSnp)) = subject.technology() else {
        return Vec::new();
    };
    let mode = subject.domain.cpu.as_ref().and_then(|cpu| cpu.mode);
    let Some(mode @ (CpuMode::HostModel | CpuMode::HostPassthrough | CpuMode::Maximum)) = mode else {
        return Vec::new();
    };
    let place = subject.element(&["cpu"]).and_then(|cpu| cpu.attribute("mode"));
    let Some(place) = place else { return Vec::new() };
    let message = format!(
        "with {mode} the launch measurement of this {technology} guest depends on the host's processor"
    );
    vec![
        RULE.finding(place.value_span(), message)
            .help("name a model, such as EPYC-Milan, to have one measurement everywhere"),
    ]
}
