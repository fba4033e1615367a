//! What would contradict itself: libvirt refuses these definitions, and QEMU could not be given them.

use std::collections::BTreeSet;

use super::CompleteError;
use crate::model::{Domain, cpu::Topology, devices::Devices};

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
