//! Domain XML from files, directories and standard input, never more of it than a document may have.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use domain::{Document, MAX_SIZE, SyntaxError};

/// The argument that stands for standard input.
pub(crate) const STDIN: &str = "-";
/// What messages call standard input.
pub(crate) const STDIN_NAME: &str = "<stdin>";

/// A text and where it came from.
#[derive(Debug)]
pub(crate) struct Input {
    /// What messages call it.
    pub(crate) name: String,
    pub(crate) text: String,
}

/// Why a text could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InputError {
    #[error("read `{name}`")]
    Read {
        name: String,
        #[source]
        source: io::Error,
    },
    #[error("`{name}` is larger than the limit of {} MiB for a domain", MAX_SIZE / (1024 * 1024))]
    TooLarge { name: String },
    #[error("`{name}` is not UTF-8: line {line} has a byte sequence that is none")]
    NotUtf8 { name: String, line: usize },
}

/// A place to read a domain from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    Stdin,
    /// The user named it: it is to be a domain.
    File(PathBuf),
    /// It was found in a directory: it may be a network, a storage pool, ….
    Found(PathBuf),
}

/// What the arguments name, in their order; directories stand for the `*.xml` files below them, sorted. What cannot be
/// listed stands as an error in its place.
pub(crate) fn sources(arguments: &[String]) -> Vec<Result<Source, InputError>> {
    let mut sources = Vec::new();
    for argument in arguments {
        let path = Path::new(argument);
        if argument == STDIN {
            sources.push(Ok(Source::Stdin));
        } else if path.is_dir() {
            let mut seen = BTreeSet::new();
            below(path, 0, &mut seen, &mut sources);
        } else {
            sources.push(Ok(Source::File(path.to_owned())));
        }
    }
    sources
}

/// The `*.xml` files below a directory. Hidden files are left out, links to directories are not followed, and a file
/// that several names lead to (libvirt's `autostart` links to its domains) is taken once.
fn below(
    directory: &Path,
    depth: usize,
    seen: &mut BTreeSet<(u64, u64)>,
    sources: &mut Vec<Result<Source, InputError>>,
) {
    /// Deeper trees are no store of domains.
    const DEEPEST: usize = 32;
    let failed = |path: &Path, source| InputError::Read { name: path.to_string_lossy().into_owned(), source };
    let entries = fs::read_dir(directory).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    let mut entries = match entries {
        Ok(entries) => entries,
        Err(source) => return sources.push(Err(failed(directory, source))),
    };
    // Files before the directories beside them: a link is then never met before the file that it leads to.
    let is_dir = |entry: &fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_dir());
    entries.sort_by_cached_key(|entry| (is_dir(entry), entry.file_name()));
    for entry in entries {
        let path = entry.path();
        if entry.file_name().as_encoded_bytes().starts_with(b".") {
            continue;
        }
        if is_dir(&entry) {
            if depth < DEEPEST {
                below(&path, depth + 1, seen, sources);
            }
            continue;
        }
        if path.extension().is_none_or(|extension| extension != "xml") {
            continue;
        }
        match fs::metadata(&path) {
            Ok(found) if !found.is_file() => {}
            Ok(found) => {
                if seen.insert((found.dev(), found.ino())) {
                    sources.push(Ok(Source::Found(path)));
                }
            }
            Err(source) => sources.push(Err(failed(&path, source))),
        }
    }
}

impl Source {
    pub(crate) fn read(&self) -> Result<Input, InputError> {
        match self {
            Self::Stdin => Input::take(STDIN_NAME, bounded(io::stdin().lock(), 0)),
            Self::File(path) | Self::Found(path) => Input::take(&path.to_string_lossy(), file(path)),
        }
    }

    /// The file, where it is one.
    pub(crate) fn path(&self) -> Option<&Path> {
        match self {
            Self::Stdin => None,
            Self::File(path) | Self::Found(path) => Some(path),
        }
    }

    /// Whether a document with that root element is to be passed over, since nobody said that it is a domain.
    pub(crate) fn passes_over(&self, document: &Document) -> bool {
        matches!(self, Self::Found(_)) && document.root().name() != "domain"
    }
}

impl Input {
    /// Reads a file, or standard input for `-`.
    pub(crate) fn read(path: &str) -> Result<Self, InputError> {
        if path == STDIN { Source::Stdin } else { Source::File(path.into()) }.read()
    }

    fn take(name: &str, bytes: io::Result<Option<Vec<u8>>>) -> Result<Self, InputError> {
        let name = name.to_owned();
        let bytes = bytes.map_err(|source| InputError::Read { name: name.clone(), source })?;
        let Some(bytes) = bytes else { return Err(InputError::TooLarge { name }) };
        match String::from_utf8(bytes) {
            Ok(text) => Ok(Self { name, text }),
            Err(error) => {
                let valid = error.utf8_error().valid_up_to();
                let before = error.as_bytes().get(..valid).unwrap_or_default();
                let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
                Err(InputError::NotUtf8 { name, line })
            }
        }
    }

    pub(crate) fn parse(&self) -> Result<Document, SyntaxError> {
        Document::parse(&self.text)
    }
}

/// None where there is more than a document may have; a large file is not read to find that out.
fn file(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let file = File::open(path)?;
    let found = file.metadata()?;
    if found.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    if found.len() > MAX_SIZE as u64 { Ok(None) } else { bounded(file, found.len()) }
}

/// All that can be read; `expected` bytes, as far as that is known.
fn bounded(from: impl Read, expected: u64) -> io::Result<Option<Vec<u8>>> {
    // One more, so that the end is seen without asking for more room.
    let mut bytes = Vec::with_capacity(usize::try_from(expected).unwrap_or(0) + 1);
    from.take(MAX_SIZE as u64 + 1).read_to_end(&mut bytes)?;
    Ok((bytes.len() <= MAX_SIZE).then_some(bytes))
}
