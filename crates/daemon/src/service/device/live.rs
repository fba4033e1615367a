//! Plugging into and out of a running guest: QEMU's side of it, and the running domain that says so.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use domain::Domain;
use domain::model::address::DeviceInfo;
use domain::model::chardev::CharKind;
use domain::model::controller::ControllerType;
use domain::model::disk::{Disk, DiskBus, DiskDevice, DiskRun};
use qemu::plan::hotplug::{self, Step, Which};
use qemu::plan::{PlanError, Surroundings};
use qemu::qmp::device::{
    BlockdevAdd, BlockdevDel, ChardevAdd, ChardevRemove, DeviceAdd, DeviceDel, NetdevAdd, NetdevDel,
    ObjectAdd, ObjectDel,
};
use qemu::qmp::figures::{DriveStats, QueryBlockstats, QueryNamedBlockNodes};
use rpc::error::RemoteError;

use super::affect::{config_unsupported, internal, unsupported};
use super::find::Found;
use super::fragment::{Device, Fragment};
use super::wait::Deleted;
use super::{judge, qemu_dir, tap};
use crate::service::domains::Vm;
use crate::service::events::Happening;
use crate::service::stats::disk_path;
use crate::service::{Failure, Service, blocking, tune};
use crate::tap::Taps;
use crate::vm::Guest;

/// How long a call waits for the guest to let a device go; after that, the guest may still do so.
const PATIENCE: Duration = Duration::from_secs(5);

/// Plugs a device in; the domain's job is held.
pub(super) async fn plug(
    service: &Arc<Service>,
    vm: &Arc<Vm>,
    guest: &Arc<Guest>,
    fragment: &Fragment,
) -> Result<(), Failure> {
    can_be_plugged(fragment)?;
    fragment.whole()?;
    let live = guest.live();
    let (asked, before) = (fragment.clone(), Arc::clone(&live));
    let dir = qemu_dir(guest);
    let placed = blocking(service, move |service| {
        let placed = place(service, &before, &asked)?;
        if let Device::Disk(disk) = &asked.device {
            is_accessible(disk)?;
        }
        let mut placed = placed;
        crate::start::name_sockets(&mut placed.domain, &dir);
        judge::plugged(service, &before, &placed.domain)?;
        let mut here = surroundings(service, &placed.domain, &dir)?;
        let taps = match placed.which {
            Found::Interface(index) => tap::open(service, &mut placed.domain, index, &mut here)?,
            _ => Taps::default(),
        };
        Ok((placed, here, taps))
    })
    .await?;
    let (Placed { domain, controllers, which }, here, taps) = placed;
    let node = next_node(guest).await?;
    let disk = match (which, &fragment.device) {
        (Found::Disk(_), Device::Disk(disk)) => Some(Disk::clone(disk)),
        _ => None,
    };
    if let Some(disk) = &disk {
        admit(service, guest, disk.clone()).await?;
    }
    let plugged = match tap::hand_over(guest, taps).await {
        Ok(labels) => {
            let plugged = plug_placed(guest, domain, controllers, which, node, &here).await;
            if plugged.is_err() {
                tap::take_back(guest, labels).await;
            }
            plugged
        }
        Err(error) => Err(error),
    };
    let alias = match (plugged, disk) {
        (Ok(alias), _) => alias,
        (Err(error), Some(disk)) => {
            withdraw(service, guest, disk).await;
            return Err(error);
        }
        (Err(error), None) => return Err(error),
    };
    tracing::info!(domain = %vm.name(), device = %alias, "plugged in");
    service.events.publish(&vm.about(), &Happening::DeviceAdded(alias));
    Ok(())
}

/// Lets QEMU use a disk's files.
pub(super) async fn admit(service: &Arc<Service>, guest: &Arc<Guest>, disk: Disk) -> Result<(), Failure> {
    let guest = Arc::clone(guest);
    blocking(service, move |service| {
        service.isolation.admit(guest.run_dir(), guest.pid(), &disk).map_err(|error| {
            Box::new(RemoteError::system_error(format!(
                "QEMU cannot be given disk '{}': {}",
                disk.target.dev,
                crate::chain(&error)
            )))
        })
    })
    .await
}

/// Takes a disk's files back.
pub(super) async fn withdraw(service: &Arc<Service>, guest: &Arc<Guest>, disk: Disk) {
    let guest = Arc::clone(guest);
    let withdrawn = blocking(service, move |service| {
        service.isolation.withdraw(guest.run_dir(), &disk);
        Ok(())
    });
    // It says itself what it could not do.
    let _ = withdrawn.await;
}

/// QEMU's side of it; the alias is returned.
async fn plug_placed(
    guest: &Arc<Guest>,
    mut domain: Domain,
    controllers: Vec<usize>,
    which: Found,
    node: usize,
    here: &Surroundings,
) -> Result<String, Failure> {
    let mut done = Done { guest, steps: Vec::new() };
    let mut ptys = Vec::new();
    for index in controllers.iter().copied() {
        done.carry_out(steps(&domain, Which::Controller(index), here)?, &mut ptys).await?;
    }
    let which = match which {
        Found::Disk(index) => Which::Disk { index, node },
        Found::Interface(index) => Which::Interface(index),
        Found::Channel(index) => Which::Channel(index),
        Found::Controller(index) => Which::Controller(index),
        Found::Rng(index) => Which::Rng(index),
        Found::Input(index) => Which::Input(index),
        Found::Watchdog(index) => Which::Watchdog(index),
    };
    done.carry_out(steps(&domain, which, here)?, &mut ptys).await?;
    if let Which::Disk { index, node } = which
        && let Some(disk) = domain.devices.disks.get_mut(index)
    {
        disk.run = run_of(disk, node).await;
        if let Err(error) = tune::throttle(guest, disk).await {
            undo(guest, done.steps).await;
            return Err(error);
        }
    }
    for (label, pty) in ptys {
        note_pty(&mut domain, &label, &pty);
    }
    let alias = found_of(which).info(&domain).and_then(|info| info.alias.clone()).unwrap_or_default();
    // What was told of the guest meanwhile stays: a device that has gone, what the balloon leaves it.
    let found = found_of(which);
    guest.note_live(|live| {
        for index in controllers {
            Found::Controller(index).copy(&domain, live);
        }
        found.copy(&domain, live);
    });
    Ok(alias)
}

/// What is known of a disk once QEMU has it, by the number of its block nodes.
pub(super) async fn run_of(disk: &Disk, node: usize) -> Option<DiskRun> {
    let disk = disk.clone();
    // Whatever it cannot find out is not said.
    tokio::task::spawn_blocking(move || crate::start::run_of(&disk, node)).await.ok().flatten()
}

fn found_of(which: Which) -> Found {
    match which {
        Which::Disk { index, .. } => Found::Disk(index),
        Which::Interface(index) => Found::Interface(index),
        Which::Channel(index) => Found::Channel(index),
        Which::Controller(index) => Found::Controller(index),
        Which::Rng(index) => Found::Rng(index),
        Which::Input(index) => Found::Input(index),
        Which::Watchdog(index) => Found::Watchdog(index),
    }
}

fn steps(domain: &Domain, which: Which, here: &Surroundings) -> Result<Vec<Step>, Failure> {
    hotplug::plug(domain, which, here).map_err(|error| planned(&error))
}

pub(super) fn planned(error: &PlanError) -> Failure {
    config_unsupported(error.to_string())
}

/// What a plan for this guest needs to know of the host. May block.
pub(super) fn surroundings(
    service: &Service,
    domain: &Domain,
    dir: &std::path::Path,
) -> Result<Surroundings, Failure> {
    let caps = service.host.caps(&crate::start::emulator(domain))?;
    Ok(crate::start::surroundings_of_guest(domain, &caps, &service.host.facts(), dir))
}

/// Refuses what QEMU cannot take while it runs, as libvirt does.
fn can_be_plugged(fragment: &Fragment) -> Result<(), Failure> {
    match &fragment.device {
        Device::Disk(disk) => match disk.device {
            DiskDevice::Cdrom | DiskDevice::Floppy => {
                Err(unsupported("cdrom/floppy device hotplug isn't supported"))
            }
            DiskDevice::Disk | DiskDevice::Lun => match bus_of(disk) {
                DiskBus::Virtio | DiskBus::Scsi | DiskBus::Usb => Ok(()),
                bus => Err(unsupported(format!("disk bus '{bus}' cannot be hotplugged."))),
            },
        },
        Device::Controller(controller) => match controller.kind.name() {
            ControllerType::Scsi | ControllerType::VirtioSerial => Ok(()),
            kind => Err(unsupported(format!("'{kind}' controller cannot be hot plugged."))),
        },
        Device::Input(input) if input.bus == Some(domain::model::devices::InputBus::Ps2) => {
            Err(unsupported("input device on bus 'ps2' cannot be hot plugged."))
        }
        Device::Interface(_)
        | Device::Channel(_)
        | Device::Rng(_)
        | Device::Input(_)
        | Device::Watchdog(_) => Ok(()),
        Device::Serial(_) | Device::Console(_) | Device::Graphics(_) | Device::Other => {
            Err(not_attached("live", fragment.kind))
        }
    }
}

/// Refuses a kind of device, `live` or `persistent`.
fn not_attached(how: &str, kind: &str) -> Failure {
    let reason = match kind {
        "hostdev" => {
            ": guests get no devices of the host, which could not reach encrypted memory; use virtio ones"
        }
        _ => "",
    };
    unsupported(format!("{how} attach of device '{kind}' is not supported{reason}"))
}

/// The bus of a disk, as its name says where it does not.
fn bus_of(disk: &Disk) -> DiskBus {
    disk.target.bus.unwrap_or_else(|| match disk.target.dev.get(..2) {
        Some("sd") => DiskBus::Scsi,
        Some("vd") => DiskBus::Virtio,
        _ => DiskBus::Ide,
    })
}

pub(super) fn is_accessible(disk: &Disk) -> Result<(), Failure> {
    let Some(path) = disk_path(disk) else { return Ok(()) };
    match std::fs::metadata(path) {
        Ok(_) => Ok(()),
        Err(error) => Err(Box::new(RemoteError::system_error(format!(
            "Cannot access storage file '{path}': {}",
            crate::service::stats::reason(&error)
        )))),
    }
}

/// A running domain with one device more.
#[derive(Debug)]
struct Placed {
    domain: Domain,
    /// Controllers that the device needs and that were not there.
    controllers: Vec<usize>,
    which: Found,
}

/// Puts a device into a running domain: with its defaults, its place and its alias.
fn place(service: &Service, live: &Domain, fragment: &Fragment) -> Result<Placed, Failure> {
    let mut with = live.clone();
    add(&mut with, fragment)?;
    let marked = mark(fragment);
    let caps = service.host.caps(&crate::start::emulator(live))?;
    crate::start::complete(&mut with, &caps).map_err(|error| cannot_place(&error))?;
    let devices = &with.devices;
    // What was there stays as it runs; of what was filled in, only the device and its controllers are taken.
    let mut domain = live.clone();
    let mut controllers = Vec::new();
    let known: BTreeSet<(ControllerType, Option<u32>)> =
        live.devices.controllers.iter().map(|known| (known.kind.name(), known.index)).collect();
    let new = devices.controllers.iter().filter(|found| !known.contains(&(found.kind.name(), found.index)));
    let is_asked_for = matches!(fragment.device, Device::Controller(_));
    let mut which = None;
    for controller in new {
        match controller.kind.name() {
            ControllerType::Pci => return Err(internal("No more available PCI slots")),
            ControllerType::Scsi | ControllerType::VirtioSerial => {}
            kind => return Err(unsupported(format!("'{kind}' controller cannot be hot plugged."))),
        }
        domain.devices.controllers.push(controller.clone());
        let at = domain.devices.controllers.len() - 1;
        if is_asked_for {
            which = Some(Found::Controller(at));
        } else {
            controllers.push(at);
        }
    }
    let to = &mut domain.devices;
    let gone = || internal("the device was lost while it was given its place");
    let which = match (marked, which) {
        (Marked::Target(target), _) => {
            let at = devices.disks.iter().position(|disk| disk.target.dev == target).ok_or_else(gone)?;
            let at = at.min(to.disks.len());
            to.disks.insert(
                at,
                devices.disks.iter().find(|disk| disk.target.dev == target).ok_or_else(gone)?.clone(),
            );
            Found::Disk(at)
        }
        (Marked::Interface, _) => {
            to.interfaces.push(devices.interfaces.last().ok_or_else(gone)?.clone());
            Found::Interface(to.interfaces.len() - 1)
        }
        (Marked::Channel, _) => {
            to.channels.push(devices.channels.last().ok_or_else(gone)?.clone());
            Found::Channel(to.channels.len() - 1)
        }
        (Marked::Rng, _) => {
            to.rngs.push(devices.rngs.last().ok_or_else(gone)?.clone());
            Found::Rng(to.rngs.len() - 1)
        }
        (Marked::Input, _) => {
            to.inputs.push(devices.inputs.last().ok_or_else(gone)?.clone());
            Found::Input(to.inputs.len() - 1)
        }
        (Marked::Watchdog, _) => {
            to.watchdogs.push(devices.watchdogs.last().ok_or_else(gone)?.clone());
            Found::Watchdog(to.watchdogs.len() - 1)
        }
        (Marked::Controller, Some(which)) => which,
        (Marked::Controller, None) => return Err(gone()),
    };
    name(&mut domain);
    Ok(Placed { domain, controllers, which })
}

fn cannot_place(error: &crate::start::StartError) -> Failure {
    let mut reason = std::error::Error::source(error);
    let mut text = error.to_string();
    while let Some(cause) = reason {
        text = cause.to_string();
        reason = cause.source();
    }
    if text.starts_with("no PCI slot is free") {
        return internal("No more available PCI slots");
    }
    Box::new(RemoteError::xml_error(text))
}

/// How a device is found again once its domain was completed.
enum Marked {
    /// Disks are sorted by their names.
    Target(String),
    /// It is the last of its kind.
    Interface,
    Channel,
    Rng,
    Input,
    Watchdog,
    Controller,
}

fn mark(fragment: &Fragment) -> Marked {
    match &fragment.device {
        Device::Disk(disk) => Marked::Target(disk.target.dev.clone()),
        Device::Interface(_) => Marked::Interface,
        Device::Channel(_) => Marked::Channel,
        Device::Rng(_) => Marked::Rng,
        Device::Input(_) => Marked::Input,
        Device::Watchdog(_) => Marked::Watchdog,
        _ => Marked::Controller,
    }
}

/// Adds a device to the list of its kind.
pub(super) fn add(domain: &mut Domain, fragment: &Fragment) -> Result<(), Failure> {
    let devices = &mut domain.devices;
    match &fragment.device {
        Device::Disk(disk) => {
            let known = devices.disks.iter().find(|known| known.target.dev == disk.target.dev);
            if let Some(known) = known {
                let shown = |disk: &Disk| disk_path(disk).unwrap_or_default().to_owned();
                return Err(Box::new(RemoteError::xml_error(format!(
                    "target '{}' duplicated for disk sources '{}' and '{}'",
                    disk.target.dev,
                    shown(known),
                    shown(disk)
                ))));
            }
            devices.disks.push(Disk::clone(disk));
        }
        Device::Interface(interface) => devices.interfaces.push((**interface).clone()),
        Device::Channel(channel) => {
            if super::find::like(domain, fragment).is_ok() {
                return Err(super::affect::op_invalid("chardev already exists"));
            }
            domain.devices.channels.push(channel.clone());
        }
        Device::Rng(rng) => devices.rngs.push(rng.clone()),
        Device::Input(input) => devices.inputs.push(input.clone()),
        Device::Watchdog(watchdog) => devices.watchdogs.push(watchdog.clone()),
        Device::Controller(controller) => {
            let is_there = |known: &domain::model::controller::Controller| {
                known.kind.name() == controller.kind.name() && known.index == controller.index
            };
            if controller.index.is_some() && devices.controllers.iter().any(is_there) {
                return Err(Box::new(RemoteError::operation_failed(format!(
                    "target {}:{} already exists",
                    controller.kind.name(),
                    controller.index.unwrap_or_default()
                ))));
            }
            devices.controllers.push(controller.clone());
        }
        Device::Serial(serial) => devices.serials.push(serial.clone()),
        Device::Console(console) => devices.consoles.push(console.clone()),
        Device::Graphics(graphics) => devices.graphics.push((**graphics).clone()),
        Device::Other => return Err(not_attached("persistent", fragment.kind)),
    }
    Ok(())
}

/// Gives aliases to those that have none, and each only once: numbers that were let go are not taken by two.
fn name(domain: &mut Domain) {
    let mut taken: BTreeSet<String> = BTreeSet::new();
    for found in super::find::all(domain) {
        taken.extend(found.info(domain).and_then(|info| info.alias.clone()));
    }
    fn numbered<'d>(
        infos: impl Iterator<Item = &'d mut DeviceInfo>,
        prefix: &str,
        taken: &mut BTreeSet<String>,
    ) {
        for info in infos.filter(|info| info.alias.is_none()) {
            let next =
                (0u32..).map(|number| format!("{prefix}{number}")).find(|alias| !taken.contains(alias));
            taken.extend(next.clone());
            info.alias = next;
        }
    }
    let devices = &mut domain.devices;
    numbered(devices.interfaces.iter_mut().map(|device| &mut device.info), "net", &mut taken);
    numbered(devices.channels.iter_mut().map(|device| &mut device.info), "channel", &mut taken);
    numbered(devices.inputs.iter_mut().map(|device| &mut device.info), "input", &mut taken);
    numbered(devices.watchdogs.iter_mut().map(|device| &mut device.info), "watchdog", &mut taken);
    numbered(devices.rngs.iter_mut().map(|device| &mut device.info), "rng", &mut taken);
    domain.assign_aliases();
}

/// The first number that no block node has.
pub(super) async fn next_node(guest: &Guest) -> Result<usize, Failure> {
    let nodes = guest.ask(QueryNamedBlockNodes).await?;
    let numbers = nodes.iter().filter_map(|node| node_number(node.node_name.as_deref()?));
    Ok(numbers.max().unwrap_or(0).saturating_add(1))
}

/// The number in the name of a block node: `libvirt-3-storage`.
fn node_number(name: &str) -> Option<usize> {
    name.strip_prefix("libvirt-")?.split('-').next()?.parse().ok()
}

/// The number of the nodes of a drive's image. A filter above them has a name of another kind.
pub(crate) fn image_number(drive: &DriveStats) -> Option<usize> {
    drive.node_names().find_map(node_number)
}

/// What was done already, to be undone where the rest fails.
struct Done<'g> {
    guest: &'g Guest,
    steps: Vec<Step>,
}

impl Done<'_> {
    async fn carry_out(&mut self, steps: Vec<Step>, ptys: &mut Vec<(String, String)>) -> Result<(), Failure> {
        for step in steps {
            let done = match &step {
                Step::Object(map) => self.guest.ask(ObjectAdd(map.clone())).await.map(|_| None),
                Step::Block(map) => self.guest.ask(BlockdevAdd(map.clone())).await.map(|_| None),
                Step::Netdev(map) => self.guest.ask(NetdevAdd(map.clone())).await.map(|_| None),
                Step::Device(map) => self.guest.ask(DeviceAdd(map.clone())).await.map(|_| None),
                Step::Chardev(map) => self.guest.ask(ChardevAdd(map.clone())).await.map(|added| added.pty),
            };
            match done {
                Ok(pty) => {
                    ptys.extend(step.id().map(str::to_owned).zip(pty));
                    self.steps.push(step);
                }
                Err(error) => {
                    undo(self.guest, std::mem::take(&mut self.steps)).await;
                    return Err(error.into());
                }
            }
        }
        Ok(())
    }
}

/// Carries out steps, and undoes those that were done where one fails.
pub(super) async fn carry_out(guest: &Guest, steps: Vec<Step>) -> Result<(), Failure> {
    Done { guest, steps: Vec::new() }.carry_out(steps, &mut Vec::new()).await
}

/// Takes away what steps have made, the last first.
pub(super) async fn undo(guest: &Guest, steps: Vec<Step>) {
    for step in steps.into_iter().rev() {
        let Some(id) = step.id().map(str::to_owned) else { continue };
        let undone = match step {
            Step::Object(_) => guest.ask(ObjectDel { id: id.clone() }).await,
            Step::Block(_) => guest.ask(BlockdevDel { id: id.clone() }).await,
            Step::Chardev(_) => guest.ask(ChardevRemove { id: id.clone() }).await,
            Step::Netdev(_) => guest.ask(NetdevDel { id: id.clone() }).await,
            Step::Device(_) => guest.ask(DeviceDel { id: id.clone() }).await,
        };
        if let Err(error) = undone {
            tracing::warn!(%id, %error, "what a device used stays behind in QEMU");
        }
    }
}

fn note_pty(domain: &mut Domain, label: &str, pty: &str) {
    let Some(alias) = label.strip_prefix("char") else { return };
    for channel in &mut domain.devices.channels {
        if channel.info.alias.as_deref() == Some(alias)
            && let CharKind::Pty { path } = &mut channel.source.kind
        {
            *path = Some(pty.to_owned());
        }
    }
}

/// Plugs a device out; the domain's job is held. Where the guest takes its time, this returns before it has let go, as
/// with libvirt, and the rest follows when it has.
pub(super) async fn unplug(
    service: &Arc<Service>,
    vm: &Arc<Vm>,
    guest: &Arc<Guest>,
    found: Found,
) -> Result<(), Failure> {
    let live = guest.live();
    can_be_unplugged(&live, found)?;
    let alias = found.info(&live).and_then(|info| info.alias.clone());
    let alias = alias.ok_or_else(|| internal("the device has no alias"))?;
    let backends = backends(service, guest, &live, found).await?;
    let mut deleted = Deleted::watch(guest);
    guest.ask(DeviceDel { id: alias.clone() }).await?;
    match deleted.of(&alias, PATIENCE).await {
        Ok(true) => {
            forget(service, vm, guest, &alias, backends).await;
            Ok(())
        }
        Ok(false) => {
            let (service, vm, guest) = (Arc::clone(service), Arc::clone(vm), Arc::clone(guest));
            tokio::spawn(async move {
                let gone = tokio::select! {
                    gone = deleted.whenever(&alias) => gone,
                    _ = guest.ended() => return,
                };
                let _job = vm.job.lock().await;
                match gone {
                    Ok(true) => forget(&service, &vm, &guest, &alias, backends).await,
                    Ok(false) => {}
                    Err(_) => service.events.publish(&vm.about(), &Happening::DeviceRemovalFailed(alias)),
                }
            });
            Ok(())
        }
        Err(error) => {
            service.events.publish(&vm.about(), &Happening::DeviceRemovalFailed(alias));
            Err(error)
        }
    }
}

fn can_be_unplugged(live: &Domain, found: Found) -> Result<(), Failure> {
    match found {
        Found::Disk(at) => {
            let Some(disk) = live.devices.disks.get(at) else { return Ok(()) };
            match (disk.device, disk.target.bus) {
                (
                    DiskDevice::Disk | DiskDevice::Lun,
                    Some(DiskBus::Virtio | DiskBus::Scsi | DiskBus::Usb),
                )
                | (DiskDevice::Cdrom, Some(DiskBus::Scsi | DiskBus::Usb)) => Ok(()),
                (device @ (DiskDevice::Cdrom | DiskDevice::Floppy), _) => {
                    Err(unsupported(format!("disk device type '{device}' cannot be detached")))
                }
                _ => Err(unsupported("This type of disk cannot be hot unplugged")),
            }
        }
        Found::Controller(at) => {
            let Some(controller) = live.devices.controllers.get(at) else { return Ok(()) };
            match controller.kind.name() {
                ControllerType::Scsi | ControllerType::VirtioSerial => {}
                kind => return Err(unsupported(format!("'{kind}' controller cannot be hot unplugged."))),
            }
            if is_used(live, controller.kind.name(), controller.index) {
                return Err(Box::new(RemoteError::operation_failed(
                    "device cannot be detached: device is busy",
                )));
            }
            Ok(())
        }
        Found::Input(at) => match live.devices.inputs.get(at).and_then(|input| input.bus) {
            Some(domain::model::devices::InputBus::Ps2) => {
                Err(unsupported("input device on bus 'ps2' cannot be detached"))
            }
            _ => Ok(()),
        },
        Found::Watchdog(at) => match live.devices.watchdogs.get(at).map(|watchdog| watchdog.model) {
            Some(domain::model::devices::WatchdogModel::I6300esb) => Ok(()),
            _ => Err(unsupported("hot unplug of watchdog of this model is not supported")),
        },
        Found::Interface(_) | Found::Channel(_) | Found::Rng(_) => Ok(()),
    }
}

/// Whether something sits on a controller.
fn is_used(live: &Domain, kind: ControllerType, index: Option<u32>) -> bool {
    use domain::model::address::Address;
    let devices = &live.devices;
    match kind {
        ControllerType::Scsi => devices.disks.iter().any(|disk| {
            disk.target.bus == Some(DiskBus::Scsi)
                && matches!(&disk.info.address, Some(Address::Drive(drive)) if Some(drive.controller) == index)
        }),
        _ => {
            let is_there =
                |info: &DeviceInfo| matches!(&info.address, Some(Address::VirtioSerial(port)) if Some(port.controller) == index);
            devices.channels.iter().any(|channel| is_there(&channel.info))
                || devices.consoles.iter().any(|console| is_there(&console.info))
        }
    }
}

/// What a device uses in QEMU, as the steps that would make it.
async fn backends(
    service: &Arc<Service>,
    guest: &Guest,
    live: &Arc<Domain>,
    found: Found,
) -> Result<Vec<Step>, Failure> {
    let named = |id: String| serde_json::Map::from_iter([("id".to_owned(), id.into())]);
    let alias = found.info(live).and_then(|info| info.alias.clone()).unwrap_or_default();
    Ok(match found {
        Found::Disk(at) => {
            let Some(disk) = live.devices.disks.get(at) else { return Ok(Vec::new()) };
            nodes_of(service, guest, live, disk).await?
        }
        Found::Interface(_) => vec![Step::Netdev(named(format!("host{alias}")))],
        Found::Channel(_) => vec![Step::Chardev(named(format!("char{alias}")))],
        Found::Rng(_) => vec![Step::Object(named(format!("obj{alias}")))],
        Found::Controller(_) | Found::Input(_) | Found::Watchdog(_) => Vec::new(),
    })
}

/// The block nodes of a disk that is in use, as the steps that would make them.
pub(super) async fn nodes_of(
    service: &Arc<Service>,
    guest: &Guest,
    live: &Arc<Domain>,
    disk: &Disk,
) -> Result<Vec<Step>, Failure> {
    let alias = disk.info.alias.as_deref().unwrap_or_default();
    let drives = guest.ask(QueryBlockstats).await?;
    let Some(node) = drives.iter().find(|drive| drive.is_of(alias)).and_then(image_number) else {
        return Ok(Vec::new());
    };
    let (live, dir) = (Arc::clone(live), qemu_dir(guest));
    let here = blocking(service, move |service| surroundings(service, &live, &dir)).await?;
    let medium = hotplug::medium(disk, node, &here).map_err(|error| planned(&error))?;
    Ok(medium.map(|(steps, _)| steps).unwrap_or_default())
}

/// Takes away what a device used, and the device from the running domain.
async fn forget(service: &Arc<Service>, vm: &Vm, guest: &Arc<Guest>, alias: &str, backends: Vec<Step>) {
    undo(guest, backends).await;
    let removed: Result<_, ()> = guest.change_live(|live| {
        let has_it = |found: &Found| found.info(live).and_then(|info| info.alias.as_deref()) == Some(alias);
        let found = super::find::all(live).into_iter().find(has_it).ok_or(())?;
        let disk = match found {
            Found::Disk(at) => live.devices.disks.get(at).cloned(),
            _ => None,
        };
        found.remove(live);
        Ok(disk)
    });
    let Ok(disk) = removed else { return };
    if let Some(disk) = disk {
        withdraw(service, guest, disk).await;
    }
    tracing::info!(domain = %vm.name(), device = %alias, "plugged out");
    service.events.publish(&vm.about(), &Happening::DeviceRemoved(alias.to_owned()));
}

/// QEMU says that a device is gone. Whoever asked for it knows what goes with it, and has the domain's job until then;
/// this is for those that nobody waits for any more.
pub(crate) fn deleted(service: &Arc<Service>, vm: &Arc<Vm>, guest: &Arc<Guest>, alias: &str) {
    let (service, vm, guest, alias) =
        (Arc::clone(service), Arc::clone(vm), Arc::clone(guest), alias.to_owned());
    tokio::spawn(async move {
        let _job = vm.job.lock().await;
        let live = guest.live();
        let has_it = |found: &Found| found.info(&live).and_then(|info| info.alias.as_deref()) == Some(&alias);
        let Some(found) = super::find::all(&live).into_iter().find(has_it) else { return };
        let backends = backends(&service, &guest, &live, found).await.unwrap_or_default();
        forget(&service, &vm, &guest, &alias, backends).await;
    });
}

#[cfg(test)]
mod tests {
    use domain::Document;

    use super::*;

    #[test]
    fn block_nodes_are_numbered() {
        for (name, number) in [
            ("libvirt-3-storage", Some(3)),
            ("libvirt-12-format", Some(12)),
            ("libvirt-pflash0-storage", None),
        ] {
            assert_eq!(node_number(name), number);
        }
    }

    #[test]
    fn an_alias_is_given_once() {
        let text = "<domain type='kvm'><name>a</name><memory>1</memory><os><type machine='q35'>hvm</type></os><devices>
            <interface type='user'><alias name='net1'/></interface><interface type='user'/><interface type='user'/>
            <channel type='unix'><target type='virtio' name='x'/><alias name='channel1'/></channel>
            <channel type='unix'><target type='virtio' name='y'/></channel></devices></domain>";
        let (mut domain, _) = Domain::read(&Document::parse(text).unwrap());
        name(&mut domain);
        let names: Vec<_> =
            domain.devices.interfaces.iter().map(|device| device.info.alias.clone().unwrap()).collect();
        assert_eq!(names, ["net1", "net0", "net2"]);
        assert_eq!(domain.devices.channels[1].info.alias.as_deref(), Some("channel0"));
    }
}
