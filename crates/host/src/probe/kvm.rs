//! What KVM says through `/dev/kvm` without a virtual machine.

use std::fs::File;
use std::os::fd::AsRawFd as _;

const DEVICE: &str = "/dev/kvm";
/// `_IO(KVMIO, 0x03)`, linux/kvm.h.
const KVM_CHECK_EXTENSION: libc::c_ulong = 0xae03;
const KVM_CAP_NR_VCPUS: libc::c_ulong = 9;
const KVM_CAP_MAX_VCPUS: libc::c_ulong = 66;
/// What every KVM gives that does not tell (linux, Documentation/virt/kvm/api.rst, 4.4).
const UNTOLD_VCPUS: u32 = 4;

/// How many vCPUs KVM gives one guest; `None` where there is no KVM for this process.
#[must_use]
pub fn kvm_vcpus() -> Option<u32> {
    let device = File::open(DEVICE).ok()?;
    let told = extension(&device, KVM_CAP_MAX_VCPUS).or_else(|| extension(&device, KVM_CAP_NR_VCPUS));
    Some(told.unwrap_or(UNTOLD_VCPUS))
}

/// What KVM says of one of its abilities, where it has it.
#[expect(
    unsafe_code,
    reason = "an ioctl has no safe form; the C library's, so that the lab's preload sees it"
)]
fn extension(device: &File, number: libc::c_ulong) -> Option<u32> {
    // SAFETY: the descriptor is open for the whole call, and the request takes a number, no pointer.
    let answer = unsafe { libc::ioctl(device.as_raw_fd(), KVM_CHECK_EXTENSION, number) };
    u32::try_from(answer).ok().filter(|count| *count > 0)
}
