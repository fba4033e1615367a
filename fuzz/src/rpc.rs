//! libvirt's wire protocol from an enemy, who may be at either end: bytes in any pieces, and payloads of every kind.
//! A plain function: the fuzzer calls it, and so do the tests of `rpc`.

use rpc::incoming::{self, Incoming};
use rpc::packet::{self, Header};
use rpc::xdr::Writer;
use rpc::{Client, Decoder, Limit, Message, RemoteError, Rights, qemu, remote};

/// Panics where something that holds for all bytes does not hold for these. The first byte chooses the pieces.
pub fn run(data: &[u8]) {
    let Some((piece, bytes)) = data.split_first() else { return };
    let whole = messages(bytes, bytes.len().max(1), Limit::Full);
    let pieces = messages(bytes, usize::from(*piece).max(1), Limit::Full);
    assert!(whole == pieces, "the pieces in which bytes come make no difference");
    messages(bytes, usize::from(*piece).max(1), Limit::Handshake);
    for message in &whole {
        as_a_server(message);
        as_a_client(message);
    }
    let mut client = Client::new();
    let _ = client.call::<remote::procedure::ConnectGetUri>(&());
    let mut next = client.push(bytes);
    while let Ok(Some(_)) = next {
        next = client.push(&[]);
    }
}

/// What the bytes come apart into, before they go wrong.
fn messages(bytes: &[u8], piece: usize, limit: Limit) -> Vec<Message> {
    let mut decoder = Decoder::new(limit);
    let mut found = Vec::new();
    let mut received = 0;
    for piece in bytes.chunks(piece) {
        received += piece.len();
        let mut next = decoder.push(piece);
        assert!(decoder.allocated() <= 2 * received, "no more is kept than was received");
        while let Ok(Some(message)) = next {
            found.push(message);
            next = decoder.push(&[]);
        }
    }
    found
}

fn as_a_server(message: &Message) {
    for rights in [Rights::None, Rights::Read, Rights::Full] {
        match incoming::read(message, rights) {
            Incoming::Remote(call) => same(message, |to| call.write(to)),
            Incoming::Qemu(call) => same(message, |to| call.write(to)),
            Incoming::Refused(error) => {
                let answer = incoming::refuse(message.header, &error).expect("every refusal can be sent");
                let answer =
                    Decoder::new(Limit::Full).push(&answer).expect("it is a packet").expect("a whole one");
                assert_eq!(answer.header.serial, message.header.serial);
                assert!(answer.decode::<RemoteError<'_>>().is_ok());
            }
            Incoming::Stream | Incoming::Ping | Incoming::Pong | Incoming::Ignored => {}
        }
    }
}

fn as_a_client(message: &Message) {
    let Header { procedure, .. } = message.header;
    if let Some(procedure) = remote::Procedure::from_number(procedure) {
        if let Ok(Some(reply)) = remote::Reply::decode(procedure, message.payload()) {
            same(message, |to| reply.write(to));
        }
        if let Ok(Some(event)) = remote::Event::decode(procedure, message.payload()) {
            same(message, |to| event.write(to));
        }
    }
    if let Some(procedure) = qemu::Procedure::from_number(procedure) {
        if let Ok(Some(reply)) = qemu::Reply::decode(procedure, message.payload()) {
            same(message, |to| reply.write(to));
        }
        if let Ok(Some(event)) = qemu::Event::decode(procedure, message.payload()) {
            same(message, |to| event.write(to));
        }
    }
    if let Ok(error) = message.decode::<RemoteError<'_>>() {
        same(message, |to| rpc::xdr::Xdr::write(&error, to));
    }
}

/// What decoded has one form: the one that it was decoded from.
fn same(message: &Message, write: impl FnOnce(&mut Writer) -> Result<(), rpc::xdr::EncodeError>) {
    let again = packet::encode_with(message.header, write).expect("what was received can be sent");
    assert_eq!(&again[packet::LENGTH_BYTES + packet::HEADER_BYTES..], message.payload());
}
