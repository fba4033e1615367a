//! CPUID: what of a processor guests can be given, and how it encrypts them.

use serde::Serialize;

/// Leaf, subleaf, and what EAX to EDX say.
pub(super) type Leaf = (u32, u32, Registers);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct Registers(pub(super) u32, pub(super) u32, pub(super) u32, pub(super) u32);

/// The leaves that say what the processor can do; 0x8000001F is memory encryption.
#[cfg(target_arch = "x86_64")]
const LEAVES: [(u32, u32); 10] = [
    (0x0, 0),
    (0x1, 0),
    (0x7, 0),
    (0x7, 1),
    (0x8000_0000, 0),
    (0x8000_0001, 0),
    (0x8000_0007, 0),
    (0x8000_0008, 0),
    (0x8000_001f, 0),
    (0x8000_0021, 0),
];

/// The bits of leaf 1's EBX that say which of the processor's threads was asked.
#[cfg(target_arch = "x86_64")]
const THREAD: u32 = 0xff00_0000;

#[cfg(target_arch = "x86_64")]
pub(super) fn leaves() -> Vec<Leaf> {
    use std::arch::x86_64::{__cpuid, __cpuid_count};
    // Beyond its last leaf a processor says something else.
    let (last, last_extended) = (__cpuid(0).eax, __cpuid(0x8000_0000).eax);
    let there = |leaf: u32| if leaf < 0x8000_0000 { leaf <= last } else { leaf <= last_extended };
    let read = |(leaf, subleaf): (u32, u32)| {
        let found = __cpuid_count(leaf, subleaf);
        let ebx = if leaf == 1 { found.ebx & !THREAD } else { found.ebx };
        (leaf, subleaf, Registers(found.eax, ebx, found.ecx, found.edx))
    };
    LEAVES.into_iter().filter(|(leaf, _)| there(*leaf)).map(read).collect()
}

#[cfg(not(target_arch = "x86_64"))]
pub(super) fn leaves() -> Vec<Leaf> {
    Vec::new()
}
