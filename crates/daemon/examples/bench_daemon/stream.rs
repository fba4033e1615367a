//! Streams: a console that never falls silent, read through a daemon and without one; a volume taken and given.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rpc::Client;
use rpc::remote::common::{DomFlags, XmlFlags};
use rpc::remote::domain::OpenDeviceArgs;
use rpc::remote::object::{Domain, StorageVol};
use rpc::remote::procedure;
use rpc::remote::storage::VolTransferArgs;
use rpc::xdr::Text;

use crate::server::{Kind, Server};
use crate::wire::Connection;
use crate::{Result, median};

/// A start sector that prints; its header says how and how it is made.
const FLOOD: &[u8] = include_bytes!("flood.bin");
/// How long a console is read.
const SPAN: Duration = Duration::from_secs(1);
/// Of a volume, bytes.
const VOLUME: u64 = 512 << 20;
const TRANSFERS: usize = 5;
/// `VIR_DOMAIN_START_PAUSED`.
const PAUSED: u32 = 1;

/// Which console the guest has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Port {
    /// A serial port: the guest writes it byte by byte.
    Serial,
    /// A virtio console, which takes 64 KiB at a time: more than anybody can read.
    Virtio,
}

/// Bytes a second.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Console {
    /// From the pseudo terminal itself.
    pub(crate) direct: f64,
    /// As a stream of the daemon's.
    pub(crate) stream: f64,
    /// By `virsh console`, through the daemon.
    pub(crate) virsh: f64,
}

/// Bytes a second, both ways.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Volume {
    pub(crate) download: f64,
    pub(crate) upload: f64,
}

/// Of a daemon whose state is empty.
pub(crate) fn console(kind: &Kind, port: Port) -> Result<Console> {
    let server = kind.start()?;
    let directory = tempfile::tempdir()?;
    let disk = directory.path().join("flood.img");
    std::fs::write(&disk, FLOOD)?;
    File::options().write(true).open(&disk)?.set_len(1 << 20)?;
    let console = match port {
        Port::Serial => "<serial type='pty'/>",
        Port::Virtio => {
            "<controller type='virtio-serial' index='0'><address type='pci' domain='0' bus='0' slot='4' function='0'/>\
             </controller><console type='pty'><target type='virtio'/></console>"
        }
    };
    let xml = format!(
        "<domain type='qemu'><name>bench-console</name><memory unit='MiB'>64</memory><vcpu>1</vcpu>\
         <os><type arch='x86_64' machine='pc'>hvm</type><boot dev='hd'/></os><features><acpi/><apic/></features>\
         <devices><emulator>/usr/bin/qemu-system-x86_64</emulator><disk type='file' device='disk'>\
         <driver name='qemu' type='raw'/><source file='{}'/><target dev='hda' bus='ide'/></disk>{console}\
         <memballoon model='none'/></devices></domain>",
        disk.display()
    );
    let mut connection = server.connect()?;
    let message = connection
        .call::<procedure::DomainCreateXml>(&XmlFlags { xml: xml.as_str().into(), flags: PAUSED })?;
    let dom = Client::reply::<procedure::DomainCreateXml>(&message)?;
    let figures = read(&server, &mut connection, &dom);
    connection.call::<procedure::DomainDestroy>(&dom)?;
    figures
}

fn read(server: &Server, connection: &mut Connection, dom: &Domain<'_>) -> Result<Console> {
    let same = || Domain { name: dom.name.as_ref().into(), uuid: dom.uuid, id: dom.id };
    let message = connection.call::<procedure::DomainGetXmlDesc>(&DomFlags { dom: same(), flags: 0 })?;
    let xml = Client::reply::<procedure::DomainGetXmlDesc>(&message)?.to_string();
    let tty = xml.split_once("/dev/pts/").ok_or("the console has no terminal")?.1;
    let tty = format!("/dev/pts/{}", tty.split('\'').next().unwrap_or_default());

    // While nobody has the terminal open, QEMU throws away what the guest prints.
    let mut terminal = File::options().read(true).write(true).custom_flags(libc::O_NOCTTY).open(&tty)?;
    connection.call::<procedure::DomainResume>(&same())?;
    let mut buffer = vec![0u8; 256 << 10];
    let direct = measured(|| Ok(terminal.read(&mut buffer)?))?;
    drop(terminal);

    let mut client = server.connect()?;
    let opened = client.call::<procedure::DomainOpenConsole>(&OpenDeviceArgs {
        dom: same(),
        device: None,
        flags: 0,
    })?;
    let serial = opened.header.serial;
    let stream = measured(|| client.stream(serial)?.ok_or_else(|| "the console ended".into()))?;
    drop(client);

    Ok(Console { direct, stream, virsh: by_virsh(server.socket())? })
}

/// Has virsh show the console on a terminal, and counts what it shows.
fn by_virsh(socket: &Path) -> Result<f64> {
    let command =
        format!("virsh -c 'qemu+unix:///system?socket={}' console bench-console --force", socket.display());
    let mut shown = Command::new("script")
        .args(["--quiet", "--return", "--flush", "--command", &command, "/dev/null"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let mut out = shown.stdout.take().ok_or("no output of script")?;
    let mut buffer = vec![0u8; 256 << 10];
    let figure = measured(|| Ok(out.read(&mut buffer)?));
    shown.kill()?;
    shown.wait()?;
    figure
}

/// Bytes a second, from the first that come.
fn measured(mut read: impl FnMut() -> Result<usize>) -> Result<f64> {
    read()?;
    let (begin, mut bytes) = (Instant::now(), 0u64);
    while begin.elapsed() < SPAN {
        match read()? {
            0 => return Err("the console ended".into()),
            count => bytes += u64::try_from(count)?,
        }
    }
    Ok(per_second(bytes, begin.elapsed()))
}

fn per_second(bytes: u64, took: Duration) -> f64 {
    // Kibibytes, so that it fits.
    f64::from(u32::try_from(bytes >> 10).unwrap_or(u32::MAX)) * 1024.0 / took.as_secs_f64()
}

/// Takes a volume out of a pool and gives it back, some times.
pub(crate) fn volume(kind: &Kind) -> Result<Volume> {
    let server = kind.start()?;
    let directory = tempfile::tempdir_in("/dev/shm")?;
    let path = directory.path().join("volume.img");
    let mut file = File::create(&path)?;
    let piece = vec![0x55u8; 1 << 20];
    for _ in 0..VOLUME >> 20 {
        file.write_all(&piece)?;
    }
    drop(file);
    let xml = format!(
        "<pool type='dir'><name>bench</name><target><path>{}</path></target></pool>",
        directory.path().display()
    );
    let mut connection = server.connect()?;
    connection.call::<procedure::StoragePoolCreateXml>(&XmlFlags { xml: xml.as_str().into(), flags: 0 })?;
    let path = path.display().to_string();
    let message = connection.call::<procedure::StorageVolLookupByPath>(&Text::from(path.as_str()))?;
    let found = Client::reply::<procedure::StorageVolLookupByPath>(&message)?;
    let transfer = || VolTransferArgs {
        vol: StorageVol {
            pool: found.pool.as_ref().into(),
            name: found.name.as_ref().into(),
            key: found.key.as_ref().into(),
        },
        offset: 0,
        length: 0,
        flags: 0,
    };

    let (mut downloads, mut uploads) = (Vec::new(), Vec::new());
    for _ in 0..TRANSFERS {
        let begin = Instant::now();
        let opened = connection.call::<procedure::StorageVolDownload>(&transfer())?.header;
        let mut bytes = 0;
        while let Some(count) = connection.stream(opened.serial)? {
            bytes += u64::try_from(count)?;
        }
        connection.end_stream(opened)?;
        if bytes != VOLUME {
            return Err(format!("{bytes} bytes of {VOLUME} came").into());
        }
        downloads.push(begin.elapsed());

        let begin = Instant::now();
        let opened = connection.call::<procedure::StorageVolUpload>(&transfer())?.header;
        connection.send_stream(opened, VOLUME)?;
        connection.end_stream(opened)?;
        uploads.push(begin.elapsed());
    }
    let figure = |times| per_second(VOLUME, median(times));
    Ok(Volume { download: figure(downloads), upload: figure(uploads) })
}
