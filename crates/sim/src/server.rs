//! `sevsim serve`: one process that owns the platform, and a thread for each connection to it.
//!
//! A guest belongs to the connection that made it: no other can name it, and it is decommissioned when the connection
//! closes, as the kernel does when a VM's file descriptor closes. Keys that a command renews are stored before it is
//! answered; when they cannot be, the command fails and the platform keeps the old ones.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use rustix::event::{PollFd, PollFlags};
use rustix::fs::Mode;

use crate::command::{Command, Handle, Reply};
use crate::keys::Random;
use crate::platform::Platform;
use crate::setup::{self, SetupError};
use crate::status::FirmwareStatus;
use crate::store::{Store, StoreError};
use crate::{kernel, wire};

/// The most connections at once: more than there are ASIDs.
const MAX_CONNECTIONS: u64 = 600;
/// File descriptors that are left for all else.
const SPARE_DESCRIPTORS: u64 = 16;

/// Why the simulator cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error(transparent)]
    Setup(#[from] SetupError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("another process answers on `{path}`")]
    SocketInUse { path: PathBuf },
    #[error("`{path}` is in the way and is not a socket")]
    NotASocket { path: PathBuf },
    #[error("listen on `{path}`")]
    Listen { path: PathBuf, source: io::Error },
    #[error("wait for connections")]
    Wait(#[source] io::Error),
}

/// A simulator that listens. Its socket is removed when it is dropped.
#[expect(missing_debug_implementations, reason = "keys must not reach a log")]
pub struct Server {
    listener: UnixListener,
    socket: Socket,
    shared: Arc<Shared>,
}

/// What the threads share.
struct Shared {
    state: Mutex<State>,
    connections: AtomicU64,
    max_connections: u64,
    log: Log,
}

struct State {
    platform: Platform,
    store: Store,
}

/// Where a line for each command goes.
pub type Log = fn(&str);

impl Server {
    /// Loads the platform from its state directory, powers it up as the kernel does when its driver loads, and listens on
    /// `socket`, which gets `mode`.
    ///
    /// # Errors
    /// When the state directory is incomplete or in use, or the socket's place is taken.
    pub fn bind(
        directory: &Path,
        socket: &Path,
        mode: u32,
        random: Box<dyn Random>,
        log: Log,
    ) -> Result<Self, ServeError> {
        let store = Store::open(directory)?;
        let loaded = setup::load(&store, directory)?;
        let mut platform = Platform::new(loaded.chip, loaded.identity, random);
        // A platform without power is never initialized, so this cannot fail.
        let _initialized = platform.run(Command::Init);
        let (listener, socket) = listen(socket, mode)?;
        let state = Mutex::new(State { platform, store });
        let shared = Arc::new(Shared {
            state,
            connections: AtomicU64::new(0),
            max_connections: max_connections(),
            log,
        });
        Ok(Self { listener, socket, shared })
    }

    /// Serves until `stop` has something to read or is closed.
    ///
    /// # Errors
    /// When waiting for connections fails.
    pub fn run(self, stop: impl AsFd) -> Result<(), ServeError> {
        loop {
            let mut waiting = [PollFd::new(&stop, PollFlags::IN), PollFd::new(&self.listener, PollFlags::IN)];
            match rustix::event::poll(&mut waiting, None) {
                Ok(_) => {}
                Err(rustix::io::Errno::INTR) => continue,
                Err(error) => return Err(ServeError::Wait(error.into())),
            }
            let [stopped, connecting] = waiting.map(|fd| !fd.revents().is_empty());
            if stopped {
                return Ok(());
            }
            if connecting {
                self.accept();
            }
        }
    }

    /// Where it listens.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket.path
    }

    fn accept(&self) {
        let stream = match self.listener.accept() {
            Ok((stream, _)) => stream,
            // The peer went away: whoever else is connected is not to suffer.
            Err(error) => return (self.shared.log)(&format!("accept a connection: {error}")),
        };
        if self.shared.connections.load(Ordering::Relaxed) >= self.shared.max_connections {
            return (self.shared.log)("too many connections: one refused");
        }
        self.shared.connections.fetch_add(1, Ordering::Relaxed);
        let connection = Connection { shared: Arc::clone(&self.shared), guests: BTreeSet::new() };
        let started =
            thread::Builder::new().name("connection".to_owned()).spawn(move || connection.serve(stream));
        if let Err(error) = started {
            (self.shared.log)(&format!("start a thread for a connection: {error}"));
        }
    }
}

/// One peer, and the guests it made.
struct Connection {
    shared: Arc<Shared>,
    guests: BTreeSet<Handle>,
}

impl Connection {
    fn serve(mut self, mut stream: UnixStream) {
        if let Err(error) = self.converse(&mut stream) {
            (self.shared.log)(&format!("connection closed: {error}"));
        }
    }

    fn converse(&mut self, stream: &mut UnixStream) -> io::Result<()> {
        while let Some(frame) = wire::read_frame(stream)? {
            let command = wire::decode_command(&frame)?;
            drop(frame);
            let name = format!("{command:?}");
            let answer = self.answer(command);
            match &answer {
                Ok(_) => (self.shared.log)(&name),
                Err(status) => (self.shared.log)(&format!("{name}: {status}")),
            }
            wire::write_frame(stream, &zeroize::Zeroizing::new(wire::encode_answer(&answer)))?;
        }
        Ok(())
    }

    fn answer(&mut self, command: Command) -> Result<Reply, FirmwareStatus> {
        let guest = command.guest();
        if guest.is_some_and(|guest| !self.guests.contains(&guest)) {
            return Err(FirmwareStatus::InvalidGuest);
        }
        let reply = self.shared.state().run(command, self.shared.log)?;
        if let Reply::Guest(made) = reply {
            self.guests.insert(made);
        }
        Ok(reply)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        for guest in &self.guests {
            // One that the peer has decommissioned itself is gone already.
            let _gone = state.platform.run(Command::Decommission { guest: *guest });
        }
        drop(state);
        self.shared.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Shared {
    /// The platform. A thread that panicked while it had it left it consistent: commands change it in their last step.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn run(&mut self, command: Command, log: Log) -> Result<Reply, FirmwareStatus> {
        if !command.renews_identity() {
            return kernel::run(&mut self.platform, command);
        }
        let before = self.platform.identity().clone();
        let reply = kernel::run(&mut self.platform, command)?;
        if let Err(error) = setup::save_identity(&self.store, self.platform.identity()) {
            log(&format!(
                "{error}: {}",
                std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default()
            ));
            self.platform.restore(before);
            return Err(FirmwareStatus::HwErrorPlatform);
        }
        Ok(reply)
    }
}

/// As many connections as there are file descriptors for: a listener that cannot accept would be ready again at once.
fn max_connections() -> u64 {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX);
    limit.saturating_sub(SPARE_DESCRIPTORS).min(MAX_CONNECTIONS)
}

/// A bound socket's place in the file system.
struct Socket {
    path: PathBuf,
    /// Device and inode: another socket may have taken the place.
    identity: Option<(u64, u64)>,
}

impl Drop for Socket {
    fn drop(&mut self) {
        if self.identity.is_some() && identity(&self.path) == self.identity {
            // Nobody is left to tell; a stale socket is replaced by the next start.
            let _removed = fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    fs::symlink_metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

fn listen(path: &Path, mode: u32) -> Result<(UnixListener, Socket), ServeError> {
    let listen_error = |source| ServeError::Listen { path: path.into(), source };
    match fs::symlink_metadata(path) {
        Ok(metadata) if !metadata.file_type().is_socket() => {
            return Err(ServeError::NotASocket { path: path.into() });
        }
        Ok(_) if UnixStream::connect(path).is_ok() => {
            return Err(ServeError::SocketInUse { path: path.into() });
        }
        Ok(_) => fs::remove_file(path).map_err(listen_error)?,
        Err(_) => {}
    }
    // The socket is born with its mode and never changed here: whoever sees it appear may already give it another owner and
    // mode, as the lab does, and connects only when it may.
    let previous = rustix::process::umask(Mode::from_raw_mode(!mode & 0o777));
    let bound = UnixListener::bind(path);
    rustix::process::umask(previous);
    let listener = bound.map_err(listen_error)?;
    let socket = Socket { path: path.into(), identity: identity(path) };
    listener.set_nonblocking(true).map_err(listen_error)?;
    Ok((listener, socket))
}

/// A log that writes to standard error, and goes on when nobody reads it.
pub fn log_to_stderr(line: &str) {
    let _unread = writeln!(io::stderr(), "sevsim: {line}");
}

/// A log that is not kept.
pub const fn no_log(_line: &str) {}
