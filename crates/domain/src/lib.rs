//! libvirt domain XML: a lossless document with spans, edits that change only their own bytes, and a typed model.
//!
//! Two views of one text:
//! - [`Document`] is what the user wrote, byte for byte. It knows where every tag, name, value and piece of
//!   character data is, and [`Document::apply`] changes nothing but the bytes that an [`Edit`] names.
//! - the typed model ([`model`]) is what the text says. Content that is odd or unknown is reported with its
//!   span, never lost.
//!
//! This crate does no I/O and knows neither QEMU nor the host.
#![forbid(unsafe_code)]
#![warn(clippy::disallowed_methods, clippy::disallowed_types)]

mod span;
mod syntax;

mod document;
mod edit;

pub mod model;

pub use document::{Attribute, Document, Element};
pub use edit::{Edit, EditError, NewElement};
pub use model::{Domain, Problem, ProblemKind};
pub use span::{Position, Span, position};
pub use syntax::{
    MAX_ATTRIBUTES, MAX_DEPTH, MAX_NODES, MAX_SIZE, SyntaxError, decode::escape_attribute,
    decode::escape_text,
};
