//! HOST020: the secure processor's firmware is too old for SEV-SNP.

use host::Facts;

use crate::Technology;
use crate::host::mend::REBOOT;
use crate::host::state::processor_has;
use crate::host::{Evidence, HostFinding};
use crate::rule::{Page, Rule, Severity};

/// The first API of the firmware with which the kernel initialises SEV-SNP.
const FIRST: (u8, u8) = (1, 51);

pub(crate) static RULE: Rule = Rule {
    code: "HOST020",
    name: "sev-firmware-too-old",
    severity: Severity::Error,
    allowable: false,
    page: Page {
        what: "A secure processor with SEV-SNP whose firmware's API is older than 1.51.",
        why: "The kernel does not initialise SEV-SNP with such firmware.",
        example: "$ dmesg | grep ccp\nccp 0000:46:00.1: SEV-SNP support requires firmware version >= 1:51",
        fix: "Put AMD's current SEV firmware into `/lib/firmware/amd` (the distribution's package has it), or update \
              BIOS, and reboot.",
        since: "0.1",
        source: "Linux, drivers/crypto/ccp/sev-dev.c, SNP_MIN_API_MINOR; github.com/AMDESE/AMDSEV issue 81.",
    },
};

pub(crate) fn check(facts: &Facts) -> Vec<HostFinding> {
    let Some(platform) = facts.platform.known() else { return Vec::new() };
    let (major, minor) = (platform.api_major, platform.api_minor);
    if (major, minor) >= FIRST
        || processor_has(facts, Technology::SevSnp) == Some(false)
        || facts.simulated.is_some()
    {
        return Vec::new();
    }
    let message = format!(
        "its SEV firmware {major}.{minor} is older than {}.{}, the first with SEV-SNP",
        FIRST.0, FIRST.1
    );
    vec![
        RULE.about(&[Technology::SevSnp], message)
            .evidence([Evidence::new(
                "platform.api_minor",
                "/dev/sev, PLATFORM_STATUS",
                format!("API {major}.{minor}, build {}", platform.build),
            )])
            .help("AMD's current firmware belongs into /lib/firmware/amd")
            .command("ls -l /lib/firmware/amd")
            .command(REBOOT),
    ]
}
