//! A client of one daemon that waits for each answer.

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use rpc::client::Received;
use rpc::packet::{self, Header, Kind, STREAM_CHUNK, Status};
use rpc::remote::connect::OpenArgs;
use rpc::remote::procedure;
use rpc::{Client, Message, Method, keepalive};

use crate::Result;

/// A daemon that does not answer for so long is broken.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Connection {
    stream: UnixStream,
    client: Client,
    buffer: Vec<u8>,
}

impl Connection {
    pub(crate) fn new(socket: &Path) -> io::Result<Self> {
        let stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { stream, client: Client::new(), buffer: vec![0; 256 << 10] })
    }

    /// What every client says first.
    pub(crate) fn open(&mut self) -> Result<()> {
        self.call::<procedure::AuthList>(&())?;
        self.call::<procedure::ConnectOpen>(&OpenArgs { name: Some("qemu:///system".into()), flags: 0 })?;
        Ok(())
    }

    /// Makes a call and waits for its answer, which is not an error.
    pub(crate) fn call<M: Method>(&mut self, arguments: &M::Args<'_>) -> Result<Message> {
        let (wanted, bytes) = self.client.call::<M>(arguments)?;
        self.stream.write_all(&bytes)?;
        let message = loop {
            match self.receive()? {
                Received::Reply { serial, message } if serial == wanted => break message,
                _ => {}
            }
        };
        Client::reply::<M>(&message).map_err(|error| match error {
            rpc::client::CallError::Refused(error) => error.to_string(),
            other => other.to_string(),
        })?;
        Ok(message)
    }

    /// The length of the next piece of a stream; none at its end.
    pub(crate) fn stream(&mut self, wanted: u32) -> Result<Option<usize>> {
        loop {
            let Received::Stream { serial, message } = self.receive()? else { continue };
            match message.header.status {
                _ if serial != wanted => {}
                Status::Continue => return Ok(Some(message.payload().len()).filter(|length| *length > 0)),
                Status::Ok => return Ok(None),
                Status::Error => return Err("the stream failed".into()),
            }
        }
    }

    /// Sends that many bytes on a stream, in the largest packets that libvirt sends.
    pub(crate) fn send_stream(&mut self, opened: Header, bytes: u64) -> Result<()> {
        let piece = vec![0x55u8; STREAM_CHUNK];
        let whole = packet::encode_bytes(opened.stream(Status::Continue), &piece)?;
        let mut left = usize::try_from(bytes)?;
        while left >= STREAM_CHUNK {
            self.stream.write_all(&whole)?;
            left -= STREAM_CHUNK;
        }
        if let Some(rest) = piece.get(..left).filter(|rest| !rest.is_empty()) {
            self.stream.write_all(&packet::encode_bytes(opened.stream(Status::Continue), rest)?)?;
        }
        Ok(())
    }

    /// Ends a stream and waits until the daemon has all of it.
    pub(crate) fn end_stream(&mut self, opened: Header) -> Result<()> {
        self.stream.write_all(&packet::encode_bytes(opened.stream(Status::Ok), &[])?)?;
        match self.stream(opened.serial)? {
            None => Ok(()),
            Some(_) => Err("a stream that goes on after its end".into()),
        }
    }

    fn receive(&mut self) -> Result<Received> {
        let mut received = self.client.push(&[])?;
        loop {
            match received {
                Some(Received::Ping) => self.stream.write_all(&keepalive::Procedure::Pong.packet())?,
                Some(Received::Other(message)) if message.header.kind == Kind::Call => {
                    return Err("a server that calls".into());
                }
                Some(received) => return Ok(received),
                None => {}
            }
            let length = self.stream.read(&mut self.buffer)?;
            if length == 0 {
                return Err("the daemon closed the connection".into());
            }
            received = self.client.push(self.buffer.get(..length).unwrap_or_default())?;
        }
    }
}
