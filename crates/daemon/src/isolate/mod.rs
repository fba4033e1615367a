//! How a guest's QEMU is kept apart from the host and from other guests: its user, what it sees of the file system,
//! which files it may open, what it may do.
//!
//! docs/security.md says what each measure is for, and how to see it on a running guest.

mod credentials;

pub use credentials::Credentials;
pub(crate) use credentials::assume;

/// What is prepared for one QEMU. By default it runs as its caller and sees what its caller sees.
#[derive(Debug, Clone, Default)]
pub struct Confinement {
    pub(crate) credentials: Option<Credentials>,
}
