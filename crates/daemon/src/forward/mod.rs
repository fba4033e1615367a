//! Calls about networks and storage, handed to libvirt's own daemon for them where its socket exists.
//!
//! ```text
//!   our client ── call ──► dispatch ──► forwarded ──► Peers (one connection a client and area) ──► virtnetworkd, …
//!       ▲                                    │
//!       │                                    └── no such daemon: the embedded networks and pools answer
//!       └──── results, errors and events, as the daemon gave them
//! ```
//!
//! Arguments and results pass unchanged: what decodes encodes to the very same bytes, and results are not looked at.
//! Only the serial is another. What the daemon sends is hostile until parsed: packets are bounded, replies must match
//! calls, and a daemon that falls silent is given up.

mod area;
mod peer;
mod settings;
mod stream;

use std::collections::BTreeSet;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, Weak};

use rpc::error::{Code, Origin, RemoteError};
use rpc::remote::Call;
use rpc::xdr::Writer;

pub(crate) use area::Area;
pub(crate) use peer::Peer;
pub use settings::{Choice, Settings};

use crate::locked;
use crate::service::{Answer, Client, Failure, Paths, Service};

/// Where calls are forwarded to, and what has been found there.
#[derive(Debug)]
pub(crate) struct Forward {
    settings: Settings,
    /// Where this daemon itself listens.
    own: Vec<PathBuf>,
    /// Sockets, by device and inode, whose daemon serves no such area: asked once.
    refused: Mutex<BTreeSet<(Area, u64, u64)>>,
    /// Areas whose daemon has been named in the log.
    said: Mutex<BTreeSet<Area>>,
}

/// One client's connections to other daemons: events that it registers for there come to it and to nobody else.
#[derive(Debug, Default)]
pub(crate) struct Peers {
    network: Slot,
    storage: Slot,
}

type Slot = tokio::sync::Mutex<Option<Arc<Peer>>>;

impl Forward {
    /// `own` is where this daemon listens.
    pub(crate) fn new(settings: Settings, own: Vec<PathBuf>) -> Self {
        Self { settings, own, refused: Mutex::default(), said: Mutex::default() }
    }

    /// A new connection to the daemon of `area`; `None` where there is none. Events go to `events`.
    pub(crate) async fn connect(
        &self,
        paths: &Paths,
        area: Area,
        events: Option<Weak<Client>>,
    ) -> Result<Option<Peer>, Failure> {
        match self.settings.of(area) {
            Choice::None => Ok(None),
            Choice::Socket(path) => {
                let path = path.clone();
                let peer = Peer::connect(area, &path, paths.system, events).await;
                peer.map(Some).map_err(|error| unreachable_daemon(area, &path, &error))
            }
            Choice::Auto => {
                for path in settings::usual_sockets(paths, area) {
                    if let Some(peer) = self.try_one(paths, area, &path, events.clone()).await {
                        return Ok(Some(peer));
                    }
                }
                Ok(None)
            }
        }
    }

    /// Whether the daemon would talk to itself: an optional unit listens where libvirt's clients look. One that is not
    /// found out here refuses to be opened as an area's daemon.
    fn is_ours(&self, path: &Path) -> bool {
        let Ok(path) = std::fs::canonicalize(path) else { return false };
        self.own.iter().any(|own| std::fs::canonicalize(own).is_ok_and(|own| own == path))
    }

    /// A daemon that nobody named: it counts as absent unless it answers and serves the area.
    async fn try_one(
        &self,
        paths: &Paths,
        area: Area,
        path: &Path,
        events: Option<Weak<Client>>,
    ) -> Option<Peer> {
        let metadata = std::fs::metadata(path).ok()?;
        let seen = (area, metadata.dev(), metadata.ino());
        if self.is_ours(path) || locked(&self.refused).contains(&seen) {
            return None;
        }
        match Peer::connect(area, path, paths.system, events).await {
            Ok(peer) => {
                if locked(&self.said).insert(area) {
                    tracing::info!(%area, socket = %path.display(), "calls are forwarded");
                }
                Some(peer)
            }
            Err(error) if error.is_absence() => None,
            Err(error) => {
                if error.is_refusal() {
                    locked(&self.refused).insert(seen);
                }
                let error = crate::chain(&error);
                tracing::info!(%area, socket = %path.display(), error, "a daemon that calls are not forwarded to");
                None
            }
        }
    }
}

impl Peers {
    async fn of(
        &self,
        service: &Service,
        client: &Arc<Client>,
        area: Area,
    ) -> Result<Option<Arc<Peer>>, Failure> {
        let slot = match area {
            Area::Network => &self.network,
            Area::Storage => &self.storage,
        };
        let mut slot = slot.lock().await;
        if let Some(peer) = slot.as_ref().filter(|peer| peer.is_alive()) {
            return Ok(Some(Arc::clone(peer)));
        }
        *slot =
            service.forward.connect(&service.paths, area, Some(Arc::downgrade(client))).await?.map(Arc::new);
        Ok(slot.clone())
    }
}

/// The answer of another daemon to a call that is its own; `None` where there is no such daemon.
pub(crate) async fn forwarded(
    service: &Service,
    client: &Arc<Client>,
    call: &Call<'_>,
) -> Result<Option<Answer>, Failure> {
    let procedure = call.procedure();
    let Some(area) = Area::of(procedure) else { return Ok(None) };
    if procedure.stream().is_some() {
        let Some(peer) = service.forward.connect(&service.paths, area, None).await? else { return Ok(None) };
        return stream::open(peer, call, arguments(call)?).await.map(Some);
    }
    let Some(peer) = client.peers.of(service, client, area).await? else { return Ok(None) };
    let message = peer.call(procedure.number(), arguments(call)?).await?;
    Ok(Some(Answer::Payload(message.payload().to_vec())))
}

fn arguments(call: &Call<'_>) -> Result<Vec<u8>, Failure> {
    let mut writer = Writer::new();
    call.write(&mut writer).map_err(|error| Box::new(RemoteError::rpc(crate::chain(&error))))?;
    Ok(writer.into_bytes())
}

fn unreachable_daemon(area: Area, path: &Path, error: &peer::ConnectError) -> Failure {
    let code = match error {
        peer::ConnectError::Io(error) if error.kind() == io::ErrorKind::TimedOut => Code::OPERATION_TIMEOUT,
        _ => Code::SYSTEM_ERROR,
    };
    let words = format!(
        "the {area} daemon that sevirtd.toml names cannot be used: `{}`: {}",
        path.display(),
        crate::chain(error)
    );
    Box::new(RemoteError::new(code, Origin::RPC, words))
}
