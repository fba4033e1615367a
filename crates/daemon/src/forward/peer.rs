//! One connection to another daemon: a task that owns the socket, sends calls, matches replies to them by serial and
//! passes events on. It ends, and every call that waits fails, when the daemon hangs up, does not keep to the
//! protocol, or is silent for too long while calls wait.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Weak;
use std::time::Duration;

use rpc::client::{ReceiveError, Received};
use rpc::error::{Code, Origin, RemoteError};
use rpc::packet::{Header, Status};
use rpc::remote::connect::{OpenArgs, auth};
use rpc::remote::{self, Procedure};
use rpc::{Client, Message, Method, keepalive, packet};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::net::unix::OwnedReadHalf;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout};

use super::Area;
use crate::service::{Client as Listener, Failure};

/// How long a daemon may take until it serves a new connection.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// After how long a silence it is asked whether it lives, while calls wait.
const PING_AFTER: Duration = Duration::from_secs(5);
/// After how many questions without any answer it is given up.
const PINGS: u32 = 6;
/// The most bytes that are read at once.
const PIECE: usize = 64 << 10;

/// A connection that has been opened.
#[derive(Debug)]
pub(crate) struct Peer {
    area: Area,
    path: PathBuf,
    requests: mpsc::UnboundedSender<Request>,
    out: mpsc::UnboundedSender<Packet>,
}

/// A call, and where its answer goes.
#[derive(Debug)]
struct Request {
    procedure: i32,
    arguments: Vec<u8>,
    answer: oneshot::Sender<Message>,
    /// Where the packets go of the stream that it opens. The connection then waits for whoever takes them.
    stream: Option<mpsc::Sender<Message>>,
}

/// What goes to the daemon, and who wants to know when it has gone.
type Packet = (Vec<u8>, Option<oneshot::Sender<()>>);

/// The stream that a call has opened. The connection is its own.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) peer: Peer,
    /// The header of the call's reply, from which those of the stream's packets follow.
    header: Header,
    pub(super) packets: mpsc::Receiver<Message>,
}

impl Opened {
    /// Sends a piece of the stream, its end or its abortion, and waits until the daemon's socket has taken it.
    pub(super) async fn send(&self, status: Status, bytes: &[u8]) -> io::Result<()> {
        let (gone, wait) = oneshot::channel();
        self.put(status, bytes, Some(gone))?;
        wait.await.map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    /// The same without waiting.
    pub(super) fn put(
        &self,
        status: Status,
        bytes: &[u8],
        gone: Option<oneshot::Sender<()>>,
    ) -> io::Result<()> {
        let packet = packet::encode_bytes(self.header.stream(status), bytes).map_err(io::Error::other)?;
        self.peer.out.send((packet, gone)).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

/// Why a daemon cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    #[error("connect")]
    Io(#[source] io::Error),
    #[error("it wants a kind of authentication that is not spoken here")]
    Auth,
    #[error("it refuses the connection")]
    Refused(#[source] Failure),
}

impl ConnectError {
    /// Nobody listens.
    pub(super) fn is_absence(&self) -> bool {
        matches!(self, Self::Io(error)
            if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused))
    }

    /// Somebody listens who serves something else.
    pub(super) fn is_refusal(&self) -> bool {
        matches!(self, Self::Refused(error) if error.domain != Origin::RPC || error.code != Code::SYSTEM_ERROR)
    }
}

impl Peer {
    /// Connects, authenticates and opens the area. Events of the area go to `events` as whole packets.
    pub(super) async fn connect(
        area: Area,
        path: &Path,
        system: bool,
        events: Option<Weak<Listener>>,
    ) -> Result<Self, ConnectError> {
        let opened = timeout(HANDSHAKE, async {
            let stream = UnixStream::connect(path).await.map_err(ConnectError::Io)?;
            let (sender, requests) = mpsc::unbounded_channel();
            let (out, packets) = mpsc::unbounded_channel();
            let to_itself = out.downgrade();
            tokio::spawn(run(stream, requests, (to_itself, packets), Passing { area, events }));
            let peer = Self { area, path: path.to_owned(), requests: sender, out };
            peer.open(system).await?;
            Ok(peer)
        });
        opened.await.unwrap_or_else(|_| Err(ConnectError::Io(io::ErrorKind::TimedOut.into())))
    }

    async fn open(&self, system: bool) -> Result<(), ConnectError> {
        let offered = self.ask::<remote::procedure::AuthList>(&()).await.map_err(ConnectError::Refused)?;
        let ways = Client::reply::<remote::procedure::AuthList>(&offered);
        let ways = ways.map_err(|_| ConnectError::Auth)?.0;
        if !ways.is_empty() && !ways.contains(&auth::NONE) {
            if !ways.contains(&auth::POLKIT) {
                return Err(ConnectError::Auth);
            }
            self.ask::<remote::procedure::AuthPolkit>(&()).await.map_err(ConnectError::Refused)?;
        }
        let args = OpenArgs { name: Some(self.area.uri(system).into()), flags: 0 };
        self.ask::<remote::procedure::ConnectOpen>(&args).await.map_err(ConnectError::Refused)?;
        Ok(())
    }

    pub(super) fn is_alive(&self) -> bool {
        !self.requests.is_closed()
    }

    /// Makes a call of `M`. The reply is not an error; [`Client::reply`] reads it.
    pub(crate) async fn ask<M: Method>(&self, arguments: &M::Args<'_>) -> Result<Message, Failure> {
        let arguments = rpc::xdr::encode(arguments).map_err(|error| self.broken(&crate::chain(&error)))?;
        self.call(M::NUMBER, arguments).await
    }

    /// Makes a call with arguments that are passed on as they are. The reply is not an error.
    pub(crate) async fn call(&self, procedure: i32, arguments: Vec<u8>) -> Result<Message, Failure> {
        self.request(procedure, arguments, None).await
    }

    /// Makes a call that opens a stream.
    pub(super) async fn stream(self, procedure: i32, arguments: Vec<u8>) -> Result<Opened, Failure> {
        let (sender, packets) = mpsc::channel(4);
        let header = self.request(procedure, arguments, Some(sender)).await?.header;
        Ok(Opened { peer: self, header, packets })
    }

    async fn request(
        &self,
        procedure: i32,
        arguments: Vec<u8>,
        stream: Option<mpsc::Sender<Message>>,
    ) -> Result<Message, Failure> {
        let (answer, received) = oneshot::channel();
        let request = Request { procedure, arguments, answer, stream };
        self.requests.send(request).map_err(|_| self.broken("the connection is closed"))?;
        let message = received.await.map_err(|_| {
            self.broken("it hung up, was silent for half a minute, or did not keep to the protocol")
        })?;
        result(message).map_err(|error| error.unwrap_or_else(|| self.broken("an error that cannot be read")))
    }

    fn broken(&self, why: &str) -> Failure {
        let words = format!("the {} daemon at `{}`: {why}", self.area, self.path.display());
        Box::new(RemoteError::new(Code::SYSTEM_ERROR, Origin::RPC, words))
    }
}

/// The reply, or the error in it: `None` where that cannot be read.
pub(super) fn result(message: Message) -> Result<Message, Option<Failure>> {
    match message.header.status {
        Status::Error => {
            let error = message.decode::<RemoteError<'_>>().ok();
            Err(error.map(|error| Box::new(error.into_owned())))
        }
        Status::Ok | Status::Continue => Ok(message),
    }
}

/// What is passed on without being asked for.
struct Passing {
    area: Area,
    events: Option<Weak<Listener>>,
}

/// Calls that wait for their answers, by serial.
type Waiting = BTreeMap<u32, oneshot::Sender<Message>>;

/// Why the task ends; said in the log.
#[derive(Debug, thiserror::Error)]
enum End {
    #[error("read from the daemon")]
    Io(#[from] io::Error),
    #[error("the daemon hung up")]
    HungUp,
    #[error("the daemon does not keep to the protocol")]
    Protocol(#[from] ReceiveError),
    #[error("the daemon is silent")]
    Silent,
    #[error("make a packet")]
    Packet(#[from] packet::PacketError),
}

/// The way out: what the task itself sends, without keeping the connection open, and what is to be written.
type Way = (mpsc::WeakUnboundedSender<Packet>, mpsc::UnboundedReceiver<Packet>);

async fn run(
    stream: UnixStream,
    requests: mpsc::UnboundedReceiver<Request>,
    (out, mut packets): Way,
    passing: Passing,
) {
    let (from, mut to) = stream.into_split();
    // Apart from reading, so that a daemon that does not read cannot keep its replies from being read.
    let writer = tokio::spawn(async move {
        while let Some((packet, gone)) = packets.recv().await {
            if to.write_all(&packet).await.is_err() {
                break;
            }
            if let Some(gone) = gone {
                let _ = gone.send(());
            }
        }
    });
    let area = passing.area;
    if let Err(error) = serve(from, requests, &Out(out), passing).await {
        let error = crate::chain(&error);
        tracing::debug!(%area, error, "a connection to another daemon ends");
    }
    writer.abort();
}

struct Out(mpsc::WeakUnboundedSender<Packet>);

impl Out {
    fn send(&self, packet: Vec<u8>) -> Result<(), End> {
        let way = self.0.upgrade().ok_or(End::HungUp)?;
        way.send((packet, None)).map_err(|_| End::HungUp)
    }
}

async fn serve(
    mut from: OwnedReadHalf,
    mut requests: mpsc::UnboundedReceiver<Request>,
    out: &Out,
    passing: Passing,
) -> Result<(), End> {
    let mut client = Client::new();
    let mut waiting = Waiting::new();
    let mut streaming = None;
    let mut buffer = vec![0; 4 << 10];
    let mut heard = Instant::now();
    let mut pings = 0;
    loop {
        tokio::select! {
            request = requests.recv() => {
                let Some(request) = request else { return Ok(()) };
                if waiting.is_empty() {
                    (heard, pings) = (Instant::now(), 0);
                }
                let Request { procedure, arguments, answer, stream } = request;
                let (serial, bytes) = client.call_raw(remote::PROGRAM, procedure, &arguments)?;
                waiting.insert(serial, answer);
                if let Some(stream) = stream {
                    streaming = Some((serial, stream));
                }
                out.send(bytes)?;
            }
            count = from.read(&mut buffer) => {
                let count = count?;
                if count == 0 {
                    return Err(End::HungUp);
                }
                (heard, pings) = (Instant::now(), 0);
                let mut received = client.push(buffer.get(..count).unwrap_or_default())?;
                while let Some(one) = received {
                    match one {
                        Received::Stream { serial, message } => {
                            // Whoever reads too slowly holds up the daemon, not memory.
                            if let Some((_, stream)) = streaming.as_ref().filter(|(of, _)| *of == serial)
                                && stream.send(message).await.is_err()
                            {
                                return Ok(());
                            }
                        }
                        other => take(other, &mut waiting, out, &passing)?,
                    }
                    received = client.push(&[])?;
                }
                if count == buffer.len() && count < PIECE {
                    buffer.resize(PIECE, 0);
                }
            }
            () = sleep_until(heard + PING_AFTER * (pings + 1)), if !waiting.is_empty() || streaming.is_some() => {
                if pings == PINGS {
                    return Err(End::Silent);
                }
                pings += 1;
                out.send(keepalive::Procedure::Ping.packet().to_vec())?;
            }
        }
    }
}

fn take(received: Received, waiting: &mut Waiting, out: &Out, passing: &Passing) -> Result<(), End> {
    match received {
        Received::Reply { serial, message } => {
            if let Some(answer) = waiting.remove(&serial) {
                // Whoever asked may have gone.
                let _ = answer.send(message);
            }
        }
        Received::Event { procedure, message } => pass_on(procedure, &message, passing),
        Received::Ping => out.send(keepalive::Procedure::Pong.packet().to_vec())?,
        Received::Stream { .. } | Received::Pong | Received::Other(_) => {}
    }
    Ok(())
}

/// Events of the area go to the client as they came: it knows their callback by the number that the daemon gave it.
fn pass_on(procedure: Procedure, message: &Message, passing: &Passing) {
    let events = passing.events.as_ref().filter(|_| passing.area.sends(procedure));
    let Some(client) = events.and_then(Weak::upgrade) else { return };
    match packet::encode_bytes(message.header, message.payload()) {
        Ok(packet) => client.outbox.push_event(packet),
        Err(error) => tracing::debug!(%procedure, %error, "an event is not passed on"),
    }
}
