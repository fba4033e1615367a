//! Every key of the facts' JSON: its type, its unit and where it comes from. The page `docs/facts.md` is made of this
//! table, and [`Facts::assume`](crate::Facts::assume) takes values by it; a test holds it against [`Facts`].

use serde_json::{Map, Value};

mod page;
mod table;

pub use page::page;
pub(crate) use table::KEYS;

/// One key.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Key {
    /// Dotted; `[]` stands for each element of a list, `{}` for each value of a map.
    pub(crate) path: &'static str,
    pub(crate) kind: Kind,
    pub(crate) presence: Presence,
    /// What it says, its unit, its source.
    pub(crate) about: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Presence {
    /// Wrapped: `{"known": …}`, `"absent"` or `{"unreadable": …}`.
    Fact,
    /// The value itself.
    Plain,
    /// The value itself or null.
    Optional,
    /// Made of other keys when the facts are printed, and not read.
    Derived,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Bool,
    Number,
    /// A number that people write in octal.
    Mode,
    Text,
    /// `major.minor.micro`.
    Version,
    /// A list of words.
    Words,
    /// A list of numbers.
    Numbers,
    /// An object; its keys have rows of their own.
    Object,
    /// A list of such objects.
    List,
    /// Such objects by name.
    Map,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// Of a shape that the text describes.
    Other(&'static str),
}

impl Kind {
    /// What a person would call it.
    pub(crate) fn expected(self) -> String {
        match self {
            Self::Bool => "true or false".to_owned(),
            Self::Number => "a whole number, decimal or 0x…".to_owned(),
            Self::Mode => "permission bits in octal, such as 0660".to_owned(),
            Self::Text => "text".to_owned(),
            Self::Version => "a version, such as 8.2.0".to_owned(),
            Self::Words => "words with spaces or + between them".to_owned(),
            Self::Numbers => "numbers with spaces or + between them".to_owned(),
            Self::Object => "a JSON object".to_owned(),
            Self::List => "a JSON array of objects".to_owned(),
            Self::Map => "a JSON object of objects".to_owned(),
            Self::Choice(words) => words.join(" or "),
            Self::Other(shape) => shape.to_owned(),
        }
    }
}

pub(crate) fn key(path: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.path == path)
}

/// A value of the object at `path` that says nothing.
pub(crate) fn blank(path: &str) -> Value {
    let prefix = format!("{path}.");
    let children = KEYS.iter().filter_map(|key| Some((key.path.strip_prefix(&prefix)?, key)));
    let fields = children
        .filter(|(name, key)| !name.contains(['.', '[', '{']) && key.presence != Presence::Derived)
        .map(|(name, key)| (name.to_owned(), blank_field(key)));
    Value::Object(fields.collect::<Map<_, _>>())
}

fn blank_field(key: &Key) -> Value {
    match (key.presence, key.kind) {
        (Presence::Fact, _) => "absent".into(),
        (Presence::Optional | Presence::Derived, _) | (Presence::Plain, Kind::Other(_)) => Value::Null,
        (Presence::Plain, Kind::Bool) => false.into(),
        (Presence::Plain, Kind::Number | Kind::Mode) => 0.into(),
        (Presence::Plain, Kind::Text | Kind::Version) => "".into(),
        (Presence::Plain, Kind::Words | Kind::Numbers | Kind::List) => Value::Array(Vec::new()),
        (Presence::Plain, Kind::Map) => Value::Object(Map::new()),
        (Presence::Plain, Kind::Object) => blank(key.path),
        (Presence::Plain, Kind::Choice(words)) => words.first().copied().unwrap_or_default().into(),
    }
}

#[cfg(test)]
mod tests;
