//! A preload library that offers a simulated AMD secure processor to unmodified QEMU and host tools.
//!
//! It stands where the kernel would: `/dev/sev`, the encryption requests of KVM, and the CPUID instruction. Commands go to
//! `sevsim`, which owns the platform's keys and state. What the hardware would do while a guest runs is done here too: the
//! C-bit is taken out of addresses, and the guest's SEV status MSR is answered. Memory is not encrypted.
//!
//! Read from the environment: `SEVSIM_SOCKET`, where the simulator listens; `SEVSIM_NODE=required`, by which `/dev/sev` is there
//! only if a node is; `SEVSIM_TRACE`, to be told of each command on standard error.
//!
//! Processes and virtual machines that ask for none of this are left as they are. Nothing here panics across the C
//! interface, and the handler of SIGILL neither allocates nor locks.

#![expect(
    unsafe_code,
    reason = "it speaks the C library's and the kernel's interfaces, and rewrites instructions"
)]

mod abi;
mod cpuid;
mod errno;
mod failure;
mod interpose;
mod kvm;
mod message;
mod platform;
mod sev_device;
mod user;

/// Runs when the library is loaded, before the program.
extern "C" fn start() {
    cpuid::take_over();
}

#[used]
#[unsafe(link_section = ".init_array")]
static START: extern "C" fn() = start;
