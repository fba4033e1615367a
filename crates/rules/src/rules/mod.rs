//! The rules, one file each. To add one: its file, a line here, a line in `table.rs`, a fixture; the tests of the table
//! say what is still missing.

pub(crate) mod assigned_host_device;
pub(crate) mod emulated_iommu;
pub(crate) mod floppy_drive;
pub(crate) mod host_owned_tpm;
pub(crate) mod legacy_virtio;
pub(crate) mod network_option_rom;
pub(crate) mod non_transitional_for_old_libvirt;
pub(crate) mod rng_without_backend;
pub(crate) mod superfluous_virtio_iommu;
pub(crate) mod virtio_blk_for_old_guest;
pub(crate) mod virtio_without_iommu;
pub(crate) mod virtio_without_non_transitional_model;

pub(crate) mod bios_firmware;
pub(crate) mod firmware_for_another_machine;
pub(crate) mod firmware_in_rom;
pub(crate) mod firmware_needs_smm;
pub(crate) mod firmware_offering_less;
pub(crate) mod firmware_without_sev;
pub(crate) mod i440fx_machine;
pub(crate) mod kernel_hashes_for_old_qemu;
pub(crate) mod kernel_hashes_without_kernel;
pub(crate) mod kernel_hashes_without_table;
pub(crate) mod missing_firmware;
pub(crate) mod no_secret_area;
pub(crate) mod no_suitable_firmware;
pub(crate) mod shared_variables;
pub(crate) mod snp_firmware_in_flash;
pub(crate) mod stateless_with_variables;
pub(crate) mod undescribed_firmware;
pub(crate) mod unmeasured_host_data;
pub(crate) mod unmeasured_kernel;
pub(crate) mod unmeasured_secure_boot;
pub(crate) mod writable_firmware;

pub(crate) mod ballooned_memory;
pub(crate) mod decimal_memory_unit;
pub(crate) mod hard_limit_below_demand;
pub(crate) mod limit_beyond_host;
pub(crate) mod locked_without_ceiling;
pub(crate) mod memory_beyond_host;
pub(crate) mod memory_hotplug;
pub(crate) mod swap_limit;
pub(crate) mod unpinned_memory;

pub(crate) mod encrypted_core_dump;
pub(crate) mod migratable_cpu;
pub(crate) mod reset_of_encrypted_state;
pub(crate) mod snapshot_with_memory;
pub(crate) mod suspend_to_disk;
pub(crate) mod suspend_to_memory;

pub(crate) mod cpu_without_rdrand;
pub(crate) mod debuggable_guest;
pub(crate) mod emulated_confidential_guest;
pub(crate) mod es_beside_snp;
pub(crate) mod half_a_session;
pub(crate) mod half_an_identity;
pub(crate) mod host_dependent_measurement;
pub(crate) mod id_block_for_another_policy;
pub(crate) mod ineffective_author_key;
pub(crate) mod late_vcpus;
pub(crate) mod malformed_session;
pub(crate) mod malformed_snp_blob;
pub(crate) mod missing_policy;
pub(crate) mod not_confidential;
pub(crate) mod policy_for_newer_platform;
pub(crate) mod policy_refused_by_kvm;
pub(crate) mod registers_in_the_clear;
pub(crate) mod reserved_policy_bits;
pub(crate) mod several_launch_securities;
pub(crate) mod shared_keys;
pub(crate) mod smm_with_encrypted_state;
pub(crate) mod smt_forbidden;
pub(crate) mod snp_memory_backing;
pub(crate) mod unavailable_technology;
pub(crate) mod unsupported_launch_security;
pub(crate) mod wrong_c_bit;

pub(crate) mod ill_formed_document;
pub(crate) mod malformed_content;
pub(crate) mod refused_content;
pub(crate) mod unknown_allowance;
pub(crate) mod unmodelled_content;
