//! `KVM_RUN` of a guest's vCPU: what hardware would have done about the C-bit and the SEV status MSR is done between the
//! kernel's exit and the program's sight of it.

use std::ffi::c_void;
use std::sync::Once;
use std::sync::atomic::Ordering;

use super::vcpu::{Msr, Vcpu};
use super::{lapic, msr};
use crate::abi::{KVM_EXIT_MMIO, KVM_EXIT_X86_RDMSR, KVM_EXIT_X86_WRMSR, KVM_RUN};
use crate::errno::{self, Errno, Outcome};
use crate::message::{say, trace};
use crate::platform::C_BIT_MASK;

/// Who sees an exit.
enum Next {
    /// It was answered here: the vCPU runs on.
    RunOn,
    /// The program.
    Program,
}

/// Runs the vCPU until there is an exit for the program.
pub(super) fn run(vcpu: &Vcpu, argument: *mut c_void) -> Outcome {
    if vcpu.vm.registers_encrypted.load(Ordering::Relaxed) {
        static SAID: Once = Once::new();
        SAID.call_once(|| {
            say!(
                "this platform is simulated and cannot run guests whose registers are encrypted (SEV-ES, SEV-SNP); \
                 their launch can be measured with the guest paused"
            );
        });
        return Err(Errno::EINVAL);
    }
    loop {
        let outcome = errno::ioctl(vcpu.fd, KVM_RUN, argument)?;
        match answer(vcpu)? {
            Next::RunOn => {}
            Next::Program => return Ok(outcome),
        }
    }
}

fn answer(vcpu: &Vcpu) -> Result<Next, Errno> {
    match vcpu.page.exit_reason() {
        KVM_EXIT_MMIO => mmio(vcpu),
        KVM_EXIT_X86_RDMSR if !vcpu.vm.program_sees_unknown_msrs() => {
            let exit = vcpu.page.msr();
            let value = msr::read(&vcpu.vm, exit.index);
            trace!("read of MSR {:#x}: {value:?}", exit.index);
            vcpu.page.set_msr(match value {
                Some(data) => Msr { error: 0, data, ..exit },
                None => Msr { error: 1, ..exit },
            });
            Ok(Next::RunOn)
        }
        KVM_EXIT_X86_WRMSR if !vcpu.vm.program_sees_unknown_msrs() => {
            let exit = vcpu.page.msr();
            trace!("write of MSR {:#x}", exit.index);
            vcpu.page.set_msr(Msr { error: 1, ..exit });
            Ok(Next::RunOn)
        }
        _ => Ok(Next::Program),
    }
}

/// An access to what is not memory: the C-bit is not part of its address.
///
/// Devices are the program's, but for those that live in the kernel. Of these only the local APIC is reached with the C-bit:
/// firmware takes the bit off all device memory before it uses the I/O APIC.
fn mmio(vcpu: &Vcpu) -> Result<Next, Errno> {
    let mut exit = vcpu.page.mmio();
    if exit.address & C_BIT_MASK == 0 {
        return Ok(Next::Program);
    }
    exit.address &= !C_BIT_MASK;
    if let Some(offset) = lapic::offset(vcpu.page.apic_base(), exit.address) {
        // The local APIC is the kernel's, which looks for it at its own address only.
        lapic::access(vcpu, offset, &mut exit)?;
        vcpu.page.set_mmio(exit);
        return Ok(Next::RunOn);
    }
    vcpu.page.set_mmio(exit);
    Ok(Next::Program)
}
