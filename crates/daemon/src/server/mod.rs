//! Sockets and connections: packets in, answers out, fairly and within bounds.

mod call;
mod connection;
mod stream;

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rpc::Rights;
use tokio::net::{UnixListener, UnixStream};

use crate::service::{Client, Peer, Service};

static NEXT_CLIENT: AtomicU64 = AtomicU64::new(1);

/// Binds a socket that its owner and group may use, in place of one that a daemon before has left.
pub fn bind(path: &Path, mode: u32) -> io::Result<std::os::unix::net::UnixListener> {
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory)?;
    }
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = std::os::unix::net::UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Serves everybody who connects, with these rights.
pub async fn serve(
    service: Arc<Service>,
    listener: std::os::unix::net::UnixListener,
    rights: Rights,
) -> io::Result<()> {
    service.begin().await;
    let listener = UnixListener::from_std(listener)?;
    let (_running, stop) = tokio::sync::watch::channel(false);
    loop {
        let (stream, _) = listener.accept().await?;
        let peer = peer(&stream)?;
        let client = Client::new(NEXT_CLIENT.fetch_add(1, Ordering::Relaxed), peer, rights);
        let (service, stop) = (Arc::clone(&service), stop.clone());
        tokio::spawn(async move {
            let (reader, writer) = stream.into_split();
            let bounds = connection::Bounds::default();
            let ended = connection::serve(service, Arc::new(client), bounds, reader, writer, stop).await;
            if let Err(error) = ended {
                tracing::info!(client = %peer, error = crate::chain(&error), "connection closed");
            }
        });
    }
}

fn peer(stream: &UnixStream) -> io::Result<Peer> {
    let credentials = stream.peer_cred()?;
    let pid = credentials.pid().and_then(|pid| u32::try_from(pid).ok());
    Ok(Peer { uid: credentials.uid(), gid: credentials.gid(), pid })
}
