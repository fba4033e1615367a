//! This machine's facts, gathered once into [`Facts`].
//!
//! What it deliberately does not do: judge. Whether a fact is good news is for the `rules` crate.

mod facts;
mod probe;
mod root;

pub use facts::{
    Area, Cpu, Device, Emulator, Fact, Facts, FirmwareImage, KvmAmd, Loader, MemoryEncryption, Platform,
    PlatformState, Tables,
};
pub use probe::{firmware_image, probe};
pub use root::Root;
