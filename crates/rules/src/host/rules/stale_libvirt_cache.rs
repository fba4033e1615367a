//! HOST029: libvirt remembers answers that no longer hold.

use host::Facts;

use crate::host::state::candidates;
use crate::host::{Evidence, HostFinding};
use crate::rule::{Page, Rule, Severity};

pub(crate) static RULE: Rule = Rule {
    code: "HOST029",
    name: "stale-libvirt-cache",
    severity: Severity::Warning,
    allowable: false,
    page: Page {
        what: "A file in `/var/cache/libvirt/qemu/capabilities` that is older than something that it depends on and \
               that libvirt does not look at.",
        why: "libvirt asks each QEMU once and keeps the answer. Before 6.5.0 it did not notice that SEV was turned on; \
              to this day it does not notice changes of `sev_es` and `sev_snp`, of the SEV firmware, or of the \
              platform's certificates. sevirt's own answers depend on all of these and are never stale.",
        example: "$ virsh domcapabilities | grep '<sev'\n    <sev supported='no'/>",
        fix: "Stop libvirt, remove what it remembers, start it again.",
        since: "0.1",
        source: "libvirt, \"Launch security with AMD SEV\", section \"Checking SEV support in the virt stack\"; libvirt \
                 11.3, src/qemu/qemu_capabilities.c, virQEMUCapsIsValid.",
    },
};

pub(crate) fn check(facts: &Facts) -> Vec<HostFinding> {
    let technologies = candidates(facts);
    let Some(libvirt) = facts.libvirt.known().filter(|_| !technologies.is_empty()) else {
        return Vec::new();
    };
    let stale: Vec<_> = libvirt.caches.iter().filter(|cache| !cache.older_than.is_empty()).collect();
    if stale.is_empty() {
        return Vec::new();
    }
    let mut changed: Vec<&str> =
        stale.iter().flat_map(|cache| &cache.older_than).map(|dependency| dependency.what.as_str()).collect();
    changed.sort_unstable();
    changed.dedup();
    let message = format!("libvirt's remembered answers are older than {}", changed.join(", "));
    let evidence = stale.iter().map(|cache| {
        let newer: Vec<String> =
            cache.older_than.iter().map(|it| format!("{} of {}", it.what, it.changed)).collect();
        let value = format!("written {}, older than {}", cache.modified, newer.join(", "));
        Evidence::new("libvirt.caches", cache.path.display().to_string(), value)
    });
    let mut finding =
        RULE.about(&technologies, message).evidence(evidence).command("systemctl stop libvirtd.service");
    for cache in &stale {
        finding = finding.command(format!("rm -f {}", cache.path.display()));
    }
    vec![finding.command("systemctl start libvirtd.service")]
}
