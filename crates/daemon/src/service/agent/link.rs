//! The bytes between the daemon and an agent: a line of JSON a message.

use std::path::{Path, PathBuf};

use domain::model::chardev::{Channel, CharKind, SocketMode};
use rpc::error::{Code, Origin, RemoteError};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::UnixStream;

use super::{bounded, unresponsive};
use crate::service::Failure;
use crate::vm::Guest;

/// The longest reply that is read, in bytes.
const LONGEST: usize = 10 << 20;

/// What stands before the reply to `guest-sync-delimited`, and in no JSON.
const SENTINEL: u8 = 0xff;

/// Where QEMU listens for a channel's host side.
pub(in crate::service) fn socket_path(guest: &Guest, channel: &Channel) -> Option<PathBuf> {
    match &channel.source.kind {
        CharKind::Unix { mode: SocketMode::Bind, path: Some(path), .. } => Some(PathBuf::from(path)),
        CharKind::Unix { mode: SocketMode::Bind, path: None, .. } => {
            Some(usual_path(guest, channel.info.alias.as_deref()?))
        }
        _ => None,
    }
}

/// Where it does when the domain names no path.
pub(super) fn usual_path(guest: &Guest, alias: &str) -> PathBuf {
    crate::service::device::qemu_dir(guest).join(format!("{alias}.sock"))
}

/// Connects to a socket at which the guest's QEMU listens, and nobody else: QEMU may write to the directory that it is
/// in, and could lead elsewhere.
pub(in crate::service) async fn connect(guest: &Guest, path: &Path) -> Result<UnixStream, Failure> {
    let failed = |why: &dyn std::fmt::Display| {
        let detail = format!("cannot connect to the guest's channel `{}`: {why}", path.display());
        Box::new(RemoteError::system_error(detail))
    };
    let stream = UnixStream::connect(path).await.map_err(|error| failed(&error))?;
    let peer = stream.peer_cred().map_err(|error| failed(&error))?.pid();
    let wanted = i32::try_from(guest.pid()).ok();
    if peer.is_none() || peer != wanted {
        return Err(failed(&"it is not QEMU that listens there"));
    }
    Ok(stream)
}

/// A conversation with an agent.
#[derive(Debug)]
pub(super) struct Link<S> {
    stream: S,
    buffer: Vec<u8>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Link<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, buffer: Vec::new() }
    }

    /// Passes by all that earlier conversations have left, in either direction.
    pub(super) async fn sync(&mut self) -> Result<(), Failure> {
        let mut random = [0u8; 8];
        getrandom::fill(&mut random)
            .map_err(|error| Box::new(RemoteError::internal(format!("get random bytes: {error}"))))?;
        // JSON's numbers are exact up to 2⁵³.
        let id = u64::from_ne_bytes(random) >> 12;
        let command = json!({ "execute": "guest-sync-delimited", "arguments": { "id": id } });
        // Ends a command that the agent has half of.
        self.write(&[SENTINEL]).await?;
        self.send(&command).await?;
        loop {
            self.skip_to_sentinel().await?;
            let reply = self.reply().await?;
            if reply.get("return").and_then(Value::as_u64) == Some(id) {
                return Ok(());
            }
        }
    }

    pub(super) async fn send(&mut self, command: &Value) -> Result<(), Failure> {
        let mut line = command.to_string().into_bytes();
        line.push(b'\n');
        self.write(&line).await
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let written = self.stream.write_all(bytes).await;
        written.map_err(|error| unresponsive(&format!("the channel does not take a command: {error}")))
    }

    /// The next line, as JSON.
    pub(super) async fn reply(&mut self) -> Result<Value, Failure> {
        let mut scanned = 0;
        loop {
            let end = self.buffer.iter().skip(scanned).position(|byte| *byte == b'\n');
            if let Some(end) = end.map(|end| scanned + end) {
                let rest = self.buffer.split_off(end + 1);
                let line = std::mem::replace(&mut self.buffer, rest);
                let line = line.trim_ascii();
                if line.is_empty() {
                    scanned = 0;
                    continue;
                }
                return serde_json::from_slice(line).map_err(|_| {
                    let said = bounded(&String::from_utf8_lossy(line.get(..200).unwrap_or(line)));
                    let detail = format!("cannot parse json {said}");
                    Box::new(RemoteError::new(Code::INTERNAL_ERROR, Origin::QEMU, detail))
                });
            }
            scanned = self.buffer.len();
            if scanned > LONGEST {
                return Err(unresponsive("the guest agent's reply has no end"));
            }
            self.more().await?;
        }
    }

    async fn skip_to_sentinel(&mut self) -> Result<(), Failure> {
        let mut skipped = 0usize;
        loop {
            if let Some(at) = self.buffer.iter().position(|byte| *byte == SENTINEL) {
                self.buffer.drain(..=at);
                return Ok(());
            }
            skipped = skipped.saturating_add(self.buffer.len());
            self.buffer.clear();
            if skipped > LONGEST {
                return Err(unresponsive("the guest agent says what is no answer"));
            }
            self.more().await?;
        }
    }

    async fn more(&mut self) -> Result<(), Failure> {
        let mut piece = [0u8; 4096];
        match self.stream.read(&mut piece).await {
            Ok(0) => Err(unresponsive("the channel to the guest agent was closed")),
            Ok(length) => {
                self.buffer.extend_from_slice(piece.get(..length).unwrap_or_default());
                Ok(())
            }
            Err(error) => Err(unresponsive(&format!("the channel to the guest agent failed: {error}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// An agent that answers the first command it reads with `script`, in which `{id}` stands for the command's number.
    fn talk<T: Send + 'static>(
        script: &'static [&'static [u8]],
        ours: impl AsyncFnOnce(Link<tokio::io::DuplexStream>) -> T,
    ) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let (here, mut there) = tokio::io::duplex(1 << 16);
            let agent = async move {
                let mut heard = Vec::new();
                while !heard.ends_with(b"\n") {
                    let mut byte = [0u8; 1];
                    there.read_exact(&mut byte).await.unwrap();
                    heard.extend(byte);
                }
                let heard = String::from_utf8_lossy(heard.strip_prefix(&[0xff]).unwrap()).into_owned();
                let command: Value = serde_json::from_str(heard.trim()).unwrap();
                let id = command["arguments"]["id"].as_u64().unwrap().to_string();
                for piece in script {
                    let at = piece.windows(4).position(|window| window == b"{id}");
                    match at {
                        Some(at) => {
                            there.write_all(&piece[..at]).await.unwrap();
                            there.write_all(id.as_bytes()).await.unwrap();
                            there.write_all(&piece[at + 4..]).await.unwrap();
                        }
                        None => there.write_all(piece).await.unwrap(),
                    }
                }
            };
            let limit = Duration::from_secs(10);
            let both = async { tokio::join!(ours(Link::new(here)), agent) };
            tokio::time::timeout(limit, both).await.unwrap().0
        })
    }

    #[test]
    fn what_was_left_before_is_passed_by() {
        let reply = talk(
            &[
                b"{\"return\": \"of somebody else\"}\n{\"ret",
                b"\xff{\"return\": 5}\n",
                b"\xff{\"return\": {id}}\n{\"return\": {}}\n",
            ],
            async |mut link| {
                link.sync().await.unwrap();
                link.reply().await.unwrap()
            },
        );
        assert_eq!(reply, json!({ "return": {} }));
    }

    #[test]
    fn what_is_no_reply_is_an_error() {
        let error = talk(&[b"\xff{\"return\": {id}}\nnonsense\x1b[2J\n"], async |mut link| {
            link.sync().await.unwrap();
            link.reply().await.unwrap_err().to_string()
        });
        assert_eq!(error, "internal error: cannot parse json nonsense\u{fffd}[2J");
    }

    #[test]
    fn a_reply_without_end_is_given_up() {
        const NOISE: &[u8] = &[b'x'; 1 << 20];
        let script: &'static [&'static [u8]] = &[
            b"\xff{\"return\": {id}}\n",
            NOISE,
            NOISE,
            NOISE,
            NOISE,
            NOISE,
            NOISE,
            NOISE,
            NOISE,
            NOISE,
            NOISE,
            NOISE,
        ];
        let error = talk(script, async |mut link| {
            link.sync().await.unwrap();
            let error = link.reply().await.unwrap_err().to_string();
            // The agent goes on meanwhile.
            let mut rest = vec![0u8; 1 << 20];
            while link.stream.read(&mut rest).await.unwrap_or(0) > 0 {}
            error
        });
        assert_eq!(error, "Guest agent is not responding: the guest agent's reply has no end");
    }
}
