//! SEV020: system management mode in a guest whose registers are encrypted.

use domain::Edit;

use crate::Technology;
use crate::finding::Finding;
use crate::fix::Fix;
use crate::rule::{Page, Rule, Severity};
use crate::subject::Subject;

pub(crate) static RULE: Rule = Rule {
    code: "SEV020",
    name: "smm-with-encrypted-state",
    severity: Severity::Error,
    allowable: true,
    page: Page {
        what: "`<smm state='on'/>`, or `<loader secure='yes'>`, which needs it, in an SEV-ES or SEV-SNP guest.",
        why: "To enter system management mode the hypervisor saves and changes the guest's registers, which it cannot read \
              there. QEMU refuses the guest: \"SEV-SNP does not support SMM.\", or for SEV-ES, where KVM says that it has \
              none, \"System Management Mode not supported by this hypervisor.\".",
        example: "<features>\n  <smm state='on'/>\n</features>",
        fix: "Write `<smm state='off'/>`, and use firmware that does not need it. `sevirt fix` writes it where only `<smm>` \
              asks; it is a safe fix, because the guest could not start before.",
        since: "0.1",
        source: "QEMU, target/i386/sev.c, sev_snp_kvm_init; Linux, arch/x86/kvm/svm/svm.c, svm_has_emulated_msr, \
                 MSR_IA32_SMBASE.",
    },
};

pub(crate) fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let Some(technology @ (Technology::SevEs | Technology::SevSnp)) = subject.technology() else {
        return Vec::new();
    };
    let smm = subject.element(&["features", "smm"]);
    let asked = subject.domain.features.smm.is_some_and(|smm| smm.state.is_on());
    let loader = subject.element(&["os", "loader"]);
    let secure = subject.domain.os.loader.as_ref().and_then(|loader| loader.secure);
    let secure = loader
        .and_then(|loader| loader.attribute("secure"))
        .filter(|_| secure.is_some_and(domain::model::Switch::is_on));
    let mut findings = Vec::new();
    if let Some(smm) = smm.filter(|_| asked) {
        let message = format!("{technology} guests have no system management mode");
        let finding = RULE.finding(smm.start_tag_span(), message).help("write `<smm state='off'/>`");
        let edit = Edit::set_attribute(smm, "state", "off");
        findings.push(match secure {
            None => finding.fix(Fix::safe("turn system management mode off", vec![edit])),
            Some(_) => finding,
        });
    }
    if let Some(secure) = secure {
        let message =
            format!("a secure loader needs system management mode, which {technology} guests do not have");
        findings.push(
            RULE.finding(secure.span(), message)
                .help("use firmware that does not need SMM, without `secure`"),
        );
    }
    findings
}
