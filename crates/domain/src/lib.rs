//! libvirt's domain XML: a lossless document with spans and edits, and a typed model beside it. No I/O.

#![forbid(unsafe_code)]
#![warn(clippy::disallowed_methods, clippy::disallowed_types)]

pub mod model;

pub use model::Domain;
