//! Calls and their replies, without a socket: both ends in one process.

use crate::incoming::{self, Incoming};
use crate::packet::Message;
use crate::program::Rights;
use crate::remote::common::DomFlags;
use crate::remote::domain::State;
use crate::remote::object::Domain;
use crate::remote::{Call, Reply, procedure};
use crate::xdr::{Text, Uuid};

use super::*;

/// A server that knows one domain, `demo`.
fn serve(bytes: &[u8]) -> Vec<u8> {
    let message = Decoder::new(Limit::Full).push(bytes).unwrap().unwrap();
    let reply = match incoming::read(&message, Rights::Full) {
        Incoming::Remote(Call::DomainLookupByName(name)) if name == "demo" => {
            Ok(Reply::DomainLookupByName(Domain::inactive("demo", Uuid([1; 16]))))
        }
        Incoming::Remote(Call::DomainLookupByName(name)) => Err(RemoteError::no_domain_named(&name)),
        Incoming::Remote(Call::DomainGetState(_)) => Ok(Reply::DomainGetState(State { state: 5, reason: 0 })),
        Incoming::Refused(error) => Err(*error),
        other => panic!("{other:?}"),
    };
    match reply {
        Ok(reply) => reply.encode(message.header.reply()).unwrap(),
        Err(error) => incoming::refuse(message.header, &error).unwrap(),
    }
}

fn answer(client: &mut Client, bytes: &[u8]) -> (u32, Message) {
    match client.push(&serve(bytes)).unwrap().unwrap() {
        Received::Reply { serial, message } => (serial, message),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_reply_finds_its_call() {
    let mut client = Client::new();
    let (first, lookup) = client.call::<procedure::DomainLookupByName>(&Text::from("demo")).unwrap();
    let (second, missing) = client.call::<procedure::DomainLookupByName>(&Text::from("none")).unwrap();
    assert_eq!((first, second, client.waiting()), (0, 1, 2));

    let (serial, message) = answer(&mut client, &missing);
    assert_eq!(serial, second);
    let error = Client::reply::<procedure::DomainLookupByName>(&message).unwrap_err();
    assert_eq!(error, CallError::Refused(Box::new(RemoteError::no_domain_named("none"))));

    let (serial, message) = answer(&mut client, &lookup);
    assert_eq!(serial, first);
    let dom = Client::reply::<procedure::DomainLookupByName>(&message).unwrap();
    assert_eq!((dom.name.as_ref(), dom.id), ("demo", -1));

    let (_, state) = client.call::<procedure::DomainGetState>(&DomFlags { dom, flags: 0 }).unwrap();
    let (_, message) = answer(&mut client, &state);
    let state = Client::reply::<procedure::DomainGetState>(&message).unwrap();
    assert_eq!((state.state, client.waiting()), (5, 0));
}

#[test]
fn a_reply_to_nothing_ends_the_connection() {
    let mut client = Client::new();
    let (_, bytes) = client.call::<procedure::DomainLookupByName>(&Text::from("demo")).unwrap();
    let reply = serve(&bytes);
    assert!(client.push(&reply).unwrap().is_some());
    assert_eq!(client.push(&reply), Err(ReceiveError::NoSuchCall { serial: 0 }));

    let (_, bytes) = client.call::<procedure::ConnectGetUri>(&()).unwrap();
    let reply = Reply::ConnectGetType(Text::from("QEMU"))
        .encode(Decoder::new(Limit::Full).push(&bytes).unwrap().unwrap().header.reply())
        .unwrap();
    assert_eq!(client.push(&reply), Err(ReceiveError::WrongProcedure { wanted: 110, got: 3 }));
}

#[test]
fn pings_and_events_are_told_apart() {
    let mut client = Client::new();
    assert_eq!(client.push(&keepalive::Procedure::Ping.packet()), Ok(Some(Received::Ping)));
    assert_eq!(client.push(&keepalive::Procedure::Pong.packet()), Ok(Some(Received::Pong)));
    let event = remote::Event::ConnectEventConnectionClosed(3);
    let header = Header {
        program: remote::PROGRAM.number,
        version: 1,
        procedure: 0,
        kind: Kind::Message,
        serial: 1,
        status: Status::Ok,
    };
    let Some(Received::Event { procedure, message }) = client.push(&event.encode(header).unwrap()).unwrap()
    else {
        panic!("an event")
    };
    assert_eq!(remote::Event::decode(procedure, message.payload()).unwrap(), Some(event));
}
