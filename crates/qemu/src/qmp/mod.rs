//! QMP, QEMU's control protocol, without any I/O: bytes in, messages out, typed commands and their replies.
//!
//! [`Codec`] frames, sizes and matches; [`command`], [`device`] and [`figures`] hold one type for each
//! command that sevirt uses; [`Event`] is
//! open, since every QEMU release adds events. Who opens the socket, waits and gives up lives elsewhere.

mod codec;
pub mod command;
pub mod device;
mod event;
pub mod figures;

pub use codec::{Codec, CodecError, Greeting, Incoming, MAX_MESSAGE_BYTES, Outcome, Refusal, Reply};
pub use command::{Command, CommandError, Ticket};
pub use event::Event;
