//! Bytes in any pieces → messages. The decoder never holds more than what was received, and refuses a message that
//! would be too long as soon as it has seen its length.

use std::mem;

use crate::xdr::{self, DecodeError, Xdr};

use super::{FDS_MAX, HEADER_BYTES, Header, LENGTH_BYTES, MESSAGE_MAX};

/// How long a message may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// Before the client is authenticated and has opened a connection: 64 KiB, libvirt's first buffer.
    Handshake,
    /// From a client that may only read: 4 MiB, far more than any of its calls needs.
    Reader,
    /// libvirt's own: 32 MiB and the length word.
    Full,
}

impl Limit {
    pub fn bytes(self) -> usize {
        match self {
            Self::Handshake => 64 << 10,
            Self::Reader => 4 << 20,
            Self::Full => MESSAGE_MAX,
        }
    }
}

/// One message as it came. Its payload is decoded in place: text in the decoded value borrows from here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub header: Header,
    /// How many file descriptors came with it, in the order in which the socket gave them.
    pub fds: u32,
    pub(super) body: Vec<u8>,
    /// Where the payload begins in `body`.
    start: usize,
}

impl Message {
    /// The XDR form of arguments, results or an event; raw bytes in a stream.
    pub fn payload(&self) -> &[u8] {
        &self.body[self.start..]
    }

    /// The payload as a `T` and nothing else.
    pub fn decode<'a, T: Xdr<'a>>(&'a self) -> Result<T, DecodeError> {
        xdr::decode(self.payload())
    }
}

/// Why the connection can not go on: where the next message begins is no longer known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    #[error("a message of {length} bytes, shorter than its header")]
    TooShort { length: u32 },
    #[error("a message of {length} bytes, {limit} are the limit")]
    TooLong { length: u32, limit: usize },
    #[error("decode a message's header")]
    Header(#[source] DecodeError),
    #[error("a message with {count} file descriptors, {FDS_MAX} are the limit")]
    TooManyFds { count: u32 },
}

/// Puts messages together from what a socket gives.
#[derive(Debug)]
pub struct Decoder {
    limit: Limit,
    state: State,
    /// What was pushed beyond the message that was returned.
    rest: Vec<u8>,
    /// How much of `rest` has been used.
    used: usize,
}

#[derive(Debug)]
enum State {
    /// `have` bytes of the length word are there.
    Length { word: [u8; LENGTH_BYTES], have: usize },
    /// The header and payload, of which `body` is what is there.
    Body { length: usize, body: Vec<u8> },
    /// The message is complete but for the bytes that carry its file descriptors.
    Fds { message: Message, missing: u32 },
    /// The stream is broken.
    Broken(WireError),
}

impl Default for State {
    fn default() -> Self {
        Self::Length { word: [0; LENGTH_BYTES], have: 0 }
    }
}

impl Decoder {
    pub fn new(limit: Limit) -> Self {
        Self { limit, state: State::default(), rest: Vec::new(), used: 0 }
    }

    /// Changes how long a message may be, from the next one on.
    pub fn set_limit(&mut self, limit: Limit) {
        self.limit = limit;
    }

    /// Takes what was received and returns the first complete message. There may be more: push no bytes until there
    /// is none. After an error there are only errors.
    ///
    /// Bytes that carry file descriptors (one each, after the message) are part of what is pushed; a message is
    /// returned only when they have arrived.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Option<Message>, WireError> {
        if self.rest.is_empty() {
            let mut input = bytes;
            let message = self.advance(&mut input)?;
            self.rest.extend_from_slice(input);
            return Ok(message);
        }
        self.rest.extend_from_slice(bytes);
        let rest = mem::take(&mut self.rest);
        let mut input = &rest[self.used..];
        let outcome = self.advance(&mut input);
        self.used = rest.len() - input.len();
        if !input.is_empty() {
            self.rest = rest;
            self.discard_used();
        } else {
            self.used = 0;
        }
        outcome
    }

    /// Like [`Decoder::push`], without keeping anything: `input` is moved past what was used, at most one message.
    pub fn advance(&mut self, input: &mut &[u8]) -> Result<Option<Message>, WireError> {
        loop {
            match &mut self.state {
                State::Length { word, have } => {
                    let taken = take(input, LENGTH_BYTES - *have);
                    word[*have..*have + taken.len()].copy_from_slice(taken);
                    *have += taken.len();
                    if *have < LENGTH_BYTES {
                        return Ok(None);
                    }
                    let length = u32::from_be_bytes(*word);
                    self.state = match self.judge(length) {
                        Ok(length) => State::Body { length, body: Vec::new() },
                        Err(error) => State::Broken(error),
                    };
                }
                State::Body { length, body } => {
                    let taken = take(input, *length - body.len());
                    reserve(body, taken.len(), *length);
                    body.extend_from_slice(taken);
                    if body.len() < *length {
                        return Ok(None);
                    }
                    let body = mem::take(body);
                    self.state = match complete(body) {
                        Ok(message) => State::Fds { missing: message.fds, message },
                        Err(error) => State::Broken(error),
                    };
                }
                State::Fds { missing, .. } => {
                    let taken = take(input, usize::try_from(*missing).unwrap_or(usize::MAX));
                    *missing -= u32::try_from(taken.len()).unwrap_or(*missing);
                    if *missing > 0 {
                        return Ok(None);
                    }
                    return match mem::take(&mut self.state) {
                        State::Fds { message, .. } => Ok(Some(message)),
                        _ => Ok(None),
                    };
                }
                State::Broken(error) => return Err(error.clone()),
            }
        }
    }

    /// How many bytes this decoder has allocated.
    pub fn allocated(&self) -> usize {
        let body = match &self.state {
            State::Body { body, .. } => body.capacity(),
            State::Fds { message, .. } => message.body.capacity(),
            State::Length { .. } | State::Broken(_) => 0,
        };
        body + self.rest.capacity()
    }

    /// The length of header and payload, if a message may have it.
    fn judge(&self, length: u32) -> Result<usize, WireError> {
        let limit = self.limit.bytes();
        match usize::try_from(length) {
            Ok(bytes) if bytes < LENGTH_BYTES + HEADER_BYTES => Err(WireError::TooShort { length }),
            Ok(bytes) if bytes <= limit => Ok(bytes - LENGTH_BYTES),
            _ => Err(WireError::TooLong { length, limit }),
        }
    }

    /// Gives room back when most of `rest` is used, so that each byte is moved at most once.
    fn discard_used(&mut self) {
        if self.used > self.rest.len() / 2 {
            self.rest.drain(..self.used);
            self.used = 0;
        }
    }
}

fn take<'i>(input: &mut &'i [u8], most: usize) -> &'i [u8] {
    let (taken, left) = input.split_at(most.min(input.len()));
    *input = left;
    taken
}

/// Makes room for `more` bytes: all that the message needs when it is there, else twice what has arrived.
fn reserve(body: &mut Vec<u8>, more: usize, length: usize) {
    let needed = body.len() + more;
    if body.capacity() < needed {
        let room = if needed == length { length } else { length.min(2 * needed) };
        body.reserve_exact(room - body.len());
    }
}

fn complete(body: Vec<u8>) -> Result<Message, WireError> {
    let header: Header = xdr::decode(&body[..HEADER_BYTES]).map_err(WireError::Header)?;
    if !header.kind.has_fds() {
        return Ok(Message { header, fds: 0, body, start: HEADER_BYTES });
    }
    let mut reader = xdr::Reader::new(&body[HEADER_BYTES..]);
    let fds = u32::read(&mut reader).map_err(WireError::Header)?;
    if fds > FDS_MAX {
        return Err(WireError::TooManyFds { count: fds });
    }
    let start = body.len() - reader.left();
    Ok(Message { header, fds, body, start })
}
