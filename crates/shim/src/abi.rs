//! The kernel's interface as this library needs it: request numbers and structures, at their x86-64 layout.
//!
//! Sources: `include/uapi/linux/kvm.h`, `arch/x86/include/uapi/asm/kvm.h` and `include/uapi/linux/psp-sev.h` of Linux. They are
//! defined here because the headers of the distributions that the lab runs on end before SNP.

use crate::user::Plain;

/// `_IOC(direction, type, number, size)` of `asm-generic/ioctl.h`.
const fn request(direction: u32, kind: u8, number: u8, size: usize) -> u32 {
    assert!(size < 1 << 14, "an ioctl's size has 14 bits");
    #[expect(clippy::cast_possible_truncation, reason = "checked in the line above")]
    let size = size as u32;
    direction << 30 | size << 16 | (kind as u32) << 8 | number as u32
}

const NONE: u32 = 0;
const WRITE: u32 = 1;
const READ_WRITE: u32 = 3;
const KVM: u8 = 0xae;

pub(crate) const SEV_ISSUE_CMD: u32 = request(READ_WRITE, b'S', 0, size_of::<SevIssueCmd>());

pub(crate) const KVM_CREATE_VM: u32 = request(NONE, KVM, 0x01, 0);
pub(crate) const KVM_CHECK_EXTENSION: u32 = request(NONE, KVM, 0x03, 0);
pub(crate) const KVM_CREATE_VCPU: u32 = request(NONE, KVM, 0x41, 0);
pub(crate) const KVM_GET_DIRTY_LOG: u32 = request(WRITE, KVM, 0x42, size_of::<DirtyLog>());
pub(crate) const KVM_SET_USER_MEMORY_REGION: u32 = request(WRITE, KVM, 0x46, size_of::<MemoryRegion>());
pub(crate) const KVM_SET_USER_MEMORY_REGION2: u32 = request(WRITE, KVM, 0x49, size_of::<MemoryRegion2>());
pub(crate) const KVM_RUN: u32 = request(NONE, KVM, 0x80, 0);
pub(crate) const KVM_GET_REGS: u32 = request(2, KVM, 0x81, 18 * 8);
pub(crate) const KVM_GET_SREGS: u32 = request(2, KVM, 0x83, 0x138);
pub(crate) const KVM_SET_MSRS: u32 = request(WRITE, KVM, 0x89, 8);
pub(crate) const KVM_GET_LAPIC: u32 = request(2, KVM, 0x8e, LAPIC_SIZE);
pub(crate) const KVM_SET_LAPIC: u32 = request(WRITE, KVM, 0x8f, LAPIC_SIZE);
pub(crate) const KVM_SET_CPUID2: u32 = request(WRITE, KVM, 0x90, 8);
pub(crate) const KVM_ENABLE_CAP: u32 = request(WRITE, KVM, 0xa3, size_of::<EnableCap>());
pub(crate) const KVM_MEMORY_ENCRYPT_OP: u32 = request(READ_WRITE, KVM, 0xba, 8);
pub(crate) const KVM_MEMORY_ENCRYPT_REG_REGION: u32 = request(2, KVM, 0xbb, size_of::<EncRegion>());
pub(crate) const KVM_MEMORY_ENCRYPT_UNREG_REGION: u32 = request(2, KVM, 0xbc, size_of::<EncRegion>());
pub(crate) const KVM_CLEAR_DIRTY_LOG: u32 = request(READ_WRITE, KVM, 0xc0, size_of::<ClearDirtyLog>());
pub(crate) const KVM_SET_MEMORY_ATTRIBUTES: u32 = request(WRITE, KVM, 0xd2, size_of::<MemoryAttributes>());
pub(crate) const KVM_CREATE_GUEST_MEMFD: u32 = request(READ_WRITE, KVM, 0xd4, size_of::<CreateGuestMemfd>());

/// Extensions for `KVM_CHECK_EXTENSION` and `KVM_ENABLE_CAP`.
pub(crate) const KVM_CAP_NR_MEMSLOTS: usize = 10;
pub(crate) const KVM_CAP_X86_USER_SPACE_MSR: u32 = 188;
pub(crate) const KVM_CAP_USER_MEMORY2: u32 = 231;
pub(crate) const KVM_CAP_MEMORY_ATTRIBUTES: u32 = 233;
pub(crate) const KVM_CAP_GUEST_MEMFD: u32 = 234;
pub(crate) const KVM_CAP_VM_TYPES: u32 = 235;

/// Virtual machine types for `KVM_CREATE_VM`.
pub(crate) const KVM_X86_DEFAULT_VM: usize = 0;
pub(crate) const KVM_X86_SEV_VM: usize = 2;
pub(crate) const KVM_X86_SEV_ES_VM: usize = 3;
pub(crate) const KVM_X86_SNP_VM: usize = 4;

pub(crate) const KVM_MEM_GUEST_MEMFD: u32 = 1 << 2;
pub(crate) const KVM_MEMORY_ATTRIBUTE_PRIVATE: u64 = 1 << 3;
pub(crate) const KVM_MSR_EXIT_REASON_UNKNOWN: u64 = 1 << 1;

pub(crate) const KVM_EXIT_MMIO: u32 = 6;
pub(crate) const KVM_EXIT_X86_RDMSR: u32 = 29;
pub(crate) const KVM_EXIT_X86_WRMSR: u32 = 30;

/// Bytes of `struct kvm_lapic_state`.
pub(crate) const LAPIC_SIZE: usize = 1024;

/// Commands of `SEV_ISSUE_CMD`.
pub(crate) mod platform {
    pub(crate) const FACTORY_RESET: u32 = 0;
    pub(crate) const PLATFORM_STATUS: u32 = 1;
    pub(crate) const PEK_GEN: u32 = 2;
    pub(crate) const PEK_CSR: u32 = 3;
    pub(crate) const PDH_GEN: u32 = 4;
    pub(crate) const PDH_CERT_EXPORT: u32 = 5;
    pub(crate) const PEK_CERT_IMPORT: u32 = 6;
    pub(crate) const GET_ID: u32 = 7;
    pub(crate) const GET_ID2: u32 = 8;
    pub(crate) const SNP_PLATFORM_STATUS: u32 = 9;
}

/// Commands of `KVM_MEMORY_ENCRYPT_OP`.
pub(crate) mod guest {
    pub(crate) const INIT: u32 = 0;
    pub(crate) const ES_INIT: u32 = 1;
    pub(crate) const LAUNCH_START: u32 = 2;
    pub(crate) const LAUNCH_UPDATE_DATA: u32 = 3;
    pub(crate) const LAUNCH_UPDATE_VMSA: u32 = 4;
    pub(crate) const LAUNCH_SECRET: u32 = 5;
    pub(crate) const LAUNCH_MEASURE: u32 = 6;
    pub(crate) const LAUNCH_FINISH: u32 = 7;
    pub(crate) const GUEST_STATUS: u32 = 16;
    pub(crate) const GET_ATTESTATION_REPORT: u32 = 20;
    pub(crate) const INIT2: u32 = 22;
    pub(crate) const SNP_LAUNCH_START: u32 = 100;
    pub(crate) const SNP_LAUNCH_UPDATE: u32 = 101;
    pub(crate) const SNP_LAUNCH_FINISH: u32 = 102;
}

/// Defines structures whose every byte pattern is a value, and checks that their size is the kernel's.
macro_rules! plain {
    ($($(#[$meta:meta])* $(($packing:ident))? struct $name:ident: $size:literal { $($field:ident: $type:ty,)* })*) => {$(
        $(#[$meta])*
        #[derive(Clone, Copy, Default)]
        #[repr(C $(, $packing)?)]
        pub(crate) struct $name { $(pub(crate) $field: $type,)* }
        const _: () = assert!(size_of::<$name>() == $size);
        // SAFETY: the fields are integers and arrays of integers, and their sizes add up to the whole (no padding).
        unsafe impl Plain for $name {}
        const _: () = assert!(0 $(+ size_of::<$type>())* == $size, "no padding");
    )*};
}

plain! {
    /// `struct sev_issue_cmd`
    (packed) struct SevIssueCmd: 16 { command: u32, data: u64, error: u32, }
    /// `struct sev_user_data_status`
    (packed) struct StatusData: 12 { api_major: u8, api_minor: u8, state: u8, flags: u32, build: u8, guest_count: u32, }
    /// `struct sev_user_data_snp_status`; `flags` has `is_rmp_init` in bit 0, `mask` the chip and key masks.
    (packed) struct SnpStatusData: 32 {
        api_major: u8, api_minor: u8, state: u8, flags: u8, build: u32, mask: u32, guest_count: u32,
        current_tcb: u64, reported_tcb: u64,
    }
    /// `struct sev_user_data_pek_csr` and `struct sev_user_data_get_id2`
    (packed) struct BufferData: 12 { address: u64, length: u32, }
    /// `struct sev_user_data_pek_cert_import`
    (packed) struct PekCertImportData: 24 { pek_address: u64, pek_length: u32, oca_address: u64, oca_length: u32, }
    /// `struct sev_user_data_pdh_cert_export`
    (packed) struct PdhCertExportData: 24 { pdh_address: u64, pdh_length: u32, chain_address: u64, chain_length: u32, }
    /// `struct sev_user_data_get_id`: two sockets' identities.
    struct GetIdData: 128 { first: [u64; 8], second: [u64; 8], }

    /// `struct kvm_sev_cmd`
    struct SevCmd: 24 { id: u32, pad: u32, data: u64, error: u32, sev_fd: i32, }
    /// `struct kvm_sev_init`
    struct Init2: 48 { vmsa_features: u64, flags: u32, ghcb_version: u16, pad1: u16, pad2: [u32; 8], }
    /// `struct kvm_sev_launch_start`
    struct LaunchStart: 40 {
        handle: u32, policy: u32, dh_address: u64, dh_length: u32, pad0: u32, session_address: u64, session_length: u32,
        pad1: u32,
    }
    /// `struct kvm_sev_launch_update_data` and `struct kvm_sev_launch_measure`
    struct Buffer: 16 { address: u64, length: u32, pad: u32, }
    /// `struct kvm_sev_launch_secret`
    struct LaunchSecret: 48 {
        header_address: u64, header_length: u32, pad0: u32, guest_address: u64, guest_length: u32, pad1: u32,
        packet_address: u64, packet_length: u32, pad2: u32,
    }
    /// `struct kvm_sev_guest_status`
    struct GuestStatusData: 12 { handle: u32, policy: u32, state: u32, }
    /// `struct kvm_sev_attestation_report`
    struct AttestationReport: 32 { nonce: [u8; 16], address: u64, length: u32, pad: u32, }
    /// `struct kvm_sev_snp_launch_start`
    struct SnpLaunchStart: 64 { policy: u64, gosvw: [u8; 16], flags: u16, pad0: [u8; 6], pad1: [u64; 4], }
    /// `struct kvm_sev_snp_launch_update`
    struct SnpLaunchUpdate: 64 {
        first_frame: u64, address: u64, length: u64, kind: u8, pad0: u8, flags: u16, pad1: u32, pad2: [u64; 4],
    }
    /// `struct kvm_sev_snp_launch_finish`
    struct SnpLaunchFinish: 88 {
        id_block_address: u64, id_auth_address: u64, id_block_enabled: u8, auth_key_enabled: u8, vcek_disabled: u8,
        host_data: [u8; 32], pad0: [u8; 3], flags: u16, pad1: [u64; 4],
    }

    /// `struct kvm_userspace_memory_region`
    struct MemoryRegion: 32 { slot: u32, flags: u32, guest_address: u64, size: u64, host_address: u64, }
    /// `struct kvm_userspace_memory_region2`
    struct MemoryRegion2: 160 {
        region: MemoryRegion, guest_memfd_offset: u64, guest_memfd: u32, pad1: u32, pad2: [u64; 14],
    }
    /// `struct kvm_dirty_log`
    struct DirtyLog: 16 { slot: u32, pad: u32, bitmap: u64, }
    /// `struct kvm_clear_dirty_log`
    struct ClearDirtyLog: 24 { slot: u32, pages: u32, first_page: u64, bitmap: u64, }
    /// `struct kvm_enc_region`
    struct EncRegion: 16 { address: u64, size: u64, }
    /// `struct kvm_memory_attributes`
    struct MemoryAttributes: 32 { address: u64, size: u64, attributes: u64, flags: u64, }
    /// `struct kvm_create_guest_memfd`
    struct CreateGuestMemfd: 64 { size: u64, flags: u64, reserved: [u64; 6], }
    /// `struct kvm_enable_cap`
    struct EnableCap: 104 { cap: u32, flags: u32, args: [u64; 4], pad: [u64; 8], }
    /// `struct kvm_cpuid2` without its entries
    struct CpuidHeader: 8 { count: u32, pad: u32, }
    /// `struct kvm_cpuid_entry2`
    struct CpuidEntry: 40 { function: u32, index: u32, flags: u32, eax: u32, ebx: u32, ecx: u32, edx: u32, pad: [u32; 3], }
}

/// `struct kvm_msrs` with one entry.
#[derive(Clone, Copy, Default)]
#[repr(C)]
pub(crate) struct OneMsr {
    pub(crate) count: u32,
    pub(crate) pad: u32,
    pub(crate) index: u32,
    pub(crate) reserved: u32,
    pub(crate) data: u64,
}
