//! What reading a domain found odd.

use std::fmt;

use crate::Span;

/// Something in a document that the model could not take as it stands. The document still has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What it is about: an element, an attribute, or a value.
    pub span: Span,
    pub kind: ProblemKind,
    /// The way to it from the root element: `devices/disk/driver@cache`.
    pub path: String,
    /// A lower-case phrase without the path.
    pub message: String,
}

/// How bad a [`Problem`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProblemKind {
    /// libvirt would refuse it: a value is wrong, or something required is missing.
    Malformed,
    /// It may be right, but sevirt has no notion of it, so that the guest would start without it.
    NotModelled,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.message)
    }
}
