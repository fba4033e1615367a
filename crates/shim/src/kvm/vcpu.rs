//! A vCPU of a guest: its descriptor and the page that it shares with the kernel.

use std::ffi::{c_int, c_void};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use super::vm::Vm;
use crate::abi::{CpuidEntry, CpuidHeader, KVM_SET_CPUID2};
use crate::errno::{self, Errno, Outcome};
use crate::platform::C_BIT;
use crate::user;

/// A vCPU whose guest asked for SEV.
pub(super) struct Vcpu {
    pub(super) fd: c_int,
    pub(super) vm: Arc<Vm>,
    pub(super) page: RunPage,
    /// What the guest wrote to the upper half of its local APIC's interrupt command through the C-bit.
    pub(super) command_high: AtomicU32,
}

impl Vcpu {
    pub(super) fn new(fd: c_int, vm: Arc<Vm>) -> Result<Self, Errno> {
        Ok(Self { fd, vm, page: RunPage::map(fd)?, command_high: AtomicU32::new(0) })
    }

    pub(super) fn is_of(&self, vm: &Arc<Vm>) -> bool {
        Arc::ptr_eq(&self.vm, vm)
    }

    /// `KVM_SET_CPUID2`: the C-bit must lie within what the guest's processor calls an address.
    ///
    /// KVM checks page tables that it walks itself against this width. On hardware it knows to leave the C-bit out of that
    /// check; here the width must allow for it. Named CPU models have 40 bits unless they are told otherwise.
    pub(super) fn set_cpuid(&self, argument: *mut c_void) -> Outcome {
        let header: CpuidHeader = user::read(user::address(argument))?;
        let count = usize::try_from(header.count).map_err(|_| Errno::EINVAL)?;
        let length = size_of::<CpuidHeader>() + count.saturating_mul(size_of::<CpuidEntry>());
        let mut table = user::read_bytes(user::address(argument), length)?;
        let (entries, _) = table
            .get_mut(size_of::<CpuidHeader>()..)
            .unwrap_or_default()
            .as_chunks_mut::<{ size_of::<CpuidEntry>() }>();
        for entry in entries {
            let (words, _) = entry.as_chunks_mut::<4>();
            if let [function, _, _, eax, ..] = words
                && *function == ADDRESS_SIZES.to_le_bytes()
            {
                *eax = widened(u32::from_le_bytes(*eax)).to_le_bytes();
            }
        }
        errno::ioctl(self.fd, KVM_SET_CPUID2, table.as_mut_ptr().cast())
    }
}

/// The leaf whose EAX has the physical address bits in its low byte.
const ADDRESS_SIZES: u32 = 0x8000_0008;

/// EAX of the leaf with room for the C-bit.
fn widened(eax: u32) -> u32 {
    let bits = (eax & 0xff).max(C_BIT + 1);
    eax & !0xff | bits
}

/// The start of `struct kvm_run` of `linux/kvm.h`, with the exits that are looked at.
#[derive(Clone, Copy)]
#[repr(C)]
struct KvmRun {
    request_interrupt_window: u8,
    immediate_exit: u8,
    pad: [u8; 6],
    exit_reason: u32,
    ready_for_interrupt_injection: u8,
    if_flag: u8,
    flags: u16,
    cr8: u64,
    apic_base: u64,
    exit: Exit,
}

#[derive(Clone, Copy)]
#[repr(C)]
union Exit {
    mmio: Mmio,
    msr: Msr,
}

/// `KVM_EXIT_MMIO`
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(super) struct Mmio {
    pub(super) address: u64,
    pub(super) data: [u8; 8],
    pub(super) length: u32,
    pub(super) is_write: u8,
}

/// `KVM_EXIT_X86_RDMSR` and `KVM_EXIT_X86_WRMSR`
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(super) struct Msr {
    /// 1 raises a general protection fault.
    pub(super) error: u8,
    pub(super) pad: [u8; 7],
    pub(super) reason: u32,
    pub(super) index: u32,
    pub(super) data: u64,
}

/// The first page of a vCPU's mapping. The kernel writes to it while the vCPU runs, and reads it when it runs next.
pub(super) struct RunPage(NonNull<KvmRun>);

// SAFETY: the page is shared memory of the kernel's protocol. It is looked at by the thread that runs the vCPU, between runs;
// every access is volatile and copies.
unsafe impl Send for RunPage {}
// SAFETY: as above.
unsafe impl Sync for RunPage {}

const PAGE_SIZE: usize = 4096;

impl RunPage {
    fn map(fd: c_int) -> Result<Self, Errno> {
        // SAFETY: a new mapping of the vCPU's descriptor, which every vCPU has.
        let page = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                PAGE_SIZE,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                fd,
                0,
            )
        };
        if page == libc::MAP_FAILED {
            return Err(Errno::last());
        }
        NonNull::new(page.cast()).map(Self).ok_or(Errno::ENOMEM)
    }

    pub(super) fn exit_reason(&self) -> u32 {
        // SAFETY: the mapping lives as long as `self` and is larger than the structure.
        unsafe { (&raw const (*self.0.as_ptr()).exit_reason).read_volatile() }
    }

    /// Where the local APIC is, with its flags in the low 12 bits.
    pub(super) fn apic_base(&self) -> u64 {
        // SAFETY: as in `exit_reason`.
        unsafe { (&raw const (*self.0.as_ptr()).apic_base).read_volatile() }
    }

    /// Valid after `KVM_EXIT_MMIO`.
    pub(super) fn mmio(&self) -> Mmio {
        // SAFETY: as in `exit_reason`; any bytes are a value of the structure.
        unsafe { (&raw const (*self.0.as_ptr()).exit.mmio).read_volatile() }
    }

    pub(super) fn set_mmio(&self, mmio: Mmio) {
        // SAFETY: as in `exit_reason`.
        unsafe { (&raw mut (*self.0.as_ptr()).exit.mmio).write_volatile(mmio) }
    }

    /// Valid after the exits for MSRs.
    pub(super) fn msr(&self) -> Msr {
        // SAFETY: as in `mmio`.
        unsafe { (&raw const (*self.0.as_ptr()).exit.msr).read_volatile() }
    }

    pub(super) fn set_msr(&self, msr: Msr) {
        // SAFETY: as in `exit_reason`.
        unsafe { (&raw mut (*self.0.as_ptr()).exit.msr).write_volatile(msr) }
    }
}

impl Drop for RunPage {
    fn drop(&mut self) {
        // SAFETY: this is the mapping that `map` made, and nothing refers to it any more.
        unsafe { libc::munmap(self.0.as_ptr().cast(), PAGE_SIZE) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_run_page_is_laid_out_as_the_kernel_has_it() {
        assert_eq!(std::mem::offset_of!(KvmRun, exit_reason), 8);
        assert_eq!(std::mem::offset_of!(KvmRun, apic_base), 24);
        assert_eq!(std::mem::offset_of!(KvmRun, exit), 32);
        assert_eq!(std::mem::offset_of!(Mmio, length), 16);
        assert_eq!(std::mem::offset_of!(Msr, index), 12);
        assert_eq!(std::mem::offset_of!(Msr, data), 16);
    }

    #[test]
    fn addresses_are_widened_to_the_c_bit_and_never_narrowed() {
        assert_eq!(widened(0x3028), 0x3030);
        assert_eq!(widened(0x3030), 0x3030);
        assert_eq!(widened(0x3934), 0x3934);
    }
}
