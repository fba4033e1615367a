//! Calls of the QEMU program: what bypasses libvirt's model.

use std::sync::Arc;

use qemu::qmp::device::HumanMonitorCommand;
use rpc::error::RemoteError;
use rpc::qemu::{AgentCommandArgs, Call, MonitorCommandArgs, Reply};
use rpc::xdr::Text;
use serde_json::Value;

use super::agent;
use super::domain::only_flags as check;
use super::{Failure, Service};

/// Answers a call.
pub(crate) async fn qemu(service: &Arc<Service>, call: Call<'_>) -> Result<Reply<'static>, Failure> {
    use {Call as C, Reply as R};
    Ok(match call {
        C::DomainMonitorCommand(args) => R::DomainMonitorCommand(monitor_command(service, &args).await?),
        C::DomainAgentCommand(args) => R::DomainAgentCommand(agent_command(service, &args).await?),
        other => {
            let procedure = other.procedure();
            return Err(Box::new(RemoteError::unknown_procedure(procedure.number(), Some(&procedure))));
        }
    })
}

/// `VIR_DOMAIN_QEMU_MONITOR_COMMAND_HMP`: a line of the old monitor, and not JSON.
const HMP: u32 = 1;

/// A command that goes to QEMU as it is, and its answer as it comes.
async fn monitor_command(service: &Service, args: &MonitorCommandArgs<'_>) -> Result<Text<'static>, Failure> {
    check(args.flags, HMP, "virDomainQemuMonitorCommand")?;
    let vm = service.domains.of(&args.dom)?;
    let guest = vm.running()?;
    tracing::info!(domain = %vm.name(), "a command is passed to QEMU");
    if args.flags & HMP != 0 {
        return Ok(guest.ask(HumanMonitorCommand { line: args.cmd.to_string() }).await?.into());
    }
    let command: Value = serde_json::from_str(&args.cmd).map_err(|error| {
        Box::new(RemoteError::internal(format!("cannot parse json {}: {error}", args.cmd)))
    })?;
    Ok(guest.ask_raw(command).await?.to_string().into())
}

/// The same for the guest's agent.
async fn agent_command(
    service: &Service,
    args: &AgentCommandArgs<'_>,
) -> Result<Option<Text<'static>>, Failure> {
    check(args.flags, 0, "virDomainQemuAgentCommand")?;
    let vm = service.domains.of(&args.dom)?;
    vm.must_run()?;
    let command: Value = serde_json::from_str(&args.cmd).map_err(|error| {
        Box::new(RemoteError::internal(format!("cannot parse json {}: {error}", args.cmd)))
    })?;
    let patience = agent::Patience::of(args.timeout).ok_or_else(|| {
        let detail = format!("guest agent timeout '{}' is less than the minimum '-2'", args.timeout);
        Box::new(RemoteError::invalid_arg(detail))
    })?;
    let reply = agent::raw(service, &vm, &command, Some(patience)).await?;
    Ok(reply.map(|reply| reply.to_string().into()))
}
