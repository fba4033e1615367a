//! Packets: the length word and header before every payload, and what each kind of packet carries.
//!
//! Numbers are those of libvirt's `virnetprotocol.x`.

use crate::xdr::{DecodeError, EncodeError, Reader, Writer, Xdr, records};

mod decoder;

pub use decoder::{Decoder, Limit, Message, WireError};

/// The length word, which counts itself.
pub const LENGTH_BYTES: usize = 4;
/// The six words of a header.
pub const HEADER_BYTES: usize = 24;
/// The longest packet, its length word included.
pub const MESSAGE_MAX: usize = (32 << 20) + LENGTH_BYTES;
/// The most file descriptors that go with one packet.
pub const FDS_MAX: u32 = 32;
/// The most bytes that libvirt itself puts into one stream packet.
pub const STREAM_CHUNK: usize = 262_120;

/// What stands before every payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Whose procedure numbers these are.
    pub program: u32,
    pub version: u32,
    pub procedure: i32,
    pub kind: Kind,
    /// Chosen by the caller and repeated in the reply and in every packet of a stream.
    pub serial: u32,
    pub status: Status,
}

/// What a packet is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Client to server: the arguments of a procedure.
    Call,
    /// Server to client: its results, or an error.
    Reply,
    /// Server to client: an event. Either way: keepalive.
    Message,
    /// Either way: a piece of a stream.
    Stream,
    /// A call with which file descriptors come.
    CallWithFds,
    /// A reply with which file descriptors come.
    ReplyWithFds,
    /// Either way: a hole in a sparse stream.
    StreamHole,
}

impl Kind {
    /// By number.
    const ALL: [Self; 7] = [
        Self::Call,
        Self::Reply,
        Self::Message,
        Self::Stream,
        Self::CallWithFds,
        Self::ReplyWithFds,
        Self::StreamHole,
    ];

    pub fn number(self) -> u32 {
        match self {
            Self::Call => 0,
            Self::Reply => 1,
            Self::Message => 2,
            Self::Stream => 3,
            Self::CallWithFds => 4,
            Self::ReplyWithFds => 5,
            Self::StreamHole => 6,
        }
    }

    /// Whether the payload begins with the number of file descriptors that come with the packet.
    pub fn has_fds(self) -> bool {
        matches!(self, Self::CallWithFds | Self::ReplyWithFds)
    }

    /// Whether the other side waits for a reply.
    pub fn is_call(self) -> bool {
        matches!(self, Self::Call | Self::CallWithFds)
    }
}

/// How a packet is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Calls and results. On a stream: it ends here.
    Ok,
    /// The payload is an error. On a stream, a client aborts with an empty one.
    Error,
    /// More of the stream follows.
    Continue,
}

impl Status {
    /// By number.
    const ALL: [Self; 3] = [Self::Ok, Self::Error, Self::Continue];

    pub fn number(self) -> u32 {
        match self {
            Self::Ok => 0,
            Self::Error => 1,
            Self::Continue => 2,
        }
    }
}

impl Header {
    /// The header of the results of this call.
    pub fn reply(self) -> Self {
        Self { kind: Kind::Reply, status: Status::Ok, ..self }
    }

    /// The header of an error that answers this packet: a failed stream is told on the stream.
    pub fn reply_error(self) -> Self {
        let kind = match self.kind {
            Kind::Stream | Kind::StreamHole => Kind::Stream,
            _ => Kind::Reply,
        };
        Self { kind, status: Status::Error, ..self }
    }

    /// The header of a piece of the stream that this call opened.
    pub fn stream(self, status: Status) -> Self {
        Self { kind: Kind::Stream, status, ..self }
    }

    /// The header of a hole in the stream that this call opened.
    pub fn stream_hole(self) -> Self {
        Self { kind: Kind::StreamHole, status: Status::Continue, ..self }
    }

    /// The first bytes of a packet whose payload has `payload` bytes and is sent from where it lies.
    pub fn prefix(self, payload: usize) -> Result<[u8; LENGTH_BYTES + HEADER_BYTES], PacketError> {
        let length = payload.saturating_add(LENGTH_BYTES + HEADER_BYTES);
        let word = match u32::try_from(length) {
            Ok(word) if length <= MESSAGE_MAX => word,
            _ => return Err(PacketError::TooLong { length }),
        };
        Ok(prefix(self, word))
    }
}

/// The length word and the header's six.
pub(crate) fn prefix(header: Header, length: u32) -> [u8; LENGTH_BYTES + HEADER_BYTES] {
    let words = [
        length,
        header.program,
        header.version,
        header.procedure.cast_unsigned(),
        header.kind.number(),
        header.serial,
        header.status.number(),
    ];
    let mut bytes = [0; LENGTH_BYTES + HEADER_BYTES];
    for (place, word) in bytes.chunks_exact_mut(4).zip(words) {
        place.copy_from_slice(&word.to_be_bytes());
    }
    bytes
}

impl Xdr<'_> for Header {
    const LEAST: usize = HEADER_BYTES;

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            program: Xdr::read(from)?,
            version: Xdr::read(from)?,
            procedure: Xdr::read(from)?,
            kind: known(from.word()?, "message types", &Kind::ALL)?,
            serial: Xdr::read(from)?,
            status: known(from.word()?, "message statuses", &Status::ALL)?,
        })
    }

    fn write(&self, to: &mut Writer) -> Result<(), EncodeError> {
        self.program.write(to)?;
        self.version.write(to)?;
        self.procedure.write(to)?;
        to.word(self.kind.number());
        self.serial.write(to)?;
        to.word(self.status.number());
        Ok(())
    }
}

fn known<T: Copy>(value: u32, what: &'static str, all: &[T]) -> Result<T, DecodeError> {
    usize::try_from(value)
        .ok()
        .and_then(|index| all.get(index))
        .copied()
        .ok_or(DecodeError::OutOfRange { what, value })
}

/// Why a packet can not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PacketError {
    #[error("encode the payload")]
    Payload(#[from] EncodeError),
    #[error("a packet of {length} bytes, {MESSAGE_MAX} are the limit")]
    TooLong { length: usize },
    #[error("{count} file descriptors with one packet, {FDS_MAX} are the limit")]
    TooManyFds { count: u32 },
}

/// A whole packet: length, header, and the XDR form of `payload`.
pub fn encode<'a, T: Xdr<'a>>(header: Header, payload: &T) -> Result<Vec<u8>, PacketError> {
    encode_with(header, |to| payload.write(to))
}

/// A packet with which `fds` file descriptors go. The sender passes each of them with a byte of its own (zero) right
/// after the packet. `header.kind` becomes the kind that says so.
pub fn encode_with_fds<'a, T: Xdr<'a>>(
    header: Header,
    fds: u32,
    payload: &T,
) -> Result<Vec<u8>, PacketError> {
    if fds > FDS_MAX {
        return Err(PacketError::TooManyFds { count: fds });
    }
    let kind = if header.kind.is_call() { Kind::CallWithFds } else { Kind::ReplyWithFds };
    encode_with(Header { kind, ..header }, |to| {
        to.word(fds);
        payload.write(to)
    })
}

/// A whole packet whose payload `write` writes.
pub fn encode_with(
    header: Header,
    write: impl FnOnce(&mut Writer) -> Result<(), EncodeError>,
) -> Result<Vec<u8>, PacketError> {
    let mut writer = Writer::new();
    // The length is not known yet; the prefix is written over this one.
    writer.bytes(&header.prefix(0)?);
    write(&mut writer)?;
    let mut packet = writer.into_bytes();
    let payload = packet.len() - LENGTH_BYTES - HEADER_BYTES;
    packet[..LENGTH_BYTES + HEADER_BYTES].copy_from_slice(&header.prefix(payload)?);
    Ok(packet)
}

/// A packet of raw bytes: a piece of a stream.
pub fn encode_bytes(header: Header, payload: &[u8]) -> Result<Vec<u8>, PacketError> {
    let mut packet = Vec::with_capacity(LENGTH_BYTES + HEADER_BYTES + payload.len());
    packet.extend_from_slice(&header.prefix(payload.len())?);
    packet.extend_from_slice(payload);
    Ok(packet)
}

records! {
    /// The hole that a [`Kind::StreamHole`] packet stands for.
    Hole {
        /// How many bytes are all zero.
        length: i64,
        flags: u32,
    }
}

#[cfg(test)]
mod tests;
