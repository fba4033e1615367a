//! Memory: how much, what backs it, what limits it.

use super::keyword::keywords;

/// A size in KiB, libvirt's unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kib(pub u64);

impl Kib {
    /// The size in bytes; the largest number where it does not fit.
    pub const fn bytes(self) -> u64 {
        self.0.saturating_mul(1024)
    }
}

/// `<maxMemory>`: room for memory to be plugged later.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MaxMemory {
    pub size: Kib,
    pub slots: Option<u32>,
}

/// `<memoryBacking>`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemoryBacking {
    /// `<hugepages>`, with the page sizes asked for (none: the host's default size).
    pub hugepages: Option<Vec<HugePage>>,
    pub nosharepages: bool,
    /// `<locked>`: all of the guest's memory stays in RAM.
    pub locked: bool,
    pub source: Option<MemorySource>,
    pub access: Option<MemoryAccess>,
    pub allocation: Allocation,
    pub discard: bool,
}

/// `<page>` of `<hugepages>`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HugePage {
    pub size: Kib,
    /// The NUMA nodes it is for, as written.
    pub nodeset: Option<String>,
}

keywords! {
    /// `<source type=…>` of `<memoryBacking>`.
    pub enum MemorySource {
        File = "file",
        Anonymous = "anonymous",
        Memfd = "memfd",
    }
}

keywords! {
    /// `<access mode=…>` of `<memoryBacking>`.
    pub enum MemoryAccess {
        Shared = "shared",
        Private = "private",
    }
}

/// `<allocation>` of `<memoryBacking>`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Allocation {
    pub mode: Option<AllocationMode>,
    pub threads: Option<u32>,
}

keywords! {
    /// `<allocation mode=…>`.
    pub enum AllocationMode {
        Immediate = "immediate",
        Ondemand = "ondemand",
    }
}

/// `<memtune>`; a limit of [`MemTune::UNLIMITED`] or more is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemTune {
    pub hard_limit: Option<Kib>,
    pub soft_limit: Option<Kib>,
    pub min_guarantee: Option<Kib>,
    pub swap_hard_limit: Option<Kib>,
}

impl MemTune {
    /// What libvirt takes as "no limit": 2⁶³ − 1 bytes, in whole KiB.
    pub const UNLIMITED: Kib = Kib(9_007_199_254_740_991);

    /// The most that the guest may take of the host, in bytes; `None` where nothing limits it.
    pub fn hard_limit_bytes(&self) -> Option<u64> {
        self.hard_limit.filter(|limit| *limit < Self::UNLIMITED).map(Kib::bytes)
    }
}
