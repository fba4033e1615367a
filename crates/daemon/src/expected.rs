//! The launch digest that a planned guest must have: read from the files that the platform will be given.
//!
//! Anybody who has the same files computes the same digest; what it covers is said in words, since what it does not
//! cover (a disk, the machine's devices) is what owners get wrong.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use attest::ovmf::{self, Area};
use attest::sev::digest::{Contents, ContentsError, EsVcpus, LaunchDigest};
use attest::sev::kernel_hashes::{FileHasher, KernelHashes};
use attest::sev::vmsa::{Profile, VcpuSignature};
use qemu::Technology;
use qemu::plan::{DirectBoot, LaunchInputs};

/// Larger firmware cannot be mapped below 4 GiB.
const FIRMWARE_LIMIT: u64 = 64 << 20;

/// What a launch must be measured as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    pub digest: LaunchDigest,
    pub firmware: PathBuf,
    /// What the digest covers, item by item.
    pub covers: Vec<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum ExpectedError {
    #[error("read `{path}`")]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the firmware `{path}` is larger than {} MiB", FIRMWARE_LIMIT >> 20)]
    TooLarge { path: PathBuf },
    #[error("the guest has no firmware image of its own")]
    NoFirmware,
    #[error(
        "kernelHashes needs a hash table in the firmware, and `{path}` has {area}: \
         use a firmware that is built for measured direct boot (OVMF's AmdSev)"
    )]
    NoHashTable { path: PathBuf, area: Area },
    #[error(
        "a secret needs a secret area in the firmware, and `{path}` has {area}: use a firmware that has one \
         (OVMF's AmdSev), or give the address with --secret-address"
    )]
    NoSecretArea { path: PathBuf, area: Area },
    #[error("kernelHashes needs a kernel to boot directly")]
    NoKernel,
    #[error(
        "the signature of the CPU model `{model}`, which the digest of a SEV-ES guest covers, is not known"
    )]
    NoSignature { model: String },
    #[error("the digest of a SEV-SNP guest is verified by the guest's own report, not by its launch")]
    Snp,
    #[error("read the tables of the firmware `{path}`")]
    Tables {
        path: PathBuf,
        #[source]
        source: ovmf::FirmwareError,
    },
    #[error("compute the launch digest with the firmware `{path}`")]
    Contents {
        path: PathBuf,
        #[source]
        source: ContentsError,
    },
}

impl ExpectedError {
    /// The file that it is about.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Read { path, .. }
            | Self::TooLarge { path }
            | Self::NoHashTable { path, .. }
            | Self::NoSecretArea { path, .. }
            | Self::Tables { path, .. }
            | Self::Contents { path, .. } => Some(path),
            Self::NoFirmware | Self::NoKernel | Self::NoSignature { .. } | Self::Snp => None,
        }
    }
}

/// Reads the files and computes the digest of a SEV or SEV-ES launch.
pub fn launch_digest(inputs: &LaunchInputs) -> Result<Expected, ExpectedError> {
    let path = inputs.firmware.as_ref().ok_or(ExpectedError::NoFirmware)?;
    let firmware = read_firmware(path)?;
    let mut covers = vec![format!("the firmware image {} ({} bytes)", path.display(), firmware.len())];
    let mut kernel_hashes = None;
    if inputs.kernel_hashes {
        let boot = inputs.boot.as_ref().ok_or(ExpectedError::NoKernel)?;
        kernel_hashes = Some(hashes(boot)?);
        covers.push(format!("the kernel {}", boot.kernel.display()));
        covers.push(match &boot.initrd {
            Some(initrd) => format!("the initial RAM disk {}", initrd.display()),
            None => "that there is no initial RAM disk".into(),
        });
        covers.push(format!("the kernel command line `{}`", boot.cmdline.as_deref().unwrap_or_default()));
    }
    let vcpus = match inputs.technology {
        Technology::Sev => None,
        Technology::SevEs => {
            covers.push(format!(
                "the initial registers of {} vCPUs of model {}",
                inputs.vcpus, inputs.cpu_model
            ));
            let signature = signature(inputs)
                .ok_or_else(|| ExpectedError::NoSignature { model: inputs.cpu_model.clone() })?;
            // QEMU creates SEV-ES guests with KVM_SEV_ES_INIT.
            Some(EsVcpus { count: inputs.vcpus, signature, profile: Profile::Legacy })
        }
        Technology::SevSnp => return Err(ExpectedError::Snp),
    };
    let contents = Contents { firmware: &firmware, kernel_hashes, vcpus };
    let digest = contents.digest().map_err(|source| match source {
        ContentsError::NoHashTable(area) => ExpectedError::NoHashTable { path: path.clone(), area },
        source => ExpectedError::Contents { path: path.clone(), source },
    })?;
    Ok(Expected { digest, firmware: path.clone(), covers })
}

/// Refuses a firmware that has no place for the hashes of a kernel.
pub fn check_hash_table(path: &Path) -> Result<(), ExpectedError> {
    match tables(path)?.hash_table {
        Area::At { .. } => Ok(()),
        area => Err(ExpectedError::NoHashTable { path: path.to_owned(), area }),
    }
}

/// Refuses a firmware that has no place for a secret.
pub fn check_secret_area(path: &Path) -> Result<(), ExpectedError> {
    match tables(path)?.secret_area {
        Area::At { .. } => Ok(()),
        area => Err(ExpectedError::NoSecretArea { path: path.to_owned(), area }),
    }
}

fn tables(path: &Path) -> Result<ovmf::Firmware, ExpectedError> {
    ovmf::Firmware::parse(&read_firmware(path)?)
        .map_err(|source| ExpectedError::Tables { path: path.to_owned(), source })
}

/// The signature of the guest's vCPUs: what QEMU said of their model, else what is known of it.
pub fn signature(inputs: &LaunchInputs) -> Option<VcpuSignature> {
    let asked = inputs.vcpu_signature.and_then(|found| {
        let family = u16::try_from(found.family).ok()?;
        let model = u8::try_from(found.model).ok()?;
        Some(VcpuSignature::new(family, model, u8::try_from(found.stepping).ok()?))
    });
    asked.or_else(|| VcpuSignature::of_qemu_model(&inputs.cpu_model))
}

fn hashes(boot: &DirectBoot) -> Result<KernelHashes, ExpectedError> {
    let hash =
        |path: &Path| hash_file(path).map_err(|source| ExpectedError::Read { path: path.to_owned(), source });
    let kernel = hash(&boot.kernel)?;
    let initrd = boot.initrd.as_deref().map(hash).transpose()?;
    let cmdline = boot.cmdline.as_deref().unwrap_or_default();
    Ok(KernelHashes::of_hashes(kernel, initrd, cmdline.as_bytes()))
}

/// Hashes a kernel or initial RAM disk of any size in pieces.
pub fn hash_file(path: &Path) -> io::Result<[u8; 32]> {
    let mut file = File::open(path)?;
    let mut hasher = FileHasher::new();
    let mut buffer = vec![0u8; 1 << 18];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(hasher.finish()),
            Ok(length) => hasher.update(buffer.get(..length).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn read_firmware(path: &Path) -> Result<Vec<u8>, ExpectedError> {
    let failed = |source| ExpectedError::Read { path: path.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    let length = file.metadata().map_err(failed)?.len();
    let mut bytes = Vec::with_capacity(usize::try_from(length.min(FIRMWARE_LIMIT)).unwrap_or(0));
    file.take(FIRMWARE_LIMIT + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > FIRMWARE_LIMIT {
        return Err(ExpectedError::TooLarge { path: path.to_owned() });
    }
    Ok(bytes)
}
