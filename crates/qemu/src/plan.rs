//! From a domain to everything that QEMU must be told: a `Plan` is a list of typed devices with the options around
//! them, each of which renders to the command line, and the devices to `device_add` as well.

mod boot_order;
mod device;
pub(crate) mod firmware;
pub(crate) mod ids;
mod launch;
mod surroundings;
mod unmodelled;

use std::{ffi::OsString, path::PathBuf};

use domain::{
    Domain,
    model::{controller::ControllerType, launch_security::LaunchSecurity, os},
};

use crate::{
    Caps,
    argv::{
        Argument, KeyValues, Properties, chardev::FdSets, console, controller, cpu, disk, graphics, input,
        interface, machine, sev, shell, small, tpm, video,
    },
};

pub use device::{Device, DeviceKind};
pub use firmware::{Code, Firmware, Placement, Variables, select_firmware};
pub use launch::{DirectBoot, LaunchInputs, Technology};
pub use surroundings::{
    CpuChoice, Displays, HostClock, InheritedFds, MemoryDirs, Network, SevParams, Surroundings, TapFds,
};

use boot_order::BootOrder;

/// Everything that is decided about one start of a guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    emulator: PathBuf,
    parts: Vec<Part>,
    environment: Vec<(&'static str, String)>,
    files: Vec<PlannedFile>,
    firmware: Firmware,
    launch: Option<LaunchInputs>,
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
        machine_parts(domain, here, &firmware, cpu, &mut parts)?;
        set_up_parts(domain, here, &mut parts)?;
        parts.extend(devices(domain, here)?.into_iter().map(Part::from));
        parts.extend(object.map(Part::from));
        end_parts(domain, &mut parts)?;
        let mut notes = Vec::new();
        unmodelled::notes(domain, here, &firmware, &mut notes);
        Ok(Self {
            emulator,
            parts,
            environment: environment(domain, here),
            files,
            firmware,
            launch,
            unmodelled: unmodelled::unmodelled(domain),
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

    /// Environment and command line as text for a shell, in the form of `virsh domxml-to-native qemu-argv`.
    #[must_use]
    pub fn to_shell(&self) -> String {
        shell::to_text(&self.environment, &self.argv())
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

/// The guest's name, and the machine: firmware, processors, memory.
fn machine_parts(
    domain: &Domain,
    here: &Surroundings,
    firmware: &Firmware,
    cpu: Argument,
    parts: &mut Vec<Part>,
) -> Result<(), PlanError> {
    let mut add = |argument: Argument| parts.push(argument.into());
    add(Argument::pairs(
        "-name",
        KeyValues::default().with("guest", &domain.name).switch("debug-threads", true),
    ));
    add(Argument::Flag("-S"));
    if let Some(file) = &here.master_key {
        let secret = Properties::object("secret", "masterKey0").with("format", "raw");
        add(Argument::object(secret.with("file", file.display().to_string())));
    }
    firmware.nodes().into_iter().for_each(&mut add);
    add(machine::machine(domain, firmware)?);
    add(machine::accelerator(domain));
    add(cpu);
    firmware.options().into_iter().for_each(&mut add);
    machine::memory(domain, here)?.into_iter().for_each(&mut add);
    add(machine::processors(domain)?);
    if let Some(uuid) = domain.uuid {
        add(Argument::Text("-uuid", uuid.to_string()));
    }
    parts.extend(small::generation_id(domain, here)?.map(Part::from));
    Ok(())
}

/// What QEMU does with itself: no configuration but this, the monitor, the clock, how to boot.
fn set_up_parts(domain: &Domain, here: &Surroundings, parts: &mut Vec<Part>) -> Result<(), PlanError> {
    let mut add = |argument: Argument| parts.push(argument.into());
    if domain.devices.graphics.is_empty() {
        add(Argument::Text("-display", "none".to_owned()));
    }
    add(Argument::Flag("-no-user-config"));
    add(Argument::Flag("-nodefaults"));
    let socket = KeyValues::bare("socket").with("id", "charmonitor").with("fd", here.fds.monitor.to_string());
    add(Argument::pairs("-chardev", socket.switch("server", true).switch("wait", false)));
    let monitor = KeyValues::default().with("chardev", "charmonitor").with("id", "monitor");
    add(Argument::pairs("-mon", monitor.with("mode", "control")));
    machine::clock(domain, here.clock)?.into_iter().for_each(&mut add);
    add(Argument::Flag("-no-shutdown"));
    machine::power_management(domain).into_iter().for_each(&mut add);
    machine::boot(domain).into_iter().for_each(&mut add);
    controller::globals(domain).into_iter().for_each(&mut add);
    Ok(())
}

fn devices(domain: &Domain, here: &Surroundings) -> Result<Vec<Device>, PlanError> {
    let order = BootOrder::of(domain);
    let mut sets = FdSets::default();
    let mut devices = Vec::new();
    devices.extend(small::iommu(domain)?);
    devices.extend(controller::controllers(domain, order.floppies(domain))?);
    devices.extend(input::hubs(domain)?);
    let is_cdrom_drive = |path: &str| here.cdrom_drives.contains(path);
    devices.extend(disk::disks(domain, |disk| order.disk(disk), is_cdrom_drive)?);
    devices.extend(interface::interfaces(domain, here, |interface| order.interface(interface))?);
    devices.extend(console::serials(domain, here, &mut sets)?);
    devices.extend(console::channels(domain, here, &mut sets)?);
    devices.extend(console::consoles(domain, here, &mut sets)?);
    devices.extend(tpm::tpms(domain, here, &mut sets)?);
    devices.extend(input::inputs(domain)?);
    devices.extend(graphics::audios(domain));
    devices.extend(graphics::displays(domain, here)?);
    devices.extend(video::videos(domain, here)?);
    devices.extend(small::watchdogs(domain)?);
    devices.extend(small::balloon(domain)?);
    devices.extend(small::rngs(domain, here, &mut sets)?);
    devices.extend(small::vm_core_info(domain));
    devices.extend(small::vsock(domain, here)?);
    Ok(devices)
}

/// How QEMU is confined, and what comes last.
fn end_parts(domain: &Domain, parts: &mut Vec<Part>) -> Result<(), PlanError> {
    let sandbox = KeyValues::bare("on")
        .with("obsolete", "deny")
        .with("elevateprivileges", "deny")
        .with("spawn", "deny")
        .with("resourcecontrol", "deny");
    parts.push(Argument::pairs("-sandbox", sandbox).into());
    parts.extend(small::panics(domain)?.into_iter().map(Part::from));
    if let Some(state) = domain.features.async_teardown {
        let value = KeyValues::default().with("async-teardown", state.on_off());
        parts.push(Argument::pairs("-run-with", value).into());
    }
    parts.push(Argument::pairs("-msg", KeyValues::default().switch("timestamp", true)).into());
    Ok(())
}

/// A clean environment: nothing of the service that starts QEMU leaks into it.
fn environment(domain: &Domain, here: &Surroundings) -> Vec<(&'static str, String)> {
    let home = here.domain_dir.display().to_string();
    let below_home = |name: &str| here.domain_dir.join(name).display().to_string();
    let mut environment = vec![
        ("LC_ALL", "C".to_owned()),
        ("PATH", here.path.clone()),
        ("HOME", home),
        ("USER", here.user.clone()),
        ("LOGNAME", here.user.clone()),
        ("XDG_DATA_HOME", below_home(".local/share")),
        ("XDG_CACHE_HOME", below_home(".cache")),
        ("XDG_CONFIG_HOME", below_home(".config")),
    ];
    if let domain::model::cpu::ClockOffset::Timezone { timezone } = &domain.clock.offset {
        environment.push(("TZ", timezone.clone()));
    }
    environment.extend(graphics::environment(domain, here));
    environment
}

/// The object for launch security, with the files that it reads.
struct LaunchObject {
    technology: Technology,
    policy: u64,
    kernel_hashes: bool,
    host_data: Option<String>,
    object: Argument,
    files: Vec<PlannedFile>,
}

impl LaunchObject {
    fn plan(domain: &Domain, caps: &Caps, here: &Surroundings) -> Result<Option<Self>, PlanError> {
        let Some(security) = &domain.launch_security else { return Ok(None) };
        if let LaunchSecurity::Other { kind } = security {
            return Err(PlanError::LaunchSecurity { kind: kind.clone() });
        }
        let asked = caps
            .sev
            .as_ref()
            .ok()
            .map(|sev| SevParams { cbitpos: sev.cbitpos, reduced_phys_bits: sev.reduced_phys_bits });
        let host = here.sev.or(asked);
        let cbitpos = security.cbitpos().or_else(|| host.map(|host| host.cbitpos));
        let reduced_phys_bits =
            security.reduced_phys_bits().or_else(|| host.map(|host| host.reduced_phys_bits));
        let (Some(cbitpos), Some(reduced_phys_bits)) = (cbitpos, reduced_phys_bits) else {
            return Err(PlanError::NoSevParams);
        };
        let host = SevParams { cbitpos, reduced_phys_bits };
        let kernel_hashes = security.kernel_hashes().is_some_and(domain::model::Switch::is_on);
        Ok(match security {
            LaunchSecurity::Sev(sev) => {
                let policy = sev.policy.ok_or(PlanError::NoPolicy)?;
                let (object, files) = sev::sev_guest(sev, policy, host, here);
                let technology = if sev.is_es() { Technology::SevEs } else { Technology::Sev };
                Some(Self {
                    technology,
                    policy: policy.into(),
                    kernel_hashes,
                    host_data: None,
                    object,
                    files,
                })
            }
            LaunchSecurity::SevSnp(snp) => {
                let policy = snp.policy.ok_or(PlanError::NoPolicy)?;
                Some(Self {
                    technology: Technology::SevSnp,
                    policy,
                    kernel_hashes,
                    host_data: snp.host_data.clone(),
                    object: sev::sev_snp_guest(snp, policy, host),
                    files: Vec::new(),
                })
            }
            LaunchSecurity::Other { .. } => None,
        })
    }

    fn inputs(&self, domain: &Domain, caps: &Caps, firmware: &Firmware, cpu_model: String) -> LaunchInputs {
        let vcpus = domain.vcpu.current.unwrap_or(domain.vcpu.count);
        LaunchInputs {
            technology: self.technology,
            policy: self.policy,
            firmware: firmware.code.as_ref().map(|code| code.path.clone()),
            boot: domain.os.kernel.as_ref().map(|kernel| DirectBoot {
                kernel: kernel.into(),
                initrd: domain.os.initrd.as_ref().map(PathBuf::from),
                cmdline: domain.os.cmdline.clone(),
            }),
            kernel_hashes: self.kernel_hashes,
            vcpus,
            vcpu_signature: caps.signature(&cpu_model),
            cpu_model,
            host_data: self.host_data.clone(),
        }
    }
}
