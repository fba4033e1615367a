//! Initial RAM file systems: an uncompressed cpio archive in the "newc" format, built in memory.
//!
//! The same content always gives the same bytes: entries are sorted, times are zero. It takes what it is given;
//! finding kernels and modules is the business of [`crate::kernel`] and [`crate::modules`].

use std::collections::BTreeMap;
use std::io::{self, Write as _};

use cpio::newc::{self, ModeFileType};

/// An initial RAM file system in the making.
#[derive(Debug, Clone, Default)]
pub struct Initramfs {
    /// By path without a leading slash, so that a directory stands before what is in it.
    entries: BTreeMap<String, Entry>,
}

#[derive(Debug, Clone)]
struct Entry {
    permissions: u32,
    kind: Kind,
}

#[derive(Debug, Clone)]
enum Kind {
    Directory,
    File(Vec<u8>),
    Symlink(String),
    CharacterDevice { major: u32, minor: u32 },
}

/// What parents are that nobody added.
const PARENT: &Entry = &Entry { permissions: 0o755, kind: Kind::Directory };

/// Why an archive could not be built.
#[derive(Debug, thiserror::Error)]
pub enum InitramfsError {
    #[error("`{path}` is not a path that an initramfs can hold")]
    Path { path: String },
    #[error("`{path}` is larger than the 4 GiB that an initramfs can hold")]
    TooLarge { path: String },
    #[error("write the initramfs")]
    Write(#[source] io::Error),
}

impl Initramfs {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a directory with mode 0755. Parents of anything added are made by themselves.
    pub fn directory(&mut self, path: &str) -> &mut Self {
        self.insert(path, 0o755, Kind::Directory)
    }

    /// Adds a file; `permissions` are the low twelve bits of its mode.
    pub fn file(&mut self, path: &str, permissions: u32, content: impl Into<Vec<u8>>) -> &mut Self {
        self.insert(path, permissions, Kind::File(content.into()))
    }

    /// Adds a symbolic link.
    pub fn symlink(&mut self, path: &str, target: &str) -> &mut Self {
        self.insert(path, 0o777, Kind::Symlink(target.to_owned()))
    }

    /// Adds a character device.
    pub fn character_device(&mut self, path: &str, permissions: u32, major: u32, minor: u32) -> &mut Self {
        self.insert(path, permissions, Kind::CharacterDevice { major, minor })
    }

    fn insert(&mut self, path: &str, permissions: u32, kind: Kind) -> &mut Self {
        let entry = Entry { permissions: permissions & 0o7777, kind };
        self.entries.insert(path.trim_matches('/').to_owned(), entry);
        self
    }

    /// Writes the archive. It may be followed by further archives: the kernel unpacks them in turn.
    ///
    /// # Errors
    /// A path is empty, has `.` or `..` or a NUL in it, or goes through something that is not a directory;
    /// a file is 4 GiB or more.
    pub fn build(&self) -> Result<Vec<u8>, InitramfsError> {
        let mut entries: BTreeMap<&str, &Entry> = BTreeMap::new();
        for (path, entry) in &self.entries {
            check(path)?;
            for (slash, _) in path.match_indices('/') {
                let parent = entries.entry(&path[..slash]).or_insert(PARENT);
                if !matches!(parent.kind, Kind::Directory) {
                    return Err(InitramfsError::Path { path: path.clone() });
                }
            }
            entries.insert(path, entry);
        }
        let mut archive = Vec::new();
        for (inode, (path, entry)) in (1_u32..).zip(entries) {
            let builder = newc::Builder::new(path).ino(inode).mode(entry.permissions);
            let (builder, content) = match &entry.kind {
                Kind::Directory => (builder.nlink(2).set_mode_file_type(ModeFileType::Directory), &[][..]),
                Kind::File(content) => {
                    (builder.set_mode_file_type(ModeFileType::Regular), content.as_slice())
                }
                Kind::Symlink(target) => {
                    (builder.set_mode_file_type(ModeFileType::Symlink), target.as_bytes())
                }
                Kind::CharacterDevice { major, minor } => {
                    let builder = builder.rdev_major(*major).rdev_minor(*minor);
                    (builder.set_mode_file_type(ModeFileType::Char), &[][..])
                }
            };
            let size = u32::try_from(content.len())
                .map_err(|_| InitramfsError::TooLarge { path: path.to_owned() })?;
            let mut writer = builder.write(archive, size);
            writer.write_all(content).map_err(InitramfsError::Write)?;
            archive = writer.finish().map_err(InitramfsError::Write)?;
        }
        let mut archive = newc::trailer(archive).map_err(InitramfsError::Write)?;
        // The kernel looks for a further archive at the next multiple of four; whole sectors please every loader.
        archive.resize(archive.len().next_multiple_of(512), 0);
        Ok(archive)
    }
}

fn check(path: &str) -> Result<(), InitramfsError> {
    let sound = !path.contains('\0')
        && path.split('/').all(|part| !matches!(part, "" | "." | ".."))
        && path != "TRAILER!!!";
    if sound { Ok(()) } else { Err(InitramfsError::Path { path: path.to_owned() }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Name, mode and content of every entry.
    fn listing(archive: &[u8]) -> Vec<(String, u32, Vec<u8>)> {
        let mut rest = archive;
        let mut found = Vec::new();
        loop {
            let mut reader = newc::Reader::new(rest).unwrap();
            if reader.entry().is_trailer() {
                return found;
            }
            let (name, mode) = (reader.entry().name().to_owned(), reader.entry().mode());
            let mut content = Vec::new();
            io::Read::read_to_end(&mut reader, &mut content).unwrap();
            found.push((name, mode, content));
            rest = reader.finish().unwrap();
        }
    }

    #[test]
    fn parents_come_first_and_are_made_once() {
        let archive = Initramfs::new()
            .file("/usr/bin/tool", 0o755, b"elf".as_slice())
            .file("usr/bin/other", 0o644, b"text".as_slice())
            .symlink("init", "usr/bin/tool")
            .build()
            .unwrap();
        let names: Vec<_> = listing(&archive).into_iter().map(|(name, mode, _)| (name, mode)).collect();
        let want = [
            ("init", 0o120_777),
            ("usr", 0o040_755),
            ("usr/bin", 0o040_755),
            ("usr/bin/other", 0o100_644),
            ("usr/bin/tool", 0o100_755),
        ];
        assert_eq!(names, want.map(|(name, mode)| (name.to_owned(), mode)));
    }

    #[test]
    fn contents_survive_and_the_size_is_a_multiple_of_a_sector() {
        let archive = Initramfs::new().file("a", 0o600, b"12345".as_slice()).build().unwrap();
        assert_eq!(archive.len() % 512, 0);
        assert_eq!(listing(&archive), [("a".to_owned(), 0o100_600, b"12345".to_vec())]);
    }

    #[test]
    fn the_same_content_gives_the_same_bytes() {
        let one = Initramfs::new().file("a", 0o644, "x").directory("b").build().unwrap();
        let other = Initramfs::new().directory("b").file("a", 0o644, "x").build().unwrap();
        assert_eq!(one, other);
    }

    #[test]
    fn paths_that_leave_the_archive_are_refused() {
        for path in ["../etc/passwd", "a/../b", "a//b", "", "/", ".", "a\0b", "TRAILER!!!"] {
            assert!(Initramfs::new().file(path, 0o644, "x").build().is_err(), "{path:?}");
        }
    }

    #[test]
    fn a_path_through_a_file_is_refused() {
        assert!(Initramfs::new().file("a", 0o644, "x").file("a/b", 0o644, "y").build().is_err());
    }
}
