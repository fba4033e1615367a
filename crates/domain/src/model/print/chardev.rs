//! Prints `<serial>`, `<console>`, `<channel>`, and the sources that others use as well.

use super::{PrintForm, node::Node};
use crate::model::chardev::{
    Channel, ChannelTarget, CharKind, CharSource, Console, Endpoint, Reconnect, Serial, SocketMode,
};

pub(super) fn print_serial(serial: &Serial, form: PrintForm) -> Node {
    let target = Node::new("target")
        .word("type", serial.target)
        .opt("port", serial.port)
        .maybe(serial.model.map(|model| Node::new("model").attr("name", model)));
    print_source(Node::new("serial"), &serial.source, form)
        .maybe(target.unless_empty())
        .info(&serial.info, form)
}

pub(super) fn print_console(console: &Console, form: PrintForm) -> Node {
    let tty = match &console.source.kind {
        CharKind::Pty { path: Some(path) } if form.is_live() => Some(path),
        _ => None,
    };
    let target = Node::new("target").attr("type", console.target).opt("port", console.port);
    print_typed_source(Node::new("console"), &console.source, form, |node| node.opt("tty", tty))
        .child(target)
        .info(&console.info, form)
}

pub(super) fn print_channel(channel: &Channel, form: PrintForm) -> Node {
    let target = match &channel.target {
        ChannelTarget::Virtio { name, state } => Node::new("target")
            .attr("type", "virtio")
            .opt("name", name.as_ref())
            .word("state", state.filter(|_| form.is_live())),
        ChannelTarget::Guestfwd { address, port } => {
            Node::new("target").attr("type", "guestfwd").attr("address", address).attr("port", port)
        }
    };
    print_source(Node::new("channel"), &channel.source, form).child(target).info(&channel.info, form)
}

/// Adds the type, the source and the log of a character device to its element.
pub(super) fn print_source(node: Node, source: &CharSource, form: PrintForm) -> Node {
    print_typed_source(node, source, form, |node| node)
}

/// The same, with attributes between the type and the children.
fn print_typed_source(
    node: Node,
    source: &CharSource,
    form: PrintForm,
    attributes: impl FnOnce(Node) -> Node,
) -> Node {
    let node = attributes(node.attr("type", type_name(&source.kind)));
    let node = match &source.kind {
        CharKind::Tcp { protocol, .. } => {
            node.all(print_sources(&source.kind, form)).child(Node::new("protocol").attr("type", protocol))
        }
        kind => node.all(print_sources(kind, form)),
    };
    let log =
        source.log.as_ref().map(|log| Node::new("log").attr("file", &log.file).on_off("append", log.append));
    node.maybe(log)
}

fn type_name(kind: &CharKind) -> &'static str {
    match kind {
        CharKind::Null => "null",
        CharKind::Vc => "vc",
        CharKind::Pty { .. } => "pty",
        CharKind::Dev { .. } => "dev",
        CharKind::File { .. } => "file",
        CharKind::Pipe { .. } => "pipe",
        CharKind::Stdio => "stdio",
        CharKind::Udp { .. } => "udp",
        CharKind::Tcp { .. } => "tcp",
        CharKind::Unix { .. } => "unix",
        CharKind::SpiceVmc => "spicevmc",
        CharKind::SpicePort { .. } => "spiceport",
        CharKind::QemuVdagent { .. } => "qemu-vdagent",
        CharKind::Dbus { .. } => "dbus",
    }
}

fn print_sources(kind: &CharKind, form: PrintForm) -> Vec<Node> {
    let source = Node::new("source");
    let one = match kind {
        CharKind::Null | CharKind::Vc | CharKind::Stdio | CharKind::SpiceVmc => None,
        CharKind::Pty { path } => {
            path.as_ref().filter(|_| form.is_live()).map(|path| source.attr("path", path))
        }
        CharKind::Dev { path } | CharKind::Pipe { path } => Some(source.attr("path", path)),
        CharKind::File { path, append } => Some(source.attr("path", path).on_off("append", *append)),
        CharKind::SpicePort { channel } | CharKind::Dbus { channel } => Some(source.attr("channel", channel)),
        CharKind::Udp { connect, bind } => {
            let has_bind = *bind != Endpoint::default();
            let bind = has_bind.then(|| print_endpoint(SocketMode::Bind, bind));
            return bind.into_iter().chain([print_endpoint(SocketMode::Connect, connect)]).collect();
        }
        CharKind::Tcp { mode, endpoint, tls, reconnect, .. } => {
            Some(print_endpoint(*mode, endpoint).yes_no("tls", *tls).maybe(reconnect.map(print_reconnect)))
        }
        CharKind::Unix { .. } => print_unix(source, kind),
        CharKind::QemuVdagent { clipboard_copypaste, mouse_mode } => source
            .maybe(Node::new("clipboard").yes_no("copypaste", *clipboard_copypaste).unless_empty())
            .maybe(Node::new("mouse").word("mode", *mouse_mode).unless_empty())
            .unless_empty(),
    };
    one.into_iter().collect()
}

/// The source of a Unix socket, unless its place is chosen at start.
fn print_unix(source: Node, kind: &CharKind) -> Option<Node> {
    let CharKind::Unix { mode, path: Some(path), reconnect } = kind else {
        return None;
    };
    Some(source.attr("mode", mode).attr("path", path).maybe(reconnect.map(print_reconnect)))
}

/// A Unix socket whose type stands in the `<source>` itself.
pub(super) fn print_typed_unix_source(source: &CharSource) -> Option<Node> {
    print_unix(Node::new("source").attr("type", "unix"), &source.kind)
}

fn print_endpoint(mode: SocketMode, endpoint: &Endpoint) -> Node {
    Node::new("source")
        .attr("mode", mode)
        .opt("host", endpoint.host.as_ref())
        .opt("service", endpoint.service.as_ref())
}

fn print_reconnect(reconnect: Reconnect) -> Node {
    Node::new("reconnect").attr("enabled", reconnect.enabled.yes_no()).opt("timeout", reconnect.timeout)
}
