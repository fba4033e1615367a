//! KVM as the program sees it. Only virtual machines that asked for SEV are touched; all else goes to the kernel unchanged.

mod guest;
mod lapic;
mod launch;
mod memslots;
mod msr;
mod run;
mod snp;
mod vcpu;
mod vm;
mod vmsa;

use std::collections::BTreeMap;
use std::ffi::{c_int, c_void};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::abi::{
    KVM_CHECK_EXTENSION, KVM_CLEAR_DIRTY_LOG, KVM_CREATE_GUEST_MEMFD, KVM_CREATE_VCPU, KVM_CREATE_VM,
    KVM_ENABLE_CAP, KVM_GET_DIRTY_LOG, KVM_MEMORY_ENCRYPT_OP, KVM_MEMORY_ENCRYPT_REG_REGION,
    KVM_MEMORY_ENCRYPT_UNREG_REGION, KVM_RUN, KVM_SET_CPUID2, KVM_SET_MEMORY_ATTRIBUTES,
    KVM_SET_USER_MEMORY_REGION, KVM_SET_USER_MEMORY_REGION2,
};
use crate::errno::{self, Outcome};
use vcpu::Vcpu;
use vm::Vm;

/// The virtual machines of this process, and the vCPUs of those that asked for SEV, by descriptor.
struct Registry {
    vms: BTreeMap<c_int, Arc<Vm>>,
    vcpus: BTreeMap<c_int, Arc<Vcpu>>,
}

static REGISTRY: RwLock<Registry> = RwLock::new(Registry { vms: BTreeMap::new(), vcpus: BTreeMap::new() });

/// Whether there is any virtual machine, so that programs without one pay nothing for `close`.
static ANY_VM: AtomicBool = AtomicBool::new(false);

fn registry() -> RwLockReadGuard<'static, Registry> {
    REGISTRY.read().unwrap_or_else(PoisonError::into_inner)
}

fn registry_mut() -> RwLockWriteGuard<'static, Registry> {
    REGISTRY.write().unwrap_or_else(PoisonError::into_inner)
}

fn vm(fd: c_int) -> Option<Arc<Vm>> {
    registry().vms.get(&fd).map(Arc::clone)
}

fn vcpu(fd: c_int) -> Option<Arc<Vcpu>> {
    registry().vcpus.get(&fd).map(Arc::clone)
}

/// Carries out a request to whatever file `fd` is.
pub(crate) fn ioctl(fd: c_int, request: u32, argument: *mut c_void) -> Outcome {
    let to_kernel = || errno::ioctl(fd, request, argument);
    match request {
        KVM_RUN => vcpu(fd).map_or_else(to_kernel, |vcpu| run::run(&vcpu, argument)),
        KVM_CREATE_VM => create_vm(fd, argument.addr()),
        KVM_CHECK_EXTENSION => snp::check_extension(fd, argument.addr()),
        KVM_SET_CPUID2 => vcpu(fd).map_or_else(to_kernel, |vcpu| vcpu.set_cpuid(argument)),
        KVM_CREATE_VCPU
        | KVM_GET_DIRTY_LOG
        | KVM_CLEAR_DIRTY_LOG
        | KVM_SET_USER_MEMORY_REGION
        | KVM_SET_USER_MEMORY_REGION2
        | KVM_ENABLE_CAP
        | KVM_MEMORY_ENCRYPT_OP
        | KVM_MEMORY_ENCRYPT_REG_REGION
        | KVM_MEMORY_ENCRYPT_UNREG_REGION
        | KVM_SET_MEMORY_ATTRIBUTES
        | KVM_CREATE_GUEST_MEMFD => match vm(fd) {
            Some(vm) => vm_ioctl(&vm, request, argument),
            None => to_kernel(),
        },
        _ => to_kernel(),
    }
}

fn vm_ioctl(vm: &Arc<Vm>, request: u32, argument: *mut c_void) -> Outcome {
    match request {
        KVM_CREATE_VCPU => create_vcpu(vm, argument),
        KVM_SET_USER_MEMORY_REGION | KVM_SET_USER_MEMORY_REGION2 => vm.set_memory_region(request, argument),
        KVM_GET_DIRTY_LOG => vm.dirty_log(argument),
        KVM_CLEAR_DIRTY_LOG => vm.clear_dirty_log(argument),
        KVM_ENABLE_CAP => vm.enable_cap(argument),
        KVM_MEMORY_ENCRYPT_OP => guest::operate(vm, argument),
        KVM_MEMORY_ENCRYPT_REG_REGION => vm.register_region(argument),
        KVM_MEMORY_ENCRYPT_UNREG_REGION => vm.unregister_region(argument),
        KVM_SET_MEMORY_ATTRIBUTES => snp::set_memory_attributes(vm, argument),
        KVM_CREATE_GUEST_MEMFD => snp::create_guest_memfd(vm, argument),
        _ => errno::ioctl(vm.fd, request, argument),
    }
}

/// `KVM_CREATE_VM`: the kernel makes an ordinary machine of the types that it does not have.
fn create_vm(kvm: c_int, kind: usize) -> Outcome {
    let kind = vm::Kind::from_type(kind);
    let fd = errno::ioctl(kvm, KVM_CREATE_VM, std::ptr::without_provenance_mut(kind.kernel_type()))?;
    snp::note_machine(kind);
    let vm = Arc::new(Vm::new(kvm, fd, kind));
    registry_mut().vms.insert(fd, vm);
    ANY_VM.store(true, Ordering::Relaxed);
    Ok(fd)
}

/// `KVM_CREATE_VCPU`: a guest's vCPUs are remembered, so that its `KVM_RUN` is known.
fn create_vcpu(vm: &Arc<Vm>, argument: *mut c_void) -> Outcome {
    let fd = errno::ioctl(vm.fd, KVM_CREATE_VCPU, argument)?;
    let vcpu = vm.add_vcpu(fd).then(|| Vcpu::new(fd, Arc::clone(vm))).transpose()?;
    let mut registry = registry_mut();
    match vcpu {
        Some(vcpu) => registry.vcpus.insert(fd, Arc::new(vcpu)),
        None => registry.vcpus.remove(&fd),
    };
    Ok(fd)
}

/// Forgets a virtual machine whose descriptor the program closes, and with it ends the guest at the simulator.
///
/// This never waits: it runs in children that have inherited the descriptors, where no thread would release the lock, and
/// while this library itself closes a connection. What it misses is replaced when the descriptor is used again.
pub(crate) fn closing(fd: c_int) {
    if !ANY_VM.load(Ordering::Relaxed) {
        return;
    }
    let Ok(registry) = REGISTRY.try_read() else { return };
    let known = registry.vms.get(&fd).is_some_and(|vm| vm.is_of_this_process());
    drop(registry);
    if known && let Ok(mut registry) = REGISTRY.try_write() {
        let vm = registry.vms.remove(&fd);
        registry.vcpus.retain(|_, vcpu| !vm.as_ref().is_some_and(|vm| vcpu.is_of(vm)));
    }
}
