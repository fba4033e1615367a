//! The simulated platform's constants, which all parts of the library share.

/// The number of the guest-physical address bit that marks a page as encrypted.
pub(crate) const C_BIT: u32 = 47;

/// The C-bit as a mask over guest-physical addresses.
pub(crate) const C_BIT_MASK: u64 = 1 << C_BIT;

/// How many bits of physical address space encryption takes.
pub(crate) const REDUCED_PHYS_BITS: u32 = 1;
