//! What guests compete for: memory, encryption keys, and the limits that the administrator set.

use serde::{Deserialize, Serialize};

/// Guests that the misc controller of the kernel counts (`misc.capacity` and `misc.current` of the root cgroup).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asids {
    pub sev: Count,
    /// SEV-ES and SEV-SNP.
    pub sev_es: Count,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    pub capacity: u64,
    pub used: u64,
}

impl Count {
    #[must_use]
    pub fn free(self) -> u64 {
        self.capacity.saturating_sub(self.used)
    }
}

/// Control groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cgroup {
    pub version: CgroupVersion,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CgroupVersion {
    V1,
    V2,
    /// Version 1 controllers with a version 2 tree beside them.
    Hybrid,
}

/// Limits of `machine.slice`: as the kernel has them where the slice runs, else as systemd's files configure them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Slice {
    /// `memory.high`, bytes; `None` where there is no limit.
    pub memory_high: Option<u64>,
    /// `memory.max`, bytes; `None` where there is no limit.
    pub memory_max: Option<u64>,
    /// `memory.current`, bytes; `None` where the slice does not run.
    pub memory_current: Option<u64>,
}

impl Slice {
    /// The most that all of it may take, in bytes; `None` where there is no limit.
    #[must_use]
    pub fn ceiling(&self) -> Option<u64> {
        self.memory_max.into_iter().chain(self.memory_high).min()
    }
}

/// How much memory a process may lock, bytes; `None` where there is no limit (`RLIMIT_MEMLOCK`, setrlimit(2)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockedMemory {
    pub soft: Option<u64>,
    pub hard: Option<u64>,
}
