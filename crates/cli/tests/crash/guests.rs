//! Guests that end by themselves, hang, or outlive their daemon.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use rpc::client::Client;
use rpc::remote::common::{DomFlags, XmlFlags};
use rpc::remote::domain::state;
use rpc::remote::procedure as p;

use crate::place::{Failed, PAUSED, Peer, Place, definition, object, until};

fn define(peer: &mut Peer, domain: u8) {
    let xml = definition(0, domain, 1).into();
    peer.call::<p::DomainDefineXmlFlags>(&XmlFlags { xml, flags: 0 }).unwrap();
}

/// Starts a domain, and gives its guest's process.
fn start(place: &Place, peer: &mut Peer, domain: u8) -> u32 {
    let before = place.qemus();
    let dom = object(0, domain);
    peer.call::<p::DomainCreateWithFlags>(&DomFlags { dom, flags: PAUSED }).unwrap();
    place.qemus().into_keys().find(|pid| !before.contains_key(pid)).unwrap()
}

fn run_state(peer: &mut Peer, domain: u8) -> (i32, i32) {
    let args = DomFlags { dom: object(0, domain), flags: 0 };
    let message = peer.call::<p::DomainGetState>(&args).unwrap();
    let state = Client::reply::<p::DomainGetState>(&message).unwrap();
    (state.state, state.reason)
}

fn messages(peer: &mut Peer, domain: u8) -> Vec<String> {
    let args = DomFlags { dom: object(0, domain), flags: 0 };
    let message = peer.call::<p::DomainGetMessages>(&args).unwrap();
    let texts = Client::reply::<p::DomainGetMessages>(&message).unwrap();
    texts.iter().map(ToString::to_string).collect()
}

fn send(signal: &str, pid: u32) {
    assert!(Command::new("kill").args([signal, &pid.to_string()]).status().unwrap().success());
}

fn of(state: &rpc::remote::domain::State) -> (i32, i32) {
    (state.state, state.reason)
}

#[test]
fn a_guest_that_dies_is_explained() {
    let place = Place::new();
    let daemon = place.daemon();
    let mut peer = Peer::connect(&place).unwrap();
    define(&mut peer, 0);
    let pid = start(&place, &mut peer, 0);
    assert_eq!(run_state(&mut peer, 0), of(&state::PAUSED_USER));
    send("-KILL", pid);
    until("the guest is known to be gone", || run_state(&mut peer, 0).0 == state::SHUTOFF_CRASHED.state);
    let said = messages(&mut peer, 0);
    assert!(said.iter().any(|line| line.contains("SIGKILL")), "{said:?}");
    // Its next life begins with a clean slate.
    start(&place, &mut peer, 0);
    assert!(messages(&mut peer, 0).is_empty());
    peer.call::<p::DomainDestroy>(&object(0, 0)).unwrap();
    assert_eq!(run_state(&mut peer, 0), of(&state::SHUTOFF_DESTROYED));
    drop(daemon);
}

#[test]
fn a_start_that_qemu_refuses_says_why() {
    let place = Place::new();
    let daemon = place.daemon();
    let mut peer = Peer::connect(&place).unwrap();
    let xml = definition(0, 0, 1)
        .replace("<devices>", "<devices><serial type='dev'><source path='/dev/null-and-void'/></serial>");
    peer.call::<p::DomainDefineXmlFlags>(&XmlFlags { xml: xml.into(), flags: 0 }).unwrap();
    let refused = peer.call::<p::DomainCreateWithFlags>(&DomFlags { dom: object(0, 0), flags: PAUSED });
    let Err(Failed::Refused(error)) = refused else { panic!("it was started") };
    assert!(error.contains("/dev/null-and-void"), "{error}");
    assert_eq!(run_state(&mut peer, 0).0, state::SHUTOFF_FAILED.state);
    assert!(place.qemus().is_empty());
    assert_eq!(fs::read_dir(place.path("run/guests")).unwrap().count(), 0);
    drop(daemon);
}

#[test]
fn a_guest_that_hangs_holds_up_nobody() {
    let place = Place::new();
    let daemon = place.daemon();
    let mut peer = Peer::connect(&place).unwrap();
    define(&mut peer, 0);
    define(&mut peer, 1);
    let hung = start(&place, &mut peer, 0);
    start(&place, &mut peer, 1);
    send("-STOP", hung);
    drop(daemon);
    let begun = Instant::now();
    let daemon = place.daemon();
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    let mut peer = Peer::connect(&place).unwrap();
    assert_eq!(run_state(&mut peer, 0), of(&state::PAUSED_USER));
    peer.call::<p::DomainResume>(&object(0, 1)).unwrap();
    assert_eq!(run_state(&mut peer, 1), of(&state::RUNNING_UNPAUSED));
    send("-CONT", hung);
    peer.call::<p::DomainResume>(&object(0, 0)).unwrap();
    assert_eq!(run_state(&mut peer, 0), of(&state::RUNNING_UNPAUSED));
    for domain in [0, 1] {
        peer.call::<p::DomainDestroy>(&object(0, domain)).unwrap();
    }
    drop(daemon);
}

#[test]
fn guests_that_end_while_no_daemon_runs_are_tidied_up() {
    let place = Place::new();
    let daemon = place.daemon();
    let mut peer = Peer::connect(&place).unwrap();
    define(&mut peer, 0);
    let defined = start(&place, &mut peer, 0);
    let xml = definition(0, 1, 1).into();
    peer.call::<p::DomainCreateXml>(&XmlFlags { xml, flags: PAUSED }).unwrap();
    // A bound guest ends with its client, and so with its daemon.
    define(&mut peer, 2);
    peer.call::<p::DomainCreateWithFlags>(&DomFlags { dom: object(0, 2), flags: PAUSED | 2 }).unwrap();
    assert_eq!(place.qemus().len(), 3);
    drop(daemon);
    send("-KILL", defined);
    let daemon = place.daemon();
    let mut peer = Peer::connect(&place).unwrap();
    assert_eq!(run_state(&mut peer, 0), of(&state::SHUTOFF_DAEMON));
    assert!(messages(&mut peer, 0).iter().any(|line| line.contains("while no daemon ran")));
    until("the bound guest ends", || place.qemus().len() == 1);
    // One without a definition was taken over, and is gone with its guest.
    assert_eq!(run_state(&mut peer, 1), of(&state::PAUSED_USER));
    peer.call::<p::DomainDestroy>(&object(0, 1)).unwrap();
    let gone = peer.call::<p::DomainGetState>(&DomFlags { dom: object(0, 1), flags: 0 });
    assert!(matches!(&gone, Err(Failed::Refused(error)) if error.contains("Domain not found")), "{gone:?}");
    assert_eq!(fs::read_dir(place.path("run/guests")).unwrap().count(), 0);
    drop(daemon);
}
