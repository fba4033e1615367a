//! The lab: a machine under emulation that plays an AMD host, so that SEV guests start where there is no SEV.
//!
//! The outer machine runs a stock kernel and the host's own root, read-only under an overlay; inside it KVM is
//! real, the secure processor is simulated, and `sevirt run` does what it does on real hardware. Nothing here
//! is needed on real hardware, and nothing here judges a domain.

pub mod initramfs;
pub mod kernel;
pub mod modules;
