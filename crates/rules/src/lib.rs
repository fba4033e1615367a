//! Findings and fixes: what stops a domain from running as a confidential guest on this host, and the mend.
//!
//! One validator serves everybody: `sevirt lint` prints what [`lint`] finds, and whatever starts a domain
//! refuses exactly those findings that are errors, in the same words.
//!
//! A rule is one file under `rules/` (its [`Rule`] with its page, its check, its fix) and one line in
//! [`TABLE`]; what all rules share is here. This crate takes values only: the host is known by its facts. The host
//! itself is judged by the rules under [`host`].
#![forbid(unsafe_code)]
#![warn(clippy::disallowed_methods, clippy::disallowed_types)]

mod finding;
mod fix;
mod rule;
mod subject;
mod version;

mod blob;
mod firmware;
mod memory;
mod rules;
mod table;
mod virtio;

mod allow;
mod lint;
mod neighbours;

pub mod capacity;
pub mod docs;
pub mod host;
pub mod ops;
pub mod secure;

pub use allow::{Allowed, UnknownRule};
pub use finding::{Finding, Label, Located};
pub use fix::{Applied, Fix, Fixed, Safety, fix};
pub use lint::{Report, ill_formed, images, lint, lint_read};
pub use neighbours::Neighbours;
pub use qemu::Technology;
pub use rule::{Page, Rule, Severity};
pub use subject::Subject;
pub use table::{Entry, TABLE, all, rule};
pub use version::Version;

#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod proofs;
