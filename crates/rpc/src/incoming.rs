//! What a server does with a packet, as far as its header tells: nothing that a client sends is left without an answer
//! if the client waits for one.
//!
//! ```text
//!    call        of a procedure in a table      → Call
//!                of a known program, other      → Refused: “unknown procedure”, which clients show as “not supported”
//!                of another program or version  → Refused: “Cannot find program”
//!    message     keepalive                      → Ping, Pong
//!    stream, stream hole                        → Stream; after the stream ended the server drops it
//!    all else                                   → Ignored: nobody waits
//! ```

use crate::error::RemoteError;
use crate::packet::{self, Header, Kind, Message, PacketError, Status};
use crate::program::{Priority, Program, Rights};
use crate::{keepalive, qemu, remote};

/// What a packet asks of a server.
#[derive(Debug, Clone, PartialEq)]
pub enum Incoming<'a> {
    /// A call with its arguments.
    Remote(remote::Call<'a>),
    /// A call with its arguments.
    Qemu(qemu::Call<'a>),
    /// A piece of the stream that the call with this serial opened.
    Stream,
    /// To be answered with a pong.
    Ping,
    Pong,
    /// To be answered with this error.
    Refused(Box<RemoteError<'static>>),
    /// Not asked for by anybody; dropped.
    Ignored,
}

/// Reads a packet that a client sent on a connection with these rights.
pub fn read(message: &Message, rights: Rights) -> Incoming<'_> {
    let header = message.header;
    let program = Program { number: header.program, version: header.version };
    match header.kind {
        Kind::Message if program == keepalive::PROGRAM => {
            match keepalive::Procedure::from_number(header.procedure) {
                Some(keepalive::Procedure::Ping) => Incoming::Ping,
                Some(keepalive::Procedure::Pong) => Incoming::Pong,
                None => Incoming::Ignored,
            }
        }
        Kind::Stream | Kind::StreamHole => Incoming::Stream,
        Kind::Call | Kind::CallWithFds => match call(message, program, rights) {
            Ok(call) => call,
            Err(error) => Incoming::Refused(error),
        },
        Kind::Message | Kind::Reply | Kind::ReplyWithFds => Incoming::Ignored,
    }
}

fn call(
    message: &Message,
    program: Program,
    rights: Rights,
) -> Result<Incoming<'_>, Box<RemoteError<'static>>> {
    let number = message.header.procedure;
    if message.header.status != Status::Ok {
        let status = message.header.status.number();
        return Err(Box::new(RemoteError::rpc(format!("Unexpected message status {status}"))));
    }
    // A procedure is refused by its name before its arguments are looked at: who may not call can not make us decode.
    let allowed = |access, what: &dyn std::fmt::Display| {
        RemoteError::refused(rights, access, what).map_or(Ok(()), |error| Err(Box::new(error)))
    };
    match program {
        remote::PROGRAM => {
            let unknown = |procedure: Option<remote::Procedure>| {
                let name = procedure.as_ref().map(|name| name as &dyn std::fmt::Display);
                Box::new(RemoteError::unknown_procedure(number, name))
            };
            let procedure = remote::Procedure::from_number(number).ok_or_else(|| unknown(None))?;
            allowed(procedure.access(), &procedure)?;
            let call = remote::Call::decode(procedure, message.payload())
                .map_err(|why| Box::new(RemoteError::bad_arguments(procedure, &why)))?
                .ok_or_else(|| unknown(Some(procedure)))?;
            allowed(call.access(), &procedure)?;
            Ok(Incoming::Remote(call))
        }
        qemu::PROGRAM => {
            let unknown = |procedure: Option<qemu::Procedure>| {
                let name = procedure.as_ref().map(|name| name as &dyn std::fmt::Display);
                Box::new(RemoteError::unknown_procedure(number, name))
            };
            let procedure = qemu::Procedure::from_number(number).ok_or_else(|| unknown(None))?;
            allowed(procedure.access(), &procedure)?;
            let call = qemu::Call::decode(procedure, message.payload())
                .map_err(|why| Box::new(RemoteError::bad_arguments(procedure, &why)))?
                .ok_or_else(|| unknown(Some(procedure)))?;
            Ok(Incoming::Qemu(call))
        }
        Program { number, version } => Err(Box::new(RemoteError::unknown_program(number, version))),
    }
}

/// Whether a call may wait behind others, without reading its arguments.
pub fn priority(header: Header) -> Priority {
    let known = match (Program { number: header.program, version: header.version }, header.procedure) {
        (remote::PROGRAM, number) => remote::Procedure::from_number(number).map(remote::Procedure::priority),
        (qemu::PROGRAM, number) => qemu::Procedure::from_number(number).map(qemu::Procedure::priority),
        _ => None,
    };
    // What is refused is refused at once.
    known.unwrap_or(Priority::High)
}

/// The answer to a call, or the end of a stream, that failed.
pub fn refuse(header: Header, error: &RemoteError<'_>) -> Result<Vec<u8>, PacketError> {
    packet::encode(header.reply_error(), error)
}

#[cfg(test)]
mod tests;
