//! HOST030: no firmware that boots such guests.

use host::{Fact, Facts};

use crate::firmware::{is_uefi, offers};
use crate::host::mend::{OVMF, install};
use crate::host::state::{candidates, shown};
use crate::host::{Evidence, HostFinding};
use crate::rule::{Page, Rule, Severity};

pub(crate) static RULE: Rule = Rule {
    code: "HOST030",
    name: "no-guest-firmware",
    severity: Severity::Error,
    allowable: false,
    page: Page {
        what: "No UEFI firmware on this host that can boot such guests, by the images' own tables and by their \
               descriptors.",
        why: "Encrypted guests boot with UEFI only: OVMF built for 64 bits; SEV-ES wants the reset block in its table, \
              SEV-SNP the metadata sections.",
        example: "$ ls /usr/share/qemu/firmware\n50-seabios.json",
        fix: "Install OVMF. An image elsewhere can be named in `<loader>`, whatever this rule says.",
        since: "0.1",
        source: "libvirt, \"Launch security with AMD SEV\", section \"Boot loader\"; QEMU, docs/interop/firmware.json; \
                 OVMF, OvmfPkg/ResetVector.",
    },
};

pub(crate) fn check(facts: &Facts) -> Vec<HostFinding> {
    if facts.firmware.is_empty() && facts.unsaid.contains("firmware") {
        let evidence = Evidence::new("firmware", "--facts", "nothing is said");
        let technologies = candidates(facts);
        return vec![RULE.unclear(&technologies, "nothing is known of its firmware").evidence([evidence])];
    }
    let mut findings: Vec<HostFinding> = Vec::new();
    let mut without = Vec::new();
    for technology in candidates(facts) {
        let mut fit = facts.firmware.iter().filter(|it| is_uefi(&it.descriptor) && offers(it, technology));
        if fit.clone().any(|loader| loader.image.known().is_some()) {
            continue;
        }
        match fit.find(|loader| matches!(loader.image, Fact::Unreadable { .. })) {
            Some(loader) => {
                let path = loader.descriptor.executable();
                let message = format!("the firmware `{path}` could not be read");
                let evidence = Evidence::new("firmware.image", path, shown(&loader.image));
                findings.push(RULE.unclear(&[technology], message).evidence([evidence]));
            }
            None => without.push(technology),
        }
    }
    if !without.is_empty() {
        let names: Vec<String> = without.iter().map(ToString::to_string).collect();
        let message = format!("no guest firmware here is fit for {}", names.join(", "));
        let found = format!("{} images", facts.firmware.len());
        let finding = RULE.about(&without, message).evidence([Evidence::new(
            "firmware",
            "/usr/share/qemu/firmware, /etc/qemu/firmware",
            found,
        )]);
        findings.push(match install(facts, OVMF) {
            Some(command) => finding.command(command),
            None => finding.help("install OVMF"),
        });
    }
    findings
}
