//! The register state that a guest's vCPUs would start with, as KVM holds it.
//!
//! No command carries it: on hardware KVM fills the pages and the firmware measures them. The simulator builds the same
//! bytes from what differs between guests.

use std::ffi::c_int;

use attest::sev::vmsa::{VcpuSignature, Vcpus};

use super::vm::State;
use crate::abi::{KVM_GET_REGS, KVM_GET_SREGS};
use crate::errno::{self, Errno};

/// `struct kvm_regs`: RDX is the fourth, RIP the seventeenth.
#[derive(Default)]
#[repr(C)]
struct Registers {
    general: [u64; 16],
    rip: u64,
    rflags: u64,
}

/// `struct kvm_sregs`, of which only the first segment, CS, is looked at.
#[repr(C)]
struct SpecialRegisters {
    cs_base: u64,
    rest: [u64; 38],
}

const RDX: usize = 3;

/// The state of all vCPUs of the guest. The first is the boot processor; the others start alike.
pub(super) fn of(state: &State) -> Result<Vcpus, Errno> {
    let guest = state.guest.as_ref().ok_or(Errno::ENOTTY)?;
    let (&boot, others) = state.vcpus.split_first().ok_or(Errno::EINVAL)?;
    let (signature, _) = reset_state(boot)?;
    let ap_reset_address = match others.first() {
        Some(&other) => reset_state(other)?.1,
        None => 0,
    };
    Ok(Vcpus {
        count: u32::try_from(state.vcpus.len()).map_err(|_| Errno::EINVAL)?,
        signature: VcpuSignature(signature),
        ap_reset_address,
        sev_features: guest.features,
        profile: guest.profile,
    })
}

/// The CPU's signature, which reset leaves in EDX, and where it starts: the code segment's base and the instruction pointer.
fn reset_state(vcpu: c_int) -> Result<(u32, u32), Errno> {
    let mut registers = Registers::default();
    errno::ioctl_with(vcpu, KVM_GET_REGS, &mut registers)?;
    let mut special = SpecialRegisters { cs_base: 0, rest: [0; 38] };
    errno::ioctl_with(vcpu, KVM_GET_SREGS, &mut special)?;
    let signature = low(registers.general[RDX])?;
    Ok((signature, low(special.cs_base)? & 0xffff_0000 | low(registers.rip)? & 0xffff))
}

fn low(value: u64) -> Result<u32, Errno> {
    u32::try_from(value).map_err(|_| Errno::EINVAL)
}

const _: () = assert!(size_of::<Registers>() == 18 * 8 && size_of::<SpecialRegisters>() == 0x138);
