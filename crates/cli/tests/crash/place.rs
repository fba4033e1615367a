//! A daemon as a process of its own, with a directory of its own, and clients of it.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use rpc::client::{CallError, Client, Received};
use rpc::packet::Message;
use rpc::program::Method;
use rpc::remote::connect::OpenArgs;
use rpc::remote::object::Domain;
use rpc::remote::procedure as p;
use rpc::xdr::{Text, Uuid};

/// How long anything may take that is waited for.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// `virDomainXMLFlags`, `virDomainCreateFlags`.
pub(crate) const INACTIVE: u32 = 2;
pub(crate) const PAUSED: u32 = 1;

/// Lets time pass.
pub(crate) fn pass(time: Duration) {
    let (_held, never): (Sender<()>, Receiver<()>) = channel();
    let _ = never.recv_timeout(time);
}

/// Waits until something holds.
#[track_caller]
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !holds() {
        assert!(Instant::now() < deadline, "in vain: {what}");
        pass(Duration::from_millis(5));
    }
}

/// A daemon's directory; what runs in it goes with it.
pub(crate) struct Place(pub(crate) tempfile::TempDir);

impl Place {
    pub(crate) fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        if !fs::read_to_string("/etc/passwd").unwrap().contains("\nsevirt-qemu:") {
            fs::write(place.path("sevirtd.toml"), "[isolation]\nuser = \"root\"\n").unwrap();
        }
        place
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Every QEMU that runs a guest of this place, by process number.
    pub(crate) fn qemus(&self) -> BTreeMap<u32, String> {
        let mut found = BTreeMap::new();
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
                continue;
            };
            let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let words: Vec<&str> =
                line.split(|byte| *byte == 0).filter_map(|w| str::from_utf8(w).ok()).collect();
            if !words.first().is_some_and(|word| word.contains("qemu-system")) {
                continue;
            }
            // Its output goes to a log of this place.
            let log = fs::read_link(entry.path().join("fd/1")).unwrap_or_default();
            let name = words.iter().find_map(|word| word.strip_prefix("guest=")?.split(',').next());
            if let Some(name) = name.filter(|_| log.starts_with(self.0.path())) {
                found.insert(pid, name.to_owned());
            }
        }
        found
    }

    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sevirt"));
        let log = fs::OpenOptions::new().create(true).append(true).open(self.path("daemon.log")).unwrap();
        command.args(["daemon", "--state-dir"]).arg(self.0.path());
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        command
    }

    /// Starts a daemon and waits until it says that it is ready.
    pub(crate) fn daemon(&self) -> Daemon {
        self.wait_for(self.command())
    }

    /// The same, for a daemon that is started in another way.
    pub(crate) fn wait_for(&self, mut command: Command) -> Daemon {
        let path = self.path("notify");
        let _ = fs::remove_file(&path);
        let told = UnixDatagram::bind(&path).unwrap();
        told.set_read_timeout(Some(LIMIT)).unwrap();
        let daemon = Daemon(command.env("NOTIFY_SOCKET", &path).spawn().unwrap());
        let mut buffer = [0u8; 4096];
        loop {
            let length = told.recv(&mut buffer).unwrap_or_else(|error| {
                panic!("not ready: {error}\n{}", fs::read_to_string(self.path("daemon.log")).unwrap())
            });
            if String::from_utf8_lossy(&buffer[..length]).contains("READY=1") {
                return daemon;
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = fs::read_to_string(self.path("daemon.log")).unwrap_or_default();
            let end: Vec<&str> = log.lines().rev().take(80).collect();
            let lines: Vec<&str> = end.into_iter().rev().collect();
            let _ = writeln!(io::stderr(), "{}", lines.join("\n"));
        }
        for pid in self.qemus().keys() {
            let _ = Command::new("kill").args(["-9", &pid.to_string()]).status();
        }
    }
}

/// Killed when dropped.
pub(crate) struct Daemon(pub(crate) Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Why a call was not answered as wanted.
#[derive(Debug)]
pub(crate) enum Failed {
    /// The daemon is gone.
    Gone,
    Refused(String),
}

/// A client.
pub(crate) struct Peer {
    stream: UnixStream,
    client: Client,
}

impl Peer {
    pub(crate) fn connect(place: &Place) -> Result<Self, Failed> {
        let stream = UnixStream::connect(place.path("run/sevirt-sock")).map_err(|_| Failed::Gone)?;
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        let mut peer = Self { stream, client: Client::new() };
        let name = Some(Text::from("qemu:///system"));
        peer.call::<p::ConnectOpen>(&OpenArgs { name, flags: 0 })?;
        Ok(peer)
    }

    pub(crate) fn call<M: Method>(&mut self, args: &M::Args<'_>) -> Result<Message, Failed> {
        let (_, bytes) = self.client.call::<M>(args).unwrap();
        let gone = |error: io::Error| {
            assert!(error.kind() != io::ErrorKind::WouldBlock, "no answer for {} s", LIMIT.as_secs());
            Failed::Gone
        };
        self.stream.write_all(&bytes).map_err(gone)?;
        let mut buffer = [0u8; 1 << 16];
        loop {
            let length = self.stream.read(&mut buffer).map_err(gone)?;
            if length == 0 {
                return Err(Failed::Gone);
            }
            if let Some(Received::Reply { message, .. }) = self.client.push(&buffer[..length]).unwrap() {
                let refused = match Client::reply::<M>(&message) {
                    Ok(_) => None,
                    Err(CallError::Refused(error)) => Some(error.to_string()),
                    Err(error) => panic!("{error}"),
                };
                return refused.map_or(Ok(message), |error| Err(Failed::Refused(error)));
            }
        }
    }
}

pub(crate) fn name(client: u8, domain: u8) -> String {
    format!("storm-{client}-{domain}")
}

pub(crate) fn object(client: u8, domain: u8) -> Domain<'static> {
    let mut uuid = [0x5e; 16];
    (uuid[14], uuid[15]) = (client, domain);
    Domain { name: name(client, domain).into(), uuid: Uuid(uuid), id: -1 }
}

/// A definition as long as real ones are.
pub(crate) fn definition(client: u8, domain: u8, number: u64) -> String {
    let Domain { name, uuid, .. } = object(client, domain);
    format!(
        "<domain type='qemu'><name>{name}</name><uuid>{uuid}</uuid><title>{number}</title>
         <description>{}</description><memory unit='MiB'>16</memory>
         <os><type arch='x86_64' machine='pc'>hvm</type></os>
         <devices><controller type='usb' model='none'/><memballoon model='none'/></devices></domain>",
        "long ".repeat(600)
    )
}
