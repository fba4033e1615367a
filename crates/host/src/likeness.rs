//! Gives a new file the owner, extended attributes (access control lists and security labels are such) and mode of the
//! one whose place it is about to take.

use std::fs::File;
use std::io;
use std::os::unix::fs::{MetadataExt as _, fchown};

use rustix::fs::{XattrFlags, fgetxattr, flistxattr, fremovexattr, fsetxattr};
use rustix::io::Errno;

/// The kernel's limit for one attribute's value, and for all names together (listxattr(2)).
const LARGEST: usize = 64 * 1024;

/// What of the old file the new one could not be given.
#[derive(Debug, thiserror::Error)]
pub enum LikenessError {
    #[error("give the new file the owner of the old one ({uid}:{gid})")]
    Owner {
        uid: u32,
        gid: u32,
        #[source]
        source: io::Error,
    },
    #[error("give the new file the mode of the old one")]
    Mode(#[source] io::Error),
    #[error("give the new file the attribute `{name}` of the old one")]
    Attribute {
        name: String,
        #[source]
        source: io::Error,
    },
}

/// In the order in which one does not undo the other.
pub fn take_over(old: &File, new: &File) -> Result<(), LikenessError> {
    let (wanted, own) =
        (old.metadata().map_err(LikenessError::Mode)?, new.metadata().map_err(LikenessError::Mode)?);
    let (uid, gid) = (wanted.uid(), wanted.gid());
    if (own.uid(), own.gid()) != (uid, gid) {
        fchown(new, Some(uid), Some(gid)).map_err(|source| LikenessError::Owner { uid, gid, source })?;
    }
    let failed = |name: &str| {
        let name = name.to_owned();
        move |source: Errno| LikenessError::Attribute { name, source: source.into() }
    };
    let wanted_names = attributes(old).map_err(failed("(list)"))?;
    let own_names = attributes(new).map_err(failed("(list)"))?;
    for name in own_names.iter().filter(|name| !wanted_names.contains(name)) {
        fremovexattr(new, name.as_str()).map_err(failed(name))?;
    }
    for name in &wanted_names {
        let value = attribute(old, name).map_err(failed(name))?;
        if attribute(new, name).as_ref() != Ok(&value) {
            fsetxattr(new, name.as_str(), &value, XattrFlags::empty()).map_err(failed(name))?;
        }
    }
    // Changing the owner clears bits of the mode (chown(2)), so it is set last; where it is right already, it is not
    // touched: the EFI system partition has no modes.
    if new.metadata().map_err(LikenessError::Mode)?.mode() == wanted.mode() {
        return Ok(());
    }
    new.set_permissions(wanted.permissions()).map_err(LikenessError::Mode)
}

/// The names of a file's extended attributes; none on file systems that have no such thing.
fn attributes(file: &File) -> Result<Vec<String>, Errno> {
    let mut names = vec![0; LARGEST];
    let length = match flistxattr(file, names.as_mut_slice()) {
        Ok(length) => length,
        Err(Errno::NOTSUP) => 0,
        Err(error) => return Err(error),
    };
    let names = names.get(..length).unwrap_or_default().split(|byte| *byte == 0);
    Ok(names.filter(|name| !name.is_empty()).map(|name| String::from_utf8_lossy(name).into_owned()).collect())
}

fn attribute(file: &File, name: &str) -> Result<Vec<u8>, Errno> {
    let mut value = vec![0; LARGEST];
    let length = fgetxattr(file, name, value.as_mut_slice())?;
    value.truncate(length);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_file_becomes_like_another() {
        let (old, new) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
        old.set_permissions(std::fs::Permissions::from_mode(0o640)).unwrap();
        let set = |file: &File, name: &str| fsetxattr(file, name, b"value", XattrFlags::empty());
        // Not every file system has such attributes.
        let has_attributes = set(&old, "user.kept").is_ok();
        if has_attributes {
            set(&new, "user.own").unwrap();
        }
        take_over(&old, &new).unwrap();
        assert_eq!(new.metadata().unwrap().mode() & 0o7777, 0o640);
        let expected = if has_attributes { vec!["user.kept".to_owned()] } else { Vec::new() };
        assert_eq!(attributes(&new).unwrap(), expected);
    }

    #[test]
    fn what_cannot_be_given_is_named() {
        let old = tempfile::tempfile().unwrap();
        let error = take_over(&old, &File::open("/proc/self/status").unwrap()).unwrap_err();
        let words = error.to_string();
        assert!(words.starts_with("give the new file the ") && words.contains(" of the old one"), "{words}");
    }
}
