//! Looks at a host, each thing once.

mod access;
mod cpu;
mod firmware;
mod kvm;
mod platform;
mod resources;
mod software;

pub use firmware::firmware_image;
pub use kvm::kvm_vcpus;
pub use platform::platform_status;

use crate::boot;
use crate::facts::{Fact, Facts, KvmAmd};
use crate::root::Root;

/// Left by the lab (or by whoever runs a simulated secure processor) to name it.
const SIMULATED_MARKER: &str = "/run/sevirt/simulated";

/// Gathers everything but this machine's emulators, which only answer when they are started.
#[must_use]
pub fn probe(root: &Root) -> Facts {
    let (platform, snp_platform) = platform::probe(root);
    let (kvm, sev_device) = (access::device(root, "/dev/kvm"), access::device(root, platform::DEVICE));
    Facts {
        cpu: cpu::probe(root),
        kernel_release: kernel_release(root),
        kernel_command_line: root.text("/proc/cmdline").map(|text| text.trim().to_owned()),
        boot: boot::read(root),
        kvm_amd: kvm_amd(root),
        platform,
        snp_platform,
        iommu: root.names("/sys/class/iommu"),
        simulated: root.text(SIMULATED_MARKER).known().map(|text| text.trim().to_owned()),
        memory: resources::memory(root),
        locked_memory: resources::locked_memory(root),
        asids: resources::asids(root),
        cgroup: resources::cgroup(root),
        machine_slice: resources::machine_slice(root),
        qemu_user: access::qemu_user(root, [&kvm, &sev_device]),
        kvm,
        sev_device,
        selinux: access::selinux(root),
        apparmor: access::apparmor(root),
        libvirt: software::libvirt(root),
        guest_kernel: Fact::Absent,
        firmware: firmware::probe(root),
        images: std::collections::BTreeMap::new(),
        emulators: software::emulators(root),
        unsaid: std::collections::BTreeSet::new(),
    }
}

fn kernel_release(root: &Root) -> Fact<String> {
    match root.description().and_then(|description| description.uname.release.clone()) {
        Some(release) => Fact::Known(release),
        None => root.text("/proc/sys/kernel/osrelease").map(|text| text.trim().to_owned()),
    }
}

fn kvm_amd(root: &Root) -> Fact<KvmAmd> {
    const PARAMETERS: &str = "/sys/module/kvm_amd/parameters";
    let parameter = |name: &str| {
        let path = format!("{PARAMETERS}/{name}");
        root.text(&path).and_try(&path, |text| match text.trim() {
            "1" | "Y" | "y" => Ok(true),
            "0" | "N" | "n" => Ok(false),
            other => Err(format!("`{other}` is neither on nor off")),
        })
    };
    root.names(PARAMETERS).and_fact(|_| {
        // One that cannot be read makes the whole unreadable: nobody may take it for a kernel that lacks it.
        parameter("sev").optional().and_fact(|sev| {
            parameter("sev_es").optional().and_fact(|sev_es| {
                parameter("sev_snp").optional().map(|sev_snp| KvmAmd { sev, sev_es, sev_snp })
            })
        })
    })
}
