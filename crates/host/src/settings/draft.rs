//! Files as they would be after a change, before anything is written.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use crate::root::Root;

use super::SettingsError;
use super::file::Kind;
use super::place;
use super::text::{Edit, Piece, splice};

/// One file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Absolute, below the root.
    pub path: PathBuf,
    /// `None` where there is no file.
    pub before: Option<Vec<u8>>,
    /// `None` where there will be none.
    pub after: Option<Vec<u8>>,
    pub(crate) kind: Kind,
    pub(crate) pieces: Vec<Piece>,
}

/// Files that were looked at, and what is to become of them.
#[derive(Debug)]
pub(crate) struct Draft<'r> {
    pub(crate) root: &'r Root,
    files: BTreeMap<PathBuf, Change>,
}

impl<'r> Draft<'r> {
    pub(crate) fn new(root: &'r Root) -> Self {
        Self { root, files: BTreeMap::new() }
    }

    /// The content of a file as it would be now.
    pub(crate) fn read(&mut self, path: &Path, kind: Kind) -> Result<Option<Vec<u8>>, SettingsError> {
        if let Some(change) = self.files.get(path) {
            return Ok(change.after.clone());
        }
        let before = place::read(self.root, path)
            .map_err(|source: io::Error| SettingsError::Read { path: path.to_owned(), source })?;
        let change =
            Change { path: path.to_owned(), after: before.clone(), before, kind, pieces: Vec::new() };
        let content = change.after.clone();
        self.files.insert(path.to_owned(), change);
        Ok(content)
    }

    /// Changes a file that was read.
    pub(crate) fn write(
        &mut self,
        path: &Path,
        after: Option<Vec<u8>>,
        pieces: impl IntoIterator<Item = Piece>,
    ) {
        if let Some(change) = self.files.get_mut(path) {
            change.after = after;
            change.pieces.extend(pieces);
        }
    }

    /// Makes edits of several files, by their index in `paths`.
    pub(crate) fn edit(
        &mut self,
        paths: &[PathBuf],
        edits: &[Edit],
        pieces: &[(usize, Piece)],
    ) -> Result<(), SettingsError> {
        for (source, path) in paths.iter().enumerate() {
            let pieces: Vec<Piece> =
                pieces.iter().filter(|(at, _)| *at == source).map(|(_, piece)| piece.clone()).collect();
            if pieces.is_empty() && edits.iter().all(|edit| edit.source != source) {
                continue;
            }
            let content = self.files.get(path).and_then(|change| change.after.clone()).unwrap_or_default();
            let after = splice(&content, source, edits)
                .ok_or_else(|| SettingsError::NotEffective { path: path.clone() })?;
            self.write(path, Some(after), pieces);
        }
        Ok(())
    }

    /// The size that a file has now.
    pub(crate) fn size(&self, path: &Path) -> usize {
        self.files.get(path).and_then(|change| change.before.as_ref()).map_or(0, Vec::len)
    }

    /// What changes.
    pub(crate) fn changes(self) -> Vec<Change> {
        self.files.into_values().filter(|change| change.before != change.after).collect()
    }
}
