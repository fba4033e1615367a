//! The shape of what is known about a host. It is serialised as it stands: `sevirt host facts` prints it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::path::PathBuf;

use qemu::firmware::Descriptor;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub use access::{AclEntry, AclTag, AppArmor, Device, Selinux, User};
pub use boot::{Boot, BootLoader, ModuleOptions};
pub use resources::{Asids, Cgroup, CgroupVersion, Count, LockedMemory, Slice};
pub use software::{CapabilityCache, Dependency, Emulator, Libvirt};

mod access;
mod boot;
mod resources;
mod software;

/// One thing that was looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fact<T> {
    Known(T),
    /// It was looked for and is not there.
    #[default]
    Absent,
    /// It could not be looked at.
    Unreadable {
        path: String,
        /// The operating system's error number, 0 where there is none.
        errno: i32,
        why: String,
    },
}

impl<T> Fact<T> {
    /// The value, where it is known.
    pub fn known(&self) -> Option<&T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Absent | Self::Unreadable { .. } => None,
        }
    }

    pub(crate) fn as_ref(&self) -> Fact<&T> {
        match self {
            Self::Known(value) => Fact::Known(value),
            Self::Absent => Fact::Absent,
            Self::Unreadable { path, errno, why } => {
                Fact::Unreadable { path: path.clone(), errno: *errno, why: why.clone() }
            }
        }
    }

    /// What follows from a known value, itself known, absent or unreadable.
    pub(crate) fn and_fact<U>(self, convert: impl FnOnce(T) -> Fact<U>) -> Fact<U> {
        match self {
            Self::Known(value) => convert(value),
            Self::Absent => Fact::Absent,
            Self::Unreadable { path, errno, why } => Fact::Unreadable { path, errno, why },
        }
    }

    pub(crate) fn map<U>(self, convert: impl FnOnce(T) -> U) -> Fact<U> {
        self.and_fact(|value| Fact::Known(convert(value)))
    }

    /// `None` is absent.
    pub(crate) fn and_then<U>(self, convert: impl FnOnce(T) -> Option<U>) -> Fact<U> {
        self.and_fact(|value| Fact::of_option(convert(value)))
    }

    /// What cannot be understood is unreadable, and why.
    pub(crate) fn and_try<U>(self, path: &str, convert: impl FnOnce(T) -> Result<U, String>) -> Fact<U> {
        self.and_fact(|value| match convert(value) {
            Ok(value) => Fact::Known(value),
            Err(why) => Fact::Unreadable { path: path.to_owned(), errno: 0, why },
        })
    }

    /// Absent is a known `None`.
    pub(crate) fn optional(self) -> Fact<Option<T>> {
        match self {
            Self::Absent => Fact::Known(None),
            other => other.map(Some),
        }
    }

    pub(crate) fn of_option(value: Option<T>) -> Self {
        value.map_or(Self::Absent, Self::Known)
    }

    pub(crate) fn of_io(path: &str, result: io::Result<T>) -> Self {
        match result {
            Ok(value) => Self::Known(value),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                Self::Absent
            }
            Err(error) => Self::Unreadable {
                path: path.to_owned(),
                errno: error.raw_os_error().unwrap_or(0),
                why: error.to_string(),
            },
        }
    }
}

impl<T: fmt::Display> fmt::Display for Fact<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Known(value) => value.fmt(f),
            Self::Absent => f.write_str("absent"),
            Self::Unreadable { path, why, .. } => write!(f, "unreadable ({path}: {why})"),
        }
    }
}

/// All that is known about a host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Facts {
    pub cpu: Cpu,
    /// `uname -r`.
    pub kernel_release: Fact<String>,
    pub kernel_command_line: Fact<String>,
    /// What the next boot will do.
    pub boot: Boot,
    /// `/dev/kvm`.
    pub kvm: Fact<Device>,
    /// The parameters of the `kvm_amd` module.
    pub kvm_amd: Fact<KvmAmd>,
    /// `/dev/sev`.
    pub sev_device: Fact<Device>,
    /// What the AMD secure processor said of itself through `/dev/sev`.
    pub platform: Fact<Platform>,
    /// What it said of SEV-SNP; absent where the kernel cannot ask that.
    pub snp_platform: Fact<SnpPlatform>,
    /// IOMMUs that the kernel drives (`/sys/class/iommu`): SEV-SNP needs one.
    pub iommu: Fact<Vec<String>>,
    /// Names the simulator where the secure processor is a simulated one.
    pub simulated: Option<String>,
    /// `MemTotal`, KiB.
    pub memory: Fact<u64>,
    /// Of the process that gathers the facts.
    pub locked_memory: Fact<LockedMemory>,
    /// Encrypted guests that can run, and that do.
    pub asids: Fact<Asids>,
    pub cgroup: Fact<Cgroup>,
    /// `machine.slice`, in which guests run.
    pub machine_slice: Fact<Slice>,
    /// The user that QEMU runs as: the first of `sevirt-qemu`, `libvirt-qemu` and `qemu` that there is.
    pub qemu_user: Fact<User>,
    pub selinux: Fact<Selinux>,
    pub apparmor: Fact<AppArmor>,
    pub libvirt: Fact<Libvirt>,
    /// The release of the kernel that guests run. No host knows that: it is there only where it is assumed.
    pub guest_kernel: Fact<String>,
    /// Firmware images by descriptor, in the order in which descriptors take precedence.
    pub firmware: Vec<Loader>,
    /// Firmware images that a domain names by path. Nothing here is found by looking around: whoever has a domain
    /// to judge adds [`firmware_image`](crate::firmware_image) of its loader.
    pub images: BTreeMap<PathBuf, Fact<FirmwareImage>>,
    /// What each QEMU binary that was asked answered.
    pub emulators: Vec<Emulator>,
    /// The lists that a file of facts did not have ([`Facts::of_json`]): nothing is known of what would be in them.
    #[serde(skip)]
    pub unsaid: BTreeSet<String>,
}

impl Facts {
    /// The host's memory in bytes, where it is known.
    #[must_use]
    pub fn memory_bytes(&self) -> Option<u64> {
        self.memory.known().map(|kib| kib.saturating_mul(1024))
    }

    /// The firmware that `firmware='efi'` chooses from, in order of precedence: for an encrypted guest, only what could
    /// start it. A definition, a start and the rules choose from the same.
    pub fn firmware_for(&self, encrypted: bool) -> impl Iterator<Item = &Loader> {
        self.firmware.iter().filter(move |loader| !encrypted || loader.can_boot_encrypted())
    }

    /// The facts in a text of JSON, whole or in part. Of what has no key there nothing is known, which is not the same
    /// as that it is absent.
    pub fn of_json(text: &str) -> Result<Self, serde_json::Error> {
        // Errors of this reader have a place in the text.
        let _: Self = serde_json::from_str(text)?;
        let mut json: Value = serde_json::from_str(text)?;
        let nothing = serde_json::to_value(Self::default())?;
        let mut unsaid = BTreeSet::new();
        fill(&mut json, &nothing, &mut unsaid);
        Ok(Self { unsaid, ..serde_json::from_value(json)? })
    }

    /// What `sevirt host facts --json` prints: the facts, and the keys that are made of them.
    #[must_use]
    pub fn to_json(&self) -> Value {
        // Nothing in it has keys that are no text, the one thing that cannot be written as JSON.
        let mut json = serde_json::to_value(self).unwrap_or_default();
        if let Some(cpu) = json.get_mut("cpu").and_then(Value::as_object_mut) {
            let generation = self.cpu.generation().into();
            let place = cpu.keys().position(|key| key == "stepping").map_or(0, |place| place + 1);
            cpu.shift_insert(place, "generation".to_owned(), generation);
        }
        json
    }
}

/// Puts what is not known in the place of what is missing; `nothing` has every key, and its facts are absent.
fn fill(json: &mut Value, nothing: &Value, unsaid: &mut BTreeSet<String>) {
    let (Some(json), Some(nothing)) = (json.as_object_mut(), nothing.as_object()) else { return };
    for (key, value) in nothing {
        match value {
            Value::Object(_) => fill(json.entry(key.clone()).or_insert(json!({})), value, unsaid),
            Value::String(_) if !json.contains_key(key) => {
                let why = "the facts that were given do not say";
                json.insert(key.clone(), json!({"unreadable": {"path": key, "errno": 0, "why": why}}));
            }
            Value::Array(_) if !json.contains_key(key) => {
                unsaid.insert(key.clone());
            }
            _ => {}
        }
    }
}

/// The processor.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Cpu {
    /// `AuthenticAMD`, …
    pub vendor: Fact<String>,
    pub family: u32,
    pub model: u32,
    pub stepping: u32,
    /// Those of `sme`, `sev`, `sev_es` and `sev_snp` that the kernel lists among the processor's flags.
    pub kernel_flags: Fact<Vec<String>>,
    /// The microcode's revision.
    pub microcode: Fact<String>,
    pub memory_encryption: Fact<MemoryEncryption>,
}

impl Cpu {
    /// AMD's name of the EPYC generation, by family and model (AMD's processor programming references).
    #[must_use]
    pub fn generation(&self) -> Option<&'static str> {
        Some(match (self.family, self.model) {
            (0x17, 0x00..=0x0f) => "naples",
            (0x17, 0x30..=0x3f) => "rome",
            (0x19, 0x00..=0x0f) => "milan",
            (0x19, 0x10..=0x1f | 0xa0..=0xaf) => "genoa",
            (0x1a, 0x00..=0x1f) => "turin",
            _ => return None,
        })
    }
}

/// CPUID leaf 0x8000001F (APM volume 3, appendix E.4.17).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryEncryption {
    pub sme: bool,
    pub sev: bool,
    pub sev_es: bool,
    pub sev_snp: bool,
    /// The bit of a guest physical address that asks for encryption.
    pub cbitpos: u32,
    /// By how many bits physical addresses shrink when encryption is on.
    pub reduced_phys_bits: u32,
    /// How many guests can be encrypted at the same time.
    pub asids: u32,
    /// The lowest ASID of a guest without encrypted state; those below are for SEV-ES and SEV-SNP.
    pub min_sev_asid: u32,
}

/// `/sys/module/kvm_amd/parameters`; `None` where the kernel has no such parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct KvmAmd {
    pub sev: Option<bool>,
    pub sev_es: Option<bool>,
    pub sev_snp: Option<bool>,
}

/// PLATFORM_STATUS (AMD 55766, §5.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Platform {
    pub api_major: u8,
    pub api_minor: u8,
    pub build: u8,
    pub state: PlatformState,
    /// Whether someone else than the platform itself has signed its PEK.
    pub externally_owned: bool,
    /// Whether the platform was initialised for SEV-ES.
    pub es: bool,
    pub guests: u32,
}

/// States of the platform (AMD 55766, §5.1.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlatformState {
    Uninitialised,
    Initialised,
    Working,
    Unknown(u8),
}

/// SNP_PLATFORM_STATUS (AMD 56860, §8.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnpPlatform {
    pub api_major: u8,
    pub api_minor: u8,
    pub build: u32,
    /// Whether SNP_INIT has been done.
    pub initialised: bool,
    /// Whether the reverse map table is initialised.
    pub rmp_initialised: bool,
    pub guests: u32,
    /// Security versions of the firmware that runs, as the report's CURRENT_TCB.
    pub current_tcb: u64,
    /// Security versions that attestation reports show.
    pub reported_tcb: u64,
}

/// A firmware descriptor and what its image says of itself. An image that stands where distributions put it, but that
/// no descriptor names, has a descriptor made for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loader {
    /// The descriptor's own path; the image's where no descriptor names it.
    pub path: PathBuf,
    pub descriptor: Descriptor,
    pub image: Fact<FirmwareImage>,
}

impl Loader {
    /// Whether no descriptor names the image.
    #[must_use]
    pub fn is_undescribed(&self) -> bool {
        self.path.as_os_str() == self.descriptor.executable()
    }

    /// Whether the image could run in an encrypted guest, as far as can be told.
    #[must_use]
    pub fn can_boot_encrypted(&self) -> bool {
        self.image.known().is_none_or(FirmwareImage::can_set_c_bit)
    }

    /// Whether the descriptor names a feature, or else the image's own tables show it: distributions leave features out.
    #[must_use]
    pub fn offers(&self, feature: &str) -> bool {
        let tables = self.image.known().and_then(|image| image.tables.as_ref().ok());
        self.descriptor.has(feature)
            || tables.is_some_and(|tables| match feature {
                "amd-sev-es" => tables.sev_es_reset.is_some(),
                "amd-sev-snp" => tables.snp_metadata,
                _ => false,
            })
    }
}

/// A firmware image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirmwareImage {
    /// Bytes.
    pub size: u64,
    /// What the image's own GUID table offers to SEV guests, or why that table can not be read.
    pub tables: Result<Tables, String>,
    /// For which mode of the processor its first code was built, bits: 32 or 64; `None` where that can not be told.
    pub code_bits: Option<u8>,
}

impl FirmwareImage {
    /// Whether it could run in an encrypted guest: code of 32 bits has no page tables in which to set the C-bit.
    #[must_use]
    pub fn can_set_c_bit(&self) -> bool {
        self.code_bits != Some(32)
    }
}

/// The entries for SEV guests in the table at the end of a firmware image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tables {
    /// The reset vector of further processors, which SEV-ES needs.
    pub sev_es_reset: Option<u32>,
    /// Where the hashes of kernel, initrd and command line go.
    pub hash_table: Area,
    /// Where a launch secret goes.
    pub secret_area: Area,
    /// Whether there are sections for SEV-SNP.
    pub snp_metadata: bool,
}

/// An area of guest memory that a firmware sets aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Area {
    /// The image has no entry for it.
    Absent,
    /// The image has an entry of base or size 0: it does not use one. Stock builds of OVMF are so.
    Empty,
    /// Guest-physical address and bytes.
    At { base: u32, size: u32 },
}

impl Area {
    #[must_use]
    pub fn is_usable(self) -> bool {
        matches!(self, Self::At { .. })
    }
}
