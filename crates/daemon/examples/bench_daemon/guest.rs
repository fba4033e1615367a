//! A trivial guest: by a daemon, and by nothing but a fork.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rpc::client::Client;
use rpc::remote::common::XmlFlags;
use rpc::remote::procedure;

use crate::Result;
use crate::wire::Connection;

const NAME: &str = "bench-start";

/// `VIR_DOMAIN_START_PAUSED`.
const PAUSED: u32 = 1;

/// A guest with nothing but what every guest has.
pub(crate) fn definition(name: &str) -> String {
    format!(
        "<domain type='qemu'>
  <name>{name}</name>
  <memory unit='MiB'>64</memory>
  <vcpu>1</vcpu>
  <os><type arch='x86_64' machine='q35'>hvm</type></os>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
  </devices>
</domain>
"
    )
}

/// How long it takes to be there, and to be gone.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Life {
    pub(crate) start: Duration,
    pub(crate) end: Duration,
}

/// Starts the guest paused and destroys it. `look` is called while it runs.
pub(crate) fn by_daemon(connection: &mut Connection, look: impl FnOnce() -> Result<()>) -> Result<Life> {
    let xml = definition(NAME);
    let begin = Instant::now();
    let message = connection
        .call::<procedure::DomainCreateXml>(&XmlFlags { xml: xml.as_str().into(), flags: PAUSED })?;
    let start = begin.elapsed();
    let dom = Client::reply::<procedure::DomainCreateXml>(&message)?;
    look()?;
    let begin = Instant::now();
    connection.call::<procedure::DomainDestroy>(&dom)?;
    Ok(Life { start, end: begin.elapsed() })
}

/// The command line of the guest that runs now.
pub(crate) fn command_line() -> Result<Vec<String>> {
    let wanted = format!("guest={NAME},");
    for entry in std::fs::read_dir("/proc")?.flatten() {
        let Ok(bytes) = std::fs::read(entry.path().join("cmdline")) else { continue };
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let arguments: Vec<String> = text.trim_end_matches('\0').split('\0').map(str::to_owned).collect();
        if arguments.iter().any(|argument| argument.starts_with(&wanted)) {
            return Ok(arguments);
        }
    }
    Err("the guest's process is not found".into())
}

/// The same command line by fork and exec alone: until QEMU answers that the guest is paused, and from the kill until it is gone.
pub(crate) fn bare(arguments: &[String]) -> Result<Life> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("qmp.sock");
    let listener = UnixListener::bind(&path)?;
    rustix::io::fcntl_setfd(listener.as_fd(), rustix::io::FdFlags::empty())?;
    let monitor = format!("fd={}", listener.as_raw_fd());
    // The monitor's socket is the one thing that a daemon hands over.
    let arguments = arguments.iter().map(|argument| {
        let fields = argument.split(',').map(|field| {
            if field.starts_with("fd=") && argument.contains("id=charmonitor") {
                monitor.as_str()
            } else {
                field
            }
        });
        fields.collect::<Vec<_>>().join(",")
    });
    let arguments: Vec<String> = arguments.collect();
    let (program, rest) = arguments.split_first().ok_or("no command line")?;
    let mut stream = UnixStream::connect(&path)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let begin = Instant::now();
    let child = Command::new(program)
        .args(rest)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let mut child = Reaped(child);
    // It greets before it has made the machine, and answers once it has.
    stream.write_all(b"{\"execute\":\"qmp_capabilities\"}\n{\"execute\":\"query-status\"}\n")?;
    let mut lines = BufReader::new(&stream).lines();
    let mut line = || lines.next().unwrap_or_else(|| Ok(String::new()));
    let greeting = line()?;
    if !greeting.contains("QMP") {
        return Err(format!("QEMU did not greet, but said `{greeting}`").into());
    }
    while !line()?.contains("\"status\"") {}
    let start = begin.elapsed();
    let begin = Instant::now();
    child.0.kill()?;
    child.0.wait()?;
    Ok(Life { start, end: begin.elapsed() })
}

struct Reaped(Child);

impl Drop for Reaped {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
