//! The lab: a machine under emulation that plays an AMD host, so that SEV guests start where there is no SEV.
//!
//! The outer machine runs a stock kernel and the host's own root, read-only under an overlay; inside it KVM is
//! real, the secure processor is simulated, and `sevirt run` does what it does on real hardware. Nothing here
//! is needed on real hardware, and nothing here judges a domain.

pub mod agent;
pub mod disk;
pub mod image;
pub mod initramfs;
pub mod job;
pub mod kernel;
pub mod machine;
pub mod memory;
pub mod modules;
pub mod outer;
pub mod outer_init;
pub mod resolve;
pub mod state;
pub mod tools;

pub mod listen;
mod process;
mod wait;

/// The pipe inside the outer machine to which an inner guest's console is to be written; the host gets it as
/// the console channel.
pub const CONSOLE: &str = "/run/sevirt/lab/console";

/// The root of the simulated platform's certificates, where a job finds it.
pub const TRUST_ROOT: &str = "/run/sevirt/lab/state/platform/trust-root.cert";
