//! Reads character devices: `<serial>`, `<console>`, `<channel>`, and the sources that others use as well.

use super::{address::read_info, reader::Reader};
use crate::model::{
    chardev::{
        Channel, ChannelTarget, CharKind, CharLog, CharSource, Console, Endpoint, Reconnect, Serial,
        SocketMode,
    },
    keyword::keywords,
};

keywords! {
    /// `type=…` of a character device.
    enum CharType {
        Null = "null",
        Vc = "vc",
        Pty = "pty",
        Dev = "dev",
        File = "file",
        Pipe = "pipe",
        Stdio = "stdio",
        Udp = "udp",
        Tcp = "tcp",
        Unix = "unix",
        SpiceVmc = "spicevmc",
        SpicePort = "spiceport",
        QemuVdagent = "qemu-vdagent",
        Dbus = "dbus",
    }
}

keywords! {
    /// `<target type=…>` of `<channel>`.
    enum ChannelKind {
        Virtio = "virtio",
        Guestfwd = "guestfwd",
    }
}

/// Reads `<serial>`.
pub(super) fn read_serial(reader: &Reader<'_, '_>) -> Option<Serial> {
    let source = read_source(reader)?;
    let mut serial = Serial { source, info: read_info(reader), ..Serial::default() };
    if let Some(target) = reader.child("target") {
        serial.target = target.known_word("type");
        serial.port = target.number("port");
        serial.model = target.child("model").and_then(|model| model.known_word("name"));
    }
    Some(serial)
}

/// Reads `<console>`.
pub(super) fn read_console(reader: &Reader<'_, '_>) -> Option<Console> {
    let mut console = Console { source: read_source(reader)?, info: read_info(reader), ..Console::default() };
    if let Some(target) = reader.child("target") {
        console.target = target.known_word("type").unwrap_or_default();
        console.port = target.number("port");
    }
    Some(console)
}

/// Reads `<channel>`.
pub(super) fn read_channel(reader: &Reader<'_, '_>) -> Option<Channel> {
    let source = read_source(reader)?;
    let Some(target) = reader.child("target") else {
        reader.settle();
        reader.missing("element `target`");
        return None;
    };
    let target = match target.discriminator("type") {
        Some(ChannelKind::Virtio) => {
            ChannelTarget::Virtio { name: target.string("name"), state: target.word("state") }
        }
        Some(ChannelKind::Guestfwd) => ChannelTarget::Guestfwd {
            address: target.required_string("address"),
            port: target.number("port").unwrap_or_else(|| {
                target.missing("attribute `port`");
                0
            }),
        },
        None => {
            reader.leave();
            return None;
        }
    };
    Some(Channel { source, target, info: read_info(reader) })
}

/// Reads the kind, the source and the log of a character device that `reader` stands on.
pub(super) fn read_source(reader: &Reader<'_, '_>) -> Option<CharSource> {
    let kind = match reader.discriminator("type")? {
        CharType::Null => CharKind::Null,
        CharType::Vc => CharKind::Vc,
        CharType::Stdio => CharKind::Stdio,
        CharType::SpiceVmc => CharKind::SpiceVmc,
        CharType::Pty => read_pty(reader),
        CharType::Dev => CharKind::Dev { path: required(reader, "path") },
        CharType::Pipe => CharKind::Pipe { path: required(reader, "path") },
        CharType::File => read_file(reader),
        CharType::Udp => read_udp(reader),
        CharType::Tcp => read_tcp(reader),
        CharType::Unix => reader.child("source").map_or_else(unnamed_socket, |source| read_unix(&source)),
        CharType::SpicePort => CharKind::SpicePort { channel: required(reader, "channel") },
        CharType::Dbus => CharKind::Dbus { channel: required(reader, "channel") },
        CharType::QemuVdagent => read_vdagent(reader),
    };
    let log = reader
        .child("log")
        .map(|log| CharLog { file: log.required_string("file"), append: log.on_off("append") });
    Some(CharSource { kind, log })
}

/// An attribute of `<source>`, both of which must be there.
fn required(reader: &Reader<'_, '_>, name: &'static str) -> String {
    match reader.child("source") {
        Some(source) => source.required_string(name),
        None => {
            reader.missing("element `source`");
            String::new()
        }
    }
}

/// The path of a live pseudo terminal also stands in `tty` of the device itself.
fn read_pty(reader: &Reader<'_, '_>) -> CharKind {
    let tty = reader.string("tty");
    CharKind::Pty { path: reader.child("source").and_then(|source| source.string("path")).or(tty) }
}

fn read_file(reader: &Reader<'_, '_>) -> CharKind {
    let Some(source) = reader.child("source") else {
        reader.missing("element `source`");
        return CharKind::File { path: String::new(), append: None };
    };
    CharKind::File { path: source.required_string("path"), append: source.on_off("append") }
}

fn read_udp(reader: &Reader<'_, '_>) -> CharKind {
    let (mut connect, mut bind) = (Endpoint::default(), Endpoint::default());
    for source in reader.children("source") {
        let endpoint = read_endpoint(&source);
        match source.word("mode") {
            Some(SocketMode::Bind) => bind = endpoint,
            Some(SocketMode::Connect) | None => connect = endpoint,
        }
    }
    if connect.service.is_none() {
        reader.missing("the service to send to");
    }
    CharKind::Udp { connect, bind }
}

fn read_endpoint(source: &Reader<'_, '_>) -> Endpoint {
    Endpoint { host: source.string("host"), service: source.string("service") }
}

fn read_tcp(reader: &Reader<'_, '_>) -> CharKind {
    let protocol = reader.child("protocol").and_then(|protocol| protocol.word("type")).unwrap_or_default();
    let Some(source) = reader.child("source") else {
        reader.missing("element `source`");
        return CharKind::Null;
    };
    let endpoint = read_endpoint(&source);
    if endpoint.host.is_none() {
        source.missing("attribute `host`");
    }
    if endpoint.service.is_none() {
        source.missing("attribute `service`");
    }
    CharKind::Tcp {
        mode: source.word("mode").unwrap_or_default(),
        endpoint,
        protocol,
        tls: source.yes_no("tls"),
        reconnect: read_reconnect(&source),
    }
}

fn read_unix(source: &Reader<'_, '_>) -> CharKind {
    let mode = source.word("mode").unwrap_or_default();
    let path = source.string("path").filter(|path| !path.is_empty());
    let reconnect = read_reconnect(source);
    match path {
        Some(path) => CharKind::Unix { mode, path: Some(path), reconnect },
        None => unnamed_socket(),
    }
}

/// A socket that QEMU is to make at a place chosen at start.
fn unnamed_socket() -> CharKind {
    CharKind::Unix { mode: SocketMode::Bind, path: None, reconnect: None }
}

/// A Unix socket whose type stands in the `<source>` itself.
pub(super) fn read_typed_unix_source(source: &Reader<'_, '_>) -> Option<CharSource> {
    match source.discriminator("type")? {
        CharType::Unix => match read_unix(source) {
            CharKind::Unix { path: None, .. } => {
                source.missing("attribute `path`");
                None
            }
            kind => Some(CharSource { kind, log: None }),
        },
        other => {
            source.not_modelled(&format!("a source of the kind `{other}` is not supported here"));
            None
        }
    }
}

fn read_reconnect(source: &Reader<'_, '_>) -> Option<Reconnect> {
    let reconnect = source.child("reconnect")?;
    let timeout = reconnect.number("timeout");
    Some(Reconnect { enabled: reconnect.yes_no("enabled")?, timeout })
}

fn read_vdagent(reader: &Reader<'_, '_>) -> CharKind {
    let source = reader.child("source");
    let source = source.as_ref();
    CharKind::QemuVdagent {
        clipboard_copypaste: source.and_then(|s| s.child("clipboard")).and_then(|c| c.yes_no("copypaste")),
        mouse_mode: source.and_then(|s| s.child("mouse")).and_then(|mouse| mouse.word("mode")),
    }
}
