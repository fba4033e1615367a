//! Replaces a file so that at every moment there is the whole old one or the whole new one, and whatever fails leaves
//! the old one as it was.
//!
//! The new file is written beside the old one, gets its owner, mode and extended attributes (access control lists and
//! security labels are such), reaches the disk, and only then takes the name. A link stays a link: what it leads to is
//! replaced.

use std::fs::{File, Metadata};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, fchown};
use std::path::{Path, PathBuf};

use rustix::fs::{XattrFlags, fgetxattr, flistxattr, fremovexattr, fsetxattr};

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
    #[error("give the new file the owner of the old one ({uid}:{gid}); the old file is unchanged")]
    Owner {
        uid: u32,
        gid: u32,
        #[source]
        source: io::Error,
    },
    #[error("give the new file the mode of the old one; the old file is unchanged")]
    Mode(#[source] io::Error),
    #[error("give the new file the attribute `{name}` of the old one; the old file is unchanged")]
    Attribute {
        name: String,
        #[source]
        source: io::Error,
    },
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
    let metadata = before.metadata().map_err(found)?;
    if std::fs::read(&path).map_err(found)? != old.as_bytes() {
        return Err(ReplaceError::Changed(path));
    }
    let directory = path.parent().unwrap_or_else(|| Path::new("/"));
    let create = |source| ReplaceError::Create(directory.to_owned(), source);
    // Removed again by itself unless it gets the old file's name.
    let mut file = tempfile::NamedTempFile::new_in(directory).map_err(create)?;
    file.write_all(new.as_bytes()).map_err(ReplaceError::Write)?;
    take_over(&metadata, &before, file.as_file())?;
    file.as_file().sync_all().map_err(ReplaceError::Write)?;
    file.persist(&path).map_err(|error| ReplaceError::Rename(error.error))?;
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(ReplaceError::Directory)
}

/// Owner, extended attributes and mode, in the order in which one does not undo the other.
fn take_over(metadata: &Metadata, old: &File, new: &File) -> Result<(), ReplaceError> {
    let (uid, gid) = (metadata.uid(), metadata.gid());
    let own = new.metadata().map_err(ReplaceError::Mode)?;
    if (own.uid(), own.gid()) != (uid, gid) {
        fchown(new, Some(uid), Some(gid)).map_err(|source| ReplaceError::Owner { uid, gid, source })?;
    }
    let failed = |name: &str| {
        let name = name.to_owned();
        move |source: rustix::io::Errno| ReplaceError::Attribute { name, source: source.into() }
    };
    let wanted = attributes(old).map_err(failed("(list)"))?;
    let given = attributes(new).map_err(failed("(list)"))?;
    for name in given.iter().filter(|name| !wanted.contains(name)) {
        fremovexattr(new, name.as_str()).map_err(failed(name))?;
    }
    for name in &wanted {
        let value = attribute(old, name).map_err(failed(name))?;
        if attribute(new, name).as_ref() != Ok(&value) {
            fsetxattr(new, name.as_str(), &value, XattrFlags::empty()).map_err(failed(name))?;
        }
    }
    new.set_permissions(metadata.permissions()).map_err(ReplaceError::Mode)
}

/// The names of a file's extended attributes; none on file systems that have no such thing.
fn attributes(file: &File) -> Result<Vec<String>, rustix::io::Errno> {
    /// The kernel's limit for all names together (listxattr(2)).
    const LARGEST: usize = 64 * 1024;
    let mut names = vec![0; LARGEST];
    let length = match flistxattr(file, names.as_mut_slice()) {
        Ok(length) => length,
        Err(rustix::io::Errno::NOTSUP) => 0,
        Err(error) => return Err(error),
    };
    let names = names.get(..length).unwrap_or_default().split(|byte| *byte == 0);
    Ok(names.filter(|name| !name.is_empty()).map(|name| String::from_utf8_lossy(name).into_owned()).collect())
}

fn attribute(file: &File, name: &str) -> Result<Vec<u8>, rustix::io::Errno> {
    /// The kernel's limit for one value.
    const LARGEST: usize = 64 * 1024;
    let mut value = vec![0; LARGEST];
    let length = fgetxattr(file, name, value.as_mut_slice())?;
    value.truncate(length);
    Ok(value)
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
