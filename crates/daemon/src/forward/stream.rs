//! A volume's bytes, through another daemon: a connection of its own for each stream.
//!
//! ```text
//!   download:  daemon ── continue, bytes ──►  …  ── continue, nothing ──►  we: ok  ──►  daemon: ok
//!   upload:    we ── continue, bytes ──►  …  ── ok ──►  daemon: ok, or error
//! ```

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use rpc::Message;
use rpc::error::{Code, Origin, RemoteError};
use rpc::packet::{Kind, STREAM_CHUNK, Status};
use rpc::remote::{Call, Reply};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, DuplexStream, ReadBuf};
use tokio::sync::oneshot;

use super::peer::{self, Opened, Peer};
use crate::service::{Answer, Failure, Stream};

/// Makes the call and hands out our end of its stream.
pub(super) async fn open(peer: Peer, call: &Call<'_>, arguments: Vec<u8>) -> Result<Answer, Failure> {
    let (reply, upload, flags) = match call {
        Call::StorageVolUpload(args) => (Reply::StorageVolUpload(()), true, args.flags),
        Call::StorageVolDownload(args) => (Reply::StorageVolDownload(()), false, args.flags),
        other => return Err(Box::new(RemoteError::no_support(other.procedure()))),
    };
    // `VIR_STORAGE_VOL_UPLOAD_SPARSE_STREAM`, `…DOWNLOAD…` and whatever may come.
    if flags != 0 {
        let words = format!("flags {flags:#x}: holes in streams (--sparse) are not passed on");
        return Err(Box::new(RemoteError::new(Code::ARGUMENT_UNSUPPORTED, Origin::STREAMS, words)));
    }
    let opened = peer.stream(call.procedure().number(), arguments).await?;
    let stream = if upload {
        Stream(Box::new(Upload::start(opened)))
    } else {
        Stream(Box::new(Download::new(opened)))
    };
    Ok(Answer::Stream(reply, stream))
}

fn failed(error: Option<Failure>) -> io::Error {
    error.map_or_else(|| io::ErrorKind::InvalidData.into(), |error| io::Error::other(*error))
}

fn hung_up() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the other daemon hung up within the stream")
}

/// What a daemon sends.
struct Download {
    opened: Opened,
    current: Option<Message>,
    /// How much of `current` has been read.
    at: usize,
    ended: bool,
}

impl Download {
    fn new(opened: Opened) -> Self {
        Self { opened, current: None, at: 0, ended: false }
    }

    /// The rest of the current packet.
    fn rest(&self) -> &[u8] {
        self.current.as_ref().and_then(|message| message.payload().get(self.at..)).unwrap_or_default()
    }

    /// Takes the next packet in.
    fn next(&mut self, message: Option<Message>) -> io::Result<()> {
        let message = peer::result(message.ok_or_else(hung_up)?).map_err(failed)?;
        if message.header.kind != Kind::Stream {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a hole in a stream that has none"));
        }
        if message.header.status == Status::Ok || message.payload().is_empty() {
            self.ended = true;
            return self.opened.put(Status::Ok, &[], None);
        }
        (self.current, self.at) = (Some(message), 0);
        Ok(())
    }
}

impl AsyncRead for Download {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while !self.ended && self.rest().is_empty() {
            let message = ready!(self.opened.packets.poll_recv(context));
            self.next(message)?;
        }
        let rest = self.rest();
        let count = rest.len().min(buffer.remaining());
        buffer.put_slice(rest.get(..count).unwrap_or_default());
        self.at += count;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Download {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Err(io::ErrorKind::Unsupported.into()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// What a daemon is sent.
struct Upload {
    data: DuplexStream,
    /// Set before the data ends as it should: otherwise whoever wrote has gone, and the stream is aborted.
    complete: Arc<AtomicBool>,
    result: Option<oneshot::Receiver<io::Result<()>>>,
}

impl Upload {
    fn start(opened: Opened) -> Self {
        let (data, from) = tokio::io::duplex(STREAM_CHUNK);
        let complete = Arc::new(AtomicBool::new(false));
        let (tell, result) = oneshot::channel();
        let flag = Arc::clone(&complete);
        tokio::spawn(async move {
            let _ = tell.send(pump(opened, from, &flag).await);
        });
        Self { data, complete, result: Some(result) }
    }

    /// How the transfer has ended.
    fn poll_result(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(result) = &mut self.result else {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        };
        let ended = ready!(Pin::new(result).poll(context));
        self.result = None;
        Poll::Ready(ended.unwrap_or_else(|_| Err(hung_up())))
    }
}

async fn pump(mut opened: Opened, mut from: DuplexStream, complete: &AtomicBool) -> io::Result<()> {
    let mut buffer = vec![0; STREAM_CHUNK];
    loop {
        tokio::select! {
            // Before the end only an error comes.
            message = opened.packets.recv() => return ended(message),
            count = from.read(&mut buffer) => {
                let count = count?;
                let bytes = buffer.get(..count).unwrap_or_default();
                let status = match count {
                    0 if complete.load(Ordering::Acquire) => Status::Ok,
                    0 => Status::Error,
                    _ => Status::Continue,
                };
                opened.send(status, bytes).await?;
                if count == 0 {
                    return ended(opened.packets.recv().await);
                }
            }
        }
    }
}

fn ended(message: Option<Message>) -> io::Result<()> {
    peer::result(message.ok_or_else(hung_up)?).map(|_| ()).map_err(failed)
}

impl AsyncRead for Upload {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Upload {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match ready!(Pin::new(&mut self.data).poll_write(context, bytes)) {
            Ok(count) => Poll::Ready(Ok(count)),
            // The daemon has ended the stream; it says why.
            Err(error) => match ready!(self.poll_result(context)) {
                Ok(()) => Poll::Ready(Err(error)),
                Err(why) => Poll::Ready(Err(why)),
            },
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.data).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.complete.store(true, Ordering::Release);
        ready!(Pin::new(&mut self.data).poll_shutdown(context))?;
        self.poll_result(context)
    }
}
