//! Character devices: `-chardev pty,id=charserial0`.

use domain::model::{
    Switch,
    chardev::{CharKind, CharSource, MouseMode, Reconnect, SocketMode, TcpProtocol},
};

use super::{Argument, KeyValues, Properties};
use crate::plan::{PlanError, Surroundings};

/// Descriptors handed to QEMU under numbers of its own, `-add-fd set=N,…`, counted over the whole command line.
#[derive(Debug, Default)]
pub(crate) struct FdSets {
    next: u32,
}

impl FdSets {
    /// Adds a descriptor, and returns the path by which QEMU opens it.
    pub(crate) fn add(&mut self, fd: i32, what: &str, arguments: &mut Vec<Argument>) -> String {
        let set = self.next;
        self.next += 1;
        let value =
            KeyValues::default().with("set", set.to_string()).with("fd", fd.to_string()).with("opaque", what);
        arguments.push(Argument::pairs("-add-fd", value));
        format!("/dev/fdset/{set}")
    }
}

/// The options for the host's side of a character device: what it needs first, and the device `char<ID>`.
pub(crate) fn chardev(
    source: &CharSource,
    id: &str,
    here: &Surroundings,
    sets: &mut FdSets,
) -> Result<Vec<Argument>, PlanError> {
    let fds = &here.fds;
    let mut arguments = Vec::new();
    let device = |backend: &str| KeyValues::bare(backend).with("id", format!("char{id}"));
    let value = match &source.kind {
        CharKind::Null => device("null"),
        CharKind::Vc => device("vc"),
        CharKind::Pty { .. } => device("pty"),
        CharKind::Stdio => device("stdio"),
        CharKind::Dev { path } => device("serial").with("path", path),
        CharKind::Pipe { path } => device("pipe").with("path", path),
        CharKind::File { path, append } => {
            let what = format!("{id}-source");
            match fds.files.get(&what) {
                // Whoever opened the file has already cut it, or not.
                Some(&fd) => {
                    let path = sets.add(fd, &what, &mut arguments);
                    device("file").with("path", path).switch("append", true)
                }
                None => device("file").with("path", path).with_some("append", append.map(Switch::on_off)),
            }
        }
        CharKind::Udp { connect, bind } => device("udp")
            .with("host", connect.host.as_deref().unwrap_or_default())
            .with("port", connect.service.as_deref().unwrap_or_default())
            .with("localaddr", bind.host.as_deref().unwrap_or_default())
            .with("localport", bind.service.as_deref().unwrap_or("0")),
        CharKind::Tcp { mode, endpoint, protocol, tls, reconnect } => {
            if matches!(protocol, TcpProtocol::Telnets | TcpProtocol::Tls) {
                let what = format!("a character device with protocol {protocol}");
                return Err(PlanError::Unsupported { device: id.to_owned(), what });
            }
            let value = device("socket")
                .with("host", endpoint.host.as_deref().unwrap_or_default())
                .with("port", endpoint.service.as_deref().unwrap_or_default())
                .with_some("telnet", (*protocol == TcpProtocol::Telnet).then_some("on"));
            let name = format!("objchar{id}_tls0");
            let credentials = tls_credentials(*tls, *mode, &name, here)?;
            let value = socket(value, *mode, reconnect.as_ref())
                .with_some("tls-creds", credentials.as_ref().map(|_| name.as_str()));
            arguments.extend(credentials);
            value
        }
        CharKind::Unix { mode, path, reconnect } => {
            let value = match (fds.sockets.get(id), path, mode) {
                (Some(fd), _, SocketMode::Bind) => device("socket").with("fd", fd.to_string()),
                (_, Some(path), _) => device("socket").with("path", path),
                (None, None, SocketMode::Bind) => {
                    let path = here.domain_dir.join(format!("{id}.sock"));
                    device("socket").with("path", path.display().to_string())
                }
                (_, None, SocketMode::Connect) => {
                    return Err(PlanError::Incomplete { device: id.to_owned() });
                }
            };
            socket(value, *mode, reconnect.as_ref())
        }
        CharKind::SpiceVmc => return Ok(vec![spice_vmc(device("spicevmc"), id)]),
        CharKind::SpicePort { channel } => device("spiceport").with("name", channel),
        CharKind::QemuVdagent { clipboard_copypaste, mouse_mode } => device("qemu-vdagent")
            .with("name", "vdagent")
            .with_some("clipboard", clipboard_copypaste.map(Switch::on_off))
            .with_some("mouse", mouse_mode.map(|mode| super::on_off(mode == MouseMode::Client))),
        CharKind::Dbus { channel } => device("dbus").with("name", channel),
    };
    let value = match &source.log {
        None => value,
        Some(log) => value.with("logfile", &log.file).with_some("logappend", log.append.map(Switch::on_off)),
    };
    arguments.push(Argument::pairs("-chardev", value));
    Ok(arguments)
}

/// The host's certificates for an encrypted connection: where the domain does not say, the host's rule holds.
fn tls_credentials(
    asked: Option<Switch>,
    mode: SocketMode,
    name: &str,
    here: &Surroundings,
) -> Result<Option<Argument>, PlanError> {
    let directory = match (asked, &here.chardev_tls_dir) {
        (Some(Switch::Off), _) | (None, None) => return Ok(None),
        (Some(Switch::On), None) => return Err(PlanError::NoTlsCertificates { object: name.to_owned() }),
        (_, Some(directory)) => directory.display().to_string(),
    };
    let endpoint = match mode {
        SocketMode::Bind => "server",
        SocketMode::Connect => "client",
    };
    let object = Properties::object("tls-creds-x509", name)
        .with("dir", directory)
        .with("endpoint", endpoint)
        .with("verify-peer", true);
    Ok(Some(Argument::object(object)))
}

/// A channel of the Spice display; only the agent's channel can be named in a domain that sevirt models.
fn spice_vmc(device: KeyValues, id: &str) -> Argument {
    let name = if id.starts_with("redir") { "usbredir" } else { "vdagent" };
    Argument::pairs("-chardev", device.with("name", name))
}

fn socket(value: KeyValues, mode: SocketMode, reconnect: Option<&Reconnect>) -> KeyValues {
    match mode {
        SocketMode::Bind => value.switch("server", true).switch("wait", false),
        SocketMode::Connect => {
            value.with_some("reconnect-ms", reconnect.map(|reconnect| reconnect_ms(reconnect).to_string()))
        }
    }
}

fn reconnect_ms(reconnect: &Reconnect) -> u64 {
    match reconnect.enabled {
        Switch::On => u64::from(reconnect.timeout.unwrap_or_default()) * 1000,
        Switch::Off => 0,
    }
}
