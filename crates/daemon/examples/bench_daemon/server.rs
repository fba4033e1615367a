//! A daemon: started, asked, measured, ended.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::wire::Connection;
use crate::{Result, pause};

const PATIENCE: Duration = Duration::from_secs(60);

/// Which of the two, and for sevirt its program.
#[derive(Clone)]
pub(crate) enum Kind {
    Sevirt(PathBuf),
    Libvirtd,
}

pub(crate) struct Server {
    child: Child,
    socket: PathBuf,
    /// From the start of the process to the answer to the first call.
    pub(crate) first_answer: Duration,
}

impl Kind {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Sevirt(_) => "sevirt",
            Self::Libvirtd => "libvirtd",
        }
    }

    fn command(&self) -> Command {
        match self {
            Self::Sevirt(program) => {
                let mut command = Command::new(program);
                command.arg("daemon");
                command
            }
            Self::Libvirtd => {
                let mut command = Command::new("libvirtd");
                command.args(["--timeout", "0"]);
                command
            }
        }
    }

    fn socket(&self) -> &'static Path {
        Path::new(match self {
            Self::Sevirt(_) => "/run/sevirt/sevirt-sock",
            Self::Libvirtd => "/run/libvirt/libvirt-sock",
        })
    }

    /// Starts it and waits for its first answer.
    pub(crate) fn start(&self) -> Result<Server> {
        let socket = self.socket().to_owned();
        let _ = std::fs::remove_file(&socket);
        let begin = Instant::now();
        let child = self
            .command()
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("start {}: {error}", self.name()))?;
        let mut server = Server { child, socket, first_answer: Duration::ZERO };
        let mut connection = loop {
            match Connection::new(&server.socket) {
                Ok(connection) => break connection,
                Err(error) if begin.elapsed() > PATIENCE || server.child.try_wait()?.is_some() => {
                    return Err(format!("{} does not listen: {error}", self.name()).into());
                }
                Err(_) => pause(Duration::from_micros(500))?,
            }
        };
        connection.open()?;
        server.first_answer = begin.elapsed();
        Ok(server)
    }
}

impl Server {
    pub(crate) fn connect(&self) -> Result<Connection> {
        let mut connection = Connection::new(&self.socket)?;
        connection.open()?;
        Ok(connection)
    }

    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    /// Resident memory, KiB.
    pub(crate) fn resident(&self) -> Result<u64> {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
        Ok(line.trim().trim_end_matches(" kB").parse()?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Killed, so that nothing is waited for: what it keeps on disk is there.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
