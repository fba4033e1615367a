//! How much of the host a domain gets: memory, processors, their places.

mod cpuset;
mod limits;
mod memory;
mod pin;
mod shares;
mod vcpus;

use crate::service::Failure;
use crate::vm::Guest;

pub(super) use limits::{get_memory_parameters, set_memory_parameters};
pub(super) use memory::{set_max_memory, set_memory, set_memory_flags};
pub(super) use pin::{
    emulator_pin_info, iothread_info, no_iothreads, pin_emulator, pin_vcpu, pin_vcpu_flags, vcpu_pin_info,
};
pub(super) use shares::{
    get_blkio, get_block_io_tune, get_interface_parameters, get_numa, get_scheduler, get_scheduler_flags,
    not_tuned, scheduler_type,
};
pub(super) use vcpus::{get_vcpus, get_vcpus_flags, set_vcpus, set_vcpus_flags};

/// What a domain asks for that QEMU's command line does not say, done before its guest runs: how much its balloon
/// leaves it and tells, where its threads run, which of its cables are not plugged in, its displays' passwords.
pub(crate) async fn at_start(guest: &Guest) -> Result<(), Failure> {
    super::stats::balloon_at_start(guest).await?;
    pin::at_start(guest).await?;
    super::device::links_at_start(guest).await?;
    super::device::passwords_at_start(guest).await
}
