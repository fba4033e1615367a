//! HOST022: all encrypted guests that the host can run at a time are running.

use host::Facts;

use crate::Technology;
use crate::host::state::candidates;
use crate::host::{Evidence, HostFinding, When};
use crate::rule::{Page, Rule, Severity};

pub(crate) static RULE: Rule = Rule {
    code: "HOST022",
    name: "asids-exhausted",
    severity: Severity::Error,
    allowable: false,
    page: Page {
        what: "All address space identifiers (ASIDs) for SEV, or all for SEV-ES and SEV-SNP, are in use.",
        why: "Every encrypted guest has an ASID of its own. A further guest fails with EBUSY.",
        example: "$ grep . /sys/fs/cgroup/misc.c*\n/sys/fs/cgroup/misc.capacity:sev 15\n/sys/fs/cgroup/misc.current:sev 15",
        fix: "End a guest, or move some of the identifiers between SEV and SEV-ES in BIOS setup (“Minimum SEV ASID”).",
        since: "0.1",
        source: "Linux, arch/x86/kvm/svm/sev.c, sev_asid_new; Linux, Documentation/admin-guide/cgroup-v2.rst, Misc.",
    },
};

pub(crate) fn check(facts: &Facts) -> Vec<HostFinding> {
    let Some(asids) = facts.asids.known() else { return Vec::new() };
    let candidates = candidates(facts);
    let mut findings = Vec::new();
    for (count, name, which) in [
        (asids.sev, "SEV", &[Technology::Sev][..]),
        (asids.sev_es, "SEV-ES and SEV-SNP", &[Technology::SevEs, Technology::SevSnp]),
    ] {
        let technologies: Vec<_> = which.iter().copied().filter(|it| candidates.contains(it)).collect();
        if count.capacity == 0 || count.free() > 0 || technologies.is_empty() {
            continue;
        }
        let message = format!("all {} address space identifiers for {name} are in use", count.capacity);
        let value = format!("{} of {}", count.used, count.capacity);
        findings.push(
            RULE.about(&technologies, message)
                .when(When::Now)
                .evidence([Evidence::new("asids", "/sys/fs/cgroup/misc.current", value)])
                .help("end a guest that no longer is needed")
                .command("virsh list"),
        );
    }
    findings
}
