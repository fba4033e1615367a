//! Writing: to standard output in one piece, and to new files that only their owner can read.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, linkat, open};
use rustix::io::Errno;
use serde_json::Value;
use tempfile::NamedTempFile;

/// How a command answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs: one JSON object.
    Json,
}

/// Prints an answer in one of its two forms.
pub(crate) fn print(format: Format, text: &str, json: &Value) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    match format {
        Format::Text => out.write_all(text.as_bytes())?,
        Format::Json => writeln!(out, "{json}")?,
    }
    Ok(out.flush()?)
}

pub(crate) fn base64(bytes: &[u8]) -> String {
    BASE64_STANDARD.encode(bytes)
}

/// New files of mode 0600 in one directory: all of them appear, whole, or none does. Until then they have no name at all
/// where the file system can do that (open(2), O_TMPFILE): whatever ends the program then, nothing is left of them.
#[derive(Debug)]
pub(crate) struct PrivateFiles {
    directory: PathBuf,
    files: Vec<(PathBuf, Unnamed)>,
}

/// A file that nobody sees yet.
#[derive(Debug)]
enum Unnamed {
    Nameless(File),
    /// Under a name that nobody looks for, where a file system cannot do without.
    Hidden(NamedTempFile),
}

impl Unnamed {
    fn new(directory: &Path) -> io::Result<Self> {
        let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
        match open(directory, flags, Mode::RUSR | Mode::WUSR) {
            Ok(file) => Ok(Self::Nameless(file.into())),
            Err(Errno::NOTSUP | Errno::ISDIR | Errno::INVAL) => {
                Ok(Self::Hidden(NamedTempFile::new_in(directory)?))
            }
            Err(error) => Err(error.into()),
        }
    }

    fn file(&mut self) -> &mut File {
        match self {
            Self::Nameless(file) => file,
            Self::Hidden(file) => file.as_file_mut(),
        }
    }

    /// Gives it a name that no file has.
    fn keep(self, path: &Path) -> io::Result<()> {
        match self {
            Self::Nameless(file) => {
                let own = format!("/proc/self/fd/{}", file.as_raw_fd());
                Ok(linkat(CWD, own, CWD, path, AtFlags::SYMLINK_FOLLOW)?)
            }
            Self::Hidden(file) => file.persist_noclobber(path).map(drop).map_err(|error| error.error),
        }
    }
}

impl PrivateFiles {
    /// Files in `directory`, which must exist.
    pub(crate) fn new(directory: &Path) -> anyhow::Result<Self> {
        if !directory.is_dir() {
            bail!("`{}` is not a directory; make it first: mkdir -m 700 '{0}'", directory.display());
        }
        Ok(Self { directory: directory.to_owned(), files: Vec::new() })
    }

    /// Writes a file that has no name yet.
    pub(crate) fn add(&mut self, name: &str, contents: &[u8]) -> anyhow::Result<()> {
        let path = self.directory.join(name);
        if path.symlink_metadata().is_ok() {
            bail!("`{}` exists already and is not overwritten; name another directory", path.display());
        }
        let write = || -> io::Result<Unnamed> {
            let mut unnamed = Unnamed::new(&self.directory)?;
            unnamed.file().write_all(contents)?;
            unnamed.file().sync_all()?;
            Ok(unnamed)
        };
        let file = write().with_context(|| format!("write `{}`", path.display()))?;
        self.files.push((path, file));
        Ok(())
    }

    /// Gives all files their names, and takes them away again if one cannot have its name.
    pub(crate) fn keep(self) -> anyhow::Result<Vec<PathBuf>> {
        let mut kept: Vec<PathBuf> = Vec::new();
        for (path, file) in self.files {
            if let Err(error) = file.keep(&path) {
                for path in kept {
                    // It was made a moment ago; if it is gone already, so much the better.
                    let _ = std::fs::remove_file(path);
                }
                return Err(error).with_context(|| format!("write `{}`", path.display()));
            }
            kept.push(path);
        }
        Ok(kept)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        let mut names: Vec<_> = std::fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn files_appear_together_or_not_at_all() {
        let directory = tempfile::tempdir().unwrap();
        let mut files = PrivateFiles::new(directory.path()).unwrap();
        files.add("a", b"1").unwrap();
        files.add("b", b"2").unwrap();
        // Somebody else is faster with one of the names.
        std::fs::write(directory.path().join("b"), "theirs").unwrap();
        let error = format!("{:#}", files.keep().unwrap_err());
        assert!(error.contains("/b`: File exists"), "{error}");
        assert_eq!(names(directory.path()), ["b"]);
        std::fs::remove_file(directory.path().join("b")).unwrap();

        let mut files = PrivateFiles::new(directory.path()).unwrap();
        files.add("a", b"1").unwrap();
        files.keep().unwrap();
        let path = directory.path().join("a");
        assert_eq!(std::fs::read(&path).unwrap(), b"1");
        assert_eq!(std::fs::metadata(path).unwrap().mode() & 0o7777, 0o600);
    }

    #[test]
    fn a_program_that_is_killed_leaves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let mut file = Unnamed::new(directory.path()).unwrap();
        file.file().write_all(b"a key").unwrap();
        // Without O_TMPFILE there is a name until the file is dropped.
        if matches!(file, Unnamed::Nameless(_)) {
            assert_eq!(names(directory.path()), [] as [String; 0]);
        }
        drop(file);
        assert_eq!(names(directory.path()), [] as [String; 0]);
    }
}
