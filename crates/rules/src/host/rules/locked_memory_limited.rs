//! HOST032: processes may lock less memory than a guest needs.

use host::Facts;

use crate::Technology;
use crate::host::state::candidates;
use crate::host::{Evidence, HostFinding};
use crate::rule::{Page, Rule, Severity};

pub(crate) static RULE: Rule = Rule {
    code: "HOST032",
    name: "locked-memory-limited",
    severity: Severity::Note,
    allowable: false,
    page: Page {
        what: "A hard limit of locked memory (RLIMIT_MEMLOCK) that is less than the host's memory.",
        why: "QEMU pins the memory of SEV and SEV-ES guests, and the kernel counts that as locked. Whoever starts the \
              guest with CAP_SYS_RESOURCE, as a system's daemon does, raises the limit; an ordinary user's guest fails \
              with \"failed to register region … Cannot allocate memory\". SEV-SNP guests are not counted.",
        example: "$ ulimit -H -l\n8192",
        fix: "Start guests by the system's daemon, or raise the limit: LimitMEMLOCK= in the service's unit, `memlock` \
              in /etc/security/limits.d.",
        since: "0.1",
        source: "QEMU, target/i386/sev.c, sev_ram_block_added; Linux, arch/x86/kvm/svm/sev.c, sev_pin_memory.",
    },
};

pub(crate) fn check(facts: &Facts) -> Vec<HostFinding> {
    let mut technologies = candidates(facts);
    technologies.retain(|technology| *technology != Technology::SevSnp);
    let (Some(limits), Some(memory)) = (facts.locked_memory.known(), facts.memory.known()) else {
        return Vec::new();
    };
    let Some(hard) = limits.hard.filter(|hard| hard / 1024 < *memory) else { return Vec::new() };
    if technologies.is_empty() {
        return Vec::new();
    }
    let message = format!("a process may lock {} KiB of memory: less than most guests need", hard / 1024);
    vec![
        RULE.about(&technologies, message)
            .evidence([Evidence::new("locked_memory.hard", "RLIMIT_MEMLOCK", format!("{hard} bytes"))])
            .help("the system's daemon raises the limit of the guests that it starts"),
    ]
}
