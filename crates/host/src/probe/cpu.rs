//! The processor: CPUID, and what the kernel makes of it in `/proc/cpuinfo`.

use crate::description::{Leaf, Registers};
use crate::facts::{Cpu, Fact, MemoryEncryption};
use crate::root::Root;

const MAXIMUM_EXTENDED_LEAF: u32 = 0x8000_0000;
const MEMORY_ENCRYPTION_LEAF: u32 = 0x8000_001f;

/// More than a processor's paragraph has; the file has one for each thread.
const PARAGRAPH_LIMIT: u64 = 16 << 10;

/// The flags that are facts.
const FLAGS: [&str; 4] = ["sme", "sev", "sev_es", "sev_snp"];

pub(super) fn probe(root: &Root) -> Cpu {
    let described = root.head("/proc/cpuinfo", PARAGRAPH_LIMIT);
    let field = |name: &str| -> Option<&str> {
        let lines = described.known()?.lines().take_while(|line| !line.trim().is_empty());
        let mut fields = lines.filter_map(|line| line.split_once(':'));
        fields.find(|(key, _)| key.trim() == name).map(|(_, value)| value.trim())
    };
    let text = |name: &str| described.as_ref().and_then(|_| field(name).map(str::to_owned));
    let number = |name: &str| field(name).and_then(|value| value.parse().ok()).unwrap_or(0);
    let flags = || {
        let all = field("flags").unwrap_or_default().split_ascii_whitespace();
        all.filter(|flag| FLAGS.contains(flag)).map(str::to_owned).collect()
    };
    Cpu {
        vendor: text("vendor_id"),
        family: number("cpu family"),
        model: number("model"),
        stepping: number("stepping"),
        kernel_flags: described.as_ref().map(|_| flags()),
        microcode: text("microcode"),
        memory_encryption: match leaf(root, MEMORY_ENCRYPTION_LEAF) {
            Some(answer) => Fact::Known(decode(answer)),
            None => Fact::Absent,
        },
    }
}

/// What CPUID says in an extended leaf; `None` where the processor has no such leaf. One of another vendor answers
/// then with the data of its highest leaf, so the maximum is looked at first.
fn leaf(root: &Root, number: u32) -> Option<Registers> {
    if root.is_live() {
        return (execute(MAXIMUM_EXTENDED_LEAF)?.eax >= number).then(|| execute(number)).flatten();
    }
    let leaves = &root.description()?.cpuid;
    let reaches = leaves.get(&Leaf(MAXIMUM_EXTENDED_LEAF)).is_none_or(|highest| highest.eax >= number);
    leaves.get(&Leaf(number)).copied().filter(|_| reaches)
}

#[cfg(target_arch = "x86_64")]
fn execute(leaf: u32) -> Option<Registers> {
    let answer = std::arch::x86_64::__cpuid(leaf);
    Some(Registers { eax: answer.eax, ebx: answer.ebx, ecx: answer.ecx, edx: answer.edx })
}

#[cfg(not(target_arch = "x86_64"))]
fn execute(_leaf: u32) -> Option<Registers> {
    None
}

fn decode(answer: Registers) -> MemoryEncryption {
    let Registers { eax, ebx, ecx, edx } = answer;
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
        let naples = decode(Registers { eax: 0xf, ebx: 47 | 5 << 6, ecx: 15, edx: 5 });
        assert!(naples.sme && naples.sev && naples.sev_es && !naples.sev_snp);
        assert_eq!(
            (naples.cbitpos, naples.reduced_phys_bits, naples.asids, naples.min_sev_asid),
            (47, 5, 15, 5)
        );
    }
}
