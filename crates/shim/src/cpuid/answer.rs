//! What CPUID says on the simulated platform, as a function of what the real processor says.

use crate::platform::{C_BIT, REDUCED_PHYS_BITS};

/// The registers that CPUID returns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Registers {
    pub(super) eax: u32,
    pub(super) ebx: u32,
    pub(super) ecx: u32,
    pub(super) edx: u32,
}

const HIGHEST_EXTENDED: u32 = 0x8000_0000;
const MEMORY_ENCRYPTION: u32 = 0x8000_001f;

/// EAX of the leaf: SEV, SEV-ES and SEV-SNP (AMD 24594, `Fn8000_001F`). SME is not offered: it would be the host's own.
const FEATURES: u32 = 1 << 1 | 1 << 3 | 1 << 4;

/// ECX of the leaf: how many guests can be encrypted at once.
const ENCRYPTED_GUESTS: u32 = 509;

/// EDX of the leaf: the first ASID of guests that have plain SEV.
const FIRST_SEV_ASID: u32 = 100;

/// The answer for `leaf`; `real` executes the instruction on the processor.
pub(super) fn answer(leaf: u32, real: impl Fn(u32) -> Registers) -> Registers {
    match leaf {
        HIGHEST_EXTENDED => {
            let registers = real(leaf);
            Registers { eax: registers.eax.max(MEMORY_ENCRYPTION), ..registers }
        }
        MEMORY_ENCRYPTION => Registers {
            eax: FEATURES,
            ebx: C_BIT | REDUCED_PHYS_BITS << 6,
            ecx: ENCRYPTED_GUESTS,
            edx: FIRST_SEV_ASID,
        },
        // The processor has fewer leaves: what it says beyond its last one has no meaning.
        HIGHEST_EXTENDED..MEMORY_ENCRYPTION if leaf > real(HIGHEST_EXTENDED).eax => Registers::default(),
        _ => real(leaf),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONSENSE: Registers = Registers { eax: 7, ebx: 7, ecx: 7, edx: 7 };

    /// A processor whose last extended leaf is `last`.
    fn processor(last: u32) -> impl Fn(u32) -> Registers {
        move |leaf| match leaf {
            HIGHEST_EXTENDED => Registers { eax: last, ebx: 1, ecx: 2, edx: 3 },
            _ if leaf > last => NONSENSE,
            _ => Registers { eax: leaf, ebx: 0, ecx: 0, edx: 0 },
        }
    }

    #[test]
    fn the_leaf_has_the_c_bit_and_the_features() {
        let registers = answer(MEMORY_ENCRYPTION, processor(0x8000_000a));
        assert_eq!(registers.ebx & 0x3f, 47);
        assert_eq!(registers.ebx >> 6 & 0x3f, 1);
        assert_eq!(registers.eax, 0x1a);
    }

    #[test]
    fn the_highest_extended_leaf_reaches_it() {
        assert_eq!(answer(HIGHEST_EXTENDED, processor(0x8000_000a)).eax, MEMORY_ENCRYPTION);
        assert_eq!(answer(HIGHEST_EXTENDED, processor(0x8000_0026)).eax, 0x8000_0026);
        assert_eq!(answer(HIGHEST_EXTENDED, processor(0x8000_000a)).edx, 3);
    }

    #[test]
    fn leaves_that_the_processor_lacks_are_zero() {
        assert_eq!(answer(0x8000_0010, processor(0x8000_000a)), Registers::default());
        assert_eq!(answer(0x8000_000a, processor(0x8000_000a)).eax, 0x8000_000a);
        assert_eq!(answer(1, processor(0x8000_000a)).eax, 1);
    }
}
