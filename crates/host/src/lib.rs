//! This machine's facts, gathered once into [`Facts`].
//!
//! What it deliberately does not do: judge. Whether a fact is good news is for the `rules` crate.

pub mod boot;
pub mod ceiling;

mod assume;
mod description;
mod facts;
mod keys;
mod likeness;
mod probe;
mod root;
pub mod settings;

pub use assume::{AssumeError, assumptions};
pub use description::DescriptionError;
pub use facts::{
    AclEntry, AclTag, AppArmor, Area, Asids, Boot, BootLoader, CapabilityCache, Cgroup, CgroupVersion, Count,
    Cpu, Dependency, Device, Emulator, Fact, Facts, FirmwareImage, KvmAmd, Libvirt, Loader, LockedMemory,
    MemoryEncryption, ModuleOptions, Platform, PlatformState, Selinux, Slice, SnpPlatform, Tables, User,
};
pub use keys::page;
pub use likeness::{LikenessError, take_over};
pub use probe::{firmware_image, kvm_vcpus, platform_status, probe};
pub use root::Root;
