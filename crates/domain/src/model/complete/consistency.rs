//! What would contradict itself: libvirt refuses these definitions, and QEMU could not be given them.

use std::collections::BTreeSet;

use super::CompleteError;
use crate::model::{
    Domain,
    controller::ControllerKind,
    cpu::Topology,
    devices::Devices,
    disk::{Disk, DiskBus},
};

pub(super) fn check(domain: &Domain) -> Result<(), CompleteError> {
    check_disks(&domain.devices)?;
    check_boot(domain)?;
    match domain.cpu.as_ref().and_then(|cpu| cpu.topology) {
        Some(topology) if threads(topology) != u64::from(domain.vcpu.count) => {
            Err(CompleteError::Topology { threads: threads(topology), vcpus: domain.vcpu.count })
        }
        _ => Ok(()),
    }
}

/// How many CPUs a topology makes; the largest number where that does not fit.
fn threads(topology: Topology) -> u64 {
    let Topology { sockets, dies, clusters, cores, threads } = topology;
    [sockets, dies, clusters, cores, threads]
        .into_iter()
        .fold(1, |product: u64, count| product.saturating_mul(u64::from(count)))
}

fn check_disks(devices: &Devices) -> Result<(), CompleteError> {
    let mut seen = BTreeSet::new();
    for disk in &devices.disks {
        if !seen.insert(&disk.target.dev) {
            return Err(CompleteError::TwoDisks { dev: disk.target.dev.clone() });
        }
    }
    Ok(())
}

/// Who is to be served by an I/O thread is of a kind that can be, and the thread is there. Buses and models are known.
pub(super) fn check_iothreads(domain: &Domain) -> Result<(), CompleteError> {
    let known: BTreeSet<u32> = domain.iothreads.all().iter().map(|thread| thread.id).collect();
    let of_disk = |disk: &Disk| {
        let shared = disk.driver.iothreads.iter().map(|thread| thread.id);
        disk.driver.iothread.into_iter().chain(shared).collect::<Vec<_>>()
    };
    for disk in &domain.devices.disks {
        for id in of_disk(disk) {
            match disk.target.bus {
                Some(DiskBus::Virtio) | None => {}
                Some(bus) => {
                    return Err(CompleteError::DiskWithoutIoThread { bus, dev: disk.target.dev.clone() });
                }
            }
            if !known.contains(&id) {
                return Err(CompleteError::DiskIoThread { id });
            }
        }
    }
    for controller in &domain.devices.controllers {
        let Some(id) = controller.driver.iothread else { continue };
        let ControllerKind::Scsi { model } = controller.kind else {
            return Err(CompleteError::ControllerWithoutIoThread);
        };
        if model.is_some_and(|model| model.virtio().is_none()) {
            return Err(CompleteError::ControllerWithoutIoThread);
        }
        if !known.contains(&id) {
            return Err(CompleteError::ControllerIoThread { id });
        }
    }
    match domain.cputune.iothread_pins.iter().find(|pin| !known.contains(&pin.iothread)) {
        Some(pin) => Err(CompleteError::PinnedIoThread { id: pin.iothread }),
        None => Ok(()),
    }
}

/// The order of devices is given once, and in one way.
fn check_boot(domain: &Domain) -> Result<(), CompleteError> {
    let mut seen = BTreeSet::new();
    for order in domain.devices.boot_orders() {
        if !seen.insert(order) {
            return Err(CompleteError::TwoBootOrders { order });
        }
    }
    if seen.is_empty() || domain.os.boot.is_empty() { Ok(()) } else { Err(CompleteError::BootTwice) }
}

impl Devices {
    /// The places in the boot order that devices ask for.
    pub(super) fn boot_orders(&self) -> impl Iterator<Item = u32> {
        let disks = self.disks.iter().filter_map(|disk| disk.info.boot_order);
        disks.chain(self.interfaces.iter().filter_map(|interface| interface.info.boot_order))
    }
}
