//! Where facts are read from: this machine's `/`, or files that stand for another machine. Paths are those of the
//! machine that is looked at; what another machine's files lead to is always in its own tree.

use std::ffi::OsString;
use std::fs::{self, File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use crate::description::{Description, DescriptionError, Kind, Node};
use crate::facts::Fact;

/// Files larger than this are not facts about a host.
const FACT_SIZE_LIMIT: u64 = 1 << 20;
/// More names than any directory of a host has that is looked at.
const NAMES_LIMIT: usize = 1 << 14;
/// As Linux follows.
const MAX_LINKS: usize = 40;
/// `XATTR_SIZE_MAX`, linux/limits.h.
const XATTR_SIZE_LIMIT: usize = 1 << 16;

/// A directory that stands for `/`, and what is known of the machine beside its files.
#[derive(Debug, Clone)]
pub struct Root {
    directory: PathBuf,
    description: Option<Arc<Description>>,
}

/// A file as [`Root`] knows it: of this machine by the kernel, of a described host by its description.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Status {
    pub(crate) kind: Kind,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// The permission bits.
    pub(crate) mode: u32,
    /// Seconds since 1970, of the contents.
    pub(crate) modified: i64,
    /// Seconds since 1970, of owner, mode and the like.
    pub(crate) changed: i64,
}

impl Root {
    /// This machine.
    #[must_use]
    pub fn live() -> Self {
        Self { directory: PathBuf::from("/"), description: None }
    }

    /// A tree that was copied from a machine. Nothing but files is read: no CPUID, no ioctl.
    #[must_use]
    pub fn at(directory: PathBuf) -> Self {
        Self { directory, description: None }
    }

    /// Another machine: a described one where `directory` has a `host.toml` (its tree is `directory/root`), else a
    /// tree that was copied.
    pub fn open(directory: &Path) -> Result<Self, DescriptionError> {
        let failed = |source| DescriptionError::Read { path: directory.to_owned(), source };
        if !fs::metadata(directory).map_err(failed)?.is_dir() {
            return Err(failed(io::ErrorKind::NotADirectory.into()));
        }
        Ok(match Description::load(&directory.join("host.toml"))? {
            None => Self::at(directory.to_owned()),
            Some(description) => {
                Self { directory: directory.join("root"), description: Some(Arc::new(description)) }
            }
        })
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

    /// What is known beside files; nothing where there is no description.
    pub(crate) fn description(&self) -> Option<&Description> {
        self.description.as_deref()
    }

    fn node(&self, logical: &Path) -> Option<&Node> {
        self.description.as_ref()?.path.get(logical)
    }

    /// Whether anything is said of a path or of what is below it.
    fn is_described(&self, logical: &Path) -> bool {
        let described = self.description.as_ref().map(|description| &description.path);
        let next = described.and_then(|paths| paths.range(logical.to_owned()..).next());
        next.is_some_and(|(path, _)| path.starts_with(logical))
    }

    /// Follows links as they lead within this root. The answer has none and is below `/`.
    pub(crate) fn resolve(&self, absolute: &Path) -> io::Result<PathBuf> {
        if self.is_live() {
            return Ok(absolute.to_owned());
        }
        let parts = |path: &Path| -> Vec<OsString> {
            path.components()
                .rev()
                .filter_map(|part| match part {
                    Component::Normal(name) => Some(name.to_owned()),
                    Component::ParentDir => Some("..".into()),
                    Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
                })
                .collect()
        };
        let mut pending = parts(absolute);
        let mut reached = PathBuf::from("/");
        let mut links = 0;
        while let Some(name) = pending.pop() {
            if name == ".." {
                reached.pop();
                continue;
            }
            reached.push(name);
            let node = self.node(&reached);
            if let Some(errno) = node.and_then(|node| node.errno) {
                return Err(io::Error::from_raw_os_error(errno));
            }
            match fs::symlink_metadata(self.real(&reached)) {
                Ok(found) if found.is_symlink() => {
                    links += 1;
                    if links > MAX_LINKS {
                        return Err(io::Error::from_raw_os_error(libc::ELOOP));
                    }
                    let target = fs::read_link(self.real(&reached))?;
                    reached.pop();
                    if target.is_absolute() {
                        reached = PathBuf::from("/");
                    }
                    pending.extend(parts(&target));
                }
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound && self.is_described(&reached) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(reached)
    }

    /// The last name of what a link leads to; `None` where there is no link.
    pub(crate) fn link_name(&self, absolute: &str) -> Option<String> {
        let (directory, name) = absolute.rsplit_once('/')?;
        let directory = self.resolve(Path::new(directory)).ok()?;
        let target = fs::read_link(self.real(&directory.join(name))).ok()?;
        Some(target.file_name()?.to_string_lossy().into_owned())
    }

    fn real(&self, logical: &Path) -> PathBuf {
        self.directory.join(logical.strip_prefix("/").unwrap_or(logical))
    }

    /// A file's kind, owner, mode and times.
    pub(crate) fn status(&self, absolute: &str) -> io::Result<Status> {
        let logical = self.resolve(Path::new(absolute))?;
        let found = fs::metadata(self.real(&logical));
        if self.description.is_none() {
            return found.as_ref().map(Status::from).map_err(again);
        }
        let node = self.node(&logical);
        if node.is_none() {
            found.as_ref().map_err(again)?;
        }
        let kind = node.and_then(|node| node.kind).or_else(|| found.as_ref().ok().map(kind_of));
        Ok(Status::described(kind.unwrap_or(Kind::File), node))
    }

    /// An extended attribute; `None` where the file has none of that name.
    pub(crate) fn xattr(&self, absolute: &str, name: &str) -> io::Result<Option<Vec<u8>>> {
        let logical = self.resolve(Path::new(absolute))?;
        if self.description.is_some() {
            return match self.node(&logical).and_then(|node| node.xattr.get(name)) {
                None => Ok(None),
                Some(value) => value.bytes().map(Some),
            };
        }
        let mut buffer = vec![0; XATTR_SIZE_LIMIT];
        match rustix::fs::getxattr(self.real(&logical), name, &mut buffer[..]) {
            Ok(length) => {
                buffer.truncate(length);
                Ok(Some(buffer))
            }
            Err(rustix::io::Errno::NODATA | rustix::io::Errno::NOTSUP) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// A regular file, opened; nothing else, since opening a pipe or a device can block or do something.
    pub(crate) fn open_file(&self, absolute: &Path) -> io::Result<File> {
        let path = self.real(&self.resolve(absolute)?);
        let file = fs::OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
        let found = file.metadata()?;
        if found.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        if !found.is_file() {
            return Err(io::Error::other("not a regular file"));
        }
        Ok(file)
    }

    /// All bytes of a file that has at most `limit`.
    pub(crate) fn bytes(&self, absolute: &Path, limit: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.open_file(absolute)?.take(limit + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > limit {
            return Err(io::Error::other(format!("larger than {} MiB", limit >> 20)));
        }
        Ok(bytes)
    }

    /// A file of text.
    pub(crate) fn text(&self, absolute: &str) -> Fact<String> {
        let read = || {
            let bytes = self.bytes(Path::new(absolute), FACT_SIZE_LIMIT)?;
            String::from_utf8(bytes).map_err(|_| io::Error::other("not UTF-8"))
        };
        Fact::of_io(absolute, read())
    }

    /// The first lines of a file of text, at most `limit` bytes of it.
    pub(crate) fn head(&self, absolute: &str, limit: u64) -> Fact<String> {
        let read = || {
            let mut bytes = Vec::new();
            self.open_file(Path::new(absolute))?.take(limit).read_to_end(&mut bytes)?;
            if bytes.len() as u64 == limit {
                let whole_lines = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
                bytes.truncate(whole_lines);
            }
            String::from_utf8(bytes).map_err(|_| io::Error::other("not UTF-8"))
        };
        Fact::of_io(absolute, read())
    }

    /// The names in a directory, sorted.
    pub(crate) fn names(&self, absolute: &str) -> Fact<Vec<String>> {
        let read = || -> io::Result<Vec<String>> {
            let path = self.real(&self.resolve(Path::new(absolute))?);
            let mut names = fs::read_dir(path)?
                .take(NAMES_LIMIT)
                .map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned()))
                .collect::<io::Result<Vec<_>>>()?;
            names.sort();
            Ok(names)
        };
        Fact::of_io(absolute, read())
    }
}

/// The same error once more: errors cannot be cloned.
fn again(error: &io::Error) -> io::Error {
    error.raw_os_error().map_or_else(|| error.kind().into(), io::Error::from_raw_os_error)
}

fn kind_of(found: &Metadata) -> Kind {
    let kind = found.file_type();
    if kind.is_dir() {
        Kind::Directory
    } else if kind.is_char_device() {
        Kind::Character
    } else if kind.is_block_device() {
        Kind::Block
    } else {
        Kind::File
    }
}

impl From<&Metadata> for Status {
    fn from(found: &Metadata) -> Self {
        Self {
            kind: kind_of(found),
            uid: found.uid(),
            gid: found.gid(),
            mode: found.mode() & 0o7777,
            modified: found.mtime(),
            changed: found.ctime(),
        }
    }
}

impl Status {
    /// What a description leaves out is as most files have it: the files of its tree are not asked, they are whoever's
    /// made the tree.
    fn described(kind: Kind, node: Option<&Node>) -> Self {
        let of_node = |field: fn(&Node) -> Option<u32>| node.and_then(field);
        let usual_mode = match kind {
            Kind::File => 0o644,
            Kind::Directory => 0o755,
            Kind::Character | Kind::Block => 0o600,
        };
        let modified = node.and_then(|node| node.modified).unwrap_or(0);
        Self {
            kind,
            uid: of_node(|node| node.uid).unwrap_or(0),
            gid: of_node(|node| node.gid).unwrap_or(0),
            mode: of_node(|node| node.mode).unwrap_or(usual_mode) & 0o7777,
            modified,
            changed: node.and_then(|node| node.changed).unwrap_or(modified),
        }
    }
}
