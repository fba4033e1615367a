//! Recorded packets as text that can be read: who sent what, its words, and the name of the field that each line is.
//!
//! ```text
//! client call remote DOMAIN_LOOKUP_BY_NAME serial 6
//!   00000024 20008086 00000001 00000017 00000000 00000006 00000000  # header
//!   00000004 64656d6f                                               # "demo"
//! ```
//!
//! Only the words in hexadecimal count; all else is made from them, and the test makes it again.

use std::fmt::Write;

use rpc::packet::{Header, Kind, Message, Status};
use rpc::xdr::{DecodeError, EncodeError, Writer, Xdr};
use rpc::{Decoder, Limit, Program, RemoteError, keepalive, qemu, remote};

/// Who sent a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Client,
    Server,
}

/// One packet as it was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Packet {
    pub(crate) side: Side,
    pub(crate) bytes: Vec<u8>,
}

/// What a packet's payload decodes to, and how it encodes again.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Payload<'a> {
    Call(remote::Call<'a>),
    Reply(remote::Reply<'a>),
    Event(remote::Event<'a>),
    QemuCall(qemu::Call<'a>),
    QemuReply(qemu::Reply<'a>),
    QemuEvent(qemu::Event<'a>),
    Error(Box<RemoteError<'a>>),
    /// A piece of a stream.
    Data(&'a [u8]),
    /// Keepalive, and what has no type here.
    Bare(&'a [u8]),
}

impl<'a> Payload<'a> {
    pub(crate) fn read(message: &'a Message) -> Result<Self, DecodeError> {
        let Header { program, version, procedure, kind, status, .. } = message.header;
        let payload = message.payload();
        if matches!(kind, Kind::Stream | Kind::StreamHole) && (status != Status::Error || payload.is_empty())
        {
            return Ok(Self::Data(payload));
        }
        if status == Status::Error {
            return Ok(Self::Error(Box::new(message.decode()?)));
        }
        let known = match (Program { number: program, version }) {
            remote::PROGRAM => match (remote::Procedure::from_number(procedure), kind) {
                (Some(procedure), Kind::Call) => remote::Call::decode(procedure, payload)?.map(Self::Call),
                (Some(procedure), Kind::Reply) => remote::Reply::decode(procedure, payload)?.map(Self::Reply),
                (Some(procedure), _) => remote::Event::decode(procedure, payload)?.map(Self::Event),
                (None, _) => None,
            },
            qemu::PROGRAM => match (qemu::Procedure::from_number(procedure), kind) {
                (Some(procedure), Kind::Call) => qemu::Call::decode(procedure, payload)?.map(Self::QemuCall),
                (Some(procedure), Kind::Reply) => {
                    qemu::Reply::decode(procedure, payload)?.map(Self::QemuReply)
                }
                (Some(procedure), _) => qemu::Event::decode(procedure, payload)?.map(Self::QemuEvent),
                (None, _) => None,
            },
            _ => None,
        };
        Ok(known.unwrap_or(Self::Bare(payload)))
    }

    pub(crate) fn write(&self, to: &mut Writer) -> Result<(), EncodeError> {
        match self {
            Self::Call(call) => call.write(to),
            Self::Reply(reply) => reply.write(to),
            Self::Event(event) => event.write(to),
            Self::QemuCall(call) => call.write(to),
            Self::QemuReply(reply) => reply.write(to),
            Self::QemuEvent(event) => event.write(to),
            Self::Error(error) => error.write(to),
            Self::Data(_) | Self::Bare(_) => Ok(()),
        }
    }
}

pub(crate) fn message(bytes: &[u8]) -> Message {
    Decoder::new(Limit::Full).push(bytes).unwrap().unwrap()
}

fn name(header: Header) -> String {
    let number = header.procedure;
    match (Program { number: header.program, version: header.version }, number) {
        (remote::PROGRAM, _) => {
            remote::Procedure::from_number(number).map(|procedure| format!("remote {procedure}"))
        }
        (qemu::PROGRAM, _) => {
            qemu::Procedure::from_number(number).map(|procedure| format!("qemu {procedure}"))
        }
        (keepalive::PROGRAM, 1) => Some("keepalive PING".to_owned()),
        (keepalive::PROGRAM, 2) => Some("keepalive PONG".to_owned()),
        _ => None,
    }
    .unwrap_or_else(|| format!("{:#x} {number}", header.program))
}

/// The packet as it stands in a fixture.
pub(crate) fn render(packet: &Packet) -> String {
    let message = message(&packet.bytes);
    let header = message.header;
    let mut text = String::new();
    let side = match packet.side {
        Side::Client => "client",
        Side::Server => "server",
    };
    let kind = match header.kind {
        Kind::Call => "call",
        Kind::Reply => "reply",
        Kind::Message => "message",
        Kind::Stream => "stream",
        Kind::CallWithFds => "call-with-fds",
        Kind::ReplyWithFds => "reply-with-fds",
        Kind::StreamHole => "stream-hole",
    };
    let status = match header.status {
        Status::Ok => "",
        Status::Error => " error",
        Status::Continue => " continue",
    };
    writeln!(text, "{side} {kind}{status} {} serial {}", name(header), header.serial).unwrap();
    line(&mut text, &packet.bytes[..28], "header");
    let payload = Payload::read(&message).unwrap();
    let mut writer = Writer::marking();
    payload.write(&mut writer).unwrap();
    let (bytes, marks) = writer.into_marked_bytes();
    if bytes.is_empty() {
        let what = if matches!(payload, Payload::Bare(_)) { "untyped" } else { "data" };
        field(&mut text, message.payload(), what);
        return text;
    }
    let mut start = 0;
    let mut path = "value".to_owned();
    for mark in marks {
        if mark.at > start {
            field(&mut text, &bytes[start..mark.at], &path);
            start = mark.at;
            path = mark.name.to_owned();
        } else if mark.at == 0 && path == "value" {
            path = mark.name.to_owned();
        } else {
            path = format!("{path}.{}", mark.name);
        }
    }
    field(&mut text, &bytes[start..], &path);
    text
}

/// A field's words, with its name and what can be read of it.
fn field(text: &mut String, bytes: &[u8], name: &str) {
    let longest = readable(bytes);
    let note = match longest.len() {
        0..3 => name.to_owned(),
        3..=40 => format!("{name} \"{longest}\""),
        _ => format!("{name} \"{}…\"", &longest[..40]),
    };
    let mut note = note.as_str();
    for chunk in bytes.chunks(32) {
        line(text, chunk, note);
        note = "";
    }
}

/// The longest run of ASCII that begins at a word, as strings do.
fn readable(bytes: &[u8]) -> &str {
    let mut longest = "";
    let mut start = 4;
    while start < bytes.len() {
        let run = bytes[start..].iter().take_while(|byte| (b' '..=b'~').contains(*byte)).count();
        if run > longest.len() {
            longest = std::str::from_utf8(&bytes[start..start + run]).unwrap();
        }
        start += run.next_multiple_of(4).max(4);
    }
    longest
}

fn line(text: &mut String, bytes: &[u8], note: &str) {
    let words: Vec<String> =
        bytes.chunks(4).map(|word| word.iter().map(|byte| format!("{byte:02x}")).collect()).collect();
    let words = words.join(" ");
    let line = if note.is_empty() { format!("  {words}") } else { format!("  {words:<71}  # {note}") };
    writeln!(text, "{}", line.trim_end()).unwrap();
}
