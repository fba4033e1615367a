//! Streams: a pump between the packets of one serial and what a call opened.
//!
//! ```text
//!   from the client                         to the client
//!   ───────────────                         ─────────────
//!   CONTINUE data  → written                data that can be read → CONTINUE, as much as there is in one packet
//!   OK             → shut down, then OK     its end               → CONTINUE without data
//!   ERROR          → dropped, then OK       a failure either way  → ERROR with the error; the stream is over
//! ```

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;

use rpc::error::{Code, Origin, RemoteError};
use rpc::packet::{self, HEADER_BYTES, Header, Kind, LENGTH_BYTES, STREAM_CHUNK, Status};
use rpc::{Flow, Message, Program, remote};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::connection::{MESSAGE_COST, Shared};
use crate::service::Stream;

/// What the client sends on one stream. How much may wait there is counted in [`Shared`].
pub(super) struct Inbound {
    sender: UnboundedSender<Piece>,
    /// The client wants no more of it. That does not wait behind what it has sent.
    abort: Arc<Notify>,
}

/// The other end of it. A piece counts until it is taken, or dropped.
pub(super) struct Pieces {
    receiver: UnboundedReceiver<Piece>,
    abort: Arc<Notify>,
    shared: Arc<Shared>,
}

/// One packet of a stream, and what it counts.
struct Piece {
    message: Message,
    bytes: usize,
}

/// The way of what the client sends to a stream that a call may open.
pub(super) fn inbound(shared: &Arc<Shared>) -> (Inbound, Pieces) {
    let (sender, receiver) = unbounded_channel();
    let abort = Arc::<Notify>::default();
    let inbound = Inbound { sender, abort: Arc::clone(&abort) };
    (inbound, Pieces { receiver, abort, shared: Arc::clone(shared) })
}

impl Inbound {
    /// Whether the stream is there to take it.
    pub(super) fn send(&self, shared: &Shared, message: Message) -> bool {
        if message.header.status == Status::Error {
            self.abort.notify_one();
            return !self.sender.is_closed();
        }
        let bytes = message.payload().len() + MESSAGE_COST;
        shared.inbound.fetch_add(bytes, Ordering::AcqRel);
        let sent = self.sender.send(Piece { message, bytes }).is_ok();
        if !sent {
            shared.inbound.fetch_sub(bytes, Ordering::AcqRel);
        }
        sent
    }

    pub(super) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }
}

impl Pieces {
    async fn next(&mut self) -> Option<Message> {
        let Piece { message, bytes } = self.receiver.recv().await?;
        self.shared.taken(bytes);
        Some(message)
    }
}

impl Drop for Pieces {
    fn drop(&mut self) {
        self.receiver.close();
        while let Ok(piece) = self.receiver.try_recv() {
            self.shared.taken(piece.bytes);
        }
    }
}

/// The least that is read at once; it doubles while there is more.
const LEAST: usize = 4 << 10;
const PREFIX: usize = LENGTH_BYTES + HEADER_BYTES;

/// Whether a call opens a stream if it succeeds.
pub(super) fn opens(header: Header) -> bool {
    flow(header).is_some()
}

fn flow(header: Header) -> Option<Flow> {
    let program = Program { number: header.program, version: header.version };
    (program == remote::PROGRAM).then_some(())?;
    remote::Procedure::from_number(header.procedure)?.stream()
}

/// What moves the data of one stream.
pub(super) struct Pump {
    shared: Arc<Shared>,
    header: Header,
    flow: Flow,
    stream: Stream,
    pieces: Pieces,
}

/// How a stream ended.
enum End {
    /// The client has sent all, or wants no more: it is told that this is understood.
    Confirmed,
    Failed(io::Error),
    /// Nobody is there to be told.
    Gone,
}

impl Pump {
    pub(super) fn new(shared: Arc<Shared>, header: Header, stream: Stream, pieces: Pieces) -> Option<Self> {
        Some(Self { shared, header, flow: flow(header)?, stream, pieces })
    }

    pub(super) async fn run(self) {
        let Self { shared, header, flow, stream, mut pieces } = self;
        let (reader, writer) = tokio::io::split(stream.0);
        let abort = Arc::clone(&pieces.abort);
        let end = {
            let to_client = to_client(&shared, header, reader);
            let from_client = from_client(&mut pieces, flow, writer);
            tokio::pin!(to_client, from_client);
            let mut reads = flow != Flow::Upload;
            loop {
                tokio::select! {
                    end = &mut from_client => break end,
                    () = abort.notified() => break End::Confirmed,
                    () = shared.client.outbox.closed() => break End::Gone,
                    end = &mut to_client, if reads => match end {
                        Ok(()) => reads = false,
                        Err(end) => break end,
                    },
                }
            }
        };
        let packet = match end {
            End::Confirmed => packet::encode_bytes(header.stream(Status::Ok), &[]),
            End::Failed(error) => packet::encode(header.stream(Status::Error), &failure(&error)),
            End::Gone => return,
        };
        match packet {
            Ok(packet) => shared.client.outbox.push(packet),
            Err(error) => tracing::error!(%error, "the end of a stream cannot be sent"),
        }
    }
}

/// What the client is told of a stream that failed: the error that a stream carries within, or its words.
fn failure(error: &io::Error) -> RemoteError<'static> {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<RemoteError<'static>>()) {
        Some(error) => error.clone(),
        None => RemoteError::new(Code::RPC, Origin::STREAMS, format!("stream had I/O failure: {error}")),
    }
}

/// Carries what can be read. It returns at the end of it.
async fn to_client(shared: &Shared, header: Header, mut reader: impl AsyncRead + Unpin) -> Result<(), End> {
    let outbox = &shared.client.outbox;
    let mut size = LEAST;
    loop {
        outbox.room().await.map_err(|_| End::Gone)?;
        let mut packet = Vec::with_capacity(PREFIX + size);
        packet.resize(PREFIX, 0);
        reader.read_buf(&mut packet).await.map_err(End::Failed)?;
        let got = packet.len() - PREFIX;
        // What trickles in is gathered: whoever writes it has a turn before it is sent.
        if 0 < got && got < size {
            tokio::task::yield_now().await;
            drain(&mut reader, &mut packet, PREFIX + size).await.map_err(End::Failed)?;
        }
        let got = packet.len() - PREFIX;
        let prefix = header.stream(Status::Continue).prefix(got).map_err(io::Error::other);
        let prefix = prefix.map_err(End::Failed)?;
        if let Some(place) = packet.get_mut(..PREFIX) {
            place.copy_from_slice(&prefix);
        }
        size = if got >= size { (2 * size).min(STREAM_CHUNK) } else { LEAST.max(size / 2) };
        packet.shrink_to_fit();
        outbox.push(packet);
        if got == 0 {
            return Ok(());
        }
    }
}

/// Reads what is there, up to `most` bytes in all, without waiting. An end or an error is met again at the next read.
async fn drain(reader: &mut (impl AsyncRead + Unpin), packet: &mut Vec<u8>, most: usize) -> io::Result<()> {
    poll_fn(|context| {
        let mut piece = [std::mem::MaybeUninit::uninit(); LEAST];
        while packet.len() < most {
            let room = piece.get_mut(..LEAST.min(most - packet.len())).unwrap_or_default();
            let mut buffer = ReadBuf::uninit(room);
            match Pin::new(&mut *reader).poll_read(context, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                    packet.extend_from_slice(buffer.filled());
                }
                Poll::Ready(_) | Poll::Pending => break,
            }
        }
        Poll::Ready(Ok(()))
    })
    .await
}

/// Carries what the client sends, until it ends the stream.
async fn from_client(pieces: &mut Pieces, flow: Flow, mut writer: impl AsyncWrite + Unpin) -> End {
    loop {
        let Some(piece) = pieces.next().await else { return End::Gone };
        let header = piece.header;
        let step = match (header.kind, header.status) {
            (Kind::StreamHole, _) => Err(unsupported("a stream with holes")),
            (_, Status::Ok) if flow == Flow::Download => return End::Confirmed,
            (_, Status::Error) => return End::Confirmed,
            (_, Status::Ok) => match writer.shutdown().await {
                Ok(()) => return End::Confirmed,
                Err(error) => Err(error),
            },
            (_, Status::Continue) if flow == Flow::Download => Err(unsupported("data from the client")),
            (_, Status::Continue) => writer.write_all(piece.payload()).await,
        };
        if let Err(error) = step {
            return End::Failed(error);
        }
    }
}

fn unsupported(what: &str) -> io::Error {
    io::Error::other(RemoteError::operation_unsupported(format!("{what} on this stream")))
}

#[cfg(test)]
mod tests;
