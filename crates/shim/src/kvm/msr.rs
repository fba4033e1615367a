//! The SEV status MSR, which the guest's kernel reads to learn that its memory is encrypted.
//!
//! The kernel here does not know it as the hardware does, so exits for unknown MSRs are enabled, and those that the program
//! did not ask for are answered before it sees them.

use std::sync::atomic::Ordering;

use super::vm::Vm;
use crate::abi::KVM_MSR_EXIT_REASON_UNKNOWN;

/// `SEV_STATUS` (AMD 24593, §15.34.10).
const SEV_STATUS: u32 = 0xc001_0131;

/// `SEV_STATUS` of a guest whose memory, and nothing else, is encrypted.
pub(super) const SEV_ENABLED: u64 = 1 << 0;

/// `reasons` with exits for unknown MSRs.
pub(super) const fn with_unknown(reasons: u64) -> u64 {
    reasons | KVM_MSR_EXIT_REASON_UNKNOWN
}

/// Whether exits for unknown MSRs are among `reasons`.
pub(super) const fn has_unknown(reasons: u64) -> bool {
    reasons & KVM_MSR_EXIT_REASON_UNKNOWN != 0
}

/// What an unknown MSR reads as; nothing for a general protection fault, which is what the kernel alone would raise.
pub(super) fn read(vm: &Vm, index: u32) -> Option<u64> {
    let status = vm.sev_status.load(Ordering::Relaxed);
    (index == SEV_STATUS && status != 0).then_some(status)
}
