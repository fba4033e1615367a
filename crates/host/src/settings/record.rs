//! What `host enable` has written, so that `host disable` can take exactly that back.
//!
//! The record and the originals of all files that it names are on the disk before the first of them is changed. A file
//! that is still as it was written gets its original's bytes back; one that somebody has edited since loses only the
//! pieces that were written into it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::root::Root;

use super::disk::Disk;
use super::file::Kind;
use super::place;
use super::text::Piece;

/// Where the record is, with the originals beside it.
pub const DIRECTORY: &str = "/var/lib/sevirt/host-enable";

/// The shape of the record that this version writes.
const VERSION: u32 = 1;

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    version: u32,
    /// Directories that were made, outermost first.
    pub(crate) directories: Vec<PathBuf>,
    pub(crate) files: Vec<Entry>,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) path: PathBuf,
    pub(crate) kind: Kind,
    /// The SHA-256 of what was there, by which its copy is named; `None` where nothing was.
    pub(crate) original: Option<String>,
    /// The SHA-256 of everything that was written there since.
    pub(crate) written: Vec<String>,
    pub(crate) pieces: Vec<Piece>,
}

/// Why the record can not be used.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    #[error("read `{}`", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("understand `{}`", path.display())]
    Understand {
        path: PathBuf,
        #[source]
        source: serde_json::Error,
    },
    #[error("`{}` was written by a newer sevirt (version {version})", path.display())]
    Newer { path: PathBuf, version: u32 },
    #[error("the copy of `{}` in `{DIRECTORY}` is missing or is not what it was", path.display())]
    Original { path: PathBuf },
}

pub(crate) fn hash(content: &[u8]) -> String {
    use std::fmt::Write as _;
    Sha256::digest(content).iter().fold(String::new(), |mut text, byte| {
        // Writing to a string can not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn record_place() -> PathBuf {
    Path::new(DIRECTORY).join("record.json")
}

fn original_place(hash: &str) -> PathBuf {
    Path::new(DIRECTORY).join("original").join(hash)
}

impl Record {
    /// The record, if anything was enabled.
    pub(crate) fn load(root: &Root) -> Result<Option<Self>, RecordError> {
        let path = record_place();
        let content = match place::read(root, &path) {
            Ok(content) => content,
            Err(source) => return Err(RecordError::Read { path, source }),
        };
        let Some(content) = content else { return Ok(None) };
        match serde_json::from_slice::<Self>(&content) {
            Ok(record) if record.version > VERSION => {
                Err(RecordError::Newer { path, version: record.version })
            }
            Ok(record) => Ok(Some(record)),
            Err(source) => Err(RecordError::Understand { path, source }),
        }
    }

    /// Puts the record on the disk, and the originals before it.
    pub(crate) fn save(&self, root: &Root, disk: &Disk, originals: &[Vec<u8>]) -> io::Result<()> {
        for content in originals {
            let place = place::resolve(root, &original_place(&hash(content)))?;
            if fs::read(&place).ok().as_ref() != Some(content) {
                disk.put(&place, content, 0o600)?;
            }
        }
        let mut text = serde_json::to_vec_pretty(&Self { version: VERSION, ..self.clone() })?;
        text.push(b'\n');
        disk.put(&place::resolve(root, &record_place())?, &text, 0o600)
    }

    /// Whether there is a place for a record.
    pub(crate) fn is_begun(root: &Root) -> bool {
        place::resolve(root, Path::new(DIRECTORY)).is_ok_and(|place| place.exists())
    }

    /// The directories that the record needs.
    pub(crate) fn prepare(root: &Root, disk: &Disk) -> io::Result<Vec<PathBuf>> {
        let directory = place::resolve(root, &Path::new(DIRECTORY).join("original"))?;
        let mut made = disk.make_directories(&directory, 0o755)?;
        made.retain(|place| !place.ends_with("host-enable") && !place.ends_with("host-enable/original"));
        Ok(made)
    }

    /// Takes the record away, then all that belongs to it.
    pub(crate) fn forget(root: &Root, disk: &Disk) -> io::Result<()> {
        let directory = place::resolve(root, Path::new(DIRECTORY))?;
        if !directory.exists() {
            return Ok(());
        }
        let record = place::resolve(root, &record_place())?;
        disk.sweep(&record)?;
        disk.remove(&record)?;
        let originals = directory.join("original");
        if originals.is_dir() {
            for entry in fs::read_dir(&originals)? {
                disk.remove(&entry?.path())?;
            }
        }
        disk.remove_directory(&originals)?;
        disk.remove_directory(&directory)
    }

    pub(crate) fn entry(&self, path: &Path) -> Option<&Entry> {
        self.files.iter().find(|entry| entry.path == path)
    }
}

impl Entry {
    /// The bytes that were there before anything was written; `None` where there was no file.
    pub(crate) fn original(&self, root: &Root) -> Result<Option<Vec<u8>>, RecordError> {
        let Some(wanted) = &self.original else { return Ok(None) };
        match place::read(root, &original_place(wanted)) {
            Ok(Some(content)) if hash(&content) == *wanted => Ok(Some(content)),
            _ => Err(RecordError::Original { path: self.path.clone() }),
        }
    }

    /// Whether a content is one that was written here, or the original.
    pub(crate) fn knows(&self, content: Option<&[u8]>) -> bool {
        let found = content.map(hash);
        found == self.original || found.is_some_and(|found| self.written.contains(&found))
    }
}

/// The pieces of two enables, one after the other.
pub(crate) fn merged(old: &[Piece], new: &[Piece]) -> Vec<Piece> {
    let mut pieces = old.to_vec();
    for piece in new {
        let now = match piece {
            Piece::Word { before: Some(before), after } => Some((before, after)),
            Piece::Word { before: None, .. } | Piece::Line(_) => None,
        };
        let earlier = now.and_then(|(before, after)| {
            let word = |piece: &mut Piece| match piece {
                Piece::Word { after: earlier, .. } if earlier == before => {
                    earlier.clone_from(after);
                    true
                }
                _ => false,
            };
            pieces.iter_mut().any(word).then_some(())
        });
        if earlier.is_none() && !pieces.contains(piece) {
            pieces.push(piece.clone());
        }
    }
    pieces
}
