//! The table of rules about domains, sorted by code. A rule that is not here (or in [`HOST_TABLE`]) does not exist.

use crate::finding::Finding;
use crate::host::HOST_TABLE;
use crate::rule::Rule;
use crate::rules::{
    assigned_host_device, ballooned_memory, bios_firmware, cpu_without_rdrand, debuggable_guest,
    decimal_memory_unit, emulated_confidential_guest, emulated_iommu, encrypted_core_dump, es_beside_snp,
    firmware_for_another_machine, firmware_in_rom, firmware_needs_smm, firmware_offering_less,
    firmware_without_sev, floppy_drive, half_a_session, half_an_identity, hard_limit_below_demand,
    host_dependent_measurement, host_owned_tpm, i440fx_machine, id_block_for_another_policy,
    ill_formed_document, ineffective_author_key, kernel_hashes_for_old_qemu, kernel_hashes_without_kernel,
    kernel_hashes_without_table, late_vcpus, legacy_virtio, limit_beyond_host, locked_without_ceiling,
    malformed_content, malformed_session, malformed_snp_blob, memory_beyond_host, memory_hotplug,
    migratable_cpu, missing_firmware, missing_policy, network_option_rom, no_secret_area,
    no_suitable_firmware, non_transitional_for_old_libvirt, not_confidential, policy_for_newer_platform,
    policy_refused_by_kvm, refused_content, registers_in_the_clear, reserved_policy_bits,
    reset_of_encrypted_state, rng_without_backend, several_launch_securities, shared_keys, shared_variables,
    smm_with_encrypted_state, smt_forbidden, snapshot_with_memory, snp_firmware_in_flash, snp_memory_backing,
    stateless_with_variables, superfluous_virtio_iommu, suspend_to_disk, suspend_to_memory, swap_limit,
    unavailable_technology, undescribed_firmware, unknown_allowance, unmeasured_host_data, unmeasured_kernel,
    unmeasured_secure_boot, unmodelled_content, unpinned_memory, unsupported_launch_security,
    virtio_blk_for_old_guest, virtio_without_iommu, virtio_without_non_transitional_model, writable_firmware,
    wrong_c_bit,
};
use crate::subject::Subject;

/// A rule and how it is checked.
#[derive(Debug)]
pub struct Entry {
    pub rule: &'static Rule,
    pub(crate) check: fn(&Subject<'_>) -> Vec<Finding>,
}

/// Every rule.
pub static TABLE: &[Entry] = &[
    Entry { rule: &rng_without_backend::RULE, check: rng_without_backend::check },
    Entry { rule: &virtio_without_iommu::RULE, check: virtio_without_iommu::check },
    Entry { rule: &superfluous_virtio_iommu::RULE, check: superfluous_virtio_iommu::check },
    Entry { rule: &legacy_virtio::RULE, check: legacy_virtio::check },
    Entry { rule: &non_transitional_for_old_libvirt::RULE, check: non_transitional_for_old_libvirt::check },
    Entry {
        rule: &virtio_without_non_transitional_model::RULE,
        check: virtio_without_non_transitional_model::check,
    },
    Entry { rule: &network_option_rom::RULE, check: network_option_rom::check },
    Entry { rule: &virtio_blk_for_old_guest::RULE, check: virtio_blk_for_old_guest::check },
    Entry { rule: &floppy_drive::RULE, check: floppy_drive::check },
    Entry { rule: &assigned_host_device::RULE, check: assigned_host_device::check },
    Entry { rule: &emulated_iommu::RULE, check: emulated_iommu::check },
    Entry { rule: &host_owned_tpm::RULE, check: host_owned_tpm::check },
    Entry { rule: &i440fx_machine::RULE, check: i440fx_machine::check },
    Entry { rule: &bios_firmware::RULE, check: bios_firmware::check },
    Entry { rule: &missing_firmware::RULE, check: missing_firmware::check },
    Entry { rule: &firmware_in_rom::RULE, check: firmware_in_rom::check },
    Entry { rule: &writable_firmware::RULE, check: writable_firmware::check },
    Entry { rule: &snp_firmware_in_flash::RULE, check: snp_firmware_in_flash::check },
    Entry { rule: &firmware_without_sev::RULE, check: firmware_without_sev::check },
    Entry { rule: &no_suitable_firmware::RULE, check: no_suitable_firmware::check },
    Entry { rule: &kernel_hashes_without_table::RULE, check: kernel_hashes_without_table::check },
    Entry { rule: &kernel_hashes_without_kernel::RULE, check: kernel_hashes_without_kernel::check },
    Entry { rule: &firmware_needs_smm::RULE, check: firmware_needs_smm::check },
    Entry { rule: &firmware_for_another_machine::RULE, check: firmware_for_another_machine::check },
    Entry { rule: &unmeasured_kernel::RULE, check: unmeasured_kernel::check },
    Entry { rule: &kernel_hashes_for_old_qemu::RULE, check: kernel_hashes_for_old_qemu::check },
    Entry { rule: &unmeasured_secure_boot::RULE, check: unmeasured_secure_boot::check },
    Entry { rule: &no_secret_area::RULE, check: no_secret_area::check },
    Entry { rule: &stateless_with_variables::RULE, check: stateless_with_variables::check },
    Entry { rule: &firmware_offering_less::RULE, check: firmware_offering_less::check },
    Entry { rule: &shared_variables::RULE, check: shared_variables::check },
    Entry { rule: &undescribed_firmware::RULE, check: undescribed_firmware::check },
    Entry { rule: &unmeasured_host_data::RULE, check: unmeasured_host_data::check },
    Entry { rule: &unpinned_memory::RULE, check: unpinned_memory::check },
    Entry { rule: &hard_limit_below_demand::RULE, check: hard_limit_below_demand::check },
    Entry { rule: &locked_without_ceiling::RULE, check: locked_without_ceiling::check },
    Entry { rule: &limit_beyond_host::RULE, check: limit_beyond_host::check },
    Entry { rule: &memory_beyond_host::RULE, check: memory_beyond_host::check },
    Entry { rule: &swap_limit::RULE, check: swap_limit::check },
    Entry { rule: &ballooned_memory::RULE, check: ballooned_memory::check },
    Entry { rule: &memory_hotplug::RULE, check: memory_hotplug::check },
    Entry { rule: &decimal_memory_unit::RULE, check: decimal_memory_unit::check },
    Entry { rule: &suspend_to_disk::RULE, check: suspend_to_disk::check },
    Entry { rule: &suspend_to_memory::RULE, check: suspend_to_memory::check },
    Entry { rule: &encrypted_core_dump::RULE, check: encrypted_core_dump::check },
    Entry { rule: &reset_of_encrypted_state::RULE, check: reset_of_encrypted_state::check },
    Entry { rule: &snapshot_with_memory::RULE, check: snapshot_with_memory::check },
    Entry { rule: &migratable_cpu::RULE, check: migratable_cpu::check },
    Entry { rule: &not_confidential::RULE, check: not_confidential::check },
    Entry { rule: &unsupported_launch_security::RULE, check: unsupported_launch_security::check },
    Entry { rule: &unavailable_technology::RULE, check: unavailable_technology::check },
    Entry { rule: &wrong_c_bit::RULE, check: wrong_c_bit::check },
    Entry { rule: &missing_policy::RULE, check: missing_policy::check },
    Entry { rule: &reserved_policy_bits::RULE, check: reserved_policy_bits::check },
    Entry { rule: &debuggable_guest::RULE, check: debuggable_guest::check },
    Entry { rule: &shared_keys::RULE, check: shared_keys::check },
    Entry { rule: &policy_for_newer_platform::RULE, check: policy_for_newer_platform::check },
    Entry { rule: &emulated_confidential_guest::RULE, check: emulated_confidential_guest::check },
    Entry { rule: &cpu_without_rdrand::RULE, check: cpu_without_rdrand::check },
    Entry { rule: &several_launch_securities::RULE, check: several_launch_securities::check },
    Entry { rule: &malformed_session::RULE, check: malformed_session::check },
    Entry { rule: &half_a_session::RULE, check: half_a_session::check },
    Entry { rule: &malformed_snp_blob::RULE, check: malformed_snp_blob::check },
    Entry { rule: &half_an_identity::RULE, check: half_an_identity::check },
    Entry { rule: &ineffective_author_key::RULE, check: ineffective_author_key::check },
    Entry { rule: &id_block_for_another_policy::RULE, check: id_block_for_another_policy::check },
    Entry { rule: &policy_refused_by_kvm::RULE, check: policy_refused_by_kvm::check },
    Entry { rule: &smm_with_encrypted_state::RULE, check: smm_with_encrypted_state::check },
    Entry { rule: &snp_memory_backing::RULE, check: snp_memory_backing::check },
    Entry { rule: &late_vcpus::RULE, check: late_vcpus::check },
    Entry { rule: &host_dependent_measurement::RULE, check: host_dependent_measurement::check },
    Entry { rule: &es_beside_snp::RULE, check: es_beside_snp::check },
    Entry { rule: &smt_forbidden::RULE, check: smt_forbidden::check },
    Entry { rule: &registers_in_the_clear::RULE, check: registers_in_the_clear::check },
    Entry { rule: &ill_formed_document::RULE, check: ill_formed_document::check },
    Entry { rule: &malformed_content::RULE, check: malformed_content::check },
    Entry { rule: &unmodelled_content::RULE, check: unmodelled_content::check },
    Entry { rule: &unknown_allowance::RULE, check: unknown_allowance::check },
    Entry { rule: &refused_content::RULE, check: refused_content::check },
];

/// Every rule, about domains and about hosts, sorted by code.
pub fn all() -> Vec<&'static Rule> {
    let hosts = HOST_TABLE.iter().map(|entry| entry.rule);
    let mut rules: Vec<_> = TABLE.iter().map(|entry| entry.rule).chain(hosts).collect();
    rules.sort_by_key(|rule| rule.code);
    rules
}

/// The rule of that code (in any case) or name.
pub fn rule(word: &str) -> Option<&'static Rule> {
    all().into_iter().find(|rule| rule.code.eq_ignore_ascii_case(word) || rule.name == word)
}

#[cfg(test)]
mod tests;
