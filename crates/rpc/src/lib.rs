//! libvirt's wire protocol, for both ends of a connection: bytes ↔ typed calls, replies, events, streams and errors.
//! Nothing here opens a socket, waits, or knows what a domain is beyond its bytes.
//!
//! A packet (RFC 4506 XDR, big-endian words):
//!
//! ```text
//!    0         4         8        12        16        20        24        28
//!    ├─────────┼─────────┼─────────┼─────────┼─────────┼─────────┼─────────┼──────────────────────┐
//!    │ length  │ program │ version │procedure│  type   │ serial  │ status  │ payload              │
//!    │ (whole  │ remote, │    1    │ see its │ call,   │ the     │ ok,     │ arguments, results,  │
//!    │ packet) │ qemu, … │         │ table   │ reply, …│ call's  │ error, …│ event, error, stream │
//!    └─────────┴─────────┴─────────┴─────────┴─────────┴─────────┴─────────┴──────────────────────┘
//!
//!    type call-with-fds, reply-with-fds: the payload begins with the number of file descriptors; each of them
//!    follows the packet with a byte of its own.
//! ```
//!
//! Facts (numbers, order of fields, limits) are those of libvirt 11.3: `src/rpc/virnetprotocol.x`,
//! `src/remote/remote_protocol.x`, `src/remote/qemu_protocol.x`, `src/rpc/virkeepaliveprotocol.x`, and
//! <https://libvirt.org/kbase/internals/rpc.html>.

#![forbid(unsafe_code)]
#![warn(clippy::disallowed_methods, clippy::disallowed_types)]

pub mod client;
pub mod error;
pub mod incoming;
pub mod keepalive;
pub mod packet;
pub mod program;
pub mod qemu;
pub mod remote;
pub mod xdr;

pub use client::Client;
pub use error::RemoteError;
pub use incoming::Incoming;
pub use packet::{Decoder, Header, Limit, Message, WireError};
pub use program::{Access, Flow, Method, Priority, Program, Rights};
