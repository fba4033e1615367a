//! From a domain to everything that QEMU must be told: a `Plan` is a list of typed devices with the options around
//! them, each of which renders to the command line, and the devices to `device_add` as well.

mod aliases;
mod boot_order;
mod device;
pub(crate) mod firmware;
pub mod hotplug;
pub(crate) mod ids;
mod launch;
mod parts;
mod settle;
mod surroundings;
mod taps;
mod unmodelled;

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use domain::{
    Domain,
    model::{controller::ControllerType, os},
};

use crate::{
    Caps,
    argv::{Argument, cpu, shell},
    memory::{Demand, Sizes, Sums},
};

pub use crate::argv::disk::numbers as number_disks;
pub use aliases::name_devices;
pub use device::{Device, DeviceKind};
pub use firmware::{Code, Firmware, Placement, Variables, select_firmware};
pub use launch::{DirectBoot, LaunchInputs};
pub use settle::{NoFirmware, settle_firmware};
pub use surroundings::{
    CpuChoice, Displays, HostClock, InheritedFds, MemoryDirs, Network, SevParams, Surroundings, TapFd, TapFds,
};

pub use taps::{Vhost, WantedTap, wanted_taps};

use launch::LaunchObject;

/// Everything that is decided about one start of a guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    emulator: PathBuf,
    parts: Vec<Part>,
    environment: Vec<(&'static str, String)>,
    files: Vec<PlannedFile>,
    firmware: Firmware,
    launch: Option<LaunchInputs>,
    memory: Demand,
    unmodelled: Vec<String>,
    notes: Vec<String>,
}

/// A part of the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Option(Argument),
    Device(Device),
}

impl From<Argument> for Part {
    fn from(argument: Argument) -> Self {
        Self::Option(argument)
    }
}

impl From<Device> for Part {
    fn from(device: Device) -> Self {
        Self::Device(device)
    }
}

/// A file that must exist before QEMU starts, readable by it alone.
#[derive(Clone, PartialEq, Eq)]
pub struct PlannedFile {
    pub path: PathBuf,
    pub contents: Vec<u8>,
}

impl std::fmt::Debug for PlannedFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PlannedFile").field("path", &self.path).finish_non_exhaustive()
    }
}

/// Why a domain cannot be started here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    #[error("the domain names no emulator and there is no usual one")]
    NoEmulator,
    #[error("the domain names no machine type")]
    NoMachine,
    #[error("guests of architecture {arch} are not supported")]
    Architecture { arch: String },
    #[error("{present} virtual CPUs of at most {most}")]
    BadVcpus { present: u32, most: u32 },
    #[error("`{device}` has no address of the kind that its bus needs")]
    NoAddress { device: String },
    #[error("`{device}` sits on {kind} controller {index}, which the domain does not have")]
    NoController { device: String, kind: ControllerType, index: u32 },
    #[error("`{device}` lacks what is filled in when a domain is defined")]
    Incomplete { device: String },
    #[error("`{target}` is not the name of a disk")]
    BadTarget { target: String },
    #[error("`{device}`: {what} is not supported")]
    Unsupported { device: String, what: String },
    #[error("no file descriptor of a tap device was given for `{device}`")]
    NoTap { device: String },
    #[error("no passt process was given for `{device}`")]
    NoPasst { device: String },
    #[error("no vhost-user process was given for `{device}`")]
    NoVhostUser { device: String },
    #[error("no TPM emulator was given for `{device}`")]
    NoTpmEmulator { device: String },
    #[error("no certificates were given for `{object}`")]
    NoTlsCertificates { object: String },
    #[error("no context identifier was given for `{device}`")]
    NoCid { device: String },
    #[error("Domain '{name}' sysinfo are not available")]
    NoSysinfo { name: String },
    #[error("Host SMBIOS information is not available")]
    NoHostSysinfo,
    #[error("qemu does not support more than one entry to Type 2 in SMBIOS table")]
    SeveralBaseBoards,
    #[error("no generation id was given for a guest that asks for a new one")]
    NoGenerationId,
    #[error("no time was given for a guest whose clock is set relative to it")]
    NoTime,
    #[error("no directory for huge pages of {size_kib} KiB")]
    NoHugePages { size_kib: u64 },
    #[error("none of QEMU's CPU models can be used on this host")]
    NoUsableCpuModel,
    #[error("`{name}` is not the name of a CPU model or feature")]
    BadCpuName { name: String },
    #[error("`{device}` forwards `{address}`, which is not an IPv4 address")]
    BadForward { device: String, address: String },
    #[error("no firmware descriptor for {kind} fits: {wanted}")]
    NoFirmware { kind: os::Firmware, wanted: String },
    #[error("an SEV-SNP guest needs a firmware image of its own")]
    SnpWithoutFirmware,
    #[error("an SEV-SNP guest's firmware is copied to memory, `{}` is not a raw image", path.display())]
    SnpFirmwareFormat { path: PathBuf },
    #[error("launch security of type {kind} is not supported")]
    LaunchSecurity { kind: String },
    #[error("launch security without a policy")]
    NoPolicy,
    #[error("neither the domain nor the host tells the position of the C-bit")]
    NoSevParams,
}

impl Plan {
    /// Decides everything about a start of `domain`, which must be complete: controllers, addresses and the defaults
    /// of its devices filled in ([`Domain::complete`]).
    ///
    /// # Errors
    /// The domain asks for something that cannot be given in these surroundings, and leaving it out would make it
    /// another guest.
    pub fn new(domain: &Domain, caps: &Caps, here: &Surroundings) -> Result<Self, PlanError> {
        check_architecture(domain)?;
        let emulator = domain.devices.emulator.as_ref().map(PathBuf::from).or_else(|| here.emulator.clone());
        let emulator = emulator.ok_or(PlanError::NoEmulator)?;
        let firmware = firmware::plan(domain, caps, here)?;
        let (cpu, cpu_model) = cpu::cpu(domain, caps, here)?;
        let security = LaunchObject::plan(domain, caps, here)?;
        let launch = security.as_ref().map(|security| security.inputs(domain, caps, &firmware, cpu_model));
        let (object, files) = match security {
            Some(security) => (Some(security.object), security.files),
            None => (None, Vec::new()),
        };
        let mut parts = Vec::new();
        parts::machine_parts(domain, here, &firmware, cpu, &mut parts)?;
        parts::set_up_parts(domain, here, &mut parts)?;
        parts.extend(parts::devices(domain, here)?.into_iter().map(Part::from));
        parts.extend(object.map(Part::from));
        parts::end_parts(domain, &mut parts)?;
        let notes = unmodelled::notes(domain, here, &firmware);
        Ok(Self {
            emulator,
            parts,
            environment: parts::environment(domain, here),
            files,
            memory: Demand::of(domain, &firmware),
            firmware,
            launch,
            unmodelled: unmodelled::unmodelled(domain, here),
            notes,
        })
    }

    /// The command line, the emulator first.
    #[must_use]
    pub fn argv(&self) -> Vec<OsString> {
        let mut argv = vec![self.emulator.clone().into_os_string()];
        for part in &self.parts {
            match part {
                Part::Option(argument) => argument.render(&mut argv),
                Part::Device(device) => device.render(&mut argv),
            }
        }
        argv
    }

    /// The QEMU binary.
    #[must_use]
    pub fn emulator(&self) -> &Path {
        &self.emulator
    }

    /// Environment and command line as text for a shell, in the form of `virsh domxml-to-native qemu-argv`.
    #[must_use]
    pub fn to_shell(&self) -> String {
        shell::to_text(&self.environment, &self.argv(), " \\\n") + "\n"
    }

    /// The same on one line, without an end of line, as libvirt's daemon gives it.
    #[must_use]
    pub fn to_shell_line(&self) -> String {
        shell::to_text(&self.environment, &self.argv(), " ")
    }

    /// QEMU's whole environment.
    #[must_use]
    pub fn environment(&self) -> &[(&'static str, String)] {
        &self.environment
    }

    /// The devices in the order in which QEMU makes them.
    pub fn devices(&self) -> impl Iterator<Item = &Device> {
        self.parts.iter().filter_map(|part| match part {
            Part::Device(device) => Some(device),
            Part::Option(_) => None,
        })
    }

    /// Files that must exist before QEMU starts, readable by it alone: what the guest's owner sent for the launch.
    #[must_use]
    pub fn files(&self) -> &[PlannedFile] {
        &self.files
    }

    /// The firmware, and the file of its variables.
    #[must_use]
    pub fn firmware(&self) -> &Firmware {
        &self.firmware
    }

    /// The inputs of the launch digest; none for a guest that is not confidential.
    #[must_use]
    pub fn launch_inputs(&self) -> Option<&LaunchInputs> {
        self.launch.as_ref()
    }

    /// What the guest takes of the host's memory, for files of these sizes.
    #[must_use]
    pub fn memory(&self, sizes: &Sizes) -> Sums {
        self.memory.sums(sizes)
    }

    /// The files whose sizes [`Plan::memory`] wants to know.
    pub fn sized_files(&self) -> impl Iterator<Item = &Path> {
        self.memory.files()
    }

    /// What the domain says that a start does not carry out, each in a few words.
    #[must_use]
    pub fn unmodelled(&self) -> &[String] {
        &self.unmodelled
    }

    /// What was decided in the domain's place and the user may want to know.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.notes
    }
}

fn check_architecture(domain: &Domain) -> Result<(), PlanError> {
    match domain.os.arch.as_deref() {
        None | Some("x86_64" | "i686") => Ok(()),
        Some(arch) => Err(PlanError::Architecture { arch: arch.to_owned() }),
    }
}
