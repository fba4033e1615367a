//! The definitions on disk: one XML file a domain, and links that say which domains start with the host.
//!
//! ```text
//!   state/domains/NAME.xml           the definition, as it was completed
//!   state/autostart/NAME.xml         ─► ../domains/NAME.xml: started with the daemon
//!   state/autostart/NAME.xml.once    the same, for the next start only
//!   state/nvram/                     variables of guests
//! ```
//!
//! A file takes its name when it is whole and on disk; the name is then put on disk too before anybody is told that the
//! domain is defined. So a definition is the old one or the new one, whatever happens. What a file is called is only a
//! place: the domain's name and UUID are read from the definition. Nothing that is not understood is ever removed.

pub(crate) mod file;
mod head;

use std::collections::HashSet;
use std::ffi::OsString;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rpc::xdr::Uuid;

pub(crate) use file::file_name;

/// Where definitions are kept.
#[derive(Debug)]
pub(crate) struct Store {
    domains: PathBuf,
    autostart: PathBuf,
}

/// A definition that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) name: String,
    pub(crate) uuid: Uuid,
    pub(crate) text: Arc<str>,
    pub(crate) autostart: bool,
    pub(crate) autostart_once: bool,
}

/// Which of the two links a domain has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Autostart {
    /// With the daemon, always.
    Always,
    /// With the daemon's next start.
    Once,
}

/// What the store could not do. What was there before is still there.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what} `{path}`")]
pub(crate) struct StoreError {
    what: &'static str,
    path: PathBuf,
    #[source]
    source: io::Error,
}

impl StoreError {
    fn at(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self { what, path, source }
    }
}

impl Store {
    /// The store below the daemon's state directory. Directories that are missing are made; where that fails, reading
    /// finds nothing and writing says why.
    pub(crate) fn open(state: &Path) -> Self {
        let store = Self { domains: state.join("domains"), autostart: state.join("autostart") };
        for directory in [&store.domains, &store.autostart, &state.join("nvram")] {
            let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory);
            if let Err(error) = made {
                tracing::warn!(directory = %directory.display(), %error, "cannot make a state directory");
            }
        }
        store
    }

    /// All definitions. Files that are none are named in the log and left alone.
    pub(crate) fn load(&self) -> Vec<Stored> {
        let links = self.links();
        let mut read = Vec::new();
        for file in self.files() {
            let path = self.domains.join(&file);
            match head::read(&path) {
                Ok((text, head)) => {
                    let own = file_name(&head.name);
                    read.push((file != *own, path, own, text, head));
                }
                Err(reason) => {
                    tracing::warn!(file = %path.display(), %reason, "not a definition; it is left as it is");
                }
            }
        }
        // A file with the name that its domain has goes before any other that tells of the same domain.
        read.sort_by_key(|(is_misplaced, ..)| *is_misplaced);
        let (mut names, mut uuids) = (HashSet::new(), HashSet::new());
        let mut found = Vec::with_capacity(read.len());
        for (is_misplaced, path, own, text, head::Head { name, uuid }) in read {
            if names.contains(&name) || uuids.contains(&uuid) {
                tracing::warn!(
                    file = %path.display(), %name, %uuid,
                    "another file defines a domain with this name or UUID; this one is left as it is"
                );
                continue;
            }
            names.insert(name.clone());
            uuids.insert(uuid);
            if is_misplaced {
                self.settle(&path, &own);
            }
            let autostart = links.contains(&OsString::from(&own));
            let autostart_once = links.contains(&OsString::from(format!("{own}{ONCE}")));
            found.push(Stored { name, uuid, text, autostart, autostart_once });
        }
        found
    }

    /// The names of files that may be definitions, sorted. What an interrupted write left behind is removed.
    fn files(&self) -> Vec<OsString> {
        let entries = match std::fs::read_dir(&self.domains) {
            Ok(entries) => entries,
            Err(error) => {
                tracing::warn!(directory = %self.domains.display(), %error, "cannot read the definitions");
                return Vec::new();
            }
        };
        let mut files = Vec::new();
        for entry in entries.flatten() {
            let name = entry.file_name();
            if file::is_temporary(&name) {
                let _ = std::fs::remove_file(entry.path());
            } else if Path::new(&name).extension().is_some_and(|extension| extension == "xml") {
                files.push(name);
            } else {
                tracing::warn!(file = %entry.path().display(), "not a definition; it is left as it is");
            }
        }
        files.sort();
        files
    }

    fn links(&self) -> HashSet<OsString> {
        let entries = std::fs::read_dir(&self.autostart).into_iter().flatten();
        entries.flatten().map(|entry| entry.file_name()).collect()
    }

    /// Gives a definition the file name that its domain's name has, if that is free.
    fn settle(&self, path: &Path, own: &str) {
        let proper = self.domains.join(own);
        let moved = match proper.symlink_metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                std::fs::rename(path, &proper).and_then(|()| file::sync(&self.domains))
            }
            Err(error) => Err(error),
            Ok(_) => Err(io::ErrorKind::AlreadyExists.into()),
        };
        if let Err(error) = moved {
            tracing::warn!(file = %path.display(), proper = %proper.display(), %error, "cannot rename a definition");
        }
    }

    /// Puts a definition on disk in place of the one that there was.
    pub(crate) fn save(&self, name: &str, text: &str) -> Result<(), StoreError> {
        let path = self.domains.join(file_name(name));
        file::replace(&self.domains, &path, text.as_bytes())
            .map_err(StoreError::at("save the definition", &path))
    }

    /// Takes a definition and its links away. A domain is never started by a link that it no longer has, and never half
    /// defined: first the links go, then the definition.
    pub(crate) fn remove(&self, name: &str) -> Result<(), StoreError> {
        for link in [Autostart::Always, Autostart::Once] {
            self.set_autostart(name, link, false)?;
        }
        let path = self.domains.join(file_name(name));
        file::remove(&self.domains, &path).map_err(StoreError::at("remove the definition", &path))
    }

    /// Puts the definition of a domain that was called `old` on disk under its new name. At any instant there is one
    /// definition with the domain's UUID: the text is replaced first, then the file is renamed.
    pub(crate) fn rename(&self, old: &str, new: &str, text: &str) -> Result<(), StoreError> {
        let (from, to) = (self.domains.join(file_name(old)), self.domains.join(file_name(new)));
        let links: Vec<Autostart> = [Autostart::Always, Autostart::Once]
            .into_iter()
            .filter(|link| self.link(old, *link).symlink_metadata().is_ok())
            .collect();
        for link in &links {
            self.set_autostart(new, *link, true)?;
        }
        file::replace(&self.domains, &from, text.as_bytes())
            .and_then(|()| std::fs::rename(&from, &to))
            .and_then(|()| file::sync(&self.domains))
            .map_err(StoreError::at("rename the definition", &from))?;
        links.into_iter().try_for_each(|link| self.set_autostart(old, link, false))
    }

    /// Whether the domain starts with the daemon.
    pub(crate) fn set_autostart(&self, name: &str, which: Autostart, wanted: bool) -> Result<(), StoreError> {
        let path = self.link(name, which);
        let done = if wanted {
            let target = Path::new("../domains").join(file_name(name));
            match symlink(target, &path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
                Err(error) => Err(error),
                Ok(()) => file::sync(&self.autostart),
            }
        } else {
            file::remove(&self.autostart, &path)
        };
        done.map_err(StoreError::at("change the autostart link", &path))
    }

    fn link(&self, name: &str, which: Autostart) -> PathBuf {
        let suffix = match which {
            Autostart::Always => "",
            Autostart::Once => ONCE,
        };
        self.autostart.join(format!("{}{suffix}", file_name(name)))
    }
}

/// What the name of a link ends with that holds for one start.
const ONCE: &str = ".once";

#[cfg(test)]
mod tests;
