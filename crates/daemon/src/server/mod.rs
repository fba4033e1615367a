//! The daemon from its sockets' side: who connects, by which door, and how it starts and stops.
//!
//! ```text
//!   Server::open    lock the state directory, read the allow list, open the sockets
//!      │ run
//!      ▼
//!   accept ─► Place (limits) ─► Peer, Policy ─► Client with its rights ─► connection.rs, one task each
//!      │ SIGHUP: read the configuration again, for clients to come
//!      │ SIGTERM, SIGINT
//!      ▼
//!   stop: nobody is let in, calls that go on are answered, guests stay
//! ```

mod accounts;
mod call;
mod connection;
mod listen;
mod lock;
mod notify;
mod peer;
mod policy;
mod stream;

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use rpc::Rights;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{UnixListener, UnixStream};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;

pub use listen::ListenError;
pub use lock::LockError;

use self::connection::Bounds;
use self::listen::Listener;
use self::lock::Lock;
use self::notify::Told;
use self::policy::{Door, Places, Policy};
use crate::config::{Config, ConfigError};
use crate::service::{Client, Paths, Peer, Service};

/// How long calls that go on may take once the daemon is told to stop.
const FINISH: Duration = Duration::from_secs(20);
/// How long blocking work may take after that.
const BLOCKING: Duration = Duration::from_secs(5);
/// How long nobody is let in when there are no descriptors left.
const BREATH: Duration = Duration::from_millis(100);
/// How many threads do work that blocks: writing definitions, preparing starts.
const BLOCKING_THREADS: usize = 64;

/// A daemon that can serve.
#[derive(Debug)]
pub struct Server {
    paths: Paths,
    config: Config,
    listeners: Vec<Listener>,
    // After the sockets: whoever comes next finds them gone when the lock is free.
    lock: Lock,
}

#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("start the daemon's threads")]
    Threads(#[source] io::Error),
    #[error("accept connections")]
    Accept(#[source] io::Error),
}

/// What can change while the daemon serves.
#[derive(Debug)]
struct Terms {
    policy: Policy,
    clients: usize,
    clients_per_user: usize,
    bounds: Bounds,
}

/// What everybody who connects meets.
#[derive(Debug)]
struct House {
    service: Arc<Service>,
    terms: RwLock<Arc<Terms>>,
    places: Arc<Places>,
    next_client: AtomicU64,
    stop: watch::Receiver<bool>,
}

impl Server {
    /// Takes the state directory and opens the sockets: clients can connect from now on, and wait.
    pub fn open(paths: Paths, config: Config) -> Result<Self, ServerError> {
        let lock = Lock::take(&paths.state)?;
        let listeners = listen::open(&paths, &config)?;
        Ok(Self { paths, config, listeners, lock })
    }

    /// Serves until SIGTERM or SIGINT. `reloaded` is called with the configuration that SIGHUP put in force.
    pub fn run(self, reloaded: impl Fn(&Config)) -> Result<(), ServerError> {
        more_descriptors();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .max_blocking_threads(BLOCKING_THREADS)
            .enable_all()
            .build()
            .map_err(ServerError::Threads)?;
        let outcome = runtime.block_on(async {
            let mut signals = Signals::new().map_err(ServerError::Threads)?;
            self.serve(async || signals.next().await, reloaded).await
        });
        runtime.shutdown_timeout(BLOCKING);
        outcome
    }

    /// Serves until `next` says to stop.
    pub async fn serve(
        self,
        mut next: impl AsyncFnMut() -> Command,
        reloaded: impl Fn(&Config),
    ) -> Result<(), ServerError> {
        let Self { paths, config, listeners, lock } = self;
        let (stopper, stop) = watch::channel(false);
        let system = paths.system;
        let file = paths.config.clone();
        let service = Service::configured(paths, &config);
        service.begin().await;
        let house = Arc::new(House {
            service,
            terms: RwLock::new(Arc::new(Terms::of(&config, system))),
            places: Arc::default(),
            next_client: AtomicU64::new(1),
            stop,
        });
        let mut doors = JoinSet::new();
        let mut made = Vec::new();
        for listener in listeners {
            let place = listener.path.as_deref().map_or_else(|| "passed by systemd".into(), shown);
            tracing::info!(socket = %place, door = ?listener.door, "listening");
            let socket = listener.socket.try_clone().and_then(UnixListener::from_std);
            doors.spawn(accept(Arc::clone(&house), socket.map_err(ServerError::Accept)?, listener.door));
            made.push(listener);
        }
        notify::tell(Told::Ready);
        while next().await == Command::Reload {
            notify::tell(Told::Reloading);
            match Config::load(&file, system) {
                Ok(config) => {
                    house.renew(Terms::of(&config, system));
                    reloaded(&config);
                    tracing::info!(config = %file.display(), "configuration read again, for new clients");
                }
                Err(error) => {
                    let why = crate::chain(&error);
                    tracing::error!(why, "configuration not read again: what was in force stays");
                }
            }
            notify::tell(Told::Ready);
        }
        tracing::info!("stopping: calls are finished, guests stay");
        notify::tell(Told::Stopping);
        doors.shutdown().await;
        drop(made);
        drop(house);
        stopper.send_replace(true);
        if tokio::time::timeout(FINISH, stopper.closed()).await.is_err() {
            tracing::warn!("calls still go on after {FINISH:?}; they are left");
        }
        drop(lock);
        tracing::info!("stopped");
        Ok(())
    }
}

fn shown(path: &std::path::Path) -> String {
    path.display().to_string()
}

/// What a running daemon is told to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    Reload,
    Stop,
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        let [terminate, interrupt, hangup] =
            [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()].map(signal);
        Ok(Self { terminate: terminate?, interrupt: interrupt?, hangup: hangup? })
    }

    async fn next(&mut self) -> Command {
        tokio::select! {
            _ = self.terminate.recv() => Command::Stop,
            _ = self.interrupt.recv() => Command::Stop,
            _ = self.hangup.recv() => Command::Reload,
        }
    }
}

impl Terms {
    fn of(config: &Config, system: bool) -> Self {
        let session = (!system).then(|| rustix::process::geteuid().as_raw());
        let (policy, unknown) = Policy::of(config, session);
        if !unknown.is_empty() && system {
            let names = unknown.join(", ");
            tracing::info!(names, "the allow list has names that nobody bears here");
        }
        Self {
            policy,
            clients: config.limits.clients,
            clients_per_user: config.limits.clients_per_user,
            bounds: Bounds {
                handshake: config.limits.handshake,
                keepalive_interval: config.keepalive.interval,
                keepalive_count: config.keepalive.count,
            },
        }
    }
}

impl House {
    fn terms(&self) -> Arc<Terms> {
        Arc::clone(&self.terms.read().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    fn renew(&self, terms: Terms) {
        *self.terms.write().unwrap_or_else(std::sync::PoisonError::into_inner) = Arc::new(terms);
    }

    /// Lets a client in, or says in the log why not.
    fn admit(self: &Arc<Self>, stream: UnixStream, door: Door) -> io::Result<()> {
        let terms = self.terms();
        let peer = peer::peer(&stream)?;
        let place = match self.places.take(peer.uid, terms.clients, terms.clients_per_user) {
            Ok(place) => place,
            Err(why) => {
                tracing::warn!(client = %peer, %why, "connection refused");
                return Ok(());
            }
        };
        let groups = peer::groups(&stream).unwrap_or_default();
        let rights = terms.policy.rights(door, peer, &groups);
        if rights == Rights::None {
            tracing::warn!(client = %peer, ?door, "not in the allow list");
        }
        let id = self.next_client.fetch_add(1, Ordering::Relaxed);
        let client = Arc::new(Client::new(id, peer, rights));
        tracing::debug!(id, client = %peer, ?door, ?rights, "connected");
        let (service, stop) = (Arc::clone(&self.service), self.stop.clone());
        let (reader, writer) = stream.into_split();
        let serving = connection::serve(service, client, Some(place), terms.bounds, reader, writer, stop);
        tokio::spawn(async move {
            match serving.await {
                Ok(()) => tracing::debug!(id, client = %peer, "disconnected"),
                Err(why) => tracing::info!(id, client = %peer, why = crate::chain(&why), "connection closed"),
            }
        });
        Ok(())
    }
}

/// Serves one client whose bytes come from anywhere: the connection without its socket, for tests and fuzzers.
pub async fn converse(
    service: Arc<Service>,
    rights: Rights,
    reader: impl AsyncRead + Unpin,
    writer: impl AsyncWrite + Unpin,
) {
    let client = Arc::new(Client::new(0, Peer { uid: u32::MAX, gid: u32::MAX, pid: None }, rights));
    let (_running, stop) = watch::channel(false);
    // Why it ended is the log's; the other end sees that it did.
    let ended = connection::serve(service, client, None, Bounds::default(), reader, writer, stop).await;
    tracing::debug!(?ended, "conversation ends");
}

/// Lets clients in by one door.
async fn accept(house: Arc<House>, listener: UnixListener, door: Door) {
    loop {
        let outcome = match listener.accept().await {
            Ok((stream, _)) => house.admit(stream, door),
            Err(error) => Err(error),
        };
        if let Err(error) = outcome {
            tracing::warn!(%error, "a connection cannot be accepted");
            // Without descriptors the next one would fail at once, and the one after it.
            if matches!(
                error.raw_os_error(),
                Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM | libc::ENOBUFS)
            ) {
                tokio::time::sleep(BREATH).await;
            }
        }
    }
}

/// As many descriptors as the system lets this process have: each client is one, each guest a few.
fn more_descriptors() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
}

/// The names in the allow list that nobody bears here.
#[must_use]
pub fn unknown_names(config: &Config) -> Vec<String> {
    Policy::of(config, None).1
}

/// Where clients connect, unless systemd passes the sockets.
#[must_use]
pub fn sockets(paths: &Paths, config: &Config) -> Vec<PathBuf> {
    let full = config.socket.path.clone().unwrap_or_else(|| paths.socket());
    let read = config.socket.read_only_path.clone().unwrap_or_else(|| paths.read_only_socket());
    std::iter::once(full).chain(config.socket.read_only.then_some(read)).collect()
}
