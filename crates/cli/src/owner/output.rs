//! Writing: to standard output in one piece, and to new files that only their owner can read.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
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
    let mut out = std::io::stdout().lock();
    match format {
        Format::Text => out.write_all(text.as_bytes())?,
        Format::Json => writeln!(out, "{json}")?,
    }
    Ok(out.flush()?)
}

pub(crate) fn base64(bytes: &[u8]) -> String {
    BASE64_STANDARD.encode(bytes)
}

/// New files of mode 0600 in one directory: all of them appear, whole, or none does.
#[derive(Debug)]
pub(crate) struct PrivateFiles {
    directory: PathBuf,
    files: Vec<(PathBuf, NamedTempFile)>,
}

impl PrivateFiles {
    /// Files in `directory`, which must exist.
    pub(crate) fn new(directory: &Path) -> anyhow::Result<Self> {
        if !directory.is_dir() {
            bail!("`{}` is not a directory; make it first: mkdir -m 700 '{0}'", directory.display());
        }
        Ok(Self { directory: directory.to_owned(), files: Vec::new() })
    }

    /// Writes a file under a name that nobody sees yet.
    pub(crate) fn add(&mut self, name: &str, contents: &[u8]) -> anyhow::Result<()> {
        let path = self.directory.join(name);
        if path.symlink_metadata().is_ok() {
            bail!("`{}` exists already and is not overwritten; name another directory", path.display());
        }
        let write = || -> std::io::Result<NamedTempFile> {
            let mut file = NamedTempFile::new_in(&self.directory)?;
            file.write_all(contents)?;
            file.as_file().sync_all()?;
            Ok(file)
        };
        let file = write().with_context(|| format!("write `{}`", path.display()))?;
        self.files.push((path, file));
        Ok(())
    }

    /// Gives all files their names, and takes them away again if one cannot have its name.
    pub(crate) fn keep(self) -> anyhow::Result<Vec<PathBuf>> {
        let mut kept: Vec<PathBuf> = Vec::new();
        for (path, file) in self.files {
            if let Err(error) = file.persist_noclobber(&path) {
                for path in kept {
                    // It was made a moment ago; if it is gone already, so much the better.
                    let _ = std::fs::remove_file(path);
                }
                return Err(error.error).with_context(|| format!("write `{}`", path.display()));
            }
            kept.push(path);
        }
        Ok(kept)
    }
}
