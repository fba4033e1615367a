//! Nothing that waits for an answer goes without one.

use crate::error::{Code, LEVEL_ERROR, Origin};
use crate::packet::{Decoder, Limit};
use crate::xdr::Text;

use super::*;

fn header(program: u32, procedure: i32, kind: Kind) -> Header {
    Header { program, version: 1, procedure, kind, serial: 9, status: Status::Ok }
}

fn message(header: Header, payload: &[u8]) -> Message {
    let packet = packet::encode_bytes(header, payload).unwrap();
    Decoder::new(Limit::Full).push(&packet).unwrap().unwrap()
}

const REMOTE: u32 = 0x2000_8086;

/// How a call is answered: what the client sees of it.
#[track_caller]
fn refused(header: Header, payload: &[u8], rights: Rights) -> RemoteError<'static> {
    match read(&message(header, payload), rights) {
        Incoming::Refused(error) => {
            let packet = refuse(header, &error).unwrap();
            let answer = Decoder::new(Limit::Full).push(&packet).unwrap().unwrap();
            assert_eq!((answer.header.kind, answer.header.status), (Kind::Reply, Status::Error));
            assert_eq!(answer.header.serial, header.serial);
            assert_eq!(answer.decode::<RemoteError<'_>>().unwrap(), *error);
            *error
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_call_is_read_with_its_arguments() {
    let call = message(header(REMOTE, 23, Kind::Call), b"\0\0\0\x04demo");
    assert_eq!(
        read(&call, Rights::Read),
        Incoming::Remote(remote::Call::DomainLookupByName(Text::from("demo")))
    );
    let call = message(header(0x2000_8087, 5, Kind::Call), &[0, 0, 0, 1]);
    assert_eq!(read(&call, Rights::Full), Incoming::Qemu(qemu::Call::ConnectDomainMonitorEventDeregister(1)));
}

#[test]
fn what_is_not_spoken_is_answered_so_that_clients_say_not_supported() {
    for (program, procedure, words) in [
        (REMOTE, 0, "unknown procedure: 0"),
        (REMOTE, 454, "unknown procedure: 454"),
        (REMOTE, -1, "unknown procedure: -1"),
        (REMOTE, 214, "unknown procedure: 214 (DOMAIN_MIGRATE_PREPARE3)"),
        (0x2000_8087, 2, "unknown procedure: 2 (DOMAIN_ATTACH)"),
        (0x2000_8087, 99, "unknown procedure: 99"),
    ] {
        for kind in [Kind::Call, Kind::CallWithFds] {
            let error = refused(header(program, procedure, kind), &[0; 8], Rights::Full);
            // What libvirt's client looks at: virnetclientprogram.c.
            assert_eq!((error.code, error.domain, error.level), (Code::RPC, Origin::RPC, LEVEL_ERROR));
            assert_eq!(error.to_string(), words);
        }
    }
}

#[test]
fn every_procedure_in_the_tables_is_answered() {
    for procedure in remote::Procedure::ALL {
        match read(&message(header(REMOTE, procedure.number(), Kind::Call), &[]), Rights::Full) {
            Incoming::Remote(call) => assert_eq!(call.procedure(), *procedure),
            Incoming::Refused(error) => assert!(matches!(error.code, Code::RPC | Code::NO_SUPPORT)),
            other => panic!("{procedure}: {other:?}"),
        }
    }
}

#[test]
fn other_programs_are_refused() {
    let error = refused(header(0x0690_0690, 1, Kind::Call), &[], Rights::Full);
    assert_eq!(error.to_string(), "Cannot find program 110102160 version 1");
    let other_version = Header { version: 2, ..header(REMOTE, 1, Kind::Call) };
    assert_eq!(
        refused(other_version, &[], Rights::Full).to_string(),
        "Cannot find program 536903814 version 2"
    );
}

#[test]
fn arguments_that_do_not_decode_are_told_and_the_connection_goes_on() {
    let error = refused(header(REMOTE, 23, Kind::Call), b"\0\0\0\x04dem", Rights::Full);
    assert_eq!(
        error.to_string(),
        "Unable to decode the arguments of DOMAIN_LOOKUP_BY_NAME: 4 bytes wanted, 3 left"
    );
    let trailing = refused(header(REMOTE, 66, Kind::Call), &[0; 4], Rights::None);
    assert_eq!(
        trailing.to_string(),
        "Unable to decode the arguments of AUTH_LIST: 4 bytes after the last field"
    );
}

#[test]
fn rights_are_looked_at_before_arguments() {
    let create = header(REMOTE, 9, Kind::Call);
    assert_eq!(refused(create, b"rubbish", Rights::None).to_string(), "authentication required");
    let error = refused(create, b"rubbish", Rights::Read);
    assert_eq!(error.code, Code::OPERATION_DENIED);
    assert_eq!(error.to_string(), "operation forbidden: read only access prevents DOMAIN_CREATE");
    let event = refused(header(REMOTE, 318, Kind::Call), &[], Rights::Full);
    assert_eq!(event.code, Code::NO_SUPPORT);
}

#[test]
fn a_failed_status_is_refused() {
    let call = Header { status: Status::Error, ..header(REMOTE, 1, Kind::Call) };
    assert_eq!(refused(call, &[], Rights::Full).to_string(), "Unexpected message status 1");
}

#[test]
fn keepalive_and_streams_are_told_apart() {
    let ping = keepalive::Procedure::Ping.header();
    assert_eq!(read(&message(ping, &[]), Rights::None), Incoming::Ping);
    assert_eq!(read(&message(keepalive::Procedure::Pong.header(), &[]), Rights::None), Incoming::Pong);
    assert_eq!(read(&message(Header { procedure: 3, ..ping }, &[]), Rights::None), Incoming::Ignored);
    assert_eq!(read(&message(header(REMOTE, 201, Kind::Stream), b"ls\r"), Rights::Full), Incoming::Stream);
    assert_eq!(
        read(&message(header(REMOTE, 208, Kind::StreamHole), &[0; 12]), Rights::Full),
        Incoming::Stream
    );
    for kind in [Kind::Reply, Kind::Message] {
        assert_eq!(read(&message(header(REMOTE, 1, kind), &[]), Rights::Full), Incoming::Ignored);
    }
}

#[test]
fn who_may_wait_is_known_from_the_header() {
    assert_eq!(priority(header(REMOTE, 9, Kind::Call)), Priority::Low);
    assert_eq!(priority(header(REMOTE, 12, Kind::Call)), Priority::High);
    assert_eq!(priority(header(0x2000_8087, 1, Kind::Call)), Priority::Low);
    assert_eq!(priority(header(7, 1, Kind::Call)), Priority::High);
}
