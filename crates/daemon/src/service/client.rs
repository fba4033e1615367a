//! What is known of the client that makes a call.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use rpc::Rights;

use super::outbox::Outbox;
use crate::forward::Peers;
use crate::locked;

/// One connection.
#[derive(Debug)]
pub struct Client {
    /// Its number, for logs and for what it has registered.
    pub id: u64,
    pub peer: Peer,
    /// What it may do.
    rights: Mutex<Rights>,
    /// What is to be sent to it.
    pub(crate) outbox: Outbox,
    /// It has opened a connection to the hypervisor.
    pub(crate) opened: AtomicBool,
    /// It understands keepalive packets.
    pub(crate) keepalive: AtomicBool,
    pub(crate) close_callback: AtomicBool,
    ends: Mutex<Ends>,
    /// Its connections to daemons that calls are forwarded to.
    pub(crate) peers: Peers,
}

/// Who is at the other end of the socket (SO_PEERCRED, unix(7)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    pub uid: u32,
    pub gid: u32,
    pub pid: Option<u32>,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "uid {}", self.uid)?;
        self.pid.map_or(Ok(()), |pid| write!(f, " pid {pid}"))
    }
}

/// What is done when the connection ends.
#[derive(Default)]
struct Ends {
    gone: bool,
    next: u64,
    actions: BTreeMap<u64, Action>,
}

type Action = Box<dyn FnOnce() + Send>;

impl fmt::Debug for Ends {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ends").field("gone", &self.gone).field("actions", &self.actions.len()).finish()
    }
}

/// Names what [`Client::on_disconnect`] registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AtEnd(u64);

impl Client {
    pub fn new(id: u64, peer: Peer, rights: Rights) -> Self {
        Self {
            id,
            peer,
            rights: Mutex::new(rights),
            outbox: Outbox::default(),
            opened: AtomicBool::new(false),
            keepalive: AtomicBool::new(false),
            close_callback: AtomicBool::new(false),
            ends: Mutex::default(),
            peers: Peers::default(),
        }
    }

    pub fn rights(&self) -> Rights {
        *locked(&self.rights)
    }

    /// Takes away the right to change anything.
    pub(crate) fn only_reads(&self) {
        let mut rights = locked(&self.rights);
        if *rights == Rights::Full {
            *rights = Rights::Read;
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.opened.load(Ordering::Acquire)
    }

    /// Has `action` run when the connection ends: at once, if it has ended. It runs on a thread of the runtime, so it
    /// must not block, and may spawn a task that waits.
    pub(crate) fn on_disconnect(&self, action: impl FnOnce() + Send + 'static) -> AtEnd {
        let mut ends = locked(&self.ends);
        let id = ends.next;
        ends.next += 1;
        if ends.gone {
            drop(ends);
            action();
        } else {
            ends.actions.insert(id, Box::new(action));
        }
        AtEnd(id)
    }

    /// What was registered is not to be done any more.
    pub(crate) fn forget(&self, registered: AtEnd) {
        locked(&self.ends).actions.remove(&registered.0);
    }

    /// The connection has ended.
    pub(crate) fn disconnected(&self) {
        self.outbox.close();
        let actions = {
            let mut ends = locked(&self.ends);
            ends.gone = true;
            std::mem::take(&mut ends.actions)
        };
        actions.into_values().for_each(|action| action());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[test]
    fn what_was_registered_happens_once_and_at_the_end() {
        let client = Client::new(1, Peer { uid: 0, gid: 0, pid: None }, Rights::Full);
        let count = Arc::new(AtomicUsize::new(0));
        let action = |worth: usize| {
            let count = Arc::clone(&count);
            move || {
                count.fetch_add(worth, Ordering::Relaxed);
            }
        };
        client.on_disconnect(action(1));
        let forgotten = client.on_disconnect(action(10));
        client.forget(forgotten);
        assert_eq!(count.load(Ordering::Relaxed), 0);
        client.disconnected();
        client.disconnected();
        assert_eq!(count.load(Ordering::Relaxed), 1);
        client.on_disconnect(action(100));
        assert_eq!(count.load(Ordering::Relaxed), 101);
    }
}
