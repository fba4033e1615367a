//! HOST031: nothing limits how much memory all guests together may lock.

use host::Facts;

use crate::host::state::candidates;
use crate::host::{Evidence, HostFinding};
use crate::rule::{Page, Rule, Severity};

pub(crate) static RULE: Rule = Rule {
    code: "HOST031",
    name: "no-memory-ceiling",
    severity: Severity::Warning,
    allowable: false,
    page: Page {
        what: "A `machine.slice` with neither MemoryHigh nor MemoryMax.",
        why: "Encrypted guests pin their memory, so that it is locked without a limit of its own (`<locked/>`). A \
              malicious QEMU can then lock all memory of the host. A ceiling on the slice in which all guests run \
              stops it there; the guests can still take from each other.",
        example: "$ systemctl show machine.slice --property MemoryMax\nMemoryMax=infinity",
        fix: "`sevirt host limits --apply` sets a ceiling that fits the defined guests; `systemctl set-property \
              machine.slice MemoryMax=…` sets one by hand.",
        since: "0.1",
        source: "libvirt, \"Launch security with AMD SEV\", section \"Memory\".",
    },
};

pub(crate) fn check(facts: &Facts) -> Vec<HostFinding> {
    let technologies = candidates(facts);
    let open = facts
        .machine_slice
        .known()
        .is_some_and(|slice| slice.memory_high.is_none() && slice.memory_max.is_none());
    if !open || technologies.is_empty() {
        return Vec::new();
    }
    let message = "machine.slice has no memory ceiling: one guest could lock all of the host's memory";
    vec![
        RULE.about(&technologies, message)
            .evidence([Evidence::new("machine_slice", "machine.slice", "MemoryHigh and MemoryMax infinite")])
            .command("sevirt host limits --apply"),
    ]
}
