//! What an OVMF firmware image says about itself: the table of GUIDed entries that ends 32 bytes before its end.
//!
//! ```text
//! … | entry | entry | total length u16, GUID of the table | 32 bytes, the reset vector
//!
//! entry = data | length u16 of data and this trailer, 18 more | GUID
//! ```
//!
//! The table is read from its end, as QEMU does; of two entries with one GUID the last counts. An entry may be there
//! and say nothing: distributions ship images whose hash table and secret area are at address 0 and have length 0,
//! which [`Area::Empty`] tells from [`Area::Absent`].

use std::fmt;

use crate::bytes::{array_at, u16_at, u32_at};
use crate::guid::Guid;

const TABLE: Guid = Guid::new(0x96b582de_1fb2_45f7_baea_a366c55a082d);
const SEV_ES_RESET: Guid = Guid::new(0x00f771de_1a7e_4fcb_890e_68c77e2fb44e);
const SECRET_AREA: Guid = Guid::new(0x4c2eb361_7d9b_4cc3_8081_127c90d3d294);
const HASH_TABLE: Guid = Guid::new(0x7255371f_3a3b_4b04_927b_1da6efa8d454);
const SNP_METADATA: Guid = Guid::new(0xdc886566_984a_4798_a75e_5585a7bf67cc);

/// Bytes between the table and the image's end.
const RESET_VECTOR_LEN: usize = 32;
/// Length and GUID of an entry.
const TRAILER_LEN: usize = 18;
const METADATA_HEADER_LEN: usize = 16;
const SECTION_LEN: usize = 12;
/// More sections than any firmware has; bounds the work on hostile images.
const MAX_SECTIONS: u32 = 256;

/// What a firmware image says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Firmware {
    /// Where all vCPUs but the first start under SEV-ES; `None` when the image does not say.
    pub sev_es_reset: Option<u32>,
    /// Where QEMU may put hashes of a directly booted kernel (`kernel-hashes=on`).
    pub hash_table: Area,
    /// Where a secret may be injected.
    pub secret_area: Area,
    /// The pages a SEV-SNP launch has to prepare, in the image's order; `None` when the image does not support SNP.
    pub snp_sections: Option<Vec<SnpSection>>,
}

/// An area of guest memory that the firmware sets aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Area {
    /// The image has no entry for it.
    Absent,
    /// The image has an entry, whose address or length is 0: it does not use one.
    Empty,
    /// The area, in guest-physical addresses.
    At {
        /// Its first byte.
        base: u32,
        /// Its length in bytes.
        size: u32,
    },
}

impl fmt::Display for Area {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("no entry"),
            Self::Empty => f.write_str("an entry with address or length 0"),
            Self::At { base, size } => write!(f, "{size:#x} bytes at {base:#x}"),
        }
    }
}

/// Pages that a SEV-SNP launch prepares before the firmware runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnpSection {
    /// Guest-physical address of the first byte.
    pub base: u32,
    /// Length in bytes.
    pub size: u32,
    /// What the pages are for.
    pub kind: SnpSectionKind,
}

/// What SEV-SNP pages are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnpSectionKind {
    /// Memory the firmware uses before it has validated any.
    Memory,
    /// The secrets page.
    Secrets,
    /// The CPUID page.
    Cpuid,
    /// The calling area of an SVSM.
    SvsmCaa,
    /// The table of kernel hashes.
    KernelHashes,
    /// A kind this library does not know.
    Other(u32),
}

impl SnpSectionKind {
    fn from_code(code: u32) -> Self {
        match code {
            1 => Self::Memory,
            2 => Self::Secrets,
            3 => Self::Cpuid,
            4 => Self::SvsmCaa,
            0x10 => Self::KernelHashes,
            code => Self::Other(code),
        }
    }
}

/// Why an image's table cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FirmwareError {
    /// There is none: not an OVMF image, one without SEV support, a variable store, or a cut-off file.
    #[error("the image does not end in a table of GUIDed entries, so it is no whole OVMF code image")]
    NoTable,
    /// The table's length leads out of the image.
    #[error("the table says it has {len} bytes, which do not fit into the image")]
    TableLength {
        /// The length it states.
        len: u16,
    },
    /// An entry's length leads out of the table.
    #[error("the entry {guid} says it has {len} bytes, which do not fit into the table")]
    EntryLength {
        /// The entry.
        guid: Guid,
        /// The length it states.
        len: u16,
    },
    /// Bytes are left before the first entry.
    #[error("{len} bytes at the start of the table are no entry")]
    Remainder {
        /// How many.
        len: usize,
    },
    /// An entry is shorter than its contents.
    #[error("the entry {guid} has {len} bytes of data, too few for its contents")]
    EntryData {
        /// The entry.
        guid: Guid,
        /// How many bytes of data it has.
        len: usize,
    },
    /// The SNP metadata leads out of the image or is not marked as such.
    #[error("the SNP metadata is not where its entry says, {offset:#x} bytes before the end")]
    Metadata {
        /// Bytes before the image's end.
        offset: u32,
    },
    /// The SNP metadata has a version this library does not know.
    #[error("version {version} of the SNP metadata is not known, only 1 is")]
    MetadataVersion {
        /// The version found.
        version: u32,
    },
}

impl Firmware {
    /// Reads the table of a code image, from all bytes of the file.
    ///
    /// # Examples
    ///
    /// ```
    /// use attest::ovmf::{Firmware, FirmwareError};
    ///
    /// assert_eq!(Firmware::parse(&[0; 4096]), Err(FirmwareError::NoTable));
    /// ```
    pub fn parse(image: &[u8]) -> Result<Self, FirmwareError> {
        let mut firmware = Self {
            sev_es_reset: None,
            hash_table: Area::Absent,
            secret_area: Area::Absent,
            snp_sections: None,
        };
        // From first to last, so that the last entry with a GUID counts.
        for (guid, data) in entries(image)?.into_iter().rev() {
            match guid {
                SEV_ES_RESET => firmware.sev_es_reset = Some(number(guid, data)?),
                HASH_TABLE => firmware.hash_table = area(guid, data)?,
                SECRET_AREA => firmware.secret_area = area(guid, data)?,
                SNP_METADATA => firmware.snp_sections = Some(sections(image, number(guid, data)?)?),
                _ => {}
            }
        }
        Ok(firmware)
    }
}

/// The table's entries, the last first.
fn entries(image: &[u8]) -> Result<Vec<(Guid, &[u8])>, FirmwareError> {
    let end = image.len().checked_sub(RESET_VECTOR_LEN).ok_or(FirmwareError::NoTable)?;
    let (guid, len, rest) = split_trailer(&image[..end]).ok_or(FirmwareError::NoTable)?;
    if guid != TABLE {
        return Err(FirmwareError::NoTable);
    }
    let mut table = usize::from(len)
        .checked_sub(TRAILER_LEN)
        .and_then(|len| rest.len().checked_sub(len))
        .map(|start| &rest[start..])
        .ok_or(FirmwareError::TableLength { len })?;
    let mut entries = Vec::new();
    while let Some((guid, len, rest)) = split_trailer(table) {
        let start = usize::from(len)
            .checked_sub(TRAILER_LEN)
            .and_then(|len| rest.len().checked_sub(len))
            .ok_or(FirmwareError::EntryLength { guid, len })?;
        entries.push((guid, &rest[start..]));
        table = &rest[..start];
    }
    match table.len() {
        0 => Ok(entries),
        len => Err(FirmwareError::Remainder { len }),
    }
}

/// Takes `length u16 | GUID` off the end.
fn split_trailer(bytes: &[u8]) -> Option<(Guid, u16, &[u8])> {
    let start = bytes.len().checked_sub(TRAILER_LEN)?;
    let (rest, trailer) = bytes.split_at(start);
    Some((Guid::from_bytes(array_at(trailer, 2)), u16_at(trailer, 0), rest))
}

fn number(guid: Guid, data: &[u8]) -> Result<u32, FirmwareError> {
    match data.len() {
        4.. => Ok(u32_at(data, 0)),
        len => Err(FirmwareError::EntryData { guid, len }),
    }
}

fn area(guid: Guid, data: &[u8]) -> Result<Area, FirmwareError> {
    match data.len() {
        8.. => Ok(match (u32_at(data, 0), u32_at(data, 4)) {
            (0, _) | (_, 0) => Area::Empty,
            (base, size) => Area::At { base, size },
        }),
        len => Err(FirmwareError::EntryData { guid, len }),
    }
}

/// `"ASEV" | length u32 | version u32 | count u32 | count × { base u32, size u32, kind u32 }`
fn sections(image: &[u8], offset: u32) -> Result<Vec<SnpSection>, FirmwareError> {
    let fault = FirmwareError::Metadata { offset };
    let metadata = usize::try_from(offset)
        .ok()
        .and_then(|offset| image.len().checked_sub(offset))
        .map(|start| &image[start..])
        .filter(|metadata| metadata.len() >= METADATA_HEADER_LEN && metadata[..4] == *b"ASEV")
        .ok_or(fault)?;
    let version = u32_at(metadata, 8);
    if version != 1 {
        return Err(FirmwareError::MetadataVersion { version });
    }
    let count = u32_at(metadata, 12);
    if count > MAX_SECTIONS {
        return Err(fault);
    }
    let sections = usize::try_from(count)
        .ok()
        .and_then(|count| count.checked_mul(SECTION_LEN))
        .and_then(|len| metadata[METADATA_HEADER_LEN..].get(..len))
        .ok_or(fault)?;
    let section = |bytes: &[u8]| SnpSection {
        base: u32_at(bytes, 0),
        size: u32_at(bytes, 4),
        kind: SnpSectionKind::from_code(u32_at(bytes, 8)),
    };
    Ok(sections.chunks_exact(SECTION_LEN).map(section).collect())
}

#[cfg(test)]
mod tests;
