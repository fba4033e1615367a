//! What the owner of a confidential guest computes and checks on AMD's Secure Encrypted Virtualization, and what the
//! secure processor computes on the other side of the same protocol.
//!
//! | question | where |
//! |---|---|
//! | What does a firmware image promise (reset vector, hash table, secret area)? | [`ovmf`] |
//! | Is this platform genuine, down to the key a session is agreed with? | [`sev::certs`] |
//! | Which blobs start a guest that only its owner can talk to? | [`sev::session`] |
//! | Which digest must a launch have, and does a measurement prove it? | [`sev::digest`], [`sev::measurement`] |
//! | How does a secret reach the measured guest and nobody else? | [`sev::secret`] |
//! | What is running now? | [`sev::report`] |
//!
//! The library takes bytes and returns bytes or typed errors. It opens no file, no device and no socket, reads no
//! clock and draws no randomness (callers pass [`sev::session::Entropy`]), so it runs wherever the owner is, on any
//! operating system and processor. Bytes from outside never panic it; signatures are checked over the bytes as they
//! were received, never over a re-encoding; keys and plaintexts have no `Debug` of their contents and are zeroed
//! when dropped; authentication codes are compared in constant time.
//!
//! References of the form "55766 §6.2" are to AMD publication 55766, *Secure Encrypted Virtualization API*,
//! revision 3.24.

#![forbid(unsafe_code)]
#![warn(missing_docs)]
#![warn(clippy::disallowed_methods, clippy::disallowed_types)]

mod bytes;

pub mod guid;
pub mod ovmf;
mod volume;

pub use volume::{CodeWidth, code_width};
pub mod sev;
pub mod snp;
