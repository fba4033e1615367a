//! The running domain: the definition with everything that was chosen at this start.

use std::path::Path;

use domain::Domain;
use domain::model::chardev::{CharKind, SocketMode};
use domain::model::controller::{ControllerKind, PciModel};
use domain::model::disk::{Disk, DiskRun};
use domain::model::graphics::{GraphicsKind, Listen, Ports};
use domain::model::launch_security::LaunchSecurity;
use domain::model::memory::Kib;
use qemu::plan::{Plan, PlanError, Surroundings, name_devices, number_disks};

/// Where displays listen that name no address.
const LOCAL: &str = "127.0.0.1";

/// What of a domain is decided before QEMU runs; pseudo terminals are known only afterwards.
pub(super) fn running(domain: &Domain, plan: &Plan, here: &Surroundings) -> Result<Domain, PlanError> {
    let mut live = domain.clone();
    name_devices(&mut live)?;
    for (disk, number) in live.devices.disks.iter_mut().zip(number_disks(domain)) {
        disk.run = run_of(disk, number);
    }
    for graphics in &mut live.devices.graphics {
        match &mut graphics.kind {
            GraphicsKind::Vnc(vnc) => choose(&mut vnc.ports, here.displays.vnc_port.or(Some(5900))),
            GraphicsKind::Spice(spice) => choose(&mut spice.ports, here.displays.spice_port),
            _ => {}
        }
    }
    for graphics in &mut live.devices.graphics {
        for listen in &mut graphics.listens {
            if let Listen::Address { address: address @ None } = listen {
                *address = Some(LOCAL.to_owned());
            }
        }
    }
    name_sockets(&mut live, &here.domain_dir);
    for controller in &mut live.devices.controllers {
        if let (ControllerKind::Pci(pci), Some(index)) = (&controller.kind, controller.index)
            && pci.model == Some(PciModel::PcieRoot)
        {
            // It is the machine's own, and has QEMU's name.
            controller.info.alias = Some(format!("pcie.{index}"));
        }
    }
    // QEMU gives memory by the MiB.
    let whole = |size: Kib| Kib(size.0.div_ceil(1024).saturating_mul(1024));
    if live.current_memory.is_none_or(|current| current >= live.memory) {
        live.current_memory = Some(whole(live.memory));
    }
    live.memory = whole(live.memory);
    if let (Some(LaunchSecurity::Sev(sev)), Some(found)) = (&mut live.launch_security, here.sev) {
        sev.cbitpos.get_or_insert(found.cbitpos);
        sev.reduced_phys_bits.get_or_insert(found.reduced_phys_bits);
    }
    if let Some(variables) = &plan.firmware().variables
        && let Some(nvram) = &mut live.os.nvram
        && nvram.path.is_none()
    {
        nvram.path = variables.path.to_str().map(str::to_owned);
    }
    Ok(live)
}

/// What is known of a disk whose block nodes have this number. Reads the head of its image.
pub(crate) fn run_of(disk: &Disk, number: usize) -> Option<DiskRun> {
    disk.source.as_ref()?;
    let ends = disk.backing_store.is_none() && crate::isolate::is_lowest(disk);
    Some(DiskRun { index: u32::try_from(number).ok()?, ends })
}

/// Says where QEMU listens for channels whose place was left to the start.
pub(crate) fn name_sockets(live: &mut Domain, domain_dir: &Path) {
    for channel in &mut live.devices.channels {
        if let (Some(alias), CharKind::Unix { mode: SocketMode::Bind, path: path @ None, .. }) =
            (&channel.info.alias, &mut channel.source.kind)
        {
            *path = Some(domain_dir.join(format!("{alias}.sock")).display().to_string());
        }
    }
}

fn choose(ports: &mut Ports, chosen: Option<u16>) {
    if ports.port.is_none_or(|port| port == 0) {
        ports.port = chosen;
    }
}
