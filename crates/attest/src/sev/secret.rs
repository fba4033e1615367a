//! Secrets on their way into a measured guest: the table OVMF publishes, and the packet that carries it
//! (55766 §6.6).
//!
//! ```text
//! table, in the guest's memory                    packet header
//! offset  bytes                                   offset  bytes
//!      0     16  GUID of the table                     0      4  flags, 0
//!     16      4  length u32 of table and entries       4     16  iv
//!     20         entries: GUID, length u32, bytes     20     32  MAC
//!                zeros up to a multiple of 16
//!
//! packet = AES-128-CTR(TEK, iv, table)
//! MAC    = HMAC-SHA256(TIK, 1 | flags u32 | iv | guest length u32 | packet length u32 | packet | measurement)
//! ```
//!
//! The MAC binds a packet to one measurement: no other guest opens it. Firmware before API 0.17 leaves the
//! measurement out.

use zeroize::Zeroizing;

use super::keys::TransportKeys;
use super::measurement::Measurement;
use super::{ApiVersion, kdf};
use crate::bytes::{all_zero, array_at, put, u32_at};
use crate::guid::Guid;

/// The GUID of the table that OVMF looks for.
pub const TABLE: Guid = Guid::new(0x1e74f542_71dd_4d66_963e_ef4287ff173b);
/// The GUID of a disk's passphrase, as OVMF's GRUB image reads it.
pub const DISK_PASSPHRASE: Guid = Guid::new(0x736869e5_84f0_4973_92ec_06879ce3da0b);

/// The longest payload LAUNCH_SECRET takes, in bytes.
pub const MAX_LEN: usize = 16 * 1024;
/// Payloads are a multiple of this many bytes.
pub const ALIGNMENT: usize = 16;

const TABLE_HEADER_LEN: usize = 20;
const ENTRY_HEADER_LEN: usize = 20;

/// The first API whose secret packets are bound to a measurement.
const FIRST_BOUND: ApiVersion = ApiVersion { major: 0, minor: 17 };

/// One secret.
#[expect(missing_debug_implementations, reason = "a secret must not reach a log")]
pub struct Entry {
    /// What it is for.
    pub guid: Guid,
    /// The secret.
    pub data: Zeroizing<Vec<u8>>,
}

/// Why secrets do not make a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    /// There is none.
    #[error("the table has no entry")]
    Empty,
    /// Two have the same name; the guest would see only one.
    #[error("two entries have the GUID {0}")]
    Duplicate(Guid),
    /// Together they are too long.
    #[error("the table has {len} bytes with its padding, the secure processor takes at most {MAX_LEN}")]
    TooLong {
        /// Length of the table with padding.
        len: usize,
    },
}

/// Builds the table of secrets, padded with zeros to a multiple of 16 bytes.
pub fn table(entries: &[Entry]) -> Result<Zeroizing<Vec<u8>>, TableError> {
    if entries.is_empty() {
        return Err(TableError::Empty);
    }
    for (index, entry) in entries.iter().enumerate() {
        if entries[..index].iter().any(|earlier| earlier.guid == entry.guid) {
            return Err(TableError::Duplicate(entry.guid));
        }
    }
    let contents = |entry: &Entry| entry.data.len().saturating_add(ENTRY_HEADER_LEN);
    let used = entries.iter().map(contents).fold(TABLE_HEADER_LEN, usize::saturating_add);
    let padded = used.checked_next_multiple_of(ALIGNMENT).unwrap_or(used);
    if padded > MAX_LEN {
        return Err(TableError::TooLong { len: padded });
    }
    // The capacity is final: growing would leave copies of secrets behind.
    let mut table = Zeroizing::new(Vec::with_capacity(padded));
    table.extend_from_slice(TABLE.as_bytes());
    table.extend_from_slice(&length(used));
    for entry in entries {
        table.extend_from_slice(entry.guid.as_bytes());
        table.extend_from_slice(&length(contents(entry)));
        table.extend_from_slice(&entry.data);
    }
    table.resize(padded, 0);
    Ok(table)
}

/// Why bytes are not a table of secrets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseTableError {
    /// It does not start with the table's GUID.
    #[error("the bytes do not start with the GUID of a secret table")]
    Header,
    /// A length leads out of the table.
    #[error("the length at byte {at} leads out of the table")]
    Length {
        /// Where it stands.
        at: usize,
    },
    /// There are bytes after the table.
    #[error("the padding is not zero")]
    Padding,
}

/// Reads a table of secrets, with any padding of zeros, as a guest finds it.
pub fn parse_table(bytes: &[u8]) -> Result<Vec<Entry>, ParseTableError> {
    if bytes.len() < TABLE_HEADER_LEN || bytes[..16] != *TABLE.as_bytes() {
        return Err(ParseTableError::Header);
    }
    let (used, padding) = usize::try_from(u32_at(bytes, 16))
        .ok()
        .filter(|len| *len >= TABLE_HEADER_LEN)
        .and_then(|len| bytes.split_at_checked(len))
        .ok_or(ParseTableError::Length { at: 16 })?;
    if !all_zero(padding) {
        return Err(ParseTableError::Padding);
    }
    let mut entries = Vec::new();
    let mut at = TABLE_HEADER_LEN;
    while at < used.len() {
        let rest = &used[at..];
        let entry = rest
            .get(16..ENTRY_HEADER_LEN)
            .and_then(|len| usize::try_from(u32_at(len, 0)).ok())
            .filter(|len| *len >= ENTRY_HEADER_LEN)
            .and_then(|len| rest.get(..len))
            .ok_or(ParseTableError::Length { at: at + 16 })?;
        entries.push(Entry {
            guid: Guid::from_bytes(array_at(entry, 0)),
            data: Zeroizing::new(entry[ENTRY_HEADER_LEN..].to_vec()),
        });
        at += entry.len();
    }
    Ok(entries)
}

/// An encrypted payload and the header that authenticates it, as LAUNCH_SECRET takes them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Flags, iv and MAC.
    pub header: [u8; Self::HEADER_LEN],
    /// The payload, encrypted.
    pub ciphertext: Vec<u8>,
}

/// Why a payload cannot be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a payload has a multiple of {ALIGNMENT} bytes from {ALIGNMENT} to {MAX_LEN}, this has {len}")]
pub struct PayloadLength {
    /// How many bytes it has.
    pub len: usize,
}

/// Why a secure processor refuses a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The header, the packet or the area it goes to has a length the command does not take (INVALID_LENGTH).
    #[error("a header of {header}, a packet of {packet} and an area of {guest} bytes do not fit together")]
    Length {
        /// Length of the header.
        header: usize,
        /// Length of the packet.
        packet: usize,
        /// Length of the guest's area.
        guest: usize,
    },
    /// Flags are set: compressed packets are not supported, the rest is reserved (UNSUPPORTED).
    #[error("flags {0:#x} are not supported")]
    Flags(u32),
    /// It was made for another measurement, with other keys, or was changed (BAD_MEASUREMENT).
    #[error("the packet does not authenticate: it is for another launch or guest, or was changed")]
    Mac,
}

impl Packet {
    /// Length of a header in bytes.
    pub const HEADER_LEN: usize = 52;

    /// The owner's side: encrypts `payload` for the guest that `measurement` was taken of.
    ///
    /// `iv` is drawn by the caller and never used twice with one key. `api` is the secure processor's.
    pub fn seal(
        keys: &TransportKeys,
        api: ApiVersion,
        measurement: &Measurement,
        iv: &[u8; 16],
        payload: &[u8],
    ) -> Result<Self, PayloadLength> {
        let len = payload.len();
        if !is_payload_len(len) {
            return Err(PayloadLength { len });
        }
        let mut ciphertext = payload.to_vec();
        kdf::aes128_ctr(keys.tek.as_bytes(), iv, &mut ciphertext);
        let mac = mac(keys, api, measurement, iv, &ciphertext);
        let mut header = [0; Self::HEADER_LEN];
        put(&mut header, 4, iv);
        put(&mut header, 20, &mac);
        Ok(Self { header, ciphertext })
    }

    /// The secure processor's side: authenticates and decrypts. `guest_len` is the length of the area in the guest's
    /// memory that the payload goes to.
    pub fn open(
        keys: &TransportKeys,
        api: ApiVersion,
        measurement: &Measurement,
        header: &[u8],
        ciphertext: &[u8],
        guest_len: usize,
    ) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        let len = ciphertext.len();
        if header.len() != Self::HEADER_LEN || !is_payload_len(len) || guest_len != len {
            return Err(OpenError::Length { header: header.len(), packet: len, guest: guest_len });
        }
        let flags = u32_at(header, 0);
        if flags != 0 {
            return Err(OpenError::Flags(flags));
        }
        let iv = array_at(header, 4);
        let expected = mac(keys, api, measurement, &iv, ciphertext);
        if !kdf::equal(&expected, &array_at(header, 20)) {
            return Err(OpenError::Mac);
        }
        let mut payload = Zeroizing::new(ciphertext.to_vec());
        kdf::aes128_ctr(keys.tek.as_bytes(), &iv, &mut payload);
        Ok(payload)
    }
}

fn is_payload_len(len: usize) -> bool {
    len > 0 && len <= MAX_LEN && len.is_multiple_of(ALIGNMENT)
}

/// The MAC of a packet without flags whose payload is as long in the guest as on the way.
fn mac(
    keys: &TransportKeys,
    api: ApiVersion,
    measurement: &Measurement,
    iv: &[u8; 16],
    ciphertext: &[u8],
) -> [u8; 32] {
    let len = length(ciphertext.len());
    let bound: &[u8] = if api >= FIRST_BOUND { measurement.mac() } else { &[] };
    kdf::hmac_sha256(keys.tik.as_bytes(), &[&[1], &[0; 4], iv, &len, &len, ciphertext, bound])
}

#[expect(clippy::cast_possible_truncation, reason = "every length was held to MAX_LEN")]
fn length(len: usize) -> [u8; 4] {
    (len as u32).to_le_bytes()
}

#[cfg(test)]
mod tests;
