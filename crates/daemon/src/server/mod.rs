//! Sockets and connections: packets in, answers out, fairly and within bounds.

mod connection;

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
    let listener = UnixListener::from_std(listener)?;
    loop {
        let (stream, _) = listener.accept().await?;
        let peer = peer(&stream)?;
        let client = Client::new(NEXT_CLIENT.fetch_add(1, Ordering::Relaxed), peer, rights);
        let service = Arc::clone(&service);
        tokio::spawn(async move {
            if let Err(error) = connection::serve(service, Arc::new(client), stream).await {
                tracing::info!(%error, "connection ends");
            }
        });
    }
}

fn peer(stream: &UnixStream) -> io::Result<Peer> {
    let credentials = stream.peer_cred()?;
    let pid = credentials.pid().and_then(|pid| u32::try_from(pid).ok());
    Ok(Peer { uid: credentials.uid(), gid: credentials.gid(), pid })
}
