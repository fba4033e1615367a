//! The preload library's half of the protocol: a connection to `sevsim`, one command at a time.

use std::env;
use std::ffi::OsString;
use std::io;
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use zeroize::Zeroizing;

use crate::command::{Command, Handle, Reply};
use crate::status::FirmwareStatus;
use crate::wire;

/// The environment variable that names the socket.
pub const SOCKET_VARIABLE: &str = "SEVSIM_SOCKET";

/// Where the socket is when the variable is not set.
pub const DEFAULT_SOCKET: &str = "/run/sevirt/sevsim.sock";

/// No command takes this long: the longest generates and signs keys.
const DEADLINE: Duration = Duration::from_secs(30);

/// A connection to the simulator. Guests made through it are decommissioned when it closes.
#[derive(Debug)]
pub struct Connection {
    stream: UnixStream,
}

impl Connection {
    /// Connects to the simulator at `socket`.
    ///
    /// # Errors
    /// When nothing listens there, or it may not be reached.
    pub fn open(socket: &Path) -> io::Result<Self> {
        let stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(DEADLINE))?;
        stream.set_write_timeout(Some(DEADLINE))?;
        Ok(Self { stream })
    }

    /// Sends a command and waits for its answer: the outer error is the connection's, the inner one the firmware's.
    ///
    /// # Errors
    /// When the simulator is gone, takes too long, or sends what is not an answer; and ever after.
    pub fn call(&mut self, command: &Command) -> io::Result<Result<Reply, FirmwareStatus>> {
        let answer = self.exchange(command);
        if answer.is_err() {
            // What comes next may be the answer that was not waited for: nobody is to take it for another's.
            let _closed = self.stream.shutdown(Shutdown::Both);
        }
        answer
    }

    fn exchange(&mut self, command: &Command) -> io::Result<Result<Reply, FirmwareStatus>> {
        wire::write_frame(&mut self.stream, &wire::encode_command(command))?;
        let frame = wire::read_frame(&mut self.stream)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        // It may hold a secret.
        Ok(wire::decode_answer(&Zeroizing::new(frame))?)
    }

    /// `LAUNCH_UPDATE_DATA` of any length: sent in pieces, which measure as one.
    ///
    /// # Errors
    /// As [`Connection::call`].
    pub fn update_data(&mut self, guest: Handle, data: &[u8]) -> io::Result<Result<(), FirmwareStatus>> {
        for piece in data.chunks(wire::MAX_DATA) {
            let command = Command::LaunchUpdateData { guest, data: piece.to_vec() };
            if let Err(status) = self.call(&command)? {
                return Ok(Err(status));
            }
        }
        Ok(Ok(()))
    }
}

/// The connection's socket, which closes it when it is dropped.
impl From<Connection> for OwnedFd {
    fn from(connection: Connection) -> Self {
        connection.stream.into()
    }
}

/// Takes up a connection again that was made into its socket.
impl From<OwnedFd> for Connection {
    fn from(socket: OwnedFd) -> Self {
        Self { stream: socket.into() }
    }
}

/// The socket that the environment names, or the default one.
#[must_use]
pub fn socket_path() -> PathBuf {
    env::var_os(SOCKET_VARIABLE).unwrap_or_else(|| OsString::from(DEFAULT_SOCKET)).into()
}
