//! The other end, for tests and for talking to a network or storage daemon: makes calls and matches replies to them by
//! serial. It owns no socket: bytes go out as they are returned and come in by [`Client::push`].

use std::collections::BTreeMap;

use crate::error::RemoteError;
use crate::keepalive;
use crate::packet::{self, Decoder, Header, Kind, Limit, Message, PacketError, Status, WireError};
use crate::program::{Method, Program};
use crate::remote;
use crate::xdr::DecodeError;

/// One connection's calls.
#[derive(Debug)]
pub struct Client {
    decoder: Decoder,
    serial: u32,
    /// What was called and not yet answered.
    waiting: BTreeMap<u32, Header>,
}

/// What a server sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Received {
    /// The answer to the call with this serial; [`Client::reply`] reads it.
    Reply {
        serial: u32,
        message: Message,
    },
    /// An event of the remote program; [`remote::Event::decode`] reads it.
    Event {
        procedure: remote::Procedure,
        message: Message,
    },
    /// A piece of a stream.
    Stream {
        serial: u32,
        message: Message,
    },
    /// To be answered with a pong.
    Ping,
    Pong,
    /// A program or event that is not known here.
    Other(Message),
}

/// How a call failed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum CallError {
    #[error("the server refused the call")]
    Refused(#[source] Box<RemoteError<'static>>),
    #[error("decode the reply")]
    Payload(#[source] DecodeError),
}

/// Why the connection can not go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReceiveError {
    #[error("read a packet")]
    Wire(#[from] WireError),
    #[error("an answer to serial {serial}, which no call has")]
    NoSuchCall { serial: u32 },
    #[error("an answer of procedure {got} to a call of procedure {wanted}")]
    WrongProcedure { wanted: i32, got: i32 },
}

impl Default for Client {
    fn default() -> Self {
        Self::new()
    }
}

impl Client {
    pub fn new() -> Self {
        Self { decoder: Decoder::new(Limit::Full), serial: 0, waiting: BTreeMap::new() }
    }

    /// The bytes of a call of `M`, and the serial by which its reply is known.
    pub fn call<M: Method>(&mut self, arguments: &M::Args<'_>) -> Result<(u32, Vec<u8>), PacketError> {
        let header = self.header(M::PROGRAM, M::NUMBER);
        let bytes = packet::encode(header, arguments)?;
        Ok((self.made(header), bytes))
    }

    /// A call of any procedure, with arguments that are passed on as they are.
    pub fn call_raw(
        &mut self,
        program: Program,
        procedure: i32,
        arguments: &[u8],
    ) -> Result<(u32, Vec<u8>), PacketError> {
        let header = self.header(program, procedure);
        let bytes = packet::encode_bytes(header, arguments)?;
        Ok((self.made(header), bytes))
    }

    fn header(&self, program: Program, procedure: i32) -> Header {
        Header {
            program: program.number,
            version: program.version,
            procedure,
            kind: Kind::Call,
            serial: self.serial,
            status: Status::Ok,
        }
    }

    fn made(&mut self, header: Header) -> u32 {
        self.serial = self.serial.wrapping_add(1);
        self.waiting.insert(header.serial, header);
        header.serial
    }

    /// How many calls have not been answered.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Takes what was received and returns the first whole message. Push no bytes until there is none.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Option<Received>, ReceiveError> {
        let Some(message) = self.decoder.push(bytes)? else { return Ok(None) };
        let header = message.header;
        let program = Program { number: header.program, version: header.version };
        Ok(Some(match header.kind {
            Kind::Reply | Kind::ReplyWithFds => {
                let serial = header.serial;
                let call = self.waiting.remove(&serial).ok_or(ReceiveError::NoSuchCall { serial })?;
                if (call.program, call.procedure) != (header.program, header.procedure) {
                    return Err(ReceiveError::WrongProcedure {
                        wanted: call.procedure,
                        got: header.procedure,
                    });
                }
                Received::Reply { serial, message }
            }
            Kind::Stream | Kind::StreamHole => Received::Stream { serial: header.serial, message },
            Kind::Message if program == keepalive::PROGRAM => match header.procedure {
                1 => Received::Ping,
                2 => Received::Pong,
                _ => Received::Other(message),
            },
            Kind::Message if program == remote::PROGRAM => {
                match remote::Procedure::from_number(header.procedure) {
                    Some(procedure) => Received::Event { procedure, message },
                    None => Received::Other(message),
                }
            }
            Kind::Message | Kind::Call | Kind::CallWithFds => Received::Other(message),
        }))
    }

    /// The results of a call of `M`, or the server's error.
    pub fn reply<M: Method>(message: &Message) -> Result<M::Reply<'_>, CallError> {
        match message.header.status {
            Status::Error => {
                let error: RemoteError<'_> = message.decode().map_err(CallError::Payload)?;
                Err(CallError::Refused(Box::new(error.into_owned())))
            }
            Status::Ok | Status::Continue => message.decode().map_err(CallError::Payload),
        }
    }
}

#[cfg(test)]
mod tests;
