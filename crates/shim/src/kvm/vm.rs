//! A virtual machine: what the program set up before and after it asked for SEV.

use std::collections::BTreeSet;
use std::ffi::{c_int, c_void};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};

use super::guest::Guest;
use super::memslots::{Change, Slots};
use super::msr;
use crate::abi::{
    ClearDirtyLog, DirtyLog, EnableCap, EncRegion, KVM_CAP_NR_MEMSLOTS, KVM_CAP_X86_USER_SPACE_MSR,
    KVM_CHECK_EXTENSION, KVM_CLEAR_DIRTY_LOG, KVM_ENABLE_CAP, KVM_GET_DIRTY_LOG, KVM_MEM_GUEST_MEMFD,
    KVM_SET_USER_MEMORY_REGION, KVM_SET_USER_MEMORY_REGION2, KVM_X86_DEFAULT_VM, KVM_X86_SEV_ES_VM,
    KVM_X86_SEV_VM, KVM_X86_SNP_VM, MemoryRegion, MemoryRegion2,
};
use crate::errno::{self, Errno, Outcome};
use crate::failure::locked;
use crate::message::say;
use crate::user;

/// The type that the program asked for in `KVM_CREATE_VM`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The default one, which `KVM_SEV_INIT` and `KVM_SEV_ES_INIT` make into a guest.
    Default,
    Sev,
    SevEs,
    SevSnp,
    /// One that this library does not know; the kernel decides.
    Other(usize),
}

impl Kind {
    pub(super) const fn from_type(number: usize) -> Self {
        match number {
            KVM_X86_DEFAULT_VM => Self::Default,
            KVM_X86_SEV_VM => Self::Sev,
            KVM_X86_SEV_ES_VM => Self::SevEs,
            KVM_X86_SNP_VM => Self::SevSnp,
            other => Self::Other(other),
        }
    }

    /// The type that is asked of the kernel.
    pub(super) const fn kernel_type(self) -> usize {
        match self {
            Self::Default | Self::Sev | Self::SevEs | Self::SevSnp => KVM_X86_DEFAULT_VM,
            Self::Other(number) => number,
        }
    }
}

/// A virtual machine of this process.
pub(super) struct Vm {
    /// The program's descriptor.
    pub(super) fd: c_int,
    pub(super) kind: Kind,
    process: u32,
    state: Mutex<State>,
    /// Which exits for MSRs the program itself has enabled.
    msr_reasons: AtomicU64,
    /// What the guest reads from its SEV status MSR: 0 until its launch has begun.
    pub(super) sev_status: AtomicU64,
    /// Whether the guest's registers are encrypted, so that it cannot run here.
    pub(super) registers_encrypted: AtomicBool,
}

/// What changes, and is changed by one thread at a time.
pub(super) struct State {
    pub(super) guest: Option<Guest>,
    slots: Slots,
    /// The vCPUs' descriptors, in the order of their creation.
    pub(super) vcpus: Vec<c_int>,
    /// Address and size of the regions that the program registered as encrypted.
    regions: BTreeSet<(u64, u64)>,
}

impl State {
    /// Whether this is a guest that runs here: it sees its memory twice and has its MSRs answered.
    pub(super) fn runs(&self) -> bool {
        self.guest.as_ref().is_some_and(|guest| !guest.has_encrypted_registers())
    }
}

impl Vm {
    /// The machine of descriptor `fd`, made by the `/dev/kvm` of descriptor `kvm`.
    pub(super) fn new(kvm: c_int, fd: c_int, kind: Kind) -> Self {
        let extension = std::ptr::without_provenance_mut(KVM_CAP_NR_MEMSLOTS);
        let limit = errno::ioctl(kvm, KVM_CHECK_EXTENSION, extension).ok();
        let limit = limit.and_then(|limit| u32::try_from(limit).ok()).unwrap_or(0);
        Self {
            fd,
            kind,
            process: std::process::id(),
            state: Mutex::new(State {
                guest: None,
                slots: Slots::new(limit),
                vcpus: Vec::new(),
                regions: BTreeSet::new(),
            }),
            msr_reasons: AtomicU64::new(0),
            sev_status: AtomicU64::new(0),
            registers_encrypted: AtomicBool::new(false),
        }
    }

    pub(super) fn is_of_this_process(&self) -> bool {
        self.process == std::process::id()
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        locked(&self.state)
    }

    /// Whether the program itself wants to see exits for MSRs that the kernel does not know.
    pub(super) fn program_sees_unknown_msrs(&self) -> bool {
        msr::has_unknown(self.msr_reasons.load(Ordering::Relaxed))
    }

    /// Remembers a vCPU; says whether it is one of a guest.
    pub(super) fn add_vcpu(&self, fd: c_int) -> bool {
        let mut state = self.state();
        state.vcpus.push(fd);
        state.guest.is_some()
    }

    /// Makes the machine what `guest` needs: its memory visible through the C-bit, its MSR reads answered here.
    pub(super) fn protect(&self, state: &mut State, guest: Guest) -> Result<(), Errno> {
        let encrypted_registers = guest.has_encrypted_registers();
        if !encrypted_registers {
            for alias in state.slots.aliases().ok_or(Errno::ENOSPC)? {
                self.set_in_kernel(alias)?;
            }
            self.enable_msr_exits(EnableCap::default(), self.msr_reasons.load(Ordering::Relaxed))?;
        }
        self.registers_encrypted.store(encrypted_registers, Ordering::Relaxed);
        state.guest = Some(guest);
        Ok(())
    }

    /// `KVM_SET_USER_MEMORY_REGION` and its second form.
    pub(super) fn set_memory_region(&self, request: u32, argument: *mut c_void) -> Outcome {
        let mut state = self.state();
        let region: MemoryRegion = user::read(user::address(argument))?;
        if self.kind == Kind::SevSnp && request == KVM_SET_USER_MEMORY_REGION2 {
            // The kernel may lack this form. The guest never runs, so its private memory need not be in the slot.
            let _: MemoryRegion2 = user::read(user::address(argument))?;
            return self.set_in_kernel(MemoryRegion { flags: region.flags & !KVM_MEM_GUEST_MEMFD, ..region });
        }
        if !state.runs() {
            let outcome = errno::ioctl(self.fd, request, argument)?;
            state.slots.note(&region);
            return Ok(outcome);
        }
        let Some(Change { alias, before }) = state.slots.change(&region) else {
            say!("slot {:#x} at {:#x} leaves no room for its alias", region.slot, region.guest_address);
            return Err(Errno::ENOSPC);
        };
        let outcome = errno::ioctl(self.fd, request, argument)?;
        if let Err(error) = self.set_in_kernel(alias) {
            say!("slot {:#x} cannot be had at {:#x}: errno {}", alias.slot, alias.guest_address, error.0);
            // What the kernel has taken must not stay without its alias: the guest would see two memories.
            self.set_in_kernel(before)?;
            return Err(error);
        }
        state.slots.note(&region);
        Ok(outcome)
    }

    fn set_in_kernel(&self, mut region: MemoryRegion) -> Outcome {
        errno::ioctl_with(self.fd, KVM_SET_USER_MEMORY_REGION, &mut region)
    }

    /// `KVM_GET_DIRTY_LOG`: what the guest wrote through the C-bit is dirty too.
    pub(super) fn dirty_log(&self, argument: *mut c_void) -> Outcome {
        let state = self.state();
        let outcome = errno::ioctl(self.fd, KVM_GET_DIRTY_LOG, argument)?;
        let log: DirtyLog = user::read(user::address(argument))?;
        if let Some((slot, length)) = state.slots.alias_log(log.slot).filter(|_| state.runs()) {
            let mut alias = vec![0_u8; length];
            let mut request =
                DirtyLog { slot, pad: 0, bitmap: alias.as_mut_ptr().expose_provenance() as u64 };
            errno::ioctl_with(self.fd, KVM_GET_DIRTY_LOG, &mut request)?;
            let mut bitmap = user::read_bytes(log.bitmap, length)?;
            bitmap.iter_mut().zip(&alias).for_each(|(to, from)| *to |= from);
            user::write_bytes(log.bitmap, &bitmap)?;
        }
        Ok(outcome)
    }

    /// `KVM_CLEAR_DIRTY_LOG`, for both of a slot's views.
    pub(super) fn clear_dirty_log(&self, argument: *mut c_void) -> Outcome {
        let state = self.state();
        let request: ClearDirtyLog = user::read(user::address(argument))?;
        if let Some((slot, _)) = state.slots.alias_log(request.slot).filter(|_| state.runs()) {
            errno::ioctl_with(self.fd, KVM_CLEAR_DIRTY_LOG, &mut ClearDirtyLog { slot, ..request })?;
        }
        errno::ioctl(self.fd, KVM_CLEAR_DIRTY_LOG, argument)
    }

    /// `KVM_ENABLE_CAP`: exits for unknown MSRs stay on in a guest, whatever the program asks for.
    pub(super) fn enable_cap(&self, argument: *mut c_void) -> Outcome {
        let state = self.state();
        let cap: EnableCap = user::read(user::address(argument))?;
        if cap.cap != KVM_CAP_X86_USER_SPACE_MSR {
            return errno::ioctl(self.fd, KVM_ENABLE_CAP, argument);
        }
        let [reasons, ..] = cap.args;
        let outcome = if state.runs() {
            self.enable_msr_exits(cap, reasons)?
        } else {
            errno::ioctl(self.fd, KVM_ENABLE_CAP, argument)?
        };
        self.msr_reasons.store(reasons, Ordering::Relaxed);
        Ok(outcome)
    }

    fn enable_msr_exits(&self, mut cap: EnableCap, reasons: u64) -> Outcome {
        cap.cap = KVM_CAP_X86_USER_SPACE_MSR;
        cap.args = [msr::with_unknown(reasons), 0, 0, 0];
        errno::ioctl_with(self.fd, KVM_ENABLE_CAP, &mut cap)
    }

    /// `KVM_MEMORY_ENCRYPT_REG_REGION`. Nothing is pinned: memory that is not encrypted may move.
    pub(super) fn register_region(&self, argument: *mut c_void) -> Outcome {
        let region: EncRegion = user::read(user::address(argument))?;
        let mut state = self.state();
        if state.guest.is_none() {
            return Err(Errno::ENOTTY);
        }
        if region.size == 0 || region.address.checked_add(region.size).is_none() {
            return Err(Errno::EINVAL);
        }
        state.regions.insert((region.address, region.size));
        Ok(0)
    }

    /// `KVM_MEMORY_ENCRYPT_UNREG_REGION`
    pub(super) fn unregister_region(&self, argument: *mut c_void) -> Outcome {
        let region: EncRegion = user::read(user::address(argument))?;
        let mut state = self.state();
        if state.guest.is_none() {
            return Err(Errno::ENOTTY);
        }
        state.regions.remove(&(region.address, region.size)).then_some(0).ok_or(Errno::EINVAL)
    }
}
