//! How much of the host a domain gets: memory, processors, their places.

mod cpuset;
mod disk_rates;
mod iothread;
mod limits;
mod memory;
mod pin;
mod shares;
mod vcpus;

use qemu::qmp::figures::QueryCpusFast;

use crate::service::Failure;
use crate::service::stats::proc;
use crate::vm::Guest;

pub(super) use cpuset::Cpus;
pub(super) use disk_rates::{get_block_io_tune, set_block_io_tune, throttle};
pub(super) use iothread::{
    figures as iothread_figures, fixed as fixed_iothreads, info as iothread_info, pin as pin_iothread,
};
pub(super) use limits::{get_memory_parameters, set_memory_parameters};
pub(super) use memory::{set_max_memory, set_memory, set_memory_flags};
pub(super) use pin::{emulator_pin_info, pin_emulator, pin_vcpu, pin_vcpu_flags, vcpu_pin_info};
pub(super) use shares::{
    get_blkio, get_interface_parameters, get_numa, get_scheduler, get_scheduler_flags, not_tuned,
    scheduler_type,
};
pub(super) use vcpus::{get_vcpus, get_vcpus_flags, let_go, set_vcpus, set_vcpus_flags};

/// The vCPUs that a guest has, and the threads that run them, by the host's numbers.
pub(super) async fn vcpu_threads(guest: &Guest) -> Result<Vec<(u32, u32)>, Failure> {
    let told = guest.ask(QueryCpusFast).await?;
    let threads = proc::threads(guest.pid());
    Ok(told.iter().filter_map(|vcpu| Some((vcpu.cpu_index, *threads.get(&vcpu.thread_id)?))).collect())
}

/// What a domain asks for that QEMU's command line does not say, done before its guest runs: how much its balloon
/// leaves it and tells, where its threads run, how fast its disks are, which of its cables are not plugged in, its displays' passwords.
pub(crate) async fn at_start(guest: &Guest) -> Result<(), Failure> {
    super::stats::balloon_at_start(guest).await?;
    pin::at_start(guest).await?;
    disk_rates::at_start(guest).await?;
    super::device::links_at_start(guest).await?;
    super::device::passwords_at_start(guest).await?;
    super::agent::note_channels(guest).await
}

/// Asks a guest that was taken over for what may have changed while nobody listened.
pub(crate) async fn at_adoption(guest: &Guest) {
    let channels = super::agent::note_channels(guest).await;
    if let Err(error) = channels.and(super::stats::note_balloon(guest).await) {
        tracing::debug!(%error, "a guest that was taken over does not say how it is");
    }
}
