//! The table of rules about hosts, sorted by code: the order in which faults are mended.

use host::Facts;

use crate::rule::Rule;

use super::finding::HostFinding;
use super::rules::{
    apparmor_denies_sev, asids_exhausted, encryption_off_in_bios, externally_owned_platform,
    iommu_not_translating, kernel_without_support, kvm_amd_not_loaded, libvirt_permission_bug,
    libvirt_too_old, locked_memory_limited, lost_at_next_boot, mem_encrypt_missing, no_asids,
    no_guest_firmware, no_kvm, no_memory_ceiling, no_qemu, no_sev_device, off_on_command_line,
    platform_not_answering, processor_without_sev, qemu_refuses_sev, qemu_too_old, qemu_without_sev,
    rmp_not_initialised, selinux_denies_sev, sev_device_closed, sev_es_beside_snp, sev_es_off_in_kernel,
    sev_firmware_too_old, sev_off_in_kernel, sev_snp_off_in_kernel, simulated_platform, stale_libvirt_cache,
};

/// A rule about hosts and how it is checked.
#[derive(Debug)]
pub struct HostEntry {
    pub rule: &'static Rule,
    pub(crate) check: fn(&Facts) -> Vec<HostFinding>,
}

/// Every rule about hosts.
pub static HOST_TABLE: &[HostEntry] = &[
    HostEntry { rule: &processor_without_sev::RULE, check: processor_without_sev::check },
    HostEntry { rule: &encryption_off_in_bios::RULE, check: encryption_off_in_bios::check },
    HostEntry { rule: &kernel_without_support::RULE, check: kernel_without_support::check },
    HostEntry { rule: &no_kvm::RULE, check: no_kvm::check },
    HostEntry { rule: &kvm_amd_not_loaded::RULE, check: kvm_amd_not_loaded::check },
    HostEntry { rule: &off_on_command_line::RULE, check: off_on_command_line::check },
    HostEntry { rule: &sev_off_in_kernel::RULE, check: sev_off_in_kernel::check },
    HostEntry { rule: &sev_es_off_in_kernel::RULE, check: sev_es_off_in_kernel::check },
    HostEntry { rule: &sev_snp_off_in_kernel::RULE, check: sev_snp_off_in_kernel::check },
    HostEntry { rule: &no_asids::RULE, check: no_asids::check },
    HostEntry { rule: &rmp_not_initialised::RULE, check: rmp_not_initialised::check },
    HostEntry { rule: &iommu_not_translating::RULE, check: iommu_not_translating::check },
    HostEntry { rule: &lost_at_next_boot::RULE, check: lost_at_next_boot::check },
    HostEntry { rule: &mem_encrypt_missing::RULE, check: mem_encrypt_missing::check },
    HostEntry { rule: &no_sev_device::RULE, check: no_sev_device::check },
    HostEntry { rule: &sev_device_closed::RULE, check: sev_device_closed::check },
    HostEntry { rule: &selinux_denies_sev::RULE, check: selinux_denies_sev::check },
    HostEntry { rule: &apparmor_denies_sev::RULE, check: apparmor_denies_sev::check },
    HostEntry { rule: &platform_not_answering::RULE, check: platform_not_answering::check },
    HostEntry { rule: &sev_firmware_too_old::RULE, check: sev_firmware_too_old::check },
    HostEntry { rule: &externally_owned_platform::RULE, check: externally_owned_platform::check },
    HostEntry { rule: &asids_exhausted::RULE, check: asids_exhausted::check },
    HostEntry { rule: &no_qemu::RULE, check: no_qemu::check },
    HostEntry { rule: &qemu_too_old::RULE, check: qemu_too_old::check },
    HostEntry { rule: &qemu_without_sev::RULE, check: qemu_without_sev::check },
    HostEntry { rule: &qemu_refuses_sev::RULE, check: qemu_refuses_sev::check },
    HostEntry { rule: &libvirt_too_old::RULE, check: libvirt_too_old::check },
    HostEntry { rule: &libvirt_permission_bug::RULE, check: libvirt_permission_bug::check },
    HostEntry { rule: &stale_libvirt_cache::RULE, check: stale_libvirt_cache::check },
    HostEntry { rule: &no_guest_firmware::RULE, check: no_guest_firmware::check },
    HostEntry { rule: &no_memory_ceiling::RULE, check: no_memory_ceiling::check },
    HostEntry { rule: &locked_memory_limited::RULE, check: locked_memory_limited::check },
    HostEntry { rule: &sev_es_beside_snp::RULE, check: sev_es_beside_snp::check },
    HostEntry { rule: &simulated_platform::RULE, check: simulated_platform::check },
];

#[cfg(test)]
mod tests;
