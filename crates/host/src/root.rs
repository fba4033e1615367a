//! Where facts are read from: this machine's `/`, or a copy of another machine's files.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::facts::{Device, Fact};

/// Files larger than this are not facts about a host; reading stops there.
const FACT_SIZE_LIMIT: u64 = 1 << 20;

/// A directory that stands for `/`.
#[derive(Debug, Clone)]
pub struct Root {
    directory: PathBuf,
}

impl Root {
    /// This machine.
    #[must_use]
    pub fn live() -> Self {
        Self { directory: PathBuf::from("/") }
    }

    /// A tree that was copied from a machine. Nothing but files is read: no CPUID, no ioctl.
    #[must_use]
    pub fn at(directory: PathBuf) -> Self {
        Self { directory }
    }

    #[must_use]
    pub fn is_live(&self) -> bool {
        self.directory == Path::new("/")
    }

    /// The place of an absolute path below this root.
    #[must_use]
    pub fn path(&self, absolute: &str) -> PathBuf {
        self.directory.join(absolute.trim_start_matches('/'))
    }

    pub(crate) fn text(&self, absolute: &str) -> Fact<String> {
        let read = || -> io::Result<String> {
            use io::Read as _;
            let mut text = String::new();
            fs::File::open(self.path(absolute))?.take(FACT_SIZE_LIMIT).read_to_string(&mut text)?;
            Ok(text)
        };
        Fact::of_io(absolute, read())
    }

    /// The names in a directory, sorted; nothing where there is no directory.
    pub(crate) fn names(&self, absolute: &str) -> Fact<Vec<String>> {
        let read = || -> io::Result<Vec<String>> {
            let mut names = fs::read_dir(self.path(absolute))?
                .map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned()))
                .collect::<io::Result<Vec<_>>>()?;
            names.sort();
            Ok(names)
        };
        Fact::of_io(absolute, read())
    }

    pub(crate) fn device(&self, absolute: &str) -> Fact<Device> {
        let read = fs::metadata(self.path(absolute)).map(|found| Device {
            uid: found.uid(),
            gid: found.gid(),
            mode: found.mode() & 0o7777,
            acl: Fact::Absent,
            label: Fact::Absent,
        });
        Fact::of_io(absolute, read)
    }
}
