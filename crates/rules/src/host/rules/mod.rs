//! The rules about hosts, one file each. To add one: its file, a line here, a line in `table.rs`, a fixture in
//! `test_data/`; the tests of the table say what is still missing.

pub(crate) mod apparmor_denies_sev;
pub(crate) mod asids_exhausted;
pub(crate) mod encryption_off_in_bios;
pub(crate) mod externally_owned_platform;
pub(crate) mod iommu_not_translating;
pub(crate) mod kernel_without_support;
pub(crate) mod kvm_amd_not_loaded;
pub(crate) mod libvirt_permission_bug;
pub(crate) mod libvirt_too_old;
pub(crate) mod locked_memory_limited;
pub(crate) mod lost_at_next_boot;
pub(crate) mod mem_encrypt_missing;
pub(crate) mod no_asids;
pub(crate) mod no_guest_firmware;
pub(crate) mod no_kvm;
pub(crate) mod no_memory_ceiling;
pub(crate) mod no_qemu;
pub(crate) mod no_sev_device;
pub(crate) mod off_on_command_line;
pub(crate) mod platform_not_answering;
pub(crate) mod processor_without_sev;
pub(crate) mod qemu_refuses_sev;
pub(crate) mod qemu_too_old;
pub(crate) mod qemu_without_sev;
pub(crate) mod rmp_not_initialised;
pub(crate) mod selinux_denies_sev;
pub(crate) mod sev_device_closed;
pub(crate) mod sev_es_beside_snp;
pub(crate) mod sev_es_off_in_kernel;
pub(crate) mod sev_firmware_too_old;
pub(crate) mod sev_off_in_kernel;
pub(crate) mod sev_snp_off_in_kernel;
pub(crate) mod simulated_platform;
pub(crate) mod stale_libvirt_cache;
