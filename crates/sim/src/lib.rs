//! A simulated AMD secure processor.
//!
//! The model (`platform`, `guest`, `keys`, `command`) takes commands and gives replies or the firmware's error codes; it does no
//! I/O, reads no clock, and is handed its key material and its source of randomness. Around it lie the shell's parts: the
//! `wire` codec, the `client` that the preload library uses, and the `server`, `store` and `setup` of the `sevsim` program.
//!
//! Everything a real processor signs is signed here with real cryptography, by keys that hang from a root made on this
//! machine. Nothing trusts that root unless it is told to, and no memory is encrypted.

#![forbid(unsafe_code)]

pub mod client;
pub mod command;
mod guest;
pub mod kernel;
pub mod keys;
pub mod platform;
pub mod server;
pub mod setup;
pub mod status;
pub mod store;
pub mod wire;

pub use command::{Command, Handle, Reply};
pub use platform::Platform;
pub use status::FirmwareStatus;
