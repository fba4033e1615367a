//! A client of one daemon that waits for each answer.

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use rpc::client::Received;
use rpc::packet::Kind;
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
