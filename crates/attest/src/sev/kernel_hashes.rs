//! The table of hashes with which QEMU binds a directly booted kernel to the measurement (`kernel-hashes=on`).
//!
//! QEMU writes it into the firmware's hash table area and loads it like the firmware itself; the firmware then refuses
//! a kernel, initrd or command line that does not match.
//!
//! ```text
//! offset  bytes
//!      0     18  GUID of the table, length u16 of all but the padding: 168
//!     18     50  GUID of the command line, 50 u16, SHA-256 of its bytes and a final NUL
//!     68     50  GUID of the initrd,       50 u16, SHA-256 of the file, or of nothing without one
//!    118     50  GUID of the kernel,       50 u16, SHA-256 of the file
//!    168      8  zeros
//! ```

use sha2::{Digest, Sha256};

use crate::bytes::put;
use crate::guid::Guid;

/// Length of the table in bytes.
pub const TABLE_LEN: usize = 176;

const TABLE: Guid = Guid::new(0x9438d606_4f22_4cc9_b479_a793d411fd21);
const CMDLINE: Guid = Guid::new(0x97d02dd8_bd20_4c94_aa78_e7714d36ab2a);
const INITRD: Guid = Guid::new(0x44baf731_3a2f_4bd7_9af1_41e29169781d);
const KERNEL: Guid = Guid::new(0x4de79437_abd2_427f_b835_d5b172d2045b);

const HEADER_LEN: usize = 18;
const ENTRY_LEN: usize = 50;
const USED_LEN: usize = HEADER_LEN + 3 * ENTRY_LEN;

/// SHA-256 hashes of what QEMU boots directly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KernelHashes {
    /// Of the kernel file.
    pub kernel: [u8; 32],
    /// Of the initrd file; of nothing when there is none.
    pub initrd: [u8; 32],
    /// Of the command line and its final NUL.
    pub cmdline: [u8; 32],
}

impl KernelHashes {
    /// Hashes the bytes of the files and the command line, which is taken as it is: no space is trimmed, because QEMU
    /// trims none.
    pub fn new(kernel: &[u8], initrd: Option<&[u8]>, cmdline: &[u8]) -> Self {
        let hash = |file| {
            let mut hasher = FileHasher::new();
            hasher.update(file);
            hasher.finish()
        };
        Self::of_hashes(hash(kernel), initrd.map(hash), cmdline)
    }

    /// The same from the files' hashes, for files too large to hold.
    pub fn of_hashes(kernel: [u8; 32], initrd: Option<[u8; 32]>, cmdline: &[u8]) -> Self {
        Self {
            kernel,
            initrd: initrd.unwrap_or_else(|| FileHasher::new().finish()),
            cmdline: Sha256::new().chain_update(cmdline).chain_update([0]).finalize().into(),
        }
    }

    /// The table as QEMU loads it.
    pub fn table(&self) -> [u8; TABLE_LEN] {
        let mut table = [0; TABLE_LEN];
        put_header(&mut table, TABLE, USED_LEN);
        let entries = [(CMDLINE, &self.cmdline), (INITRD, &self.initrd), (KERNEL, &self.kernel)];
        for (entry, (guid, hash)) in table[HEADER_LEN..].chunks_exact_mut(ENTRY_LEN).zip(entries) {
            put_header(entry, guid, ENTRY_LEN);
            put(entry, HEADER_LEN, hash);
        }
        table
    }
}

/// Hashes a kernel or initrd in pieces.
#[derive(Clone, Debug, Default)]
pub struct FileHasher(Sha256);

impl FileHasher {
    /// A hasher that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the file's next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The file's hash.
    pub fn finish(self) -> [u8; 32] {
        self.0.finalize().into()
    }
}

#[expect(clippy::cast_possible_truncation, reason = "both lengths are small constants")]
fn put_header(bytes: &mut [u8], guid: Guid, len: usize) {
    put(bytes, 0, guid.as_bytes());
    put(bytes, 16, &(len as u16).to_le_bytes());
}
