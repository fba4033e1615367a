//! The end of guests: what is said of it, and what follows from it.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use rpc::remote::event::lifecycle;

use super::start::{How, as_it_ran, start};
use crate::locked;
use crate::service::client::AtEnd;
use crate::service::domains::Vm;
use crate::service::events::Happening;
use crate::service::{Client, Service};
use crate::vm::{Afterwards, End, Guest, Outcome};

/// The client that a guest is bound to, and what was registered there.
pub(super) type Bound = (Arc<Client>, Arc<Mutex<Option<AtEnd>>>);

/// What is done once the guest is gone.
pub(super) fn afterwards(service: &Arc<Service>, vm: &Arc<Vm>, bound: Option<Bound>) -> Afterwards {
    let (service, vm) = (Arc::downgrade(service), Arc::clone(vm));
    Box::new(move |guest, outcome| {
        let bound_to = bound.as_ref().map(|(client, _)| Arc::clone(client));
        if let Some((client, registered)) = bound
            && let Some(registered) = locked(&registered).take()
        {
            client.forget(registered);
        }
        if let Some(service) = service.upgrade() {
            ended(&service, &vm, guest, outcome, bound_to);
        }
    })
}

fn ended(
    service: &Arc<Service>,
    vm: &Arc<Vm>,
    guest: &Guest,
    outcome: &Outcome,
    bound_to: Option<Arc<Client>>,
) {
    let was_up = guest.is_up();
    let record = guest.record();
    let bad = !matches!(outcome.end, End::GuestEnded | End::Stopped(_) | End::Relaunch | End::StayedPaused);
    let words = with_last_words(outcome.end.to_string(), outcome, if bad { &record.warned } else { &[] });
    if bad {
        tracing::warn!(domain = %record.name, id = record.id, memory_peak = outcome.memory_peak, "ended: {words}");
    } else {
        tracing::info!(domain = %record.name, id = record.id, memory_peak = outcome.memory_peak, "ended: {words}");
    }
    {
        let mut state = locked(&vm.state);
        state.id = None;
        state.guest = None;
        state.stopped = outcome.run_state().into();
        state.updated = false;
        if bad {
            // What was noted while it ran tells more.
            note(&mut state.messages, words);
        } else {
            state.messages.clear();
        }
    }
    let relaunch = outcome.end == End::Relaunch && guest.is_relaunched();
    if was_up {
        if relaunch {
            service.events.publish(&vm.about(), &Happening::Reboot);
        }
        service.events.publish(&vm.about(), &Happening::Lifecycle(stopped(&outcome.end)));
    }
    if relaunch {
        let how =
            How { paused: record.paused, reset_nvram: false, bound_to, text: Some(as_it_ran(&guest.live())) };
        tokio::spawn(launch_anew(Arc::clone(service), Arc::clone(vm), how, guest.run_dir().to_owned()));
        return;
    }
    if outcome.end == End::Relaunch {
        // Somebody ended it at the last moment; most often nothing is left.
        let _ = std::fs::remove_dir_all(guest.run_dir());
    }
    settle(service, vm);
}

/// How many messages of a domain's last life are kept.
const MESSAGES: usize = 16;

/// Notes what is to be said of a domain's life; a guest may bring about much of it.
pub(super) fn note(messages: &mut Vec<String>, message: String) {
    if messages.len() >= MESSAGES {
        messages.remove(0);
    }
    messages.push(message);
}

/// Launches a guest anew that rebooted or crashed. What is on record of its last life tells a daemon that comes after
/// this one to do so, and goes when it is done, or cannot be.
pub(super) async fn launch_anew(service: Arc<Service>, vm: Arc<Vm>, how: How, record: PathBuf) {
    if let Err(error) = start(&service, &vm, how).await {
        tracing::error!(domain = %vm.name(), %error, "the guest rebooted and cannot be launched anew");
        locked(&vm.state).messages.push(format!("it cannot be launched anew after its reboot: {error}"));
    }
    if let Err(error) = tokio::fs::remove_dir_all(&record).await {
        tracing::warn!(path = %record.display(), %error, "a run directory stays behind");
    }
}

/// Takes a domain that is nothing without its guest out of the table, as soon as nobody is making something of it.
fn settle(service: &Arc<Service>, vm: &Arc<Vm>) {
    if let Ok(_job) = vm.job.try_lock() {
        service.domains.settle(vm);
        return;
    }
    let (service, vm) = (Arc::clone(service), Arc::clone(vm));
    tokio::spawn(async move {
        let _job = vm.job.lock().await;
        service.domains.settle(&vm);
    });
}

/// `virDomainEventStoppedDetailType`.
fn stopped(end: &End) -> (i32, i32) {
    match end {
        End::GuestEnded | End::StayedPaused | End::StoppedElsewhere(_) | End::Relaunch => {
            lifecycle::STOPPED_SHUTDOWN
        }
        End::Stopped(_) => lifecycle::STOPPED_DESTROYED,
        End::GuestPanicked => lifecycle::STOPPED_CRASHED,
        End::GuestFailed(_)
        | End::CannotStart(_)
        | End::RefusedToStart(_)
        | End::CannotResume(_)
        | End::AttestationFailed(_)
        | End::TimedOut(_)
        | End::Died(_)
        | End::Unkillable => lifecycle::STOPPED_FAILED,
    }
}

/// What is said first, QEMU's last words where the end is its own, and what lint warned of when the guest was started.
pub(super) fn with_last_words(first: String, outcome: &Outcome, warned: &[String]) -> String {
    let words: &[String] = if outcome.end.is_qemus_own() { &outcome.last_words } else { &[] };
    with_words(first, words, warned)
}

/// The same of a guest of which only that is known.
pub(super) fn with_words(first: String, last_words: &[String], warned: &[String]) -> String {
    let mut said = first;
    if !last_words.is_empty() {
        said.push_str(if said.is_empty() { "" } else { "; QEMU's last words: " });
        said.push_str(&last_words.join("\n"));
    }
    if !warned.is_empty() {
        said.push_str("; lint had warned: ");
        said.push_str(&warned.join("; "));
    }
    said
}
