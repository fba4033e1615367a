//! Replaces a file so that at every moment there is the whole old one or the whole new one, and whatever fails leaves
//! the old one as it was.
//!
//! The new file is written beside the old one, gets its owner, mode and extended attributes (access control lists and
//! security labels are such), reaches the disk, and only then takes the name. A link stays a link: what it leads to is
//! replaced.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use host::LikenessError;

/// Why a file was not replaced. Unless it says otherwise the old file is there, unchanged.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReplaceError {
    #[error("find `{}`", .0.display())]
    Find(PathBuf, #[source] io::Error),
    #[error("`{}` has changed since it was read; nothing was written", .0.display())]
    Changed(PathBuf),
    #[error("make a file beside the old one, in `{}`", .0.display())]
    Create(PathBuf, #[source] io::Error),
    #[error("write the new content; the old file is unchanged")]
    Write(#[source] io::Error),
    #[error("make the new file like the old one, which is unchanged")]
    Likeness(#[source] LikenessError),
    #[error("put the new file in the place of the old one, which is unchanged")]
    Rename(#[source] io::Error),
    #[error("make sure that the new file's name is on the disk; the file itself is replaced")]
    Directory(#[source] io::Error),
}

/// Replaces the content of the file, which was `old` when it was read.
pub(crate) fn replace(path: &Path, old: &str, new: &str) -> Result<(), ReplaceError> {
    let path = path.canonicalize().map_err(|source| ReplaceError::Find(path.to_owned(), source))?;
    let found = |source| ReplaceError::Find(path.clone(), source);
    let before = File::open(&path).map_err(found)?;
    if std::fs::read(&path).map_err(found)? != old.as_bytes() {
        return Err(ReplaceError::Changed(path));
    }
    let directory = path.parent().unwrap_or_else(|| Path::new("/"));
    let create = |source| ReplaceError::Create(directory.to_owned(), source);
    // Removed again by itself unless it gets the old file's name.
    let mut file = tempfile::NamedTempFile::new_in(directory).map_err(create)?;
    file.write_all(new.as_bytes()).map_err(ReplaceError::Write)?;
    host::take_over(&before, file.as_file()).map_err(ReplaceError::Likeness)?;
    file.as_file().sync_all().map_err(ReplaceError::Write)?;
    file.persist(&path).map_err(|error| ReplaceError::Rename(error.error))?;
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(ReplaceError::Directory)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(content: &str) -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("guest.xml");
        std::fs::write(&path, content).unwrap();
        (directory, path)
    }

    #[test]
    fn a_file_that_somebody_changed_is_left_alone() {
        let (_directory, path) = file("theirs");
        let error = replace(&path, "old", "new").unwrap_err();
        assert!(matches!(error, ReplaceError::Changed(_)), "{error}");
        assert_eq!(std::fs::read_to_string(path).unwrap(), "theirs");
    }

    #[test]
    fn where_no_file_can_be_made_the_directory_is_named() {
        let path = Path::new("/proc/self/comm");
        let old = std::fs::read_to_string(path).unwrap();
        let error = replace(path, &old, "new").unwrap_err();
        assert!(error.to_string().starts_with("make a file beside the old one, in `/proc/"), "{error}");
    }

    #[test]
    fn a_directory_is_no_file() {
        let error = replace(Path::new("/tmp"), "", "new").unwrap_err();
        assert_eq!(error.to_string(), "find `/tmp`");
    }
}
