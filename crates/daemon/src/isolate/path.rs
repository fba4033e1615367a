//! Opening a path as root where others may have had a hand in it.
//!
//! Whoever may write to a directory may put a symbolic link there, to a file of root's. A link is followed only if root
//! or sevirt's own user made it; and a further hard link in a stranger's directory is not taken for the stranger's file.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, Stat, fstat, openat, readlinkat};

/// As many as the kernel follows.
const MOST_LINKS: usize = 40;

/// A file, opened for nothing but to be looked at and to have its owner changed.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) fd: OwnedFd,
    pub(super) stat: Stat,
    /// The path without links.
    pub(super) path: PathBuf,
}

#[derive(Debug, thiserror::Error)]
pub enum PathError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("`{}` is a symbolic link that user {uid} made: it is not followed, name what it leads to", path.display())]
    Link { path: PathBuf, uid: u32 },
    #[error("`{}` has other names, and lies in a directory of user {uid}: it may be somebody else's file", path.display())]
    HardLink { path: PathBuf, uid: u32 },
    #[error("the path does not start with `/`")]
    Relative,
}

impl From<rustix::io::Errno> for PathError {
    fn from(error: rustix::io::Errno) -> Self {
        Self::Io(error.into())
    }
}

/// Opens a path from the root on, step by step.
pub(super) fn open(path: &Path) -> Result<Opened, PathError> {
    if !path.is_absolute() {
        return Err(PathError::Relative);
    }
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let root = || openat(rustix::fs::CWD, "/", flags, Mode::empty());
    let mut stack = vec![root()?];
    let mut names: Vec<OsString> = Vec::new();
    let mut waiting: VecDeque<OsString> = steps(path);
    let mut links = 0;
    while let Some(step) = waiting.pop_front() {
        if step == OsStr::new("..") {
            if stack.len() > 1 {
                stack.pop();
                names.pop();
            }
            continue;
        }
        let Some(directory) = stack.last() else { return Err(PathError::Relative) };
        let next = openat(directory, &step, flags, Mode::empty())?;
        let stat = fstat(&next)?;
        let here = || names.iter().chain([&step]).fold(PathBuf::from("/"), |path, name| path.join(name));
        if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink {
            links += 1;
            if links > MOST_LINKS {
                return Err(rustix::io::Errno::LOOP.into());
            }
            if !is_trusted(stat.st_uid) {
                return Err(PathError::Link { path: here(), uid: stat.st_uid });
            }
            let target = PathBuf::from(OsString::from_vec(readlinkat(&next, "", Vec::new())?.into_bytes()));
            if target.is_absolute() {
                stack.truncate(1);
                names.clear();
            }
            for step in steps(&target).into_iter().rev() {
                waiting.push_front(step);
            }
            continue;
        }
        let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
        if waiting.is_empty() && is_file && stat.st_nlink > 1 {
            let owner = fstat(directory)?.st_uid;
            if !is_trusted(owner) && owner != stat.st_uid {
                return Err(PathError::HardLink { path: here(), uid: owner });
            }
        }
        stack.push(next);
        names.push(step);
    }
    let fd = stack.pop().ok_or(PathError::Relative)?;
    let stat = fstat(&fd)?;
    let path = names.iter().fold(PathBuf::from("/"), |path, name| path.join(name));
    Ok(Opened { fd, stat, path })
}

fn steps(path: &Path) -> VecDeque<OsString> {
    let step = |component: Component<'_>| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some(OsString::from("..")),
        Component::Prefix(_) | Component::RootDir | Component::CurDir => None,
    };
    path.components().filter_map(step).collect()
}

fn is_trusted(uid: u32) -> bool {
    uid == 0 || uid == rustix::process::geteuid().as_raw()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt as _, lchown, symlink};

    use super::*;

    #[test]
    fn links_of_ones_own_are_followed() {
        let directory = tempfile::tempdir().unwrap();
        let here = directory.path().canonicalize().unwrap();
        fs::create_dir(here.join("sub")).unwrap();
        fs::write(here.join("file"), "x").unwrap();
        symlink("../file", here.join("sub/relative")).unwrap();
        symlink(here.join("sub"), here.join("absolute")).unwrap();
        let opened = open(&here.join("./absolute/../absolute/relative")).unwrap();
        assert_eq!(opened.path, here.join("file"));
        assert_eq!(opened.stat.st_ino, fs::metadata(here.join("file")).unwrap().ino());
        symlink("loop", here.join("loop")).unwrap();
        let PathError::Io(error) = open(&here.join("loop")).unwrap_err() else { panic!("no loop") };
        assert_eq!(error.raw_os_error(), Some(rustix::io::Errno::LOOP.raw_os_error()));
        assert!(matches!(open(Path::new("relative")), Err(PathError::Relative)));
    }

    #[test]
    fn strangers_links_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let here = directory.path().canonicalize().unwrap();
        fs::write(here.join("secret"), "x").unwrap();
        let link = here.join("link");
        symlink("secret", &link).unwrap();
        fs::create_dir(here.join("theirs")).unwrap();
        fs::hard_link(here.join("secret"), here.join("theirs/disk")).unwrap();
        // Only root can make somebody else's link.
        if lchown(&link, Some(12345), None).is_err() {
            return assert!(!rustix::process::geteuid().is_root());
        }
        lchown(here.join("theirs"), Some(12345), None).unwrap();
        assert!(matches!(open(&link), Err(PathError::Link { uid: 12345, .. })));
        assert!(matches!(open(&here.join("theirs/disk")), Err(PathError::HardLink { uid: 12345, .. })));
    }
}
