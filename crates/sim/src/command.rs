//! What can be asked of the firmware, and what it answers. Commands keep AMD's names (55766 and 56860).
//!
//! Guest commands name their guest by the handle that [`Command::GuestInit`] gave, which stands for what the kernel does on
//! `KVM_SEV_INIT`, `KVM_SEV_ES_INIT` and `KVM_SEV_INIT2`: bring the platform up if it is down and reserve an ASID.

#![warn(clippy::disallowed_methods, clippy::disallowed_types)]

pub(crate) mod attestation_report;
pub(crate) mod decommission;
pub(crate) mod factory_reset;
pub(crate) mod get_id2;
pub(crate) mod guest_init;
pub(crate) mod guest_status;
pub(crate) mod init;
pub(crate) mod launch_finish;
pub(crate) mod launch_measure;
pub(crate) mod launch_secret;
pub(crate) mod launch_start;
pub(crate) mod launch_update_data;
pub(crate) mod launch_update_vmsa;
pub(crate) mod pdh_cert_export;
pub(crate) mod pdh_gen;
pub(crate) mod pek_cert_import;
pub(crate) mod pek_csr;
pub(crate) mod pek_gen;
pub(crate) mod platform_status;
pub(crate) mod shutdown;
pub(crate) mod snp_launch_finish;
pub(crate) mod snp_launch_start;
pub(crate) mod snp_launch_update;
pub(crate) mod snp_launch_update_vmsa;
pub(crate) mod snp_platform_status;

use std::fmt;

use attest::sev::vmsa::Vcpus;
pub use attest::snp::digest::PageType;
use zeroize::Zeroizing;

/// A guest's handle, never 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Handle(pub u32);

/// What a guest is protected by; decides which launch flow it may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GuestKind {
    /// Memory is encrypted.
    Sev,
    /// Memory and registers are encrypted.
    SevEs,
    /// Memory and registers are encrypted and memory's integrity is protected.
    SevSnp,
}

/// A command to the platform or to one of its guests.
#[derive(Clone, PartialEq, Eq)]
pub enum Command {
    Init,
    Shutdown,
    PlatformStatus,
    SnpPlatformStatus,
    FactoryReset,
    PekGen,
    PekCsr,
    PekCertImport {
        /// 2084 bytes.
        pek: Vec<u8>,
        /// 2084 bytes.
        oca: Vec<u8>,
    },
    PdhGen,
    PdhCertExport,
    GetId2,
    GuestInit {
        kind: GuestKind,
    },
    LaunchStart {
        guest: Handle,
        policy: u32,
        /// The owner's Diffie-Hellman certificate, 2084 bytes; empty together with `session` for a guest without an owner.
        dh_cert: Vec<u8>,
        /// The session blob, 128 bytes.
        session: Vec<u8>,
    },
    LaunchUpdateData {
        guest: Handle,
        /// What lies in the guest's memory, at most [`crate::wire::MAX_DATA`] bytes, a multiple of 16.
        data: Vec<u8>,
    },
    /// Hardware measures pages that the kernel has filled; no command carries them, so the simulator builds the same bytes
    /// from what the caller tells of the vCPUs.
    LaunchUpdateVmsa {
        guest: Handle,
        /// From 1 to 1024 vCPUs.
        vcpus: Vcpus,
    },
    LaunchMeasure {
        guest: Handle,
    },
    LaunchSecret {
        guest: Handle,
        /// 52 bytes.
        header: Vec<u8>,
        /// The encrypted secret.
        packet: Vec<u8>,
        /// Length of the guest's memory that takes the plaintext, a multiple of 16.
        guest_len: u32,
    },
    LaunchFinish {
        guest: Handle,
    },
    GuestStatus {
        guest: Handle,
    },
    AttestationReport {
        guest: Handle,
        mnonce: [u8; 16],
    },
    SnpLaunchStart {
        guest: Handle,
        policy: u64,
    },
    SnpLaunchUpdate {
        guest: Handle,
        page_type: PageType,
        /// Guest-physical address of the first page.
        gpa: u64,
        /// How many bytes, a multiple of 4096.
        length: u32,
        /// The pages' contents, `length` bytes; empty for [`PageType::Zero`].
        data: Vec<u8>,
    },
    /// The kernel's own `SNP_LAUNCH_UPDATE` of every vCPU's VMSA, which it does at finish.
    SnpLaunchUpdateVmsa {
        guest: Handle,
        vcpus: Vcpus,
    },
    SnpLaunchFinish {
        guest: Handle,
        /// 96 bytes of identity block, or empty.
        id_block: Vec<u8>,
        /// 4096 bytes of identity authentication, or empty.
        id_auth: Vec<u8>,
        /// Whether `id_auth` has an author key, which signs the identity key.
        author_key: bool,
    },
    Decommission {
        guest: Handle,
    },
}

impl Command {
    /// AMD's name for the command.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Init => "INIT",
            Self::Shutdown => "SHUTDOWN",
            Self::PlatformStatus => "PLATFORM_STATUS",
            Self::SnpPlatformStatus => "SNP_PLATFORM_STATUS",
            Self::FactoryReset => "PLATFORM_RESET",
            Self::PekGen => "PEK_GEN",
            Self::PekCsr => "PEK_CSR",
            Self::PekCertImport { .. } => "PEK_CERT_IMPORT",
            Self::PdhGen => "PDH_GEN",
            Self::PdhCertExport => "PDH_CERT_EXPORT",
            Self::GetId2 => "GET_ID",
            Self::GuestInit { .. } => "ACTIVATE",
            Self::LaunchStart { .. } => "LAUNCH_START",
            Self::LaunchUpdateData { .. } => "LAUNCH_UPDATE_DATA",
            Self::LaunchUpdateVmsa { .. } => "LAUNCH_UPDATE_VMSA",
            Self::LaunchMeasure { .. } => "LAUNCH_MEASURE",
            Self::LaunchSecret { .. } => "LAUNCH_SECRET",
            Self::LaunchFinish { .. } => "LAUNCH_FINISH",
            Self::GuestStatus { .. } => "GUEST_STATUS",
            Self::AttestationReport { .. } => "ATTESTATION",
            Self::SnpLaunchStart { .. } => "SNP_LAUNCH_START",
            Self::SnpLaunchUpdate { .. } | Self::SnpLaunchUpdateVmsa { .. } => "SNP_LAUNCH_UPDATE",
            Self::SnpLaunchFinish { .. } => "SNP_LAUNCH_FINISH",
            Self::Decommission { .. } => "DECOMMISSION",
        }
    }

    /// Whether the command changes keys that survive power loss.
    #[must_use]
    pub const fn renews_identity(&self) -> bool {
        matches!(self, Self::FactoryReset | Self::PekGen | Self::PekCertImport { .. } | Self::PdhGen)
    }

    /// The guest that the command is for; nothing for a platform command.
    #[must_use]
    pub const fn guest(&self) -> Option<Handle> {
        match self {
            Self::Init
            | Self::Shutdown
            | Self::PlatformStatus
            | Self::SnpPlatformStatus
            | Self::FactoryReset
            | Self::PekGen
            | Self::PekCsr
            | Self::PekCertImport { .. }
            | Self::PdhGen
            | Self::PdhCertExport
            | Self::GetId2
            | Self::GuestInit { .. } => None,
            Self::LaunchStart { guest, .. }
            | Self::LaunchUpdateData { guest, .. }
            | Self::LaunchUpdateVmsa { guest, .. }
            | Self::LaunchMeasure { guest }
            | Self::LaunchSecret { guest, .. }
            | Self::LaunchFinish { guest }
            | Self::GuestStatus { guest }
            | Self::AttestationReport { guest, .. }
            | Self::SnpLaunchStart { guest, .. }
            | Self::SnpLaunchUpdate { guest, .. }
            | Self::SnpLaunchUpdateVmsa { guest, .. }
            | Self::SnpLaunchFinish { guest, .. }
            | Self::Decommission { guest } => Some(*guest),
        }
    }
}

/// Names the command and its guest, and leaves out what may be secret or large.
impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.guest() {
            Some(Handle(guest)) => write!(f, "{} of guest {guest}", self.name()),
            None => f.write_str(self.name()),
        }
    }
}

/// What a command that succeeded answers.
#[derive(Clone, PartialEq, Eq)]
pub enum Reply {
    /// Nothing but success.
    Done,
    /// To [`Command::GuestInit`].
    Guest(Handle),
    PlatformStatus(PlatformStatus),
    SnpPlatformStatus(SnpPlatformStatus),
    /// To [`Command::PekCsr`]: the PEK without signatures, 2084 bytes.
    Csr(Vec<u8>),
    PdhCertExport {
        /// 2084 bytes.
        pdh: Vec<u8>,
        /// PEK, OCA and CEK, 6252 bytes.
        chain: Vec<u8>,
    },
    /// To [`Command::GetId2`]: 64 bytes for each socket.
    Id(Vec<u8>),
    /// To [`Command::LaunchMeasure`]: 32 bytes of measurement, 16 of nonce.
    Measurement([u8; 48]),
    /// To [`Command::LaunchSecret`]: what is to be written to the guest's memory.
    Secret(Zeroizing<Vec<u8>>),
    GuestStatus(GuestStatus),
    /// To [`Command::AttestationReport`]: 208 bytes.
    Report(Vec<u8>),
    /// To [`Command::SnpLaunchFinish`]: the launch digest, which the simulator tells for its log.
    SnpDigest([u8; 48]),
}

/// Leaves out what may be secret or large.
impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done => f.write_str("Done"),
            Self::Guest(Handle(guest)) => write!(f, "Guest({guest})"),
            Self::PlatformStatus(status) => status.fmt(f),
            Self::SnpPlatformStatus(status) => status.fmt(f),
            Self::Csr(bytes) => write!(f, "Csr({} bytes)", bytes.len()),
            Self::PdhCertExport { pdh, chain } => {
                write!(f, "PdhCertExport({} and {} bytes)", pdh.len(), chain.len())
            }
            Self::Id(bytes) => write!(f, "Id({} bytes)", bytes.len()),
            Self::Measurement(_) => f.write_str("Measurement"),
            Self::Secret(bytes) => write!(f, "Secret({} bytes)", bytes.len()),
            Self::GuestStatus(status) => status.fmt(f),
            Self::Report(bytes) => write!(f, "Report({} bytes)", bytes.len()),
            Self::SnpDigest(_) => f.write_str("SnpDigest"),
        }
    }
}

/// The platform's state (55766 §5.1): ordered by how far up it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum PlatformState {
    Uninit = 0,
    Init = 1,
    Working = 2,
}

/// A guest's state (55766 §6, `GSTATE`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum GuestState {
    Uninit = 0,
    LaunchUpdate = 1,
    LaunchSecret = 2,
    Running = 3,
}

/// Answer to `PLATFORM_STATUS`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlatformStatus {
    pub api_major: u8,
    pub api_minor: u8,
    pub build: u8,
    pub state: PlatformState,
    /// Bit 0: has an external owner. Bit 8: SEV-ES is initialized.
    pub flags: u32,
    pub guest_count: u32,
}

/// Answer to `SNP_PLATFORM_STATUS`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnpPlatformStatus {
    pub api_major: u8,
    pub api_minor: u8,
    pub build: u32,
    pub state: PlatformState,
    /// Whether the reverse map table is initialized.
    pub rmp_initialized: bool,
    pub guest_count: u32,
    /// Version of the running trusted computing base, in the byte order of Milan and Genoa.
    pub current_tcb: u64,
    /// The version that reports carry.
    pub reported_tcb: u64,
}

/// Answer to `GUEST_STATUS`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GuestStatus {
    pub handle: Handle,
    /// The low half of an SNP guest's policy.
    pub policy: u32,
    pub asid: u32,
    pub state: GuestState,
}
