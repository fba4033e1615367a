//! The processor: CPUID on the live machine, `/proc/cpuinfo` below any root.

use crate::facts::{Cpu, Fact, MemoryEncryption};
use crate::root::Root;

const MAXIMUM_EXTENDED_LEAF: u32 = 0x8000_0000;
const MEMORY_ENCRYPTION_LEAF: u32 = 0x8000_001f;

pub(super) fn probe(root: &Root) -> Cpu {
    let described = root.text("/proc/cpuinfo");
    let field = |name: &str| {
        described.known().and_then(|text| {
            text.lines().find_map(|line| {
                let (key, value) = line.split_once(':')?;
                (key.trim() == name).then(|| value.trim().to_owned())
            })
        })
    };
    let number = |name: &str| field(name).and_then(|value| value.parse().ok()).unwrap_or(0);
    let vendor = field("vendor_id");
    Cpu {
        family: number("cpu family"),
        model: number("model"),
        stepping: number("stepping"),
        vendor: match described.clone().map(|_| ()) {
            Fact::Known(()) => vendor.map_or(Fact::Absent, Fact::Known),
            other => other.map(|()| String::new()),
        },
        kernel_flags: Fact::Absent,
        microcode: Fact::Absent,
        memory_encryption: if root.is_live() { memory_encryption() } else { Fact::Absent },
    }
}

/// Asks the processor itself. A processor of another vendor answers with the data of its highest leaf, so the
/// maximum is looked at first.
#[cfg(target_arch = "x86_64")]
fn memory_encryption() -> Fact<MemoryEncryption> {
    use std::arch::x86_64::__cpuid;
    if __cpuid(MAXIMUM_EXTENDED_LEAF).eax < MEMORY_ENCRYPTION_LEAF {
        return Fact::Absent;
    }
    let answer = __cpuid(MEMORY_ENCRYPTION_LEAF);
    Fact::Known(decode(answer.eax, answer.ebx, answer.ecx, answer.edx))
}

#[cfg(not(target_arch = "x86_64"))]
fn memory_encryption() -> Fact<MemoryEncryption> {
    Fact::Absent
}

fn decode(eax: u32, ebx: u32, ecx: u32, edx: u32) -> MemoryEncryption {
    let bit = |position: u32| eax >> position & 1 == 1;
    MemoryEncryption {
        sme: bit(0),
        sev: bit(1),
        sev_es: bit(3),
        sev_snp: bit(4),
        cbitpos: ebx & 0x3f,
        reduced_phys_bits: ebx >> 6 & 0x3f,
        asids: ecx,
        min_sev_asid: edx,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_leaf_of_a_naples_processor_is_decoded() {
        let naples = decode(0xf, 47 | 1 << 6, 15, 5);
        assert!(naples.sme && naples.sev && naples.sev_es && !naples.sev_snp);
        assert_eq!(
            (naples.cbitpos, naples.reduced_phys_bits, naples.asids, naples.min_sev_asid),
            (47, 1, 15, 5)
        );
    }
}
