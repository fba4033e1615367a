//! A pool's directory, through one descriptor: what is opened, made and removed is in it, whatever names and links are
//! put into it. A symbolic link is followed for reading only, and only where it stays inside the directory.

use std::fs::{File, Metadata};
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use rpc::error::Code;
use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::{Failure, Space, fault, system};
use crate::store::file;

/// The longest name of a file (`NAME_MAX`).
const NAME_MAX: usize = 255;

/// An open directory.
#[derive(Debug)]
pub(super) struct Directory {
    fd: OwnedFd,
    path: PathBuf,
}

/// A file that was opened, or a directory.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) file: File,
    pub(super) metadata: Metadata,
}

impl Directory {
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match rustix::fs::open(path, flags, Mode::empty()) {
            Ok(fd) => Ok(Self { fd, path: path.to_owned() }),
            Err(error) => Err(system(format!("cannot open directory '{}'", path.display()), error.into())),
        }
    }

    pub(super) fn path_of(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Where a child process finds the directory while it is being started.
    pub(super) fn in_proc(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.fd.as_raw_fd()))
    }

    /// The directory itself.
    pub(super) fn metadata(&self) -> io::Result<Metadata> {
        File::from(self.fd.try_clone()?).metadata()
    }

    pub(super) fn space(&self) -> io::Result<Space> {
        let stat = rustix::fs::fstatvfs(self.fd.as_fd())?;
        Ok(Space {
            capacity: stat.f_frsize.saturating_mul(stat.f_blocks),
            available: stat.f_frsize.saturating_mul(stat.f_bfree),
        })
    }

    /// The names in it that a volume may have, sorted.
    pub(super) fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(self.fd.as_fd())? {
            let entry = entry?;
            if let Ok(name) = entry.file_name().to_str()
                && is_name(name)
                && !file::is_temporary(name.as_ref())
            {
                names.push(name.to_owned());
            }
        }
        names.sort();
        Ok(names)
    }

    /// Opens a file or directory for reading; `None` where there is none, or what is there is neither.
    pub(super) fn find(&self, name: &str) -> Result<Option<Found>, Failure> {
        checked(name)?;
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let inside = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        let opened = match rustix::fs::openat2(&self.fd, name, flags, Mode::empty(), inside) {
            Err(Errno::NOSYS | Errno::PERM) => {
                rustix::fs::openat(&self.fd, name, flags | OFlags::NOFOLLOW, Mode::empty())
            }
            opened => opened,
        };
        match opened {
            Ok(fd) => self.judge(name, fd),
            // No such file; a link that leads out, in a circle or nowhere; a socket; a device without a driver.
            Err(Errno::NOENT | Errno::XDEV | Errno::LOOP | Errno::NXIO | Errno::NODEV) => Ok(None),
            Err(error) => Err(self.failed("open", name, error.into())),
        }
    }

    /// Opens a regular file for reading and writing. A link is not followed.
    pub(super) fn find_to_write(&self, name: &str) -> Result<Option<Found>, Failure> {
        checked(name)?;
        let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        match rustix::fs::openat(&self.fd, name, flags, Mode::empty()) {
            Ok(fd) => Ok(self.judge(name, fd)?.filter(|found| found.metadata.is_file())),
            Err(Errno::NOENT | Errno::NXIO | Errno::NODEV) => Ok(None),
            Err(Errno::LOOP) => {
                let words = format!("volume '{name}' is a symbolic link, which is not written through");
                Err(fault(Code::OPERATION_INVALID, words))
            }
            Err(Errno::ISDIR) => {
                Err(fault(Code::OPERATION_INVALID, format!("volume '{name}' is a directory")))
            }
            Err(error) => Err(self.failed("open", name, error.into())),
        }
    }

    fn judge(&self, name: &str, fd: OwnedFd) -> Result<Option<Found>, Failure> {
        let file = File::from(fd);
        let metadata = file.metadata().map_err(|error| self.failed("look at", name, error))?;
        let is_volume = metadata.is_file() || metadata.is_dir();
        Ok(is_volume.then_some(Found { file, metadata }))
    }

    /// Makes a file that was not there, for its owner alone.
    pub(super) fn create(&self, name: &str) -> Result<File, Failure> {
        checked(name)?;
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match rustix::fs::openat(&self.fd, name, flags, Mode::RUSR | Mode::WUSR) {
            Ok(fd) => Ok(File::from(fd)),
            Err(Errno::EXIST) => Err(fault(Code::STORAGE_VOL_EXIST, format!("'{name}'"))),
            Err(error) => Err(self.failed("create", name, error.into())),
        }
    }

    /// Removes a file, a link (not what it leads to) or an empty directory.
    pub(super) fn remove(&self, name: &str, is_directory: bool) -> Result<(), Failure> {
        checked(name)?;
        let flags = if is_directory { AtFlags::REMOVEDIR } else { AtFlags::empty() };
        rustix::fs::unlinkat(&self.fd, name, flags)
            .map_err(|error| self.failed("remove", name, error.into()))?;
        self.sync()
    }

    /// Puts the names on disk.
    pub(super) fn sync(&self) -> Result<(), Failure> {
        rustix::fs::fsync(&self.fd).map_err(|error| self.failed("sync", ".", error.into()))
    }

    pub(super) fn failed(&self, what: &str, name: &str, error: io::Error) -> Failure {
        system(format!("cannot {what} '{}'", self.path_of(name).display()), error)
    }
}

/// Whether a volume may be called so: a plain name of a file.
fn is_name(name: &str) -> bool {
    let plain = !matches!(name, "" | "." | "..") && name.len() <= NAME_MAX;
    plain && !name.contains('/') && !name.chars().any(char::is_control)
}

/// Refuses a name that is not one: it would lead out of the directory, or nowhere.
pub(super) fn checked(name: &str) -> Result<(), Failure> {
    if is_name(name) {
        return Ok(());
    }
    let words = if name.contains('/') {
        format!("volume name '{name}' cannot contain '/'")
    } else {
        format!("volume name '{name}' is not the name of a file")
    };
    Err(fault(Code::OPERATION_INVALID, words))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn nothing_outside_is_reached() {
        let outer = tempfile::tempdir().unwrap();
        let inner = outer.path().join("pool");
        std::fs::create_dir(&inner).unwrap();
        std::fs::write(outer.path().join("secret"), "s").unwrap();
        std::fs::write(inner.join("a"), "a").unwrap();
        symlink("../secret", inner.join("up")).unwrap();
        symlink(outer.path().join("secret"), inner.join("out")).unwrap();
        symlink("a", inner.join("link")).unwrap();
        symlink("loop", inner.join("loop")).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, inner.join("fifo"), Mode::RUSR).unwrap();
        let directory = Directory::open(&inner).unwrap();
        for name in ["up", "out", "loop", "fifo", "none"] {
            assert!(directory.find(name).unwrap().is_none(), "{name}");
        }
        assert!(directory.find("a").unwrap().is_some() && directory.find("link").unwrap().is_some());
        for name in ["../secret", "..", ".", "", "a/b", "a\nb"] {
            assert_eq!(directory.find(name).unwrap_err().code, Code::OPERATION_INVALID, "{name:?}");
            assert!(directory.create(name).is_err() && directory.remove(name, false).is_err(), "{name:?}");
        }
        for name in ["up", "out", "link", "loop"] {
            assert!(directory.find_to_write(name).is_err(), "{name}");
            assert_eq!(directory.create(name).unwrap_err().code, Code::STORAGE_VOL_EXIST, "{name}");
        }
        directory.remove("out", false).unwrap();
        assert_eq!(std::fs::read(outer.path().join("secret")).unwrap(), b"s");
        assert_eq!(directory.names().unwrap(), ["a", "fifo", "link", "loop", "up"]);
    }
}
