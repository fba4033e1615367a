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

/// A disk whose boot sector reads a byte from the serial port, writes it back, and then reboots for `r`, or powers off.
fn write_boot_sector(path: &std::path::Path) {
    let mut sector = vec![
        0xba, 0xfd, 0x03, 0xec, 0xa8, 0x01, 0x74, 0xf8, // wait for a byte at 0x3f8
        0xba, 0xf8, 0x03, 0xec, 0xee, // read it and write it
        0x3c, b'r', 0x75, 0x06, // is it `r`?
        0xb0, 0xfe, 0xe6, 0x64, 0xeb, 0xfe, // the keyboard controller's reset
        0xba, 0x04, 0x06, 0xb8, 0x00, 0x20, 0xef, 0xeb, 0xfe, // ACPI's S5
    ];
    sector.resize(510, 0);
    sector.extend([0x55, 0xaa]);
    sector.resize(1 << 20, 0);
    fs::write(path, sector).unwrap();
}

/// Has the guest of a domain with such a disk do something while no daemon runs.
fn do_alone(place: &Place, peer: Peer, daemon: crate::place::Daemon, domain: u8, what: u8) {
    use std::io::{Read as _, Write as _};
    let mut peer = peer;
    let args = DomFlags { dom: object(0, domain), flags: 0 };
    let message = peer.call::<p::DomainGetXmlDesc>(&args).unwrap();
    let xml = Client::reply::<p::DomainGetXmlDesc>(&message).unwrap().to_string();
    let pty = xml.split("'/dev/pts/").nth(1).and_then(|rest| rest.split('\'').next()).unwrap();
    let mut pty = fs::OpenOptions::new().read(true).write(true).open(format!("/dev/pts/{pty}")).unwrap();
    peer.call::<p::DomainResume>(&object(0, domain)).unwrap();
    drop((peer, daemon));
    assert!(!place.qemus().is_empty());
    // The firmware says nothing there; what is typed before the sector runs waits in the port.
    pty.write_all(&[what]).unwrap();
    let mut echo = [0u8];
    pty.read_exact(&mut echo).unwrap();
    assert_eq!(echo[0], what);
    crate::place::pass(Duration::from_millis(300));
}

#[test]
fn what_a_guest_did_while_no_daemon_ran_is_told_from_qemus_log() {
    let place = Place::new();
    let disk = place.path("disk.img");
    write_boot_sector(&disk);
    let devices = format!(
        "<devices><disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='{}'/>\
         <target dev='hda' bus='ide'/></disk><serial type='pty'/>",
        disk.display()
    );
    // What is kept after the one is destroyed after the other.
    for (number, (reboot, poweroff, what, is_kept)) in [
        ("destroy", "preserve", b'r', false),
        ("destroy", "preserve", b'p', true),
        ("preserve", "destroy", b'r', true),
        ("preserve", "destroy", b'p', false),
    ]
    .into_iter()
    .enumerate()
    {
        let domain = u8::try_from(number).unwrap();
        let daemon = place.daemon();
        let mut peer = Peer::connect(&place).unwrap();
        let xml = definition(0, domain, 1).replace(
            "<devices>",
            &format!(
                "<features><acpi/></features>\
                 <on_poweroff>{poweroff}</on_poweroff><on_reboot>{reboot}</on_reboot>{devices}"
            ),
        );
        peer.call::<p::DomainDefineXmlFlags>(&XmlFlags { xml: xml.into(), flags: 0 }).unwrap();
        start(&place, &mut peer, domain);
        do_alone(&place, peer, daemon, domain, what);
        let daemon = place.daemon();
        let mut peer = Peer::connect(&place).unwrap();
        let wanted = if is_kept { state::SHUTDOWN_USER.state } else { state::SHUTOFF_SHUTDOWN.state };
        until("what the guest did is known", || run_state(&mut peer, domain).0 == wanted);
        if is_kept {
            peer.call::<p::DomainDestroy>(&object(0, domain)).unwrap();
        }
        drop(daemon);
    }
}

/// Has the record of the only guest say that it is to be launched anew.
fn want_relaunch(place: &Place) {
    let guest = fs::read_dir(place.path("run/guests")).unwrap().next().unwrap().unwrap().path();
    let path = guest.join("status.json");
    let record = fs::read_to_string(&path).unwrap();
    assert!(record.contains("\"relaunch\": false"), "{record}");
    fs::write(&path, record.replace("\"relaunch\": false", "\"relaunch\": true")).unwrap();
}

#[test]
fn a_relaunch_is_finished_by_the_next_daemon() {
    let place = Place::new();
    let daemon = place.daemon();
    let mut peer = Peer::connect(&place).unwrap();
    // Without a definition it would be gone with its guest.
    let xml = definition(0, 0, 1).into();
    peer.call::<p::DomainCreateXml>(&XmlFlags { xml, flags: PAUSED }).unwrap();
    let mut old = *place.qemus().first_key_value().unwrap().0;
    drop((peer, daemon));
    // Once with a QEMU that is gone, once with one that has not heard of it yet.
    for is_gone in [true, false] {
        want_relaunch(&place);
        if is_gone {
            send("-KILL", old);
            until("QEMU is gone", || place.qemus().is_empty());
        }
        let daemon = place.daemon();
        until("there is another guest", || place.qemus().keys().any(|pid| *pid != old));
        until("its record is the only one", || fs::read_dir(place.path("run/guests")).unwrap().count() == 1);
        let mut peer = Peer::connect(&place).unwrap();
        assert_eq!(run_state(&mut peer, 0), of(&state::PAUSED_USER));
        assert_eq!(place.qemus().len(), 1);
        old = *place.qemus().first_key_value().unwrap().0;
        drop(daemon);
    }
    let daemon = place.daemon();
    let mut peer = Peer::connect(&place).unwrap();
    peer.call::<p::DomainDestroy>(&object(0, 0)).unwrap();
    assert_eq!(fs::read_dir(place.path("run/guests")).unwrap().count(), 0);
    drop(daemon);
}

#[test]
fn the_end_of_a_guest_that_was_taken_over_is_explained() {
    let place = Place::new();
    let daemon = place.daemon();
    let mut peer = Peer::connect(&place).unwrap();
    define(&mut peer, 0);
    let pid = start(&place, &mut peer, 0);
    drop((peer, daemon));
    let daemon = place.daemon();
    let mut peer = Peer::connect(&place).unwrap();
    send("-KILL", pid);
    until("the guest is known to be gone", || run_state(&mut peer, 0).0 == state::SHUTOFF_CRASHED.state);
    let said = messages(&mut peer, 0);
    // Linux tells it since 6.15; before, where nobody has reaped the process yet.
    assert!(said.iter().any(|line| line.contains("SIGKILL") || line.contains("only its parent")), "{said:?}");
    drop(daemon);
}

#[test]
fn a_qemu_that_a_script_started_ends_with_it() {
    use std::os::unix::fs::PermissionsExt as _;
    let place = Place::new();
    // With processes of its own the script would be the first, and all would go with it anyway.
    let user = fs::read_to_string(place.path("sevirtd.toml")).unwrap_or_else(|_| "[isolation]\n".to_owned());
    fs::write(place.path("sevirtd.toml"), format!("{user}namespaces = false\n")).unwrap();
    fs::set_permissions(place.path(""), fs::Permissions::from_mode(0o755)).unwrap();
    let emulator = place.path("emulator.sh");
    fs::write(&emulator, "#!/bin/sh\n/usr/bin/qemu-system-x86_64 \"$@\"\nexit $?\n").unwrap();
    fs::set_permissions(&emulator, fs::Permissions::from_mode(0o755)).unwrap();
    let daemon = place.daemon();
    let mut peer = Peer::connect(&place).unwrap();
    let xml = definition(0, 0, 1)
        .replace("<devices>", &format!("<devices><emulator>{}</emulator>", emulator.display()));
    peer.call::<p::DomainDefineXmlFlags>(&XmlFlags { xml: xml.into(), flags: 0 }).unwrap();
    peer.call::<p::DomainCreateWithFlags>(&DomFlags { dom: object(0, 0), flags: PAUSED }).unwrap();
    assert_eq!(place.qemus().len(), 1);
    peer.call::<p::DomainDestroy>(&object(0, 0)).unwrap();
    assert!(place.qemus().is_empty(), "QEMU is an orphan");
    drop(daemon);
}

/// A guest that executes these bytes, from a disk, and has this device.
fn run_bytes(place: &Place, peer: &mut Peer, domain: u8, code: &[u8], device: &str, on_crash: &str) {
    let mut sector = vec![0xf4; 510];
    sector[..code.len()].copy_from_slice(code);
    sector.extend([0x55, 0xaa]);
    sector.resize(1 << 20, 0);
    let disk = place.path(&format!("disk{domain}"));
    fs::write(&disk, sector).unwrap();
    let xml = definition(0, domain, 1).replace("<os>", &format!("<on_crash>{on_crash}</on_crash><os>")).replace(
        "<devices>",
        &format!(
            "<devices><disk type='file' device='disk'><source file='{}'/><target dev='hda' bus='ide'/></disk>{device}",
            disk.display()
        ),
    );
    peer.call::<p::DomainDefineXmlFlags>(&XmlFlags { xml: xml.into(), flags: 0 }).unwrap();
    peer.call::<p::DomainCreateWithFlags>(&DomFlags { dom: object(0, domain), flags: 0 }).unwrap();
}

/// The dumps that a domain has; each is an ELF file that holds what the guest executed, and its owner's alone.
fn dumps(place: &Place, domain: u8, code: &[u8]) -> usize {
    let directory = place.path("lib/dump").join(&*object(0, domain).name);
    let files: Vec<_> =
        fs::read_dir(directory).into_iter().flatten().map(|file| file.unwrap().path()).collect();
    for file in &files {
        let bytes = fs::read(file).unwrap();
        assert!(bytes.starts_with(b"\x7fELF"), "{}", file.display());
        assert!(bytes.windows(code.len()).any(|window| window == code), "the guest's code is not there");
        let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(file).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
    }
    files.len()
}

#[test]
fn a_guest_that_crashes_is_dumped_and_then_becomes_what_it_says() {
    // mov dx, 0x505; mov al, 1; out dx, al: pvpanic.
    const PANICS: &[u8] = &[0xba, 0x05, 0x05, 0xb0, 0x01, 0xee, 0xf4];
    let place = Place::new();
    let daemon = place.daemon();
    let mut peer = Peer::connect(&place).unwrap();
    run_bytes(&place, &mut peer, 0, PANICS, "<panic model='isa'/>", "coredump-destroy");
    until("the guest has crashed", || run_state(&mut peer, 0) == of(&state::SHUTOFF_CRASHED));
    assert_eq!(dumps(&place, 0, PANICS), 1);
    let said = messages(&mut peer, 0);
    assert!(said.iter().any(|line| line.contains("its memory was written to /")), "{said:?}");
    // One that is started again crashes again, and is not dumped without end.
    run_bytes(&place, &mut peer, 1, PANICS, "<panic model='isa'/>", "coredump-restart");
    until("it crashes once too often", || {
        messages(&mut peer, 1).iter().any(|line| line.contains("take some"))
    });
    peer.call::<p::DomainDestroy>(&object(0, 1)).unwrap();
    assert_eq!(dumps(&place, 1, PANICS), 5);
    drop(daemon);
}

#[test]
fn a_guest_whose_watchdog_fires_is_dumped_and_goes_on() {
    // mov dx, 0x443; mov al, 0xf; out dx, al: the watchdog fires at once.
    const FIRES: &[u8] = &[0xba, 0x43, 0x04, 0xb0, 0x0f, 0xee, 0xf4];
    let place = Place::new();
    let daemon = place.daemon();
    let mut peer = Peer::connect(&place).unwrap();
    let watchdog = "<watchdog model='ib700' action='dump'/>";
    run_bytes(&place, &mut peer, 0, FIRES, watchdog, "destroy");
    until("it was dumped and goes on", || {
        !messages(&mut peer, 0).is_empty() && run_state(&mut peer, 0) == of(&state::RUNNING_UNPAUSED)
    });
    assert_eq!(dumps(&place, 0, FIRES), 1);
    peer.call::<p::DomainDestroy>(&object(0, 0)).unwrap();
    drop(daemon);
}
