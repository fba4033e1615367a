//! What a guest takes of the host's memory, item by item, in three sums: what SEV pins, what `<locked/>` locks, and
//! what its control group is charged for.
//!
//! The sums are computed from what decides them ([`Demand`], from a domain and its firmware) and the sizes of the
//! files that QEMU loads ([`Sizes`]). `tests/argv/memory.rs` holds them against real QEMUs; docs/memory.md shows how.

mod blocks;
mod sums;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use domain::Domain;
use domain::model::DomainKind;
use domain::model::disk::{Disk, DiskFormat, DiskIo};
use domain::model::graphics::GraphicsKind;
use domain::model::iothreads::ThreadPool;
use domain::model::launch_security::LaunchSecurity;
use serde::Serialize;

use crate::argv::memory::whole_mebibytes;
use crate::plan::{Firmware, Placement};

use blocks::Block;

/// One thing that takes memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Item {
    /// What it is, with the device's id where it belongs to one.
    pub what: String,
    pub bytes: u64,
    /// Why it takes so much.
    pub why: &'static str,
}

/// Items that count together.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Sum {
    pub items: Vec<Item>,
}

/// How a guest's memory is kept in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pinning {
    /// It may be swapped out and moved.
    None,
    /// SEV and SEV-ES: KVM pins every block of QEMU's memory, against RLIMIT_MEMLOCK (kernel, `sev_pin_memory`).
    Registered,
    /// SEV-SNP: private pages are the kernel's own (guest_memfd); nothing is locked by the process.
    GuestMemfd,
}

/// What decides how much memory a guest takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Demand {
    pub pinning: Pinning,
    /// `<locked/>`: QEMU locks all that it has mapped or will map (`mlockall`).
    pub locked: bool,
    /// RAM, in bytes.
    ram: u64,
    /// What may be plugged later, in bytes.
    room: u64,
    huge_pages: bool,
    emulated: bool,
    blocks: Vec<Block>,
    /// Files that QEMU keeps in its own memory.
    loaded: Vec<PathBuf>,
    vcpus: u64,
    /// How many more there may be later.
    more_vcpus: u64,
    /// The firmware lies in flash, whose image is read.
    flash: bool,
    devices: u64,
    iommu: bool,
    /// Disks whose images are read and written by threads.
    disks: u64,
    /// Names of the disks whose format has tables that are cached.
    cached: Vec<String>,
    spice: bool,
    /// Threads that displays need.
    display_threads: u64,
    /// Threads for I/O, with the workers that they always have.
    io_threads: u64,
    /// The most workers that all of them and the main loop may have at a time, to read and write images.
    workers: u64,
}

/// Sizes that a domain does not tell.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sizes {
    /// Bytes of the files that QEMU loads: firmware, variable store, kernel, initial RAM disk and option ROMs by path;
    /// QEMU's own option ROMs by name (`efi-virtio.rom`). A file that is not here has the usual size.
    pub files: BTreeMap<PathBuf, u64>,
    /// Processors of the host, which bound the heaps that the C library makes for threads. Unknown: no bound.
    pub host_cpus: Option<u64>,
    /// RAM of the host in bytes, which bounds the buffer of a guest that is emulated.
    pub host_memory: Option<u64>,
}

/// What a guest takes of the host's memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Sums {
    pub pinning: Pinning,
    pub locked: bool,
    /// QEMU's memory blocks, each at the largest size that it may grow to: what SEV pins.
    pub pinned: Sum,
    /// The address space of QEMU's process once the guest is set up: what `<locked/>` locks.
    pub address_space: Sum,
    /// What the guest's control group is charged for; file pages that can be dropped are not in it.
    pub charge: Sum,
    /// What may come on top while the guest runs. A limit should leave room for it.
    pub later: Sum,
}

/// Which of the sums a limit must cover.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Largest {
    Pinned,
    AddressSpace,
    Charge,
}

impl Demand {
    /// What a domain with that firmware takes. It need not be complete: what is not said counts as libvirt fills it in.
    #[must_use]
    pub fn of(domain: &Domain, firmware: &Firmware) -> Self {
        let ram = whole_mebibytes(domain.memory).saturating_mul(1024);
        let most =
            domain.max_memory.map_or(ram, |max| whole_mebibytes(max.size).saturating_mul(1024).max(ram));
        let present = domain.vcpu.current.unwrap_or(domain.vcpu.count).min(domain.vcpu.count);
        let graphics = &domain.devices.graphics;
        let spice = graphics.iter().any(|display| matches!(display.kind, GraphicsKind::Spice(_)));
        let vnc = graphics.iter().any(|display| matches!(display.kind, GraphicsKind::Vnc(_)));
        let cards = count(domain.devices.videos.len()).max(1);
        let pools = domain.iothreads.all().into_iter().map(|thread| thread.pool);
        let pools: Vec<ThreadPool> = pools.chain([domain.iothreads.main_loop]).collect();
        let always = pools.iter().map(|pool| u64::from(pool.min.unwrap_or(0))).fold(0, u64::saturating_add);
        let workers = pools.iter().map(|pool| pool.max.map_or(sums::MOST_WORKERS, u64::from));
        let with_source = || domain.devices.disks.iter().filter(|disk| disk.source.is_some());
        Self {
            pinning: match &domain.launch_security {
                Some(LaunchSecurity::Sev(_)) => Pinning::Registered,
                Some(LaunchSecurity::SevSnp(_)) => Pinning::GuestMemfd,
                Some(LaunchSecurity::Other { .. }) | None => Pinning::None,
            },
            locked: domain.memory_backing.locked,
            ram,
            room: most - ram,
            huge_pages: domain.memory_backing.hugepages.is_some(),
            emulated: domain.kind == DomainKind::Qemu,
            blocks: blocks::of(domain, firmware),
            loaded: [&domain.os.kernel, &domain.os.initrd].into_iter().flatten().map(PathBuf::from).collect(),
            vcpus: present.into(),
            more_vcpus: (domain.vcpu.count - present).into(),
            flash: firmware.code.as_ref().is_some_and(|code| code.placement != Placement::Rom),
            devices: count(domain.devices.count()),
            iommu: domain.devices.iommu.is_some(),
            disks: count(with_source().filter(|disk| is_threaded(disk)).count()),
            cached: with_source()
                .filter(|disk| has_tables(disk))
                .map(|disk| disk.target.dev.clone())
                .collect(),
            spice,
            display_threads: if spice { cards } else { 0 } + u64::from(vnc),
            io_threads: count(pools.len()).saturating_sub(1).saturating_add(always),
            workers: workers.fold(0, u64::saturating_add),
        }
    }

    /// The files whose sizes decide, as [`Sizes::files`] has them.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.blocks.iter().filter_map(Block::file).chain(self.loaded.iter().map(PathBuf::as_path))
    }
}

impl Sum {
    /// Bytes.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.items.iter().fold(0, |total, item| total.saturating_add(item.bytes))
    }
}

impl Sums {
    /// The largest of the sums that apply, and which it is: a smaller limit keeps the guest from starting, or has it
    /// killed.
    #[must_use]
    pub fn needed(&self) -> (Largest, u64) {
        let pinned = (self.pinning == Pinning::Registered).then(|| (Largest::Pinned, self.pinned.total()));
        let locked = self.locked.then(|| (Largest::AddressSpace, self.address_space.total()));
        let charge = (Largest::Charge, self.charge.total());
        [pinned, locked]
            .into_iter()
            .flatten()
            .fold(charge, |most, sum| if sum.1 > most.1 { sum } else { most })
    }

    /// The items of the largest sum.
    #[must_use]
    pub fn largest(&self) -> &Sum {
        match self.needed().0 {
            Largest::Pinned => &self.pinned,
            Largest::AddressSpace => &self.address_space,
            Largest::Charge => &self.charge,
        }
    }

    /// The limit that a start sets where the domain has none, in bytes.
    #[must_use]
    pub fn start_limit(&self) -> u64 {
        self.limit().saturating_add(sums::LEFT)
    }

    /// A limit to set, in bytes: what is needed and what may come on top, in whole MiB.
    #[must_use]
    pub fn limit(&self) -> u64 {
        self.needed().1.saturating_add(self.later.total()).div_ceil(sums::MIB).saturating_mul(sums::MIB)
    }
}

impl std::fmt::Display for Largest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Pinned => "what SEV pins",
            Self::AddressSpace => "the address space, which `<locked/>` locks",
            Self::Charge => "what its control group is charged for",
        })
    }
}

fn count(number: usize) -> u64 {
    number.try_into().unwrap_or(u64::MAX)
}

/// Whether QEMU reads and writes the image by threads, and not by the kernel's asynchronous calls.
fn is_threaded(disk: &Disk) -> bool {
    !matches!(disk.driver.io, Some(DiskIo::Native | DiskIo::IoUring))
}

/// Whether the image's format maps the guest's disk by tables, which QEMU caches.
fn has_tables(disk: &Disk) -> bool {
    matches!(disk.driver.format, Some(DiskFormat::Qcow2))
}

#[cfg(test)]
mod tests;
