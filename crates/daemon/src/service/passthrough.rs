//! Calls of the QEMU program: what bypasses libvirt's model.

use std::sync::Arc;

use qemu::qmp::device::HumanMonitorCommand;
use rpc::error::{Code, Origin, RemoteError};
use rpc::qemu::{AgentCommandArgs, Call, MonitorCommandArgs, MonitorEventRegisterArgs, Reply};
use rpc::xdr::Text;
use serde_json::Value;

use super::agent;
use super::domain::only_flags as check;
use super::events::{Only, Topic};
use super::{Client, Failure, Service};

/// Answers a call.
pub(crate) async fn qemu(
    service: &Arc<Service>,
    client: &Arc<Client>,
    call: Call<'_>,
) -> Result<Reply<'static>, Failure> {
    use {Call as C, Reply as R};
    Ok(match call {
        C::ConnectDomainMonitorEventRegister(args) => {
            R::ConnectDomainMonitorEventRegister(register(service, client, &args)?)
        }
        C::ConnectDomainMonitorEventDeregister(callback) => {
            R::ConnectDomainMonitorEventDeregister(service.events.deregister(client, callback, "monitor")?)
        }
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

/// `VIR_CONNECT_DOMAIN_QEMU_MONITOR_EVENT_REGISTER_NOCASE`; 1 is a regular expression.
const ANY_CASE: u32 = 2;

fn register(
    service: &Service,
    client: &Arc<Client>,
    args: &MonitorEventRegisterArgs<'_>,
) -> Result<i32, Failure> {
    if args.flags & !ANY_CASE != 0 {
        return Err(Box::new(RemoteError::new(
            Code::ARGUMENT_UNSUPPORTED,
            Origin::QEMU,
            "events of the monitor are chosen by their whole name, not by a regular expression",
        )));
    }
    let only = match &args.dom {
        Some(dom) => Only::Uuid(service.domains.of(dom)?.uuid),
        None => Only::All,
    };
    let event = args.event.as_deref().map(str::to_owned);
    service.events.register(client, Topic::Monitor { event, any_case: args.flags & ANY_CASE != 0 }, only)
}
