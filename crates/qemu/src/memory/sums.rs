//! The three sums, from what decides them.

use super::{Demand, Item, Pinning, Sizes, Sum, Sums};

pub(super) const MIB: u64 = 1 << 20;

/// What the limit of a start leaves beside: what displays and disks take while they are used, as the usual advice has it
/// (libvirt, "Launch security with AMD SEV", section "Memory").
pub(super) const LEFT: u64 = 256 * MIB;

/// What QEMU's program and libraries map.
const PROGRAM: u64 = 60 * MIB;
/// What Spice's libraries map beside.
const SPICE: u64 = 16 * MIB;
/// QEMU's heap and small mappings.
const HEAP: u64 = 22 * MIB;
/// What each device adds to them.
const DEVICE: u64 = MIB / 2;
/// What an IOMMU keeps for each device: its own view of the guest's memory.
const IOMMU_VIEW: u64 = 3 * MIB;
/// A thread's stack: the usual RLIMIT_STACK.
const STACK: u64 = 8 * MIB;
/// What of a stack is touched where it is not locked.
const TOUCHED_STACK: u64 = MIB / 4;
/// What the C library reserves for the heap of a thread that allocates (glibc, HEAP_MAX_SIZE).
const ARENA: u64 = 64 * MIB;
/// Of these heaps it makes so many for each processor of the host, and then shares them (mallopt(3), M_ARENA_MAX).
const ARENAS_PER_CPU: u64 = 8;
/// Threads that every QEMU has beside its main one: RCU and the monitor's.
const OWN_THREADS: u64 = 2;
/// How many more read images while the guest is set up, however many images there are: of the firmware, and of disks.
/// Often it is one fewer. An emulated guest takes its time, so that more of them wait for each other.
const READERS: [u64; 2] = [2, 3];
const EMULATED_READERS: [u64; 2] = [3, 5];
/// How many more there may be for a moment, or get a heap.
const MORE_READERS: u64 = 4;
/// The main loop and each I/O thread read and write images by at most so many threads, where the domain does not say
/// how many (thread-pool-max).
pub(super) const MOST_WORKERS: u64 = 64;
/// The most that QEMU caches of one qcow2 image's tables.
const TABLES: u64 = 32 * MIB;
/// What KVM keeps for one vCPU.
const VCPU: u64 = MIB;
/// Of each page of 4 KiB the kernel keeps, 8 bytes each: QEMU's page table, the guest's nested one, the way back from
/// a page to both, and SEV's list of what is pinned.
const PER_PAGE: u64 = 4 * 8;
/// The buffer in which an emulated guest's code is translated: an eighth of the host's RAM, at most this.
const TRANSLATED: u64 = 1 << 30;
/// What a vCPU that is emulated has beside.
const EMULATED_VCPU: u64 = 4 * MIB;

impl Demand {
    /// The sums, for files of these sizes.
    #[must_use]
    pub fn sums(&self, sizes: &Sizes) -> Sums {
        let pinned = Sum { items: self.blocks.iter().map(|block| block.item(sizes)).collect() };
        let blocks = pinned.total();
        Sums {
            pinning: self.pinning,
            locked: self.locked,
            address_space: self.address_space(blocks, sizes),
            charge: self.charge(blocks, sizes),
            later: self.later(sizes),
            pinned,
        }
    }

    fn threads(&self) -> u64 {
        OWN_THREADS + self.readers() + self.vcpus + self.display_threads
    }

    /// Threads that read images while the guest is set up.
    fn readers(&self) -> u64 {
        let [firmware, disks] = if self.emulated { EMULATED_READERS } else { READERS };
        match (self.flash, self.disks) {
            (_, 1..) => disks,
            (true, 0) => firmware,
            (false, 0) => 0,
        }
    }

    /// QEMU's memory blocks as one item of another sum.
    fn all_blocks(&self, blocks: u64) -> Item {
        if self.huge_pages {
            let why =
                "those of the sum that SEV pins, but not RAM: huge pages are neither locked nor charged";
            return item("QEMU's memory blocks", blocks.saturating_sub(self.ram), why);
        }
        item("QEMU's memory blocks", blocks, "those of the sum that SEV pins")
    }

    /// What QEMU has of its own in any case.
    fn own(&self, sizes: &Sizes) -> Vec<Item> {
        let program = if self.spice { PROGRAM + SPICE } else { PROGRAM };
        let heap = HEAP.saturating_add(DEVICE.saturating_mul(self.devices));
        let mut items = vec![
            item("QEMU's program and libraries", program, "what they map"),
            item("QEMU's heap", heap, "what it allocates to run the devices"),
        ];
        let loaded = self
            .loaded
            .iter()
            .map(|path| sizes.files.get(path).copied().unwrap_or(32 * MIB))
            .fold(0, u64::saturating_add);
        if loaded > 0 {
            items.push(item(
                "kernel and initial RAM disk",
                loaded,
                "QEMU keeps them for the firmware to fetch",
            ));
        }
        if self.iommu {
            let views = IOMMU_VIEW.saturating_mul(self.devices);
            items.push(item(
                "views of the IOMMU",
                views,
                "each device has its own view of the guest's memory",
            ));
        }
        if self.emulated {
            let most = sizes.host_memory.map_or(TRANSLATED, |memory| TRANSLATED.min(memory / 8));
            let bytes = most.saturating_add(EMULATED_VCPU.saturating_mul(self.vcpus));
            items.push(item(
                "translated code",
                bytes,
                "an emulated guest's code is translated into this buffer",
            ));
        }
        items
    }

    fn address_space(&self, blocks: u64, sizes: &Sizes) -> Sum {
        let threads = self.threads();
        // Threads for I/O have nothing to do before the guest runs; then each may get a heap.
        let heaps = threads.saturating_add(self.io_threads.min(1));
        let most = sizes.host_cpus.map_or(u64::MAX, |cpus| cpus.saturating_mul(ARENAS_PER_CPU));
        let mut items = vec![self.all_blocks(blocks)];
        items.extend(self.own(sizes));
        items.push(item(
            "stacks of threads",
            threads.saturating_add(self.io_threads).saturating_mul(STACK),
            "8 MiB for each vCPU and each other thread",
        ));
        items.push(item(
            "heaps of threads",
            heaps.min(most).saturating_mul(ARENA),
            "the C library reserves 64 MiB for each thread, at most 8 times for each host processor",
        ));
        Sum { items }
    }

    fn charge(&self, blocks: u64, sizes: &Sizes) -> Sum {
        let threads = self.threads().saturating_add(self.io_threads);
        let mut items = vec![self.all_blocks(blocks)];
        items.extend(self.own(sizes));
        items.push(if self.locked {
            item(
                "stacks of threads",
                threads.saturating_mul(STACK),
                "locked, so that all of them is in memory",
            )
        } else {
            item("stacks of threads", threads.saturating_mul(TOUCHED_STACK), "what of them is used")
        });
        let tables =
            (self.ram / 4096).saturating_mul(PER_PAGE).saturating_add(self.vcpus.saturating_mul(VCPU));
        items.push(item(
            "the kernel's tables",
            tables,
            "page tables, KVM's tables and vCPUs, SEV's list of pages",
        ));
        items.extend(self.cached.iter().map(|disk| {
            item(
                format!("{disk}: cached tables"),
                TABLES,
                "the most that QEMU caches of a qcow2 image's tables",
            )
        }));
        Sum { items }
    }

    fn later(&self, sizes: &Sizes) -> Sum {
        let mut items = Vec::new();
        let mut add = |what: &str, bytes: u64, why| {
            if bytes > 0 {
                items.push(item(what, bytes, why));
            }
        };
        add("room for memory", self.room, "what <maxMemory> lets be plugged");
        let vcpus = self.more_vcpus.saturating_mul(STACK + VCPU);
        add("room for vCPUs", vcpus, "a stack for each vCPU that may be plugged");
        if self.pinning == Pinning::Registered {
            let firmware = self
                .blocks
                .iter()
                .find(|block| block.file().is_some())
                .map_or(0, |block| block.item(sizes).bytes);
            add("the firmware, once more", firmware, "it is pinned a second time while it is encrypted");
        }
        if self.locked {
            let heaps = self.io_threads.saturating_sub(1).saturating_mul(ARENA);
            add("heaps of I/O threads", heaps, "64 MiB for each, once it has something to do");
            let workers =
                if self.disks > 0 { self.workers.saturating_sub(self.readers()) } else { MORE_READERS };
            let bytes = workers.saturating_mul(STACK).saturating_add(MORE_READERS * ARENA);
            add(
                "more threads for images",
                bytes,
                "the workers that read and write images, usually 64 at most; some get heaps",
            );
        }
        Sum { items }
    }
}

fn item(what: impl Into<String>, bytes: u64, why: &'static str) -> Item {
    Item { what: what.into(), bytes, why }
}
