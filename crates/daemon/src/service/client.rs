//! What is known of the client that makes a call.

use std::sync::Mutex;

use rpc::Rights;

/// One connection.
#[derive(Debug)]
pub struct Client {
    /// Its number, for logs and for what it has registered.
    pub id: u64,
    pub peer: Peer,
    /// What it may do; it grows with authentication.
    rights: Mutex<Rights>,
}

/// Who is at the other end of the socket (SO_PEERCRED, unix(7)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    pub uid: u32,
    pub gid: u32,
    pub pid: Option<u32>,
}

impl Client {
    pub fn new(id: u64, peer: Peer, rights: Rights) -> Self {
        Self { id, peer, rights: Mutex::new(rights) }
    }

    pub fn rights(&self) -> Rights {
        *crate::locked(&self.rights)
    }
}
