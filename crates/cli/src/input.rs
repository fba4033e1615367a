//! Domain XML from files and from standard input, never more of it than a document may have.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

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

impl Input {
    /// Reads a file, or standard input for `-`.
    pub(crate) fn read(path: &str) -> Result<Self, InputError> {
        let name = if path == STDIN { STDIN_NAME } else { path }.to_owned();
        let bytes = if path == STDIN { bounded(io::stdin().lock()) } else { file(Path::new(path)) };
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
    if found.len() > MAX_SIZE as u64 { Ok(None) } else { bounded(file) }
}

fn bounded(from: impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    from.take(MAX_SIZE as u64 + 1).read_to_end(&mut bytes)?;
    Ok((bytes.len() <= MAX_SIZE).then_some(bytes))
}
