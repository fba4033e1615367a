//! Calls of the QEMU program: what bypasses libvirt's model.

use std::sync::Arc;

use rpc::error::{Code, Origin, RemoteError};
use rpc::qemu::{Call, MonitorEventRegisterArgs, Reply};

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
        other => {
            let procedure = other.procedure();
            return Err(Box::new(RemoteError::unknown_procedure(procedure.number(), Some(&procedure))));
        }
    })
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
