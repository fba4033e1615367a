//! The firmware's error codes: AMD 55766 (SEV) table of status codes, continued by AMD 56860 (SNP).

#![warn(clippy::disallowed_methods, clippy::disallowed_types)]

/// Why the firmware refused a command, with the number it reports.
///
/// Success is not a member: a command that succeeds has a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
#[error("{} (0x{:02x}): {}", self.name(), self.code(), self.meaning())]
#[repr(u32)]
pub enum FirmwareStatus {
    InvalidPlatformState = 0x01,
    InvalidGuestState = 0x02,
    InvalidConfig = 0x03,
    InvalidLength = 0x04,
    AlreadyOwned = 0x05,
    InvalidCertificate = 0x06,
    PolicyFailure = 0x07,
    Inactive = 0x08,
    InvalidAddress = 0x09,
    BadSignature = 0x0a,
    BadMeasurement = 0x0b,
    AsidOwned = 0x0c,
    InvalidAsid = 0x0d,
    WbinvdRequired = 0x0e,
    DfFlushRequired = 0x0f,
    InvalidGuest = 0x10,
    InvalidCommand = 0x11,
    Active = 0x12,
    HwErrorPlatform = 0x13,
    HwErrorUnsafe = 0x14,
    Unsupported = 0x15,
    InvalidParam = 0x16,
    ResourceLimit = 0x17,
    SecureDataInvalid = 0x18,
    InvalidPageSize = 0x19,
    InvalidPageState = 0x1a,
    InvalidMdataEntry = 0x1b,
    InvalidPageOwner = 0x1c,
    AeadOverflow = 0x1d,
    RmpInitRequired = 0x20,
    BadSvn = 0x21,
    BadVersion = 0x22,
    ShutdownRequired = 0x23,
    UpdateFailed = 0x24,
    RestoreRequired = 0x25,
    RmpInitFailed = 0x26,
    InvalidKey = 0x27,
}

impl FirmwareStatus {
    /// Every code, in ascending order.
    pub const ALL: [Self; 37] = [
        Self::InvalidPlatformState,
        Self::InvalidGuestState,
        Self::InvalidConfig,
        Self::InvalidLength,
        Self::AlreadyOwned,
        Self::InvalidCertificate,
        Self::PolicyFailure,
        Self::Inactive,
        Self::InvalidAddress,
        Self::BadSignature,
        Self::BadMeasurement,
        Self::AsidOwned,
        Self::InvalidAsid,
        Self::WbinvdRequired,
        Self::DfFlushRequired,
        Self::InvalidGuest,
        Self::InvalidCommand,
        Self::Active,
        Self::HwErrorPlatform,
        Self::HwErrorUnsafe,
        Self::Unsupported,
        Self::InvalidParam,
        Self::ResourceLimit,
        Self::SecureDataInvalid,
        Self::InvalidPageSize,
        Self::InvalidPageState,
        Self::InvalidMdataEntry,
        Self::InvalidPageOwner,
        Self::AeadOverflow,
        Self::RmpInitRequired,
        Self::BadSvn,
        Self::BadVersion,
        Self::ShutdownRequired,
        Self::UpdateFailed,
        Self::RestoreRequired,
        Self::RmpInitFailed,
        Self::InvalidKey,
    ];

    /// The number that the command's error field carries.
    #[must_use]
    pub const fn code(self) -> u32 {
        self as u32
    }

    /// The code of this number; nothing for 0 (success) and for numbers that the specifications leave open.
    #[must_use]
    pub fn from_code(code: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.code() == code)
    }

    /// AMD's name for the code.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.text().0
    }

    /// What the code means, in a few words.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        self.text().1
    }

    const fn text(self) -> (&'static str, &'static str) {
        match self {
            Self::InvalidPlatformState => {
                ("INVALID_PLATFORM_STATE", "the platform's state does not allow the command")
            }
            Self::InvalidGuestState => {
                ("INVALID_GUEST_STATE", "the guest's state does not allow the command")
            }
            Self::InvalidConfig => ("INVALID_CONFIG", "the platform's configuration is invalid"),
            Self::InvalidLength => ("INVALID_LENGTH", "a buffer has the wrong length"),
            Self::AlreadyOwned => ("ALREADY_OWNED", "the platform has an external owner"),
            Self::InvalidCertificate => {
                ("INVALID_CERTIFICATE", "a certificate is malformed or not the expected one")
            }
            Self::PolicyFailure => ("POLICY_FAILURE", "the guest's policy forbids it"),
            Self::Inactive => ("INACTIVE", "the guest has no address space identifier"),
            Self::InvalidAddress => ("INVALID_ADDRESS", "an address is invalid"),
            Self::BadSignature => ("BAD_SIGNATURE", "a signature does not verify"),
            Self::BadMeasurement => ("BAD_MEASUREMENT", "an integrity code or a digest does not match"),
            Self::AsidOwned => ("ASID_OWNED", "the address space identifier is taken"),
            Self::InvalidAsid => ("INVALID_ASID", "the address space identifier is out of range"),
            Self::WbinvdRequired => ("WBINVD_REQUIRED", "caches must be flushed first"),
            Self::DfFlushRequired => ("DF_FLUSH_REQUIRED", "the data fabric must be flushed first"),
            Self::InvalidGuest => ("INVALID_GUEST", "no guest has this handle"),
            Self::InvalidCommand => ("INVALID_COMMAND", "the command is unknown"),
            Self::Active => ("ACTIVE", "the guest is active"),
            Self::HwErrorPlatform => ("HWERROR_PLATFORM", "a hardware fault that left the platform safe"),
            Self::HwErrorUnsafe => ("HWERROR_UNSAFE", "a hardware fault that made the platform unsafe"),
            Self::Unsupported => ("UNSUPPORTED", "the feature is not supported"),
            Self::InvalidParam => ("INVALID_PARAM", "a parameter is invalid"),
            Self::ResourceLimit => ("RESOURCE_LIMIT", "the firmware has run out of a resource"),
            Self::SecureDataInvalid => ("SECURE_DATA_INVALID", "the stored secure data is invalid"),
            Self::InvalidPageSize => ("INVALID_PAGE_SIZE", "a page has the wrong size"),
            Self::InvalidPageState => ("INVALID_PAGE_STATE", "a page is in the wrong state"),
            Self::InvalidMdataEntry => ("INVALID_MDATA_ENTRY", "a metadata entry is invalid"),
            Self::InvalidPageOwner => ("INVALID_PAGE_OWNER", "a page belongs to another guest"),
            Self::AeadOverflow => ("AEAD_OFLOW", "the sequence number has overflowed"),
            Self::RmpInitRequired => ("RMP_INIT_REQUIRED", "the reverse map table is not initialized"),
            Self::BadSvn => ("BAD_SVN", "the security version number is too low"),
            Self::BadVersion => ("BAD_VERSION", "the version is too low"),
            Self::ShutdownRequired => ("SHUTDOWN_REQUIRED", "the platform must be shut down first"),
            Self::UpdateFailed => ("UPDATE_FAILED", "the firmware update failed"),
            Self::RestoreRequired => ("RESTORE_REQUIRED", "the firmware must be restored first"),
            Self::RmpInitFailed => ("RMP_INIT_FAILED", "the reverse map table could not be initialized"),
            Self::InvalidKey => ("INVALID_KEY", "the requested key is not available"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::FirmwareStatus;

    #[test]
    fn codes_are_ascending_and_come_back() {
        assert!(FirmwareStatus::ALL.is_sorted());
        for status in FirmwareStatus::ALL {
            assert_eq!(FirmwareStatus::from_code(status.code()), Some(status));
        }
        assert_eq!(FirmwareStatus::from_code(0), None);
        assert_eq!(FirmwareStatus::from_code(0x1e), None);
    }

    #[test]
    fn says_name_number_and_meaning() {
        assert_eq!(
            FirmwareStatus::BadMeasurement.to_string(),
            "BAD_MEASUREMENT (0x0b): an integrity code or a digest does not match"
        );
    }
}
