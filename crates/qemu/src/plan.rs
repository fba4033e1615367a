//! From a domain to everything that QEMU must be told: a `Plan` is a list of typed devices with the options around
//! them, each of which renders to the command line, and the devices to `device_add` as well.

mod launch;
mod surroundings;

pub use launch::{DirectBoot, LaunchInputs, Technology};
pub use surroundings::{CpuChoice, InheritedFds, MemoryDirs, Network, SevParams, Surroundings, TapFds};
