//! QEMU as sevirt sees it: a `Plan` of typed devices that becomes a command line, the messages of QMP, what a
//! QEMU build can do, and how firmware describes itself. Nothing here starts a process or opens a socket.

#![forbid(unsafe_code)]
#![warn(clippy::disallowed_methods, clippy::disallowed_types)]

pub mod caps;
pub mod domain_caps;
pub mod firmware;
pub mod memory;
pub mod plan;
pub mod qmp;

mod argv;
mod technology;

pub use argv::{Argument, KeyValues, Properties};
pub use caps::Caps;
pub use technology::Technology;
