//! What a domain and its devices are where the user did not say.

use super::{MachineKind, Surroundings, random_mac};
use crate::model::{
    CrashAction, Domain, DomainKind, LifecycleAction, Switch,
    assign::disk_number,
    cpu::{Cpu, CpuCheck, CpuFallback, CpuMatch, CpuMode, CpuModel, FeaturePolicy, Placement},
    devices::{
        Devices, Input, InputBus, InputKind, MemBalloon, PanicModel, RngBackend, Tpm, TpmBackend, TpmModel,
        TpmVersion, VirtioModel, VirtioOptions, Watchdog, WatchdogAction, WatchdogModel,
    },
    disk::{Disk, DiskBus, DiskDevice, DiskFormat},
    features::HypervMode,
    interface::{Interface, InterfaceDriver, InterfaceModel, InterfaceSource},
    memory::MemTune,
    os::{BootDevice, FirmwareFormat, LoaderKind, Os},
};

/// Completes everything but the devices.
pub(super) fn complete_domain(domain: &mut Domain, surroundings: &Surroundings<'_>) {
    let memory = domain.memory;
    let current = domain.current_memory.filter(|current| current.0 > 0 && *current <= memory);
    domain.current_memory = Some(current.unwrap_or(memory));
    domain.vcpu.placement.get_or_insert(Placement::Static);
    domain.on_poweroff.get_or_insert(LifecycleAction::Destroy);
    domain.on_reboot.get_or_insert(LifecycleAction::Restart);
    domain.on_crash.get_or_insert(CrashAction::Destroy);
    if let Some(hyperv) = &mut domain.features.hyperv {
        hyperv.mode.get_or_insert(HypervMode::Custom);
    }
    let tune = &mut domain.memtune;
    for limit in [&mut tune.hard_limit, &mut tune.soft_limit, &mut tune.swap_hard_limit] {
        *limit = limit.filter(|limit| *limit < MemTune::UNLIMITED);
    }
    complete_os(&mut domain.os);
    complete_cpu(domain.cpu.get_or_insert_default(), domain.kind, &surroundings.cpu_model);
    if domain.devices.emulator.is_none() {
        domain.devices.emulator.clone_from(&surroundings.emulator);
    }
    if domain.os.boot.is_empty() && domain.devices.boot_orders().next().is_none() {
        domain.os.boot.push(BootDevice::Hd);
    }
}

fn complete_os(os: &mut Os) {
    if !os.boot_menu.enable.is_some_and(Switch::is_on) {
        os.boot_menu.timeout = None;
    }
    if let Some(loader) = &mut os.loader
        && loader.path.is_some()
    {
        loader.kind.get_or_insert(LoaderKind::Rom);
        loader.format.get_or_insert(FirmwareFormat::Raw);
    }
    if let Some(nvram) = &mut os.nvram {
        if nvram.path.is_some() {
            nvram.format.get_or_insert(FirmwareFormat::Raw);
        }
        if nvram.template.is_some() {
            nvram.template_format.get_or_insert(FirmwareFormat::Raw);
        }
    }
}

fn complete_cpu(cpu: &mut Cpu, kind: DomainKind, usual_model: &str) {
    let has_model = cpu.model.as_ref().is_some_and(|model| model.name.is_some());
    let mode = *cpu.mode.get_or_insert(CpuMode::Custom);
    match mode {
        CpuMode::Custom if !has_model => {
            cpu.model = Some(CpuModel {
                name: Some(usual_model.to_owned()),
                fallback: Some(CpuFallback::Forbid),
                vendor_id: None,
            });
            cpu.matching.get_or_insert(CpuMatch::Exact);
            cpu.check.get_or_insert(CpuCheck::None);
        }
        CpuMode::Custom => {
            if let Some(model) = &mut cpu.model {
                model.fallback.get_or_insert(CpuFallback::Allow);
            }
            cpu.matching.get_or_insert(CpuMatch::Exact);
            cpu.check.get_or_insert(match kind {
                DomainKind::Kvm => CpuCheck::Partial,
                DomainKind::Qemu => CpuCheck::None,
            });
        }
        CpuMode::HostModel => {
            if !has_model {
                cpu.model = None;
            }
            cpu.check.get_or_insert(CpuCheck::Partial);
        }
        CpuMode::HostPassthrough | CpuMode::Maximum => {
            cpu.model = None;
            cpu.check.get_or_insert(CpuCheck::None);
            cpu.migratable.get_or_insert(Switch::On);
        }
    }
    for feature in &mut cpu.features {
        feature.policy.get_or_insert(FeaturePolicy::Require);
    }
}

/// Completes the devices that are there, and adds those that every guest has.
pub(super) fn complete_devices(devices: &mut Devices, random: &mut dyn FnMut() -> [u8; 16]) {
    devices.disks.iter_mut().for_each(complete_disk);
    sort_disks(&mut devices.disks);
    for interface in &mut devices.interfaces {
        if interface.mac.is_none() {
            interface.mac = Some(random_mac(random));
        }
        complete_interface(interface);
    }
    for input in &mut devices.inputs {
        input.bus.get_or_insert(match input.kind {
            InputKind::Mouse | InputKind::Keyboard => InputBus::Ps2,
            InputKind::Tablet => InputBus::Usb,
            InputKind::Passthrough => InputBus::Virtio,
        });
    }
    for rng in &mut devices.rngs {
        if let Some(RngBackend::Random { path: path @ None }) = &mut rng.backend {
            *path = Some("/dev/random".to_owned());
        }
    }
    devices.tpms.iter_mut().for_each(complete_tpm);
    for panic in &mut devices.panics {
        panic.model.get_or_insert(PanicModel::Isa);
    }
    if let Some(vsock) = &mut devices.vsock {
        vsock.model.get_or_insert(VirtioModel::Virtio);
        if vsock.cid.is_none() && vsock.auto_cid.is_none() {
            vsock.auto_cid = Some(Switch::On);
        }
    }
    devices.memballoon.get_or_insert_with(|| MemBalloon {
        model: Some(VirtioModel::Virtio),
        autodeflate: None,
        free_page_reporting: None,
        stats_period: None,
        virtio: VirtioOptions::default(),
        info: Default::default(),
    });
}

/// The mouse and the keyboard that a PC has unless its PS/2 controller is taken away.
pub(super) fn add_ps2_inputs(domain: &mut Domain) {
    if domain.features.ps2 == Some(Switch::Off) {
        return;
    }
    for kind in [InputKind::Mouse, InputKind::Keyboard] {
        let is_there = |input: &Input| input.kind == kind && input.bus == Some(InputBus::Ps2);
        if !domain.devices.inputs.iter().any(is_there) {
            domain.devices.inputs.push(Input {
                kind,
                bus: Some(InputBus::Ps2),
                model: None,
                virtio: VirtioOptions::default(),
                source: None,
                info: Default::default(),
            });
        }
    }
}

fn complete_disk(disk: &mut Disk) {
    if matches!(disk.device, DiskDevice::Cdrom) {
        disk.readonly = true;
    }
    let bus = match disk.target.dev.get(..2) {
        _ if disk.device == DiskDevice::Floppy => DiskBus::Fdc,
        Some("sd") => DiskBus::Scsi,
        Some("vd") => DiskBus::Virtio,
        _ => DiskBus::Ide,
    };
    disk.target.bus.get_or_insert(bus);
    disk.driver.name.get_or_insert_with(|| "qemu".to_owned());
    disk.driver.format.get_or_insert(DiskFormat::Raw);
}

/// Disks of one bus stay together in the order of their names; a new bus goes to the end.
fn sort_disks(disks: &mut Vec<Disk>) {
    for disk in std::mem::take(disks) {
        let number = disk_number(&disk.target.dev);
        let of_bus = |other: &Disk| other.target.bus == disk.target.bus;
        let is_later = |other: &Disk| of_bus(other) && disk_number(&other.target.dev) > number;
        let after = || disks.iter().rposition(of_bus).map(|at| at + 1);
        let at = disks.iter().position(is_later).or_else(after).unwrap_or(disks.len());
        disks.insert(at, disk);
    }
}

fn complete_interface(interface: &mut Interface) {
    if matches!(interface.source, InterfaceSource::Other { .. }) {
        return;
    }
    let model = interface.model.get_or_insert_with(|| InterfaceModel::Other("rtl8139".to_owned()));
    if model.is_virtio() {
        interface.driver.queues = interface.driver.queues.filter(|queues| *queues > 1);
    } else {
        // These are settings of virtio, and say nothing of other devices.
        interface.driver = InterfaceDriver::default();
        interface.virtio = VirtioOptions::default();
        interface.backend.vhost = None;
    }
    interface.coalesce_rx_frames = interface.coalesce_rx_frames.filter(|frames| *frames > 0);
}

fn complete_tpm(tpm: &mut Tpm) {
    let model = *tpm.model.get_or_insert(TpmModel::Tis);
    match &mut tpm.backend {
        TpmBackend::Emulator(emulator) => {
            emulator.version.get_or_insert(match model {
                TpmModel::Tis => TpmVersion::V1_2,
                TpmModel::Crb => TpmVersion::V2_0,
            });
        }
        TpmBackend::Passthrough { path } => {
            path.get_or_insert_with(|| "/dev/tpm0".to_owned());
        }
        TpmBackend::External(_) => {}
    }
}

/// The chipset of q35 has a watchdog of its own.
pub(super) fn complete_watchdogs(devices: &mut Devices, machine: MachineKind) {
    let has_itco = devices.watchdogs.iter().any(|watchdog| watchdog.model == WatchdogModel::Itco);
    if machine == MachineKind::Q35 && !has_itco {
        devices.watchdogs.push(Watchdog {
            model: WatchdogModel::Itco,
            action: WatchdogAction::Reset,
            info: Default::default(),
        });
    }
}
