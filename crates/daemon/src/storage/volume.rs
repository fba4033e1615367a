//! A volume as it is: a file or directory of a pool, looked at anew each time, and its XML.

use std::fmt::Write as _;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

use domain::{escape_attribute, escape_text};

use super::directory::{Directory, Found};
use super::image::{self, Image};
use super::{Failure, Permissions};

/// A volume.
#[derive(Debug)]
pub(crate) struct Volume {
    pub(crate) name: String,
    /// Its key too.
    pub(crate) path: PathBuf,
    pub(crate) kind: Kind,
    /// Bytes that a guest sees.
    pub(crate) capacity: u64,
    /// Bytes that the file takes on disk.
    pub(crate) allocation: u64,
    /// The length of the file.
    pub(crate) physical: u64,
    pub(super) image: Image,
    permissions: Permissions,
    /// Of the last access, change of contents and change of anything: seconds and nanoseconds.
    times: [(i64, i64); 3],
}

/// What a volume is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    Directory,
}

impl Kind {
    /// `virStorageVolType`.
    pub(crate) fn number(self) -> i8 {
        match self {
            Self::File => 0,
            Self::Directory => 2,
        }
    }
}

impl Volume {
    /// `None` where there is no such file or directory.
    pub(super) fn look(directory: &Directory, name: &str) -> Result<Option<Self>, Failure> {
        let found = directory.find(name)?;
        found.map(|found| Self::of(directory, name, &found)).transpose()
    }

    pub(super) fn of(directory: &Directory, name: &str, found: &Found) -> Result<Self, Failure> {
        let metadata = &found.metadata;
        let kind = if metadata.is_dir() { Kind::Directory } else { Kind::File };
        let image = match kind {
            Kind::Directory => Image { format: "dir", capacity: Some(0), backing: None, qcow2: None },
            Kind::File => {
                let mut header = Vec::new();
                let most = u64::try_from(image::HEADER).unwrap_or(u64::MAX);
                let read = (&found.file).take(most).read_to_end(&mut header);
                read.map_err(|error| directory.failed("read", name, error))?;
                image::probe(&header)
            }
        };
        let (physical, allocation) = match kind {
            Kind::Directory => (0, 0),
            Kind::File => (metadata.len(), metadata.blocks().saturating_mul(512)),
        };
        Ok(Self {
            name: name.to_owned(),
            path: directory.path_of(name),
            kind,
            capacity: image.capacity.unwrap_or(physical),
            allocation,
            physical,
            image,
            permissions: Permissions::of(metadata),
            times: [
                (metadata.atime(), metadata.atime_nsec()),
                (metadata.mtime(), metadata.mtime_nsec()),
                (metadata.ctime(), metadata.ctime_nsec()),
            ],
        })
    }

    pub(crate) fn print(&self) -> String {
        let path = escape_text(&self.path.to_string_lossy());
        let kind = if self.kind == Kind::Directory { "dir" } else { "file" };
        let mut out = format!("<volume type='{kind}'>\n");
        let _ = writeln!(out, "  <name>{}</name>", escape_text(&self.name));
        let _ = writeln!(out, "  <key>{path}</key>");
        let _ = writeln!(out, "  <capacity unit='bytes'>{}</capacity>", self.capacity);
        let _ = writeln!(out, "  <allocation unit='bytes'>{}</allocation>", self.allocation);
        if self.kind == Kind::File {
            let _ = writeln!(out, "  <physical unit='bytes'>{}</physical>", self.physical);
        }
        let _ = writeln!(out, "  <target>\n    <path>{path}</path>");
        let _ = writeln!(out, "    <format type='{}'/>", self.image.format);
        self.permissions.print("    ", &mut out);
        out.push_str("    <timestamps>\n");
        for (name, (seconds, nanos)) in ["atime", "mtime", "ctime"].into_iter().zip(self.times) {
            let _ = writeln!(out, "      <{name}>{seconds}.{nanos:09}</{name}>");
        }
        out.push_str("      <btime>0</btime>\n    </timestamps>\n");
        if let Some(qcow2) = &self.image.qcow2 {
            let compat = if qcow2.version == 2 { "0.10" } else { "1.1" };
            let _ = writeln!(out, "    <compat>{compat}</compat>");
            let _ = writeln!(out, "    <clusterSize unit='B'>{}</clusterSize>", qcow2.cluster);
            let features = [("lazy_refcounts", qcow2.lazy_refcounts), ("extended_l2", qcow2.extended_l2)];
            let has: Vec<_> = features.into_iter().filter(|(_, has)| *has).collect();
            if !has.is_empty() {
                out.push_str("    <features>\n");
                for (name, _) in has {
                    let _ = writeln!(out, "      <{name}/>");
                }
                out.push_str("    </features>\n");
            }
        }
        out.push_str("  </target>\n");
        if let Some(backing) = &self.image.backing {
            let path = resolved(&self.path, &backing.name);
            let path = path.map_or_else(|| backing.name.clone(), |path| path.to_string_lossy().into_owned());
            let _ = writeln!(out, "  <backingStore>\n    <path>{}</path>", escape_text(&printable(&path)));
            if let Some(format) = &backing.format {
                let _ = writeln!(out, "    <format type='{}'/>", escape_attribute(&printable(format), '\''));
            }
            out.push_str("  </backingStore>\n");
        }
        out.push_str("</volume>\n");
        out
    }
}

/// Bytes of an image that are shown must be such as XML holds.
fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') { '?' } else { c })
        .collect()
}

/// The file that a backing name in the image at `image` means, without `..`; `None` where it is no file's name.
pub(super) fn resolved(image: &Path, name: &str) -> Option<PathBuf> {
    let first = name.find([':', '/']);
    let has_protocol = first.is_some_and(|at| name.get(at..).is_some_and(|rest| rest.starts_with(':')));
    if has_protocol || name.is_empty() || name.contains('\0') {
        return None;
    }
    let mut path = PathBuf::new();
    for component in image.parent()?.join(name).components() {
        match component {
            Component::ParentDir => {
                path.pop();
            }
            Component::CurDir => {}
            other => path.push(other),
        }
    }
    Some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backing_name_is_a_path_or_nothing() {
        let check = |name: &str| resolved(Path::new("/pool/a"), name);
        assert_eq!(check("b"), Some("/pool/b".into()));
        assert_eq!(check("./b"), Some("/pool/b".into()));
        assert_eq!(check("../b"), Some("/b".into()));
        assert_eq!(check("/x/b:c"), Some("/x/b:c".into()));
        for name in ["", "json:{}", "nbd://host", "file:b", "fat:rw:/etc"] {
            assert_eq!(check(name), None, "{name}");
        }
    }
}
