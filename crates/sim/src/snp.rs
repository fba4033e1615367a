//! The launch digest of SNP guests (56860 §8.17): a chain of SHA-384 over one record for each page.
//!
//! ```text
//! offset  bytes   PAGE_INFO
//!      0     48   digest so far, at first zero
//!     48     48   SHA-384 of a NORMAL or VMSA page; zero for all others
//!     96      2   length of the record, 0x70
//!     98      1   page type
//!     99      1   initial migration image: 0
//!    100      3   permissions of VMPL 3, 2, 1: 0
//!    103      1   zero
//!    104      8   guest-physical address
//! ```

#![warn(clippy::disallowed_methods, clippy::disallowed_types)]

use sha2::{Digest, Sha384};

use crate::command::PageType;

/// Bytes of a page.
pub const PAGE_LEN: usize = 4096;
/// Where the pages of vCPUs' registers count as lying.
pub const VMSA_GPA: u64 = 0xffff_ffff_f000;

const RECORD_LEN: u16 = 0x70;

/// Computes the launch digest page by page.
#[derive(Clone, Debug)]
pub struct SnpHasher {
    digest: [u8; 48],
}

impl Default for SnpHasher {
    fn default() -> Self {
        Self { digest: [0; 48] }
    }
}

impl SnpHasher {
    /// Adds one page. `contents` counts for normal and VMSA pages only.
    pub fn update(&mut self, page_type: PageType, gpa: u64, contents: &[u8]) {
        let contents = match page_type {
            PageType::Normal | PageType::Vmsa => Sha384::digest(contents).into(),
            PageType::Zero | PageType::Unmeasured | PageType::Secrets | PageType::Cpuid => [0_u8; 48],
        };
        let mut record = Sha384::new();
        record.update(self.digest);
        record.update(contents);
        record.update(RECORD_LEN.to_le_bytes());
        record.update([page_type as u8, 0, 0, 0, 0, 0]);
        record.update(gpa.to_le_bytes());
        self.digest = record.finalize().into();
    }

    /// The digest of the pages so far.
    #[must_use]
    pub const fn digest(&self) -> &[u8; 48] {
        &self.digest
    }
}
