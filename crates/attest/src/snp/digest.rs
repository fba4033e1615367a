//! The launch digest of SEV-SNP: a chain of SHA-384 over one record for each page that is loaded (56860 §8.17).
//!
//! ```text
//! offset  bytes   PAGE_INFO
//!      0     48   digest so far, at first zero
//!     48     48   SHA-384 of a normal or VMSA page; zero for all others
//!     96      2   length of the record, 0x70
//!     98      1   page type
//!     99      1   initial migration image: 0
//!    100      3   permissions of VMPL 3, 2, 1: 0
//!    103      1   zero
//!    104      8   guest-physical address
//! ```
//!
//! QEMU loads the firmware's pages, then the pages its metadata names, in the image's order; KVM then loads the vCPUs'.

use std::collections::BTreeMap;
use std::fmt;

use sha2::{Digest, Sha384};

use crate::bytes::{put, write_hex};
use crate::ovmf::{Area, Firmware, FirmwareError, SnpSection, SnpSectionKind};
use crate::sev::digest::MAX_VCPUS;
use crate::sev::kernel_hashes::{KernelHashes, TABLE_LEN};
use crate::sev::vmsa::{Profile, VcpuSignature, Vcpus};

/// Length of a page in bytes.
pub const PAGE_LEN: usize = 4096;
/// The address that the pages of vCPUs' registers count as having.
pub const VMSA_ADDRESS: u64 = 0xffff_ffff_f000;

const RECORD_LEN: usize = 0x70;
/// Firmware ends at this address.
const FOUR_GIB: u64 = 1 << 32;
/// More memory than any firmware's metadata names; bounds the work on hostile images.
const MAX_SECTION_BYTES: u32 = 16 << 20;

/// The digest of a SNP launch, as the guest's report carries it (`MEASUREMENT`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LaunchDigest([u8; Self::LEN]);

impl LaunchDigest {
    /// Length of a digest in bytes.
    pub const LEN: usize = 48;

    /// The digest with these bytes.
    pub fn new(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    /// The digest's bytes.
    pub fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }
}

impl fmt::Display for LaunchDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.0)
    }
}

/// What a page is loaded as (56860 §8.17).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageType {
    /// Contents that are measured.
    Normal,
    /// The registers of a vCPU.
    Vmsa,
    /// Zeros.
    Zero,
    /// Contents that are not measured.
    Unmeasured,
    /// The secrets page, which the secure processor fills.
    Secrets,
    /// The CPUID page, which the secure processor checks.
    Cpuid,
}

impl PageType {
    /// The type that has this number.
    pub fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            1 => Self::Normal,
            2 => Self::Vmsa,
            3 => Self::Zero,
            4 => Self::Unmeasured,
            5 => Self::Secrets,
            6 => Self::Cpuid,
            _ => return None,
        })
    }

    /// The type's number.
    pub fn code(self) -> u8 {
        match self {
            Self::Normal => 1,
            Self::Vmsa => 2,
            Self::Zero => 3,
            Self::Unmeasured => 4,
            Self::Secrets => 5,
            Self::Cpuid => 6,
        }
    }

    fn is_measured(self) -> bool {
        matches!(self, Self::Normal | Self::Vmsa)
    }
}

/// Computes a launch digest page by page, in the order of SNP_LAUNCH_UPDATE.
#[derive(Clone, Debug)]
pub struct LaunchHasher {
    digest: [u8; 48],
}

impl Default for LaunchHasher {
    fn default() -> Self {
        Self::new()
    }
}

impl LaunchHasher {
    /// A hasher that has seen no page.
    pub fn new() -> Self {
        Self { digest: [0; 48] }
    }

    /// Adds the page at `address`; its contents count for normal and VMSA pages only.
    pub fn update(&mut self, page_type: PageType, address: u64, contents: &[u8; PAGE_LEN]) {
        let contents = if page_type.is_measured() { Sha384::digest(contents).into() } else { [0; 48] };
        self.record(page_type, address, &contents);
    }

    /// Adds a page by the SHA-384 of its contents, which is zero for a page that is not measured.
    fn record(&mut self, page_type: PageType, address: u64, contents: &[u8; 48]) {
        let mut record = [0; RECORD_LEN];
        put(&mut record, 0, &self.digest);
        put(&mut record, 48, contents);
        put(&mut record, 96, &[0x70, 0, page_type.code()]);
        put(&mut record, 104, &address.to_le_bytes());
        self.digest = Sha384::digest(record).into();
    }

    fn unmeasured(&mut self, page_type: PageType, section: &SnpSection) {
        for address in pages(section) {
            self.record(page_type, address, &[0; 48]);
        }
    }

    /// The digest of the pages so far.
    pub fn finish(&self) -> LaunchDigest {
        LaunchDigest(self.digest)
    }
}

/// All that a launch by QEMU loads, from which its digest follows.
#[derive(Clone, Copy, Debug)]
pub struct Contents<'a> {
    /// All bytes of the firmware image.
    pub firmware: &'a [u8],
    /// The kernel's hashes, if QEMU adds them (`kernel-hashes=on`).
    pub kernel_hashes: Option<KernelHashes>,
    /// How many vCPUs there are.
    pub vcpus: u32,
    /// The vCPUs' model.
    pub signature: VcpuSignature,
    /// SEV_FEATURES: [`SNP_ACTIVE`], and what else the host's kernel turns on.
    pub sev_features: u64,
}

/// The SEV_FEATURES of QEMU's guests: SNP and nothing else.
pub const SNP_ACTIVE: u64 = 1;

/// Why there is no launch with these contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ContentsError {
    /// The image's table cannot be read.
    #[error("the firmware image cannot be read")]
    Firmware(#[source] FirmwareError),
    /// The image is not made of pages, or larger than the memory below 4 GiB.
    #[error("a firmware image is a number of pages of 4096 bytes below 4 GiB, not {0} bytes")]
    Length(usize),
    /// The image does not say which pages SNP needs.
    #[error("the firmware image has no SNP metadata, so it does not support SEV-SNP")]
    NoMetadata,
    /// The metadata names pages that are none.
    #[error("the SNP metadata names {size:#x} bytes at {base:#x}, which are no pages")]
    Section {
        /// Where they would start.
        base: u32,
        /// How many bytes they would be.
        size: u32,
    },
    /// The metadata names pages for a purpose this library does not know.
    #[error("the SNP metadata names pages of kind {0:#x}, which is not known")]
    SectionKind(u32),
    /// There is no place for the hashes.
    #[error("the firmware image has no page for kernel hashes: {0}")]
    NoHashTable(Area),
    /// The image does not say where vCPUs start.
    #[error("the firmware image has no SEV-ES reset block")]
    NoResetBlock,
    /// There is no vCPU, or there are too many.
    #[error("a guest has 1 to {MAX_VCPUS} vCPUs, not {0}")]
    VcpuCount(u32),
}

impl Contents<'_> {
    /// The digest that a launch of these contents has.
    pub fn digest(&self) -> Result<LaunchDigest, ContentsError> {
        if self.vcpus == 0 || self.vcpus > MAX_VCPUS {
            return Err(ContentsError::VcpuCount(self.vcpus));
        }
        let firmware = Firmware::parse(self.firmware).map_err(ContentsError::Firmware)?;
        let sections = firmware.snp_sections.as_deref().ok_or(ContentsError::NoMetadata)?;
        let ap_reset_address = firmware.sev_es_reset.ok_or(ContentsError::NoResetBlock)?;

        let mut hasher = LaunchHasher::new();
        self.add_firmware(&mut hasher)?;
        let mut hashes_loaded = false;
        for section in sections {
            hashes_loaded |= self.add_section(&mut hasher, section, firmware.hash_table)?;
        }
        if self.kernel_hashes.is_some() && !hashes_loaded {
            return Err(ContentsError::NoHashTable(firmware.hash_table));
        }
        let vcpus = Vcpus {
            count: self.vcpus,
            signature: self.signature,
            ap_reset_address,
            sev_features: self.sev_features,
            // Every kernel that runs SNP guests fills the floating-point state.
            profile: Profile::Fpu,
        };
        for state in vcpus.states() {
            hasher.update(PageType::Vmsa, VMSA_ADDRESS, state.as_bytes());
        }
        Ok(hasher.finish())
    }

    /// Firmware repeats pages (most are 0xff), so each distinct one is hashed once.
    fn add_firmware(&self, hasher: &mut LaunchHasher) -> Result<(), ContentsError> {
        let len = self.firmware.len();
        let start = u64::try_from(len).ok().and_then(|len| FOUR_GIB.checked_sub(len));
        let (Some(start), true) = (start, len.is_multiple_of(PAGE_LEN)) else {
            return Err(ContentsError::Length(len));
        };
        let mut seen: BTreeMap<&[u8], [u8; 48]> = BTreeMap::new();
        for (address, page) in (start..).step_by(PAGE_LEN).zip(self.firmware.chunks_exact(PAGE_LEN)) {
            let contents = seen.entry(page).or_insert_with(|| Sha384::digest(page).into());
            hasher.record(PageType::Normal, address, contents);
        }
        Ok(())
    }

    /// Adds a section of the metadata; `true` when it took the kernel's hashes.
    fn add_section(
        &self,
        hasher: &mut LaunchHasher,
        section: &SnpSection,
        hash_table: Area,
    ) -> Result<bool, ContentsError> {
        let SnpSection { base, size, kind } = *section;
        let is_pages = |number: u32| u64::from(number).is_multiple_of(PAGE_LEN as u64);
        if !is_pages(base) || !is_pages(size) || size > MAX_SECTION_BYTES {
            return Err(ContentsError::Section { base, size });
        }
        match (kind, &self.kernel_hashes) {
            (SnpSectionKind::KernelHashes, Some(hashes)) => {
                let page = hashes_page(hashes, section, hash_table)?;
                hasher.update(PageType::Normal, u64::from(base), &page);
                return Ok(true);
            }
            (SnpSectionKind::Memory | SnpSectionKind::SvsmCaa | SnpSectionKind::KernelHashes, _) => {
                hasher.unmeasured(PageType::Zero, section);
            }
            (SnpSectionKind::Secrets, _) => hasher.unmeasured(PageType::Secrets, section),
            (SnpSectionKind::Cpuid, _) => hasher.unmeasured(PageType::Cpuid, section),
            (SnpSectionKind::Other(kind), _) => return Err(ContentsError::SectionKind(kind)),
        }
        Ok(false)
    }
}

/// The page of a kernel hashes section: the table where the image's hash table area lies in it, zeros around.
fn hashes_page(
    hashes: &KernelHashes,
    section: &SnpSection,
    hash_table: Area,
) -> Result<[u8; PAGE_LEN], ContentsError> {
    let fault = ContentsError::NoHashTable(hash_table);
    let Area::At { base, .. } = hash_table else { return Err(fault) };
    let offset = base
        .checked_sub(section.base)
        .and_then(|offset| usize::try_from(offset).ok())
        .filter(|offset| offset + TABLE_LEN <= PAGE_LEN && section.size == 0x1000)
        .ok_or(fault)?;
    let mut page = [0; PAGE_LEN];
    put(&mut page, offset, &hashes.table());
    Ok(page)
}

fn pages(section: &SnpSection) -> impl Iterator<Item = u64> {
    let start = u64::from(section.base);
    (start..start + u64::from(section.size)).step_by(PAGE_LEN)
}

#[cfg(test)]
mod tests;
