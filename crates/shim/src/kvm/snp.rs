//! SEV-SNP: its launch, and those parts of KVM that it needs and that kernels before 6.11 lack.
//!
//! The guest is launched and measured, never run: its private memory is an ordinary memory file that nothing maps, and
//! which pages are private is accepted and forgotten.

use std::ffi::{c_int, c_void};
use std::sync::atomic::{AtomicBool, Ordering};

use sim::command::{GuestKind, PageType};
use sim::{Command, Reply, wire};

use super::launch::guest;
use super::vm::{Kind, State, Vm};
use super::vmsa;
use crate::abi::{
    CreateGuestMemfd, KVM_CAP_GUEST_MEMFD, KVM_CAP_MEMORY_ATTRIBUTES, KVM_CAP_USER_MEMORY2, KVM_CAP_VM_TYPES,
    KVM_CHECK_EXTENSION, KVM_CREATE_GUEST_MEMFD, KVM_MEMORY_ATTRIBUTE_PRIVATE, KVM_SET_MEMORY_ATTRIBUTES,
    KVM_X86_DEFAULT_VM, KVM_X86_SEV_ES_VM, KVM_X86_SEV_VM, KVM_X86_SNP_VM, MemoryAttributes, SnpLaunchFinish,
    SnpLaunchStart, SnpLaunchUpdate,
};
use crate::errno::{self, Errno, Outcome, from_c};
use crate::failure::Failure;
use crate::message::trace;
use crate::user;

const PAGE_SIZE: u64 = 4096;

/// Whether this process has made a machine of the SNP type: only then is it told of private memory, so that the machines
/// of other programs are set up as without this library.
static ANY_MACHINE: AtomicBool = AtomicBool::new(false);

pub(super) fn note_machine(kind: Kind) {
    if kind == Kind::SevSnp {
        ANY_MACHINE.store(true, Ordering::Relaxed);
    }
}

/// `KVM_CHECK_EXTENSION`: the kernel's answer, and what is simulated.
pub(super) fn check_extension(fd: c_int, extension: usize) -> Outcome {
    let real = errno::ioctl(fd, KVM_CHECK_EXTENSION, std::ptr::without_provenance_mut(extension))?;
    let number = u32::try_from(extension).unwrap_or(u32::MAX);
    let private_memory = ANY_MACHINE.load(Ordering::Relaxed);
    Ok(match number {
        KVM_CAP_VM_TYPES => {
            real | 1 << KVM_X86_DEFAULT_VM
                | 1 << KVM_X86_SEV_VM
                | 1 << KVM_X86_SEV_ES_VM
                | 1 << KVM_X86_SNP_VM
        }
        KVM_CAP_USER_MEMORY2 | KVM_CAP_GUEST_MEMFD if private_memory => 1,
        KVM_CAP_MEMORY_ATTRIBUTES if private_memory => PRIVATE_ATTRIBUTE,
        _ => real,
    })
}

#[expect(clippy::cast_possible_truncation, reason = "bit 3")]
const PRIVATE_ATTRIBUTE: c_int = KVM_MEMORY_ATTRIBUTE_PRIVATE as c_int;

/// `KVM_SET_MEMORY_ATTRIBUTES`
pub(super) fn set_memory_attributes(vm: &Vm, argument: *mut c_void) -> Outcome {
    if vm.kind != Kind::SevSnp {
        return errno::ioctl(vm.fd, KVM_SET_MEMORY_ATTRIBUTES, argument);
    }
    let attributes: MemoryAttributes = user::read(user::address(argument))?;
    let end = attributes.address.checked_add(attributes.size).filter(|_| attributes.size > 0);
    let aligned = attributes.address.is_multiple_of(PAGE_SIZE) && attributes.size.is_multiple_of(PAGE_SIZE);
    let known = attributes.flags == 0 && attributes.attributes & !KVM_MEMORY_ATTRIBUTE_PRIVATE == 0;
    if end.is_none() || !aligned || !known {
        return Err(Errno::EINVAL);
    }
    Ok(0)
}

/// `KVM_CREATE_GUEST_MEMFD`
pub(super) fn create_guest_memfd(vm: &Vm, argument: *mut c_void) -> Outcome {
    if vm.kind != Kind::SevSnp {
        return errno::ioctl(vm.fd, KVM_CREATE_GUEST_MEMFD, argument);
    }
    let request: CreateGuestMemfd = user::read(user::address(argument))?;
    let size = i64::try_from(request.size).map_err(|_| Errno::EINVAL)?;
    if size == 0 || !request.size.is_multiple_of(PAGE_SIZE) || request.flags != 0 {
        return Err(Errno::EINVAL);
    }
    // SAFETY: the name is a C string; the new descriptor is handed to the program.
    let fd =
        from_c(unsafe { libc::memfd_create(c"sevsim guest memory".as_ptr(), libc::MFD_CLOEXEC) }.into())?;
    // SAFETY: the descriptor was made above. Setting its size takes no memory.
    if let Err(error) = from_c(unsafe { libc::ftruncate(fd, size) }.into()) {
        // SAFETY: nobody else knows the descriptor.
        unsafe { libc::close(fd) };
        return Err(error);
    }
    Ok(fd)
}

fn check_kind(state: &mut State) -> Result<(), Errno> {
    if guest(state)?.kind == GuestKind::SevSnp { Ok(()) } else { Err(Errno::ENOTTY) }
}

pub(super) fn start(state: &mut State, data: u64) -> Result<(), Failure> {
    check_kind(state)?;
    let start: SnpLaunchStart = user::read(data)?;
    let guest = guest(state)?;
    if start.flags != 0 {
        return Err(Errno::EINVAL.into());
    }
    guest.call(&Command::SnpLaunchStart { guest: guest.handle, policy: start.policy }).map(drop)
}

/// The request is written back with what is left to do, which is nothing once the pages are measured.
pub(super) fn update(state: &mut State, data: u64) -> Result<(), Failure> {
    check_kind(state)?;
    let mut update: SnpLaunchUpdate = user::read(data)?;
    let page_type = match PageType::from_code(update.kind) {
        // The kernel alone measures these, when the launch ends.
        None | Some(PageType::Vmsa) => return Err(Errno::EINVAL.into()),
        Some(page_type) => page_type,
    };
    let aligned = update.length.is_multiple_of(PAGE_SIZE) && update.length > 0;
    if update.flags != 0
        || !aligned
        || page_type != PageType::Zero && !update.address.is_multiple_of(PAGE_SIZE)
    {
        return Err(Errno::EINVAL.into());
    }
    let guest = guest(state)?;
    while update.length > 0 {
        let piece = update.length.min(LARGEST_PIECE);
        let data_of = |address| user::read_bytes(address, usize::try_from(piece).map_err(|_| Errno::EINVAL)?);
        let gpa = update.first_frame.checked_mul(PAGE_SIZE).ok_or(Errno::EINVAL)?;
        let command = Command::SnpLaunchUpdate {
            guest: guest.handle,
            page_type,
            gpa,
            length: u32::try_from(piece).map_err(|_| Errno::EINVAL)?,
            data: if page_type == PageType::Zero { Vec::new() } else { data_of(update.address)? },
        };
        guest.call(&command)?;
        update.first_frame += piece / PAGE_SIZE;
        update.length -= piece;
        if page_type != PageType::Zero {
            update.address += piece;
        }
        user::write(data, &update)?;
    }
    Ok(())
}

/// How much is measured by one command, in bytes.
const LARGEST_PIECE: u64 = wire::MAX_DATA as u64;

pub(super) fn finish(state: &mut State, data: u64) -> Result<(), Failure> {
    const ID_BLOCK: usize = 96;
    const ID_AUTH: usize = 4096;
    check_kind(state)?;
    let finish: SnpLaunchFinish = user::read(data)?;
    if finish.flags != 0 {
        return Err(Errno::EINVAL.into());
    }
    let (id_block, id_auth) = match finish.id_block_enabled {
        0 => (Vec::new(), Vec::new()),
        _ => (
            user::read_bytes(finish.id_block_address, ID_BLOCK)?,
            user::read_bytes(finish.id_auth_address, ID_AUTH)?,
        ),
    };
    let vcpus = vmsa::of(state)?;
    let guest = guest(state)?;
    guest.call(&Command::SnpLaunchUpdateVmsa { guest: guest.handle, vcpus })?;
    let command = Command::SnpLaunchFinish {
        guest: guest.handle,
        id_block,
        id_auth,
        author_key: finish.auth_key_enabled != 0,
    };
    let Reply::SnpDigest(digest) = guest.call(&command)? else { return Err(Failure::Reply) };
    trace!("SNP launch digest {}", digest.map(|byte| format!("{byte:02x}")).concat());
    Ok(())
}
