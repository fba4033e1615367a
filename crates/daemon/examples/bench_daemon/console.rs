//! How fast a console's bytes reach a client: a guest's serial line is a socket, into which this program writes what the
//! daemon then reads.

use std::io::Write as _;
use std::os::unix::net::UnixListener;
use std::thread;
use std::time::Duration;

use rpc::remote::common::XmlFlags;
use rpc::remote::domain::OpenDeviceArgs;
use rpc::remote::procedure;

use crate::server::Kind;
use crate::{Report, Result};

const BYTES: usize = 64 << 20;
/// What a console gives at a time is small: a line of a kernel's log.
const PIECE: usize = 80;

/// MB a second by each daemon.
pub(crate) fn measure(sevirt: &Kind, report: &mut Report) -> Result<()> {
    let ours = throughput(sevirt)?;
    let theirs = throughput(&Kind::Libvirtd)?;
    report.console(ours, theirs);
    Ok(())
}

fn throughput(kind: &Kind) -> Result<(f64, usize)> {
    let server = kind.start()?;
    let mut connection = server.connect()?;
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("console");
    let listener = UnixListener::bind(&path)?;
    let xml = format!(
        "<domain type='qemu'><name>bench-console</name><memory unit='MiB'>64</memory>
         <os><type arch='x86_64' machine='q35'>hvm</type></os>
         <devices><emulator>/usr/bin/qemu-system-x86_64</emulator>
         <serial type='unix'><source mode='connect' path='{}'/></serial></devices></domain>",
        path.display()
    );
    let feeder = thread::spawn(move || -> std::io::Result<()> {
        // First QEMU, then the daemon for its client.
        let (_qemu, _) = listener.accept()?;
        let (mut console, _) = listener.accept()?;
        let line = [b'x'; PIECE];
        for _ in 0..BYTES / PIECE {
            console.write_all(&line)?;
        }
        Ok(())
    });
    let flags = 1;
    let message =
        connection.call::<procedure::DomainCreateXml>(&XmlFlags { xml: xml.as_str().into(), flags })?;
    let dom = rpc::Client::reply::<procedure::DomainCreateXml>(&message)?;
    let arguments = OpenDeviceArgs { dom: dom.clone(), device: None, flags: 0 };
    let wanted = BYTES / PIECE * PIECE;
    let drained = connection.drain::<procedure::DomainOpenConsole>(&arguments, wanted);
    server.connect()?.call::<procedure::DomainDestroy>(&dom)?;
    let (took, packets) = drained?;
    feeder.join().map_err(|_| "the feeder panicked")??;
    Ok((megabytes(wanted, took), wanted / packets.max(1)))
}

fn megabytes(bytes: usize, took: Duration) -> f64 {
    f64::from(u32::try_from(bytes).unwrap_or(u32::MAX)) / 1e6 / took.as_secs_f64()
}
