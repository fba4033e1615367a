//! Writing so that a crash at any moment leaves the old file or the new one, never half of one.
//!
//! A new file is written beside the old one, synced, given the old one's owner, mode and extended attributes, renamed
//! over it, and then the directory is synced (rename(2), fsync(2)). Every step goes through one counter, so that tests
//! can end the world after any of them.

use std::cell::Cell;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use crate::likeness::take_over;

/// Who carries the steps out.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    /// How many steps are left until all of them fail.
    left: Cell<Option<usize>>,
}

impl Disk {
    #[cfg(test)]
    pub(crate) fn failing_after(steps: usize) -> Self {
        Self { left: Cell::new(Some(steps)) }
    }

    fn step<T>(&self, act: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        match self.left.get() {
            Some(0) => return Err(io::Error::other("the world has ended")),
            Some(left) => self.left.set(Some(left - 1)),
            None => {}
        }
        act()
    }

    /// Makes a directory and those above it that are missing; which ones, outermost first.
    pub(crate) fn make_directories(&self, directory: &Path, mode: u32) -> io::Result<Vec<PathBuf>> {
        let missing: Vec<&Path> = directory.ancestors().take_while(|place| !place.exists()).collect();
        let mut made = Vec::new();
        for place in missing.into_iter().rev() {
            let mut builder = fs::DirBuilder::new();
            std::os::unix::fs::DirBuilderExt::mode(&mut builder, mode);
            self.step(|| builder.create(place))?;
            self.sync_directory(place)?;
            made.push(place.to_owned());
        }
        Ok(made)
    }

    /// Puts a file in place, new or instead of the old one.
    pub(crate) fn put(&self, place: &Path, content: &[u8], mode: u32) -> io::Result<()> {
        let beside = beside(place);
        self.step(|| forget(&beside))?;
        let result = self.put_by(&beside, place, content, mode);
        if result.is_err() && self.left.get() != Some(0) {
            // The first error is the one to tell.
            let _ = forget(&beside);
        }
        result
    }

    fn put_by(&self, beside: &Path, place: &Path, content: &[u8], mode: u32) -> io::Result<()> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(mode);
        let mut file = self.step(|| options.open(beside))?;
        let (first, second) = content.split_at(content.len() / 2);
        self.step(|| file.write_all(first))?;
        self.step(|| file.write_all(second))?;
        match File::open(place) {
            Ok(old) => self.step(|| take_over(&old, &file).map_err(io::Error::other))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        self.step(|| file.sync_all())?;
        self.step(|| fs::rename(beside, place))?;
        self.sync_directory(place)
    }

    /// Takes a file away; it may be gone already.
    pub(crate) fn remove(&self, place: &Path) -> io::Result<()> {
        self.step(|| forget(place))?;
        self.sync_directory(place)
    }

    /// Takes a directory away if nothing is in it.
    pub(crate) fn remove_directory(&self, place: &Path) -> io::Result<()> {
        self.step(|| match fs::remove_dir(place) {
            Err(error)
                if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::DirectoryNotEmpty) =>
            {
                Ok(())
            }
            other => other,
        })
    }

    /// Takes away what a crash left beside a file.
    pub(crate) fn sweep(&self, place: &Path) -> io::Result<()> {
        self.step(|| forget(&beside(place)))
    }

    /// Syncs the directory that holds `place`.
    fn sync_directory(&self, place: &Path) -> io::Result<()> {
        let Some(directory) = place.parent().filter(|directory| directory.exists()) else { return Ok(()) };
        self.step(|| File::open(directory)?.sync_all())
    }
}

/// Where a new file is written: hidden, and of a name that no program reads for its ending.
fn beside(place: &Path) -> PathBuf {
    let name = place.file_name().unwrap_or_default().to_string_lossy();
    place.with_file_name(format!(".{name}.sevirt-new"))
}

fn forget(place: &Path) -> io::Result<()> {
    match fs::remove_file(place) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
