//! What is done to guests that run.

use std::sync::Arc;
use std::time::Duration;

use qemu::Technology;
use qemu::qmp::command::{Cont, Stop, SystemPowerdown, SystemReset};
use rpc::error::RemoteError;
use rpc::remote::domain::{SetLifecycleActionArgs, state};
use rules::ops::Operation;

use super::refuse::refused;
use crate::guest_log;
use crate::service::domain::{affect, blocking, define, exclusively, only_flags};
use crate::service::domains::Vm;
use crate::service::{Failure, Service, agent};
use crate::vm::{Guest, How};
use domain::model::{CrashAction, LifecycleAction};

/// How long somebody waits for a guest that is to end in order.
const GRACE: Duration = Duration::from_secs(15);

/// `virDomainDestroyFlagsValues`.
mod destroy_flag {
    pub(super) const GRACEFUL: u32 = 1;
    /// What QEMU said of it is removed as well.
    pub(super) const REMOVE_LOGS: u32 = 2;
}

/// `virDomainShutdownFlagValues` and `virDomainRebootFlagValues`, which agree.
mod shutdown_flag {
    pub(super) const ACPI: u32 = 1;
    pub(super) const AGENT: u32 = 1 << 1;
    pub(super) const ALL: u32 = ACPI | AGENT;
}

fn invalid<T>(detail: &str) -> Result<T, Failure> {
    Err(Box::new(RemoteError::operation_invalid(detail)))
}

/// `DOMAIN_DESTROY_FLAGS`. It waits for nothing else that is done to the domain.
pub(in crate::service) async fn destroy(
    service: &Arc<Service>,
    vm: Arc<Vm>,
    flags: u32,
) -> Result<(), Failure> {
    only_flags(flags, destroy_flag::GRACEFUL | destroy_flag::REMOVE_LOGS, "virDomainDestroyFlags")?;
    let guest = vm.running()?;
    let (its, graceful) = (Arc::clone(service), flags & destroy_flag::GRACEFUL != 0);
    let ended = tokio::spawn(async move {
        guest.stop(if graceful { How::Gracefully } else { How::Terminate }).await;
        if graceful {
            if tokio::time::timeout(GRACE, guest.ended()).await.is_err() {
                let detail = format!(
                    "QEMU did not end within {} s of SIGTERM; without --graceful it is killed",
                    GRACE.as_secs()
                );
                return Err(Box::new(RemoteError::operation_failed(detail)));
            }
        } else if guest.ended().await.end == crate::vm::End::Unkillable {
            let detail = "QEMU was killed and does not end: the kernel holds it";
            return Err(Box::new(RemoteError::operation_failed(detail)));
        }
        // Its name is free when this is answered.
        let _job = vm.job.lock().await;
        its.domains.settle(&vm);
        if flags & destroy_flag::REMOVE_LOGS == 0 {
            return Ok(());
        }
        let log = super::start::log_path(&its, &vm.name());
        crate::service::blocking(&its, move |_| {
            guest_log::remove(&log).map_err(|error| {
                let detail = format!("the guest ended, but its log '{}' stays: {error}", log.display());
                Box::new(RemoteError::system_error(detail))
            })
        })
        .await
    });
    ended.await.unwrap_or_else(|error| Err(Box::new(RemoteError::internal(error.to_string()))))
}

/// How a guest is asked to shut down or reboot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Button,
    Agent,
    /// By the agent, or by the button where it does not answer.
    Either,
}

fn asked(flags: u32, function: &str) -> Result<Asked, Failure> {
    only_flags(flags, shutdown_flag::ALL, function)?;
    // libvirt asks the agent first where both are wanted.
    Ok(match flags {
        shutdown_flag::AGENT => Asked::Agent,
        shutdown_flag::ALL => Asked::Either,
        _ => Asked::Button,
    })
}

/// `DOMAIN_SHUTDOWN_FLAGS`.
pub(in crate::service) async fn shutdown(service: &Service, vm: Arc<Vm>, flags: u32) -> Result<(), Failure> {
    let asked = asked(flags, "virDomainShutdownFlags")?;
    let guest = vm.running()?;
    guest.expect_reboot(false).await;
    ask_to_end(service, &vm, &guest, asked, agent::Shutdown::PowerDown).await
}

/// `DOMAIN_REBOOT`. A plain guest is reset once it has shut down; a SEV guest is launched and measured anew.
pub(in crate::service) async fn reboot(service: &Service, vm: Arc<Vm>, flags: u32) -> Result<(), Failure> {
    let asked = asked(flags, "virDomainReboot")?;
    let guest = vm.running()?;
    refuse(&guest, Operation::Reboot)?;
    guest.expect_reboot(true).await;
    // An agent's reboot is the guest's own.
    ask_to_end(service, &vm, &guest, asked, agent::Shutdown::Reboot).await
}

async fn ask_to_end(
    service: &Service,
    vm: &Vm,
    guest: &Guest,
    asked: Asked,
    how: agent::Shutdown,
) -> Result<(), Failure> {
    let by_agent = match asked {
        Asked::Button => None,
        Asked::Agent | Asked::Either => Some(agent::shutdown(service, vm, how).await),
    };
    match by_agent {
        Some(Err(error)) if asked == Asked::Agent => Err(error),
        Some(Ok(())) => Ok(()),
        Some(Err(_)) | None => {
            guest.ask(SystemPowerdown).await?;
            Ok(())
        }
    }
}

/// `DOMAIN_RESET`.
pub(in crate::service) async fn reset(vm: Arc<Vm>, flags: u32) -> Result<(), Failure> {
    only_flags(flags, 0, "virDomainReset")?;
    let guest = vm.running()?;
    refuse(&guest, Operation::Reset)?;
    if guest.technology().is_some() {
        guest.relaunch().await;
        guest.ended().await;
    } else {
        guest.ask(SystemReset).await?;
    }
    Ok(())
}

fn refuse(guest: &Guest, operation: Operation) -> Result<(), Failure> {
    guest.technology().and_then(|technology: Technology| refused(operation, technology)).map_or(Ok(()), Err)
}

/// `DOMAIN_SUSPEND`.
pub(in crate::service) async fn suspend(vm: Arc<Vm>) -> Result<(), Failure> {
    let guest = vm.running()?;
    if guest.state().state == state::PAUSED_USER.state {
        return Ok(());
    }
    guest.ask(Stop).await?;
    Ok(())
}

/// `DOMAIN_RESUME`.
pub(in crate::service) async fn resume(vm: Arc<Vm>) -> Result<(), Failure> {
    let guest = vm.running()?;
    if guest.state().state == state::RUNNING_BOOTED.state {
        return invalid("domain is already running");
    }
    if let Some(reason) = guest.record().cannot_resume {
        return Err(Box::new(RemoteError::operation_unsupported(reason)));
    }
    guest.ask(Cont).await?;
    Ok(())
}

/// `DOMAIN_PM_WAKEUP`.
pub(in crate::service) async fn wake_up(vm: Arc<Vm>, flags: u32) -> Result<(), Failure> {
    only_flags(flags, 0, "virDomainPMWakeup")?;
    let guest = vm.running()?;
    if guest.state().state != state::PMSUSPENDED.state {
        return invalid("Unable to wake up domain that is not suspended");
    }
    guest.ask_raw(serde_json::json!({"execute": "system_wakeup"})).await?;
    Ok(())
}

/// What somebody wants to become of a guest: `virDomainLifecycle` and `virDomainLifecycleAction`.
#[derive(Debug, Clone, Copy)]
enum Change {
    Poweroff(LifecycleAction),
    Reboot(LifecycleAction),
    Crash(CrashAction),
}

impl Change {
    fn of(kind: u32, action: u32) -> Result<Self, Failure> {
        let unknown =
            |what, number| RemoteError::invalid_arg(format!("there is no lifecycle {what} {number}")).into();
        let plain = |event: &str| match action {
            0 => Ok(LifecycleAction::Destroy),
            1 => Ok(LifecycleAction::Restart),
            3 => Ok(LifecycleAction::Preserve),
            // libvirt's words.
            4 | 5 => {
                let action = if action == 4 { "coredump-destroy" } else { "coredump-restart" };
                let detail = format!("Lifecycle event '{event}' doesn't support '{action}' action");
                Err(Box::new(RemoteError::config_unsupported(detail)))
            }
            other => Err(unknown("action", other)),
        };
        if action == 2 {
            return Err(Box::new(RemoteError::config_unsupported(define::NO_NEW_NAME)));
        }
        Ok(match kind {
            0 => Self::Poweroff(plain("poweroff")?),
            1 => Self::Reboot(plain("reboot")?),
            2 => Self::Crash(match action {
                0 => CrashAction::Destroy,
                1 => CrashAction::Restart,
                3 => CrashAction::Preserve,
                4 => CrashAction::CoredumpDestroy,
                5 => CrashAction::CoredumpRestart,
                other => return Err(unknown("action", other)),
            }),
            other => return Err(unknown("type", other)),
        })
    }

    #[expect(clippy::unnecessary_wraps, reason = "a change of a domain may fail")]
    fn apply(self, domain: &mut domain::Domain) -> Result<(), Failure> {
        match self {
            Self::Poweroff(action) => domain.on_poweroff = Some(action),
            Self::Reboot(action) => domain.on_reboot = Some(action),
            Self::Crash(action) => domain.on_crash = Some(action),
        }
        Ok(())
    }
}

/// `DOMAIN_SET_LIFECYCLE_ACTION`.
pub(in crate::service) async fn set_lifecycle_action(
    service: &Arc<Service>,
    vm: Arc<Vm>,
    args: &SetLifecycleActionArgs<'_>,
) -> Result<(), Failure> {
    only_flags(args.flags, affect::LIVE | affect::CONFIG, "virDomainSetLifecycleAction")?;
    let change = Change::of(args.kind, args.action)?;
    let flags = match args.flags {
        0 if vm.is_active() => affect::LIVE,
        0 => affect::CONFIG,
        flags => flags,
    };
    if flags & affect::LIVE != 0 {
        let guest = vm.running()?;
        let its = Arc::clone(&vm);
        blocking(move || its.change_live(|live| change.apply(live))).await?;
        guest
            .react(|reactions| {
                let changed = match change {
                    Change::Poweroff(action) => reactions.on_poweroff(action),
                    Change::Reboot(action) => reactions.on_reboot(action),
                    Change::Crash(action) => reactions.on_crash(action),
                };
                // What no guest can have was refused before.
                *reactions = changed.unwrap_or(*reactions);
            })
            .await;
    }
    if flags & affect::CONFIG != 0 {
        exclusively(service, vm, move |service, vm| {
            define::change(service, vm, |domain| change.apply(domain))
        })
        .await?;
    }
    Ok(())
}
