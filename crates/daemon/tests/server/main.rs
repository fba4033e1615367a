//! The daemon over real sockets: what a client may send, what it may leave undone, and what that costs others.

#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

mod common;
mod memory;
mod streams;

use std::io::{Read as _, Write as _};
use std::time::{Duration, Instant};

use daemon::server::{Command, LockError, Server, ServerError};
use rpc::error::Code;
use rpc::packet::{self, Kind, Status};
use rpc::remote::connect::{auth, feature};
use rpc::remote::procedure as call;
use rpc::remote::{Procedure, common as args, domain};
use rpc::{Header, Program, keepalive, remote};

use common::{Daemon, Heard, definition};

#[test]
fn what_virsh_asks_first() {
    let daemon = Daemon::start("");
    let mut client = daemon.connect();
    assert_eq!(client.call::<call::AuthList, _>(&(), |list| list.to_vec()).unwrap(), [auth::NONE]);
    let early = client.call::<call::ConnectGetUri, _>(&(), |_| ()).unwrap_err();
    assert_eq!(early.to_string(), "internal error: connection not open");
    client.open();
    let again = client.call::<call::ConnectOpen, _>(&common::open_args(0), |()| ()).unwrap_err();
    assert_eq!(again.to_string(), "internal error: connection already open");
    for (number, wanted) in [(feature::PROGRAM_KEEPALIVE, 1), (feature::REMOTE_EVENT_CALLBACK, 1), (1, 0)] {
        assert_eq!(client.call::<call::ConnectSupportsFeature, _>(&number, |it| it).unwrap(), wanted);
    }
    client.call::<call::ConnectRegisterCloseCallback, _>(&(), |()| ()).unwrap();
    client.call::<call::ConnectUnregisterCloseCallback, _>(&(), |()| ()).unwrap();
    client.call::<call::ConnectUnregisterCloseCallback, _>(&(), |()| ()).unwrap_err();
    let uri = client.call::<call::ConnectGetUri, _>(&(), |uri| uri.into_owned()).unwrap();
    assert_eq!(uri, "qemu:///system");
    client.call::<call::ConnectClose, _>(&(), |()| ()).unwrap();
}

#[test]
fn lengths_that_cannot_be_end_the_connection_and_no_other() {
    let daemon = Daemon::start("");
    let mut other = daemon.opened();
    // Too long for anybody; for one who has not opened; shorter than a header; a length of nothing.
    for length in [u32::MAX, 33 << 20, 65_537, 27, 0] {
        let mut socket = daemon.socket();
        let mut bytes = length.to_be_bytes().to_vec();
        bytes.extend([0; 64]);
        socket.write_all(&bytes).unwrap();
        assert_eq!(common::until_closed(&mut socket), 0, "{length}");
    }
    let mut opened = daemon.opened();
    opened.write(&(33u32 << 20).to_be_bytes());
    assert!(matches!(opened.hear(), Heard::Closed));
    other.ping();
}

#[test]
fn what_is_not_known_is_answered_and_the_connection_goes_on() {
    let daemon = Daemon::start("");
    let mut client = daemon.opened();
    for (program, procedure) in [
        (remote::PROGRAM, 9999),
        (remote::PROGRAM, -1),
        (remote::PROGRAM, Procedure::DomainMigratePrepare.number()),
        (rpc::qemu::PROGRAM, 77),
        (Program { number: 1, version: 1 }, 1),
        (Program { version: 2, ..remote::PROGRAM }, 1),
        // Only the server sends it.
        (remote::PROGRAM, Procedure::DomainEventCallbackLifecycle.number()),
    ] {
        let error = client.raw(program, procedure, &[]).unwrap_err();
        assert!([Code::RPC, Code::NO_SUPPORT].contains(&error.code), "{error}");
    }
    // Arguments that are too short, too long, or no text.
    let define = Procedure::DomainDefineXml.number();
    for bytes in [&[][..], &[0; 4095][..], &[0, 0, 0, 4, 255, 255, 255, 255]] {
        client.raw(remote::PROGRAM, define, bytes).unwrap_err();
    }
    // What nobody waits for.
    for kind in [Kind::Reply, Kind::Message, Kind::Stream, Kind::StreamHole] {
        client.write(&packet::encode_bytes(common::header(remote::PROGRAM, 1, kind, 7), &[]).unwrap());
    }
    client.ping();
}

#[test]
fn every_procedure_answers_whatever_it_is_asked_with() {
    let daemon = Daemon::start("");
    // Those of which nothing is known but the name have no arguments to decode.
    let spoken = |number| {
        let procedure = Procedure::from_number(number);
        procedure.is_some_and(|procedure| !matches!(remote::Call::decode(procedure, &[]), Ok(None)))
    };
    for number in 1..=460 {
        // Some end the connection, in order.
        let mut client = daemon.opened();
        for body in [&[][..], &[0; 4], &[0; 64]] {
            match client.raw(remote::PROGRAM, number, body) {
                Ok(_) => assert!(spoken(number), "{number} is answered, and nobody knows it"),
                Err(error) if spoken(number) => assert!(error.message.is_some(), "{number}: {error}"),
                // What libvirt's clients make "not supported" of; or that itself, for what only the server sends.
                Err(error) => {
                    let words = error.message.as_deref().unwrap_or_default();
                    let is_unknown = error.code == Code::RPC && words.starts_with("unknown procedure");
                    assert!(is_unknown || error.code == Code::NO_SUPPORT, "{number}: {error}");
                }
            }
            if number == Procedure::ConnectClose.number() {
                break;
            }
        }
    }
    let mut client = daemon.opened();
    for number in 0..=8 {
        match client.raw(rpc::qemu::PROGRAM, number, &[]) {
            Ok(_) => panic!("procedure {number} of QEMU's program takes no arguments"),
            Err(error) => assert!([Code::RPC, Code::NO_SUPPORT].contains(&error.code), "{number}: {error}"),
        }
    }
    // Pings of the client's are answered, and pongs that nobody asked for are not.
    client.ping();
}

#[test]
fn a_client_that_sends_ahead_is_answered_in_full() {
    const CALLS: usize = 20_000;
    let daemon = Daemon::start("");
    let mut client = daemon.opened();
    let mut bytes = Vec::new();
    for _ in 0..CALLS {
        bytes.extend(client.encode::<call::ConnectGetUri>(&()));
        bytes.extend(
            client.encode::<call::ConnectListAllDomains>(&args::ListAll { need_results: 1, flags: 0 }),
        );
    }
    bytes.extend(keepalive::Procedure::Ping.packet());
    let mut socket = client.socket.try_clone().unwrap();
    // Nothing is read while it is written: what does not fit in line stays with the client.
    let writer = std::thread::spawn(move || socket.write_all(&bytes).unwrap());
    let (mut answers, mut pongs) = (0, 0);
    while answers < 2 * CALLS || pongs == 0 {
        match client.hear() {
            Heard::Reply(message) => {
                assert_eq!(message.header.status, Status::Ok);
                answers += 1;
            }
            Heard::Pong => pongs += 1,
            other => panic!("{other:?}"),
        }
    }
    writer.join().unwrap();
}

#[test]
fn a_flood_does_not_starve_others() {
    let daemon = Daemon::start("");
    let mut flood = daemon.opened();
    let mut bytes = Vec::new();
    for _ in 0..30_000 {
        bytes.extend(flood.encode::<call::ConnectGetUri>(&()));
    }
    let mut socket = flood.socket.try_clone().unwrap();
    let writer = std::thread::spawn(move || {
        // It ends when the test has seen enough.
        let _ = socket.write_all(&bytes);
    });
    let mut other = daemon.opened();
    let mut longest = Duration::ZERO;
    let reader = {
        let mut socket = flood.socket.try_clone().unwrap();
        std::thread::spawn(move || {
            let mut buffer = vec![0; 1 << 20];
            while socket.read(&mut buffer).is_ok_and(|length| length > 0) {}
        })
    };
    for _ in 0..200 {
        let begin = Instant::now();
        other.call::<call::ConnectGetUri, _>(&(), |_| ()).unwrap();
        longest = longest.max(begin.elapsed());
    }
    flood.socket.shutdown(std::net::Shutdown::Both).unwrap();
    writer.join().unwrap();
    reader.join().unwrap();
    assert!(longest < Duration::from_secs(2), "one call took {longest:?} beside a flood");
}

#[test]
fn half_open_connections_are_closed_in_time() {
    let daemon = Daemon::start("[limits]\nhandshake_seconds = 1\n");
    let mut silent = daemon.socket();
    let mut partial = daemon.socket();
    partial.write_all(&[0, 0, 0, 28, 1, 2, 3]).unwrap();
    let mut listed = daemon.connect();
    listed.call::<call::AuthList, _>(&(), |_| ()).unwrap();
    let mut opened = daemon.opened();
    let begin = Instant::now();
    assert_eq!(common::until_closed(&mut silent), 0);
    assert_eq!(common::until_closed(&mut partial), 0);
    assert!(matches!(listed.hear(), Heard::Closed));
    assert!(begin.elapsed() > Duration::from_millis(800), "too early");
    opened.ping();
}

#[test]
fn clients_that_know_of_pings_are_pinged_and_the_dead_are_closed() {
    let daemon = Daemon::start("[keepalive]\ninterval_seconds = 1\ncount = 2\n");
    let mut alive = daemon.opened();
    let mut dead = daemon.opened();
    let mut old = daemon.opened();
    for client in [&mut alive, &mut dead] {
        let answer = client.call::<call::ConnectSupportsFeature, _>(&feature::PROGRAM_KEEPALIVE, |it| it);
        assert_eq!(answer.unwrap(), 1);
    }
    let mut pings = 0;
    while !matches!(dead.hear(), Heard::Closed) {
        pings += 1;
        // The other one answers.
        assert!(matches!(alive.hear(), Heard::Ping));
        alive.write(&keepalive::Procedure::Pong.packet());
    }
    assert_eq!(pings, 2);
    alive.ping();
    old.ping();
}

#[test]
fn events_that_nobody_reads_close_the_connection_and_no_other() {
    let daemon = Daemon::start("");
    let (mut deaf, mut listens, mut works) = (daemon.opened(), daemon.opened(), daemon.opened());
    let lifecycle = || domain::EventArgs { event_id: 0, dom: None };
    // Many registrations make many events of few changes.
    for _ in 0..200 {
        deaf.call::<call::ConnectDomainEventCallbackRegisterAny, _>(&lifecycle(), |it| it).unwrap();
    }
    let callback =
        listens.call::<call::ConnectDomainEventCallbackRegisterAny, _>(&lifecycle(), |it| it).unwrap();
    for _ in 0..80 {
        works.call::<call::DomainDefineXml, _>(&definition("a").into(), |_| ()).unwrap();
        match listens.hear() {
            Heard::Event(Procedure::DomainEventCallbackLifecycle, message) => {
                let event: remote::event::Lifecycle<'_> = message.decode().unwrap();
                assert_eq!((event.callback_id, event.event, &*event.dom.name), (callback, 0, "a"));
            }
            other => panic!("{other:?}"),
        }
    }
    let mut events = 0;
    while let Heard::Event(..) = deaf.hear() {
        events += 1;
    }
    assert!(events < 80 * 200, "all {events} events were kept for a client that does not read");
    listens.ping();
}

#[test]
fn registrations_are_taken_back_one_by_one() {
    let daemon = Daemon::start("");
    let mut client = daemon.opened();
    for event_id in 0..28 {
        let args = domain::EventArgs { event_id, dom: None };
        let callback = client.call::<call::ConnectDomainEventCallbackRegisterAny, _>(&args, |it| it).unwrap();
        assert_eq!(callback, event_id);
    }
    let args = domain::EventArgs { event_id: 28, dom: None };
    client.call::<call::ConnectDomainEventCallbackRegisterAny, _>(&args, |it| it).unwrap_err();
    for callback in 0..28 {
        client.call::<call::ConnectDomainEventCallbackDeregisterAny, _>(&callback, |()| ()).unwrap();
        client.call::<call::ConnectDomainEventCallbackDeregisterAny, _>(&callback, |()| ()).unwrap_err();
    }
    client.call::<call::DomainDefineXml, _>(&definition("a").into(), |_| ()).unwrap();
    client.ping();
}

#[test]
fn the_read_only_socket_only_reads() {
    let daemon = Daemon::start("");
    let mut client = daemon.read_only();
    client.open();
    client.call::<call::ConnectGetUri, _>(&(), |_| ()).unwrap();
    let error = client.call::<call::DomainDefineXml, _>(&definition("a").into(), |_| ()).unwrap_err();
    assert_eq!(error.code, Code::OPERATION_DENIED);
    // The other socket, when only reading is asked for.
    let mut client = daemon.connect();
    client.call::<call::ConnectOpen, _>(&common::open_args(1), |()| ()).unwrap();
    let error = client.call::<call::DomainDefineXml, _>(&definition("a").into(), |_| ()).unwrap_err();
    assert_eq!(error.code, Code::OPERATION_DENIED);
}

#[test]
fn who_is_not_in_the_allow_list_is_told_so() {
    let daemon = Daemon::start("[allow]\nwrite = []\nread = []\n");
    for mut client in [daemon.connect(), daemon.read_only()] {
        assert_eq!(client.call::<call::AuthList, _>(&(), |list| list.to_vec()).unwrap(), [auth::POLKIT]);
        let error = client.call::<call::AuthPolkit, _>(&(), |it| it).unwrap_err();
        assert_eq!(error.code, Code::AUTH_FAILED);
        assert!(error.to_string().contains("allow list"), "{error}");
        let error = client.call::<call::ConnectOpen, _>(&common::open_args(0), |()| ()).unwrap_err();
        assert_eq!(error.to_string(), "authentication required");
    }
}

#[test]
fn the_configuration_is_read_again() {
    let daemon = Daemon::start("");
    let mut before = daemon.opened();
    daemon.configure("[allow]\nwrite = []\nread = []\n");
    daemon.tell(Command::Reload);
    common::eventually(|| {
        let mut client = daemon.connect();
        client.call::<call::AuthList, _>(&(), |list| list.to_vec()).unwrap() == [auth::POLKIT]
    });
    // Whoever is in stays in.
    before.ping();
    // A file that is wrong changes nothing.
    daemon.configure("[allow]\nwrite = 1\n");
    daemon.tell(Command::Reload);
    let mut client = daemon.connect();
    assert_eq!(client.call::<call::AuthList, _>(&(), |list| list.to_vec()).unwrap(), [auth::POLKIT]);
}

#[test]
fn there_is_a_most_of_clients() {
    let daemon = Daemon::start("[limits]\nclients = 1\n");
    let mut kept = Vec::new();
    let refused = loop {
        let mut socket = daemon.socket();
        let mut client = rpc::Client::new();
        let (_, bytes) = client.call::<call::AuthList>(&()).unwrap();
        // It may be closed before it is written to.
        let _ = socket.write_all(&bytes);
        let mut buffer = [0; 64];
        match socket.read(&mut buffer) {
            Ok(0) | Err(_) => break kept.len(),
            Ok(_) => kept.push(socket),
        }
        assert!(kept.len() < 100);
    };
    // Some places are root's.
    let root = rustix::process::geteuid().is_root();
    assert_eq!(refused, if root { 17 } else { 1 });
    kept.clear();
    common::eventually(|| {
        let mut socket = daemon.socket();
        let (_, bytes) = rpc::Client::new().call::<call::AuthList>(&()).unwrap();
        socket.write_all(&bytes).is_ok() && socket.read(&mut [0; 64]).is_ok_and(|length| length > 0)
    });
}

#[test]
fn two_daemons_do_not_share_a_directory() {
    let daemon = Daemon::start("");
    let error = Server::open(daemon.paths(), daemon::config::Config::default_for(true)).unwrap_err();
    let own = std::process::id();
    assert!(matches!(error, ServerError::Lock(LockError::Held { pid: Some(pid), .. }) if pid == own));
    daemon.opened().ping();
}

#[test]
fn a_stop_ends_connections_and_removes_sockets() {
    let daemon = Daemon::start("");
    let mut client = daemon.opened();
    // What was sent before is answered.
    client.ping();
    let directory = daemon.stop();
    assert!(matches!(client.hear(), Heard::Closed));
    for socket in ["sevirt-sock", "sevirt-sock-ro"] {
        assert!(!directory.path().join("run").join(socket).exists(), "{socket} is left");
    }
    // The next one takes the same directory.
    let daemon = Daemon::start_in(directory, "");
    daemon.opened().ping();
}

#[test]
fn a_header_of_any_words_is_answered_or_ignored() {
    let daemon = Daemon::start("");
    let mut client = daemon.opened();
    let mut random = 0x9e37_79b9_7f4a_7c15u64;
    for _ in 0..2000 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let word = |shift: u32| u32::try_from((random >> shift) & 0xffff).unwrap();
        let kind = [Kind::Reply, Kind::Message, Kind::Stream, Kind::StreamHole]
            [usize::try_from(word(8) % 4).unwrap()];
        let program = if word(3) % 2 == 0 { remote::PROGRAM.number } else { word(5) };
        let header = Header {
            program,
            version: word(7) % 3,
            procedure: i32::try_from(word(11) % 500).unwrap(),
            kind,
            serial: word(20),
            status: [Status::Ok, Status::Error, Status::Continue][usize::try_from(word(13) % 3).unwrap()],
        };
        client.write(&packet::encode_bytes(header, &random.to_be_bytes()).unwrap());
    }
    client.ping();
}
