//! Looks at the machine, each thing once.

mod cpu;
mod firmware;
mod kvm;
mod platform;

pub use firmware::firmware_image;
pub use kvm::kvm_vcpus;
pub use platform::probe as platform_status;

use crate::facts::{Fact, Facts, KvmAmd};
use crate::root::Root;

/// Left by the lab (or by whoever runs a simulated secure processor) to name it.
const SIMULATED_MARKER: &str = "/run/sevirt/simulated";

/// Gathers everything but the emulators, which only answer when they are started.
#[must_use]
pub fn probe(root: &Root) -> Facts {
    Facts {
        cpu: cpu::probe(root),
        kernel_release: root.text("/proc/sys/kernel/osrelease").map(|text| text.trim().to_owned()),
        kernel_command_line: root.text("/proc/cmdline").map(|text| text.trim().to_owned()),
        kvm: root.device("/dev/kvm"),
        kvm_amd: kvm_amd(root),
        sev_device: root.device("/dev/sev"),
        platform: if root.is_live() { platform::probe() } else { Fact::Absent },
        simulated: root.text(SIMULATED_MARKER).known().map(|text| text.trim().to_owned()),
        memory: memory(root),
        firmware: firmware::probe(root),
        ..Facts::default()
    }
}

fn kvm_amd(root: &Root) -> Fact<KvmAmd> {
    const PARAMETERS: &str = "/sys/module/kvm_amd/parameters";
    let parameter = |name: &str| {
        root.text(&format!("{PARAMETERS}/{name}")).known().map(|text| matches!(text.trim(), "1" | "Y" | "y"))
    };
    root.names(PARAMETERS).map(|_| KvmAmd {
        sev: parameter("sev"),
        sev_es: parameter("sev_es"),
        sev_snp: parameter("sev_snp"),
    })
}

/// `MemTotal` of `/proc/meminfo`, KiB.
fn memory(root: &Root) -> Fact<u64> {
    match root.text("/proc/meminfo") {
        Fact::Known(text) => text
            .lines()
            .find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB")?.parse().ok())
            .map_or(Fact::Absent, Fact::Known),
        other => other.map(|_| 0),
    }
}
