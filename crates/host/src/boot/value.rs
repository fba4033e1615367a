//! What variables hold after scripts were run one after the other, and which byte of which file each byte comes from.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;

use super::shell::{self, Piece, ShellError, Statement, StatementKind, Word};

/// Bytes that all values together may have: variables that double each other grow without bound.
const MOST_BYTES: usize = 4 << 20;

/// A file and what is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Absolute, below the root.
    pub path: PathBuf,
    pub text: Vec<u8>,
}

/// Where a byte of a value is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// An index into the sources.
    pub source: usize,
    pub span: Range<usize>,
}

/// A value as far as it can be told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Value {
    pub bytes: Vec<u8>,
    /// One for each byte.
    pub origins: Vec<Option<Origin>>,
    /// Why it may be another.
    pub doubt: Option<Doubt>,
}

/// Why a value can not be told without running the script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doubt {
    pub path: PathBuf,
    /// From 1.
    pub line: usize,
    pub why: &'static str,
}

impl std::fmt::Display for Doubt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}: {}", self.path.display(), self.line, self.why)
    }
}

/// Why scripts can not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not a shell script that can be sourced", path.display())]
pub struct ScriptError {
    pub path: PathBuf,
    #[source]
    pub source: ShellError,
}

/// Scripts that are sourced one after the other.
#[derive(Debug, Clone)]
pub struct Scripts {
    pub sources: Vec<Source>,
    statements: Vec<Vec<Statement>>,
    values: BTreeMap<String, Value>,
}

impl Value {
    fn push(&mut self, byte: u8, origin: Option<Origin>) {
        self.bytes.push(byte);
        self.origins.push(origin);
    }

    fn extend(&mut self, other: &Self) {
        self.bytes.extend_from_slice(&other.bytes);
        self.origins.extend_from_slice(&other.origins);
        if self.doubt.is_none() {
            self.doubt.clone_from(&other.doubt);
        }
    }

    /// This value, a space, and the other, as scripts put command lines together.
    #[must_use]
    pub fn followed_by(mut self, other: &Self) -> Self {
        self.push(b' ', None);
        self.extend(other);
        self
    }

    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}

impl Scripts {
    pub fn parse(sources: Vec<Source>) -> Result<Self, ScriptError> {
        let parse = |source: &Source| {
            let fail = |error| ScriptError { path: source.path.clone(), source: error };
            shell::parse(&source.text).map_err(fail)
        };
        let statements = sources.iter().map(parse).collect::<Result<Vec<_>, _>>()?;
        let mut scripts = Self { sources, statements, values: BTreeMap::new() };
        scripts.values = scripts.run();
        Ok(scripts)
    }

    /// What a variable holds in the end; `None` where nothing sets it.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&Value> {
        self.values.get(name)
    }

    /// The places that surely assign to a variable, first to last: the source and the word.
    pub fn assignments<'s>(&'s self, wanted: &'s str) -> impl DoubleEndedIterator<Item = (usize, &'s Word)> {
        self.statements.iter().enumerate().flat_map(move |(source, statements)| {
            statements.iter().filter(|statement| !statement.conditional).filter_map(move |statement| {
                match &statement.kind {
                    StatementKind::Assignment { name, word, .. } if name == wanted => Some((source, word)),
                    _ => None,
                }
            })
        })
    }

    fn run(&self) -> BTreeMap<String, Value> {
        let mut values: BTreeMap<String, Value> = BTreeMap::new();
        let mut left = MOST_BYTES;
        for (source, statements) in self.statements.iter().enumerate() {
            for statement in statements {
                let doubt = |why| {
                    let path = self.sources.get(source).map(|source| source.path.clone()).unwrap_or_default();
                    Doubt { path, line: statement.line, why }
                };
                match &statement.kind {
                    StatementKind::Anything => {
                        let doubt = doubt("what this command sets can not be told without running it");
                        for value in values.values_mut() {
                            value.doubt.get_or_insert_with(|| doubt.clone());
                        }
                    }
                    StatementKind::Assignment { name, .. } | StatementKind::Unset(name)
                        if statement.conditional =>
                    {
                        let value = values.entry(name.clone()).or_default();
                        value.doubt.get_or_insert_with(|| doubt("it is set here under a condition"));
                    }
                    StatementKind::Unset(name) => {
                        values.remove(name);
                    }
                    StatementKind::Assignment { name, append, word } => {
                        let mut value = Value::default();
                        if *append {
                            value = values.get(name).cloned().unwrap_or_default();
                        }
                        for piece in &word.pieces {
                            match piece {
                                Piece::Byte(byte, span) => {
                                    value.push(*byte, Some(Origin { source, span: span.clone() }));
                                }
                                Piece::Variable(other) => {
                                    if let Some(other) = values.get(other) {
                                        value.extend(other);
                                    }
                                }
                                Piece::Unknown => {
                                    let why = "a part of it can not be told without running it";
                                    value.doubt.get_or_insert_with(|| doubt(why));
                                }
                            }
                        }
                        if value.bytes.len() > left {
                            value = Value { doubt: Some(doubt("it is too long")), ..Value::default() };
                        }
                        left -= value.bytes.len();
                        values.insert(name.clone(), value);
                    }
                }
            }
        }
        values
    }
}

#[cfg(test)]
mod tests;
