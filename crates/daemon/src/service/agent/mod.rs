//! The agent inside a guest (qemu-ga), by its channel `org.qemu.guest_agent.0`.
//!
//! What it says is the guest's, which may be hostile: replies are bounded in size and time, and read as data only.

mod calls;
mod guest_info;
mod link;
mod vcpus;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use domain::Domain;
use domain::model::chardev::{Channel, ChannelState, ChannelTarget, CharKind, CharSource, SocketMode};
use qemu::qmp::Event;
use qemu::qmp::command::{Chardev, QueryChardev};
use rpc::error::{Code, Origin, RemoteError};
use rpc::xdr::Uuid;
use serde_json::{Value, json};

use super::domains::Vm;
use super::{Failure, Service};
use crate::locked;
use crate::vm::Guest;

pub(super) use calls::{
    Shutdown, freeze, fs_info, get_time, hostname, interfaces, set_response_timeout, set_time,
    set_user_password, shutdown, thaw, trim,
};
pub(super) use guest_info::guest_info;
pub(super) use link::{connect, socket_path};
pub(super) use vcpus::{guest_vcpus, set_guest_vcpus, set_vcpu_count};

/// The agent's channel.
pub(super) const NAME: &str = "org.qemu.guest_agent.0";

/// How long the agent may take to answer a command, where nobody says.
const USUAL: Duration = Duration::from_secs(30);

/// How long it may take to show that it is there.
const SYNC: Duration = Duration::from_secs(5);

/// `virDomainQemuAgentCommandTimeoutValues` and seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Patience {
    Usual,
    /// As long as the guest runs.
    Forever,
    /// Does not wait for the answer of the command.
    None,
    Seconds(u32),
}

impl Patience {
    pub(super) fn of(timeout: i32) -> Option<Self> {
        match timeout {
            -2 => Some(Self::Forever),
            -1 => Some(Self::Usual),
            0 => Some(Self::None),
            seconds => u32::try_from(seconds).ok().map(Self::Seconds),
        }
    }
}

/// The agents that were asked: one question at a time each.
#[derive(Debug, Default)]
pub(crate) struct Agents(Mutex<HashMap<Uuid, Arc<Slot>>>);

#[derive(Debug)]
struct Slot {
    turn: tokio::sync::Mutex<()>,
    /// What `virDomainAgentSetResponseTimeout` set.
    patience: Mutex<Patience>,
}

impl Agents {
    fn slot(&self, uuid: Uuid) -> Arc<Slot> {
        let mut slots = locked(&self.0);
        // Nobody asks those, and they have nothing to remember.
        slots.retain(|_, slot| Arc::strong_count(slot) > 1 || *locked(&slot.patience) != Patience::Usual);
        let new = || Slot { turn: tokio::sync::Mutex::default(), patience: Mutex::new(Patience::Usual) };
        Arc::clone(slots.entry(uuid).or_insert_with(|| Arc::new(new())))
    }
}

/// Where a guest's agent is: a channel of its live domain.
pub(super) fn channel(live: &Domain) -> Option<&Channel> {
    live.devices.channels.iter().find(
        |channel| matches!(&channel.target, ChannelTarget::Virtio { name: Some(name), .. } if name == NAME),
    )
}

fn unresponsive(detail: &str) -> Failure {
    Box::new(RemoteError::agent_unresponsive(detail))
}

/// Asks the agent of a domain that runs: a whole command, answered with its whole reply.
pub(super) async fn raw(
    service: &Service,
    vm: &Vm,
    command: &Value,
    patience: Option<Patience>,
) -> Result<Option<Value>, Failure> {
    let guest = vm.running()?;
    let live = guest.live();
    let channel = channel(&live).ok_or_else(|| {
        let detail = "QEMU guest agent is not configured";
        Box::new(RemoteError::new(Code::ARGUMENT_UNSUPPORTED, Origin::QEMU, detail))
    })?;
    if !is_connected(&guest, channel).await? {
        return Err(unresponsive("QEMU guest agent is not connected"));
    }
    let path = socket_path(&guest, channel)
        .ok_or_else(|| unresponsive("the agent's channel is not a unix socket that QEMU listens at"))?;
    let slot = service.agents.slot(vm.uuid);
    let patience = patience.unwrap_or_else(|| *locked(&slot.patience));
    let _turn = tokio::time::timeout(USUAL, slot.turn.lock())
        .await
        .map_err(|_| unresponsive("guest agent not available for now: it is busy with another command"))?;
    let talk = async {
        let mut link = link::Link::new(connect(&guest, &path).await?);
        let synced = tokio::time::timeout(SYNC, link.sync()).await;
        synced.map_err(|_| unresponsive("guest agent not available for now"))??;
        link.send(command).await?;
        if patience == Patience::None {
            return Ok(None);
        }
        let limit = match patience {
            Patience::Forever => return link.reply().await.map(Some),
            Patience::Seconds(seconds) => Duration::from_secs(seconds.into()),
            Patience::Usual | Patience::None => USUAL,
        };
        match tokio::time::timeout(limit, link.reply()).await {
            Ok(reply) => reply.map(Some),
            Err(_) => Err(Box::new(RemoteError::new(
                Code::AGENT_COMMAND_TIMEOUT,
                Origin::QEMU,
                format!("no answer within {} s", limit.as_secs()),
            ))),
        }
    };
    tokio::select! {
        said = talk => said,
        _ = guest.ended() => Err(unresponsive("the guest has ended")),
    }
}

/// Asks the agent, and gives what it returns.
async fn ask(service: &Service, vm: &Vm, name: &str, arguments: Option<Value>) -> Result<Value, Failure> {
    let mut command = json!({ "execute": name });
    if let (Some(object), Some(arguments)) = (command.as_object_mut(), arguments) {
        object.insert("arguments".into(), arguments);
    }
    let reply = raw(service, vm, &command, None).await?.unwrap_or_default();
    if let Some(value) = reply.get("return") {
        return Ok(value.clone());
    }
    let error = reply.get("error");
    let text = |key: &str| error.and_then(|error| error.get(key)).and_then(Value::as_str).unwrap_or_default();
    let desc = bounded(text("desc"));
    let code = match text("class") {
        "CommandNotFound" | "CommandDisabled" => Code::OPERATION_UNSUPPORTED,
        _ => Code::INTERNAL_ERROR,
    };
    let detail = format!("unable to execute QEMU agent command '{name}': {desc}");
    Err(Box::new(RemoteError::new(code, Origin::QEMU, detail)))
}

/// A guest's words for a log or an error: not longer than a line, and without what a terminal would obey.
fn bounded(text: &str) -> String {
    text.chars().take(400).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

async fn is_connected(guest: &Guest, channel: &Channel) -> Result<bool, Failure> {
    let Some(alias) = &channel.info.alias else { return Ok(false) };
    let label = format!("char{alias}");
    let chardevs = guest.ask(QueryChardev).await?;
    Ok(chardevs.iter().any(|chardev| chardev.label == label && chardev.frontend_open))
}

/// How many vCPUs the guest uses.
pub(super) async fn online_vcpus(service: &Service, vm: &Vm) -> Result<u32, Failure> {
    let all = ask(service, vm, "guest-get-vcpus", None).await?;
    let online = |vcpu: &&Value| vcpu.get("online").and_then(Value::as_bool).unwrap_or_default();
    let count = all.as_array().map_or(0, |all| all.iter().filter(online).count());
    Ok(u32::try_from(count).unwrap_or(u32::MAX))
}

/// What was told of a channel was known, or is about none.
struct NothingNew;

/// Takes note of a channel that the guest has opened or closed: `VSERPORT_CHANGE`. Where it is the agent's, its state
/// is returned, as `virConnectDomainEventAgentLifecycleState` has it.
pub(super) fn heard(guest: &Guest, event: &Event) -> Option<i32> {
    let Event::Other { name, data } = event else { return None };
    if name != "VSERPORT_CHANGE" {
        return None;
    }
    let (id, open) = (data.get("id")?.as_str()?, data.get("open")?.as_bool()?);
    let (state, number) = if open { (ChannelState::Connected, 1) } else { (ChannelState::Disconnected, 2) };
    let is_agent = guest.change_live(|live| {
        let is_it = |channel: &&mut Channel| channel.info.alias.as_deref() == Some(id);
        let found = live.devices.channels.iter_mut().find(is_it).ok_or(NothingNew)?;
        let ChannelTarget::Virtio { name, state: known } = &mut found.target else { return Err(NothingNew) };
        if known.replace(state) == Some(state) {
            return Err(NothingNew);
        }
        Ok(name.as_deref() == Some(NAME))
    });
    is_agent.is_ok_and(|is_agent| is_agent).then_some(number)
}

/// Has the live domain say of each channel whether the guest listens; for a guest that was just started or taken over.
pub(super) async fn note_channels(guest: &Guest) -> Result<(), Failure> {
    if guest.live().devices.channels.is_empty() {
        return Ok(());
    }
    let chardevs = guest.ask(QueryChardev).await?;
    guest.note_live(|live| note_open(guest, live, &chardevs));
    Ok(())
}

fn note_open(guest: &Guest, live: &mut Domain, chardevs: &[Chardev]) {
    for channel in &mut live.devices.channels {
        let Some(alias) = &channel.info.alias else { continue };
        let label = format!("char{alias}");
        let Some(found) = chardevs.iter().find(|chardev| chardev.label == label) else { continue };
        if let ChannelTarget::Virtio { state, .. } = &mut channel.target {
            let open = if found.frontend_open { ChannelState::Connected } else { ChannelState::Disconnected };
            *state = Some(open);
        }
        if let CharSource {
            kind: CharKind::Unix { mode: SocketMode::Bind, path: path @ None, reconnect: None },
            ..
        } = &mut channel.source
        {
            *path = Some(link::usual_path(guest, alias).display().to_string());
        }
    }
}
