//! Files that are whole or not there: written beside, put on disk, named, and the name put on disk.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

use sha2::{Digest as _, Sha256};

/// What the names of files begin and end with while they are written. No definition's name begins with a dot.
const TEMPORARY: (&str, &str) = (".sevirt-", ".tmp");

/// A file name has at most this many bytes (`NAME_MAX`), of which links need some for their suffix.
const LONGEST: usize = 240;

/// Replaces `path`, which is in `directory`, by a file with these contents, mode 0600.
pub(crate) fn replace(directory: &Path, path: &Path, contents: &[u8]) -> io::Result<()> {
    let (prefix, suffix) = TEMPORARY;
    let mut file = tempfile::Builder::new().prefix(prefix).suffix(suffix).tempfile_in(directory)?;
    file.write_all(contents)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    sync(directory)
}

/// Removes `path`, which is in `directory`, if it is there.
pub(crate) fn remove(directory: &Path, path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Ok(()) => sync(directory),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Puts the names in a directory on disk.
pub(crate) fn sync(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// Whether a file of this name is one that was being written.
pub(crate) fn is_temporary(name: &OsStr) -> bool {
    let (prefix, suffix) = TEMPORARY;
    name.to_str().is_some_and(|name| name.starts_with(prefix) && name.ends_with(suffix))
}

/// The name of a domain's file: `NAME.xml`. Bytes that a file name cannot have, or that would hide the file, are
/// written as `%XX`; what then is too long is cut, and told apart by a checksum.
pub(crate) fn file_name(name: &str) -> String {
    let mut encoded = String::with_capacity(name.len() + 4);
    for (at, character) in name.chars().enumerate() {
        let is_plain =
            !character.is_control() && !matches!(character, '/' | '%') && (at > 0 || character != '.');
        if is_plain {
            encoded.push(character);
        } else {
            let mut bytes = [0; 4];
            for byte in character.encode_utf8(&mut bytes).bytes() {
                encoded.push_str(&format!("%{byte:02X}"));
            }
        }
    }
    if encoded.len() > LONGEST {
        let digest = Sha256::digest(name.as_bytes());
        let end = (0..=LONGEST - 40).rev().find(|at| encoded.is_char_boundary(*at)).unwrap_or(0);
        encoded.truncate(end);
        // `%~` is no byte, so that no other name gives it.
        encoded.push_str("%~");
        for byte in digest.iter().take(16) {
            encoded.push_str(&format!("{byte:02x}"));
        }
    }
    encoded.push_str(".xml");
    encoded
}
