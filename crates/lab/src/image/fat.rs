//! Reads one file from a FAT32 file system that somebody else wrote (Microsoft's FAT specification, version 1.03).
//!
//! Nothing there is taken on trust: every offset is held to the partition, every chain of clusters to a length, so that any
//! bytes at all end in a file's contents or an error.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

/// A name as directories store it: eight bytes and three, padded with spaces.
pub(super) type ShortName = [u8; 11];

/// No directory that matters is longer, in bytes.
const MAX_DIRECTORY: u64 = 1 << 20;
const ENTRY_LEN: usize = 32;
const ATTRIBUTE_VOLUME: u8 = 0x08;
const ATTRIBUTE_DIRECTORY: u8 = 0x10;

/// A file system within a partition. All places are bytes from the start of the partition.
#[derive(Debug)]
pub(super) struct Fat32<'f> {
    file: &'f File,
    start: u64,
    length: u64,
    cluster_len: u64,
    table: u64,
    data: u64,
    root: u32,
}

/// A directory's entry.
struct Entry {
    attributes: u8,
    first_cluster: u32,
    size: u32,
}

impl<'f> Fat32<'f> {
    /// The file system in `length` bytes of `file` from `start`.
    pub(super) fn open(file: &'f File, start: u64, length: u64) -> io::Result<Self> {
        let mut sector = [0; 512];
        file.read_exact_at(&mut sector, start)?;
        let sector_len = u64::from(u16_at(&sector, 11));
        let sectors_per_cluster = u64::from(sector[13]);
        let is_sane = (512..=4096).contains(&sector_len) && sectors_per_cluster.is_power_of_two();
        // Sixteen-bit sizes of the table and the root directory belong to FAT12 and FAT16.
        if !is_sane || u16_at(&sector, 17) != 0 || u16_at(&sector, 22) != 0 || sector[510..] != [0x55, 0xaa] {
            return Err(damaged("there is no FAT32 file system"));
        }
        // A product of a u8 and a u32 with at most 4096 fits easily.
        let table = u64::from(u16_at(&sector, 14)) * sector_len;
        let tables = u64::from(sector[16]) * u64::from(u32_at(&sector, 36)) * sector_len;
        let cluster_len = sectors_per_cluster * sector_len;
        Ok(Self { file, start, length, cluster_len, table, data: table + tables, root: u32_at(&sector, 44) })
    }

    /// The contents of a file in a directory of the root, but for what is beyond `limit` bytes; nothing when there is no
    /// such file.
    pub(super) fn read(
        &self,
        directory: &ShortName,
        name: &ShortName,
        limit: u64,
    ) -> io::Result<Option<Vec<u8>>> {
        let Some(directory) = self.find(self.root, directory)? else { return Ok(None) };
        if directory.attributes & ATTRIBUTE_DIRECTORY == 0 {
            return Ok(None);
        }
        let Some(file) = self.find(directory.first_cluster, name)? else { return Ok(None) };
        if file.size == 0 {
            return Ok(Some(Vec::new()));
        }
        self.chain(file.first_cluster, limit.min(file.size.into())).map(Some)
    }

    fn find(&self, directory: u32, name: &ShortName) -> io::Result<Option<Entry>> {
        let bytes = self.chain(directory, MAX_DIRECTORY)?;
        let entries = bytes.chunks_exact(ENTRY_LEN).take_while(|entry| entry[0] != 0);
        // Parts of long names have the volume's bit as well.
        let mut files = entries.filter(|entry| entry[11] & ATTRIBUTE_VOLUME == 0);
        let found = files.find(|entry| entry.starts_with(name));
        Ok(found.map(|entry| Entry {
            attributes: entry[11],
            first_cluster: u32::from(u16_at(entry, 20)) << 16 | u32::from(u16_at(entry, 26)),
            size: u32_at(entry, 28),
        }))
    }

    /// The bytes of a chain of clusters, at most `limit`, which also bounds a chain that bites its own tail.
    fn chain(&self, first: u32, limit: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let mut cluster = first;
        // The last values mean the end of the chain.
        while cluster < 0x0fff_fff8 {
            let left = limit.saturating_sub(bytes.len() as u64);
            if left == 0 {
                break;
            }
            let index =
                cluster.checked_sub(2).ok_or_else(|| damaged("a chain leads to a cluster that is none"))?;
            let place = self.data + u64::from(index) * self.cluster_len;
            let mut contents = vec![0; usize::try_from(left.min(self.cluster_len)).unwrap_or(usize::MAX)];
            self.read_at(&mut contents, place)?;
            bytes.append(&mut contents);
            let mut next = [0; 4];
            self.read_at(&mut next, self.table + u64::from(cluster) * 4)?;
            // The upper four bits are reserved.
            cluster = u32::from_le_bytes(next) & 0x0fff_ffff;
        }
        Ok(bytes)
    }

    fn read_at(&self, buffer: &mut [u8], place: u64) -> io::Result<()> {
        let end = place.checked_add(buffer.len() as u64).filter(|end| *end <= self.length);
        match end.and_then(|_| self.start.checked_add(place)) {
            Some(place) => self.file.read_exact_at(buffer, place),
            None => Err(damaged("a cluster lies beyond the end of the partition")),
        }
    }
}

fn damaged(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// The callers' slices are longer than any offset they ask for.
fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from(u16_at(bytes, at)) | u32::from(u16_at(bytes, at + 2)) << 16
}
