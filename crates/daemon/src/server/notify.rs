//! What systemd is told of the daemon's life: sd_notify(3).

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Something that systemd wants to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    Ready,
    Reloading,
    Stopping,
}

/// Tells it, where somebody listens.
pub(super) fn tell(what: Told) {
    let Some(socket) = std::env::var_os("NOTIFY_SOCKET") else { return };
    let message = match what {
        Told::Ready => "READY=1\nSTATUS=Serving".to_owned(),
        Told::Reloading => {
            let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
            let micros = now.tv_sec.saturating_mul(1_000_000).saturating_add(now.tv_nsec / 1000);
            format!("RELOADING=1\nMONOTONIC_USEC={micros}")
        }
        Told::Stopping => "STOPPING=1\nSTATUS=Finishing calls; guests stay".to_owned(),
    };
    if let Err(error) = send(&socket, message.as_bytes()) {
        tracing::warn!(%error, "systemd cannot be told");
    }
}

fn send(socket: &OsStr, message: &[u8]) -> io::Result<()> {
    let address = match socket.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(socket)?,
    };
    UnixDatagram::unbound()?.send_to_addr(message, &address).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_arrives_at_paths_and_abstract_names() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let abstract_name = format!("sevirt-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&abstract_name).unwrap();
        let cases = [
            (UnixDatagram::bind(&path).unwrap(), path.into_os_string()),
            (UnixDatagram::bind_addr(&address).unwrap(), format!("@{abstract_name}").into()),
        ];
        for (socket, name) in cases {
            send(&name, b"READY=1").unwrap();
            let mut buffer = [0; 16];
            let length = socket.recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..length], b"READY=1");
        }
    }
}
