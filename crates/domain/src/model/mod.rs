//! What a domain's XML says, as types: the part of libvirt's format that sevirt can run.
//!
//! Plain data with libvirt's own element names. Reading, printing and
//! completing are separate steps; nothing here knows QEMU or the host. What is not
//! modelled stays in the document and is named by a problem.

mod assign;
mod complete;
mod kept;
mod keyword;
mod layout;
mod print;
mod problem;
mod read;

pub mod address;
pub mod chardev;
pub mod controller;
pub mod cpu;
pub mod devices;
pub mod disk;
pub mod features;
pub mod graphics;
pub mod interface;
pub mod iothreads;
pub mod launch_security;
pub mod memory;
pub mod os;
pub mod sysinfo;

use uuid::Uuid;

pub use assign::AddressError;
pub use complete::{CompleteError, MachineKind, Surroundings};
pub use kept::Kept;
pub use keyword::Keyword;
pub use layout::laid_out;
pub use print::{PrintForm, PrintState, Secrets};
pub use problem::{Problem, ProblemKind};

use cpu::{Clock, Cpu, CpuTune, Vcpu};
use devices::Devices;
use features::Features;
use iothreads::IoThreads;
use keyword::keywords;
use launch_security::LaunchSecurity;
use memory::{Kib, MaxMemory, MemTune, MemoryBacking};
use os::Os;
use sysinfo::Sysinfo;

/// One `<domain>`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Domain {
    /// `type`: which accelerator runs it.
    pub kind: DomainKind,
    /// `id`: set while the domain runs; only the live form prints it.
    pub id: Option<u32>,
    pub name: String,
    pub uuid: Option<Uuid>,
    pub genid: Option<GenId>,
    pub title: Option<String>,
    pub description: Option<String>,
    /// `<metadata>` as it was written: it belongs to others.
    pub metadata: Option<String>,
    pub max_memory: Option<MaxMemory>,
    /// What the guest boots with.
    pub memory: Kib,
    /// `dumpCore` of `<memory>`.
    pub dump_core: Option<Switch>,
    /// What the balloon leaves the guest at start; the same as `memory` where the XML says nothing.
    pub current_memory: Option<Kib>,
    pub memory_backing: MemoryBacking,
    pub memtune: MemTune,
    pub vcpu: Vcpu,
    pub iothreads: IoThreads,
    pub cputune: CpuTune,
    pub sysinfo: Vec<Sysinfo>,
    pub os: Os,
    pub features: Features,
    pub cpu: Option<Cpu>,
    pub clock: Clock,
    pub on_poweroff: Option<LifecycleAction>,
    pub on_reboot: Option<LifecycleAction>,
    pub on_crash: Option<CrashAction>,
    pub pm: PowerManagement,
    pub devices: Devices,
    pub launch_security: Option<LaunchSecurity>,
    /// What the document has beyond the model, but for what belongs to a device.
    pub kept: Kept,
}

keywords! {
    /// `<domain type=…>`.
    #[derive(Default)]
    pub enum DomainKind {
        #[default]
        Kvm = "kvm",
        Qemu = "qemu",
    }
}

/// An `on`/`off` or `yes`/`no` choice; which of the words libvirt uses depends on the attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Switch {
    On,
    Off,
}

impl Switch {
    pub fn is_on(self) -> bool {
        self == Self::On
    }

    /// `on` or `off`.
    pub fn on_off(self) -> &'static str {
        match self {
            Self::On => "on",
            Self::Off => "off",
        }
    }

    /// `yes` or `no`.
    pub fn yes_no(self) -> &'static str {
        match self {
            Self::On => "yes",
            Self::Off => "no",
        }
    }
}

/// `<genid>`: made afresh at each start where it is empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GenId {
    Generate,
    Fixed(Uuid),
}

keywords! {
    /// `<on_poweroff>` and `<on_reboot>`.
    pub enum LifecycleAction {
        Destroy = "destroy",
        Restart = "restart",
        RenameRestart = "rename-restart",
        Preserve = "preserve",
    }
}

keywords! {
    /// `<on_crash>`.
    pub enum CrashAction {
        Destroy = "destroy",
        Restart = "restart",
        RenameRestart = "rename-restart",
        Preserve = "preserve",
        CoredumpDestroy = "coredump-destroy",
        CoredumpRestart = "coredump-restart",
    }
}

/// `<pm>`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PowerManagement {
    pub suspend_to_mem: Option<Switch>,
    pub suspend_to_disk: Option<Switch>,
}
