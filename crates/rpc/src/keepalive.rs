//! The keepalive program: either side may ask whether the other is still there, and the other answers. Serial 0, no
//! payload; type message. libvirt's clients use it once the server said that it understands feature 10.

use crate::packet::{self, Header, Kind, Status};
use crate::program::Program;

/// `KEEPALIVE_PROGRAM`: “keep” in ASCII.
pub const PROGRAM: Program = Program { number: 0x6b65_6570, version: 1 };

/// The two procedures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Procedure {
    Ping,
    Pong,
}

impl Procedure {
    pub fn from_number(number: i32) -> Option<Self> {
        match number {
            1 => Some(Self::Ping),
            2 => Some(Self::Pong),
            _ => None,
        }
    }

    pub fn number(self) -> i32 {
        match self {
            Self::Ping => 1,
            Self::Pong => 2,
        }
    }

    pub fn header(self) -> Header {
        Header {
            program: PROGRAM.number,
            version: PROGRAM.version,
            procedure: self.number(),
            kind: Kind::Message,
            serial: 0,
            status: Status::Ok,
        }
    }

    /// The whole packet.
    pub fn packet(self) -> [u8; packet::LENGTH_BYTES + packet::HEADER_BYTES] {
        packet::prefix(self.header(), PACKET_LENGTH)
    }
}

const PACKET_LENGTH: u32 = 28;
