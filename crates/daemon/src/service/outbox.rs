//! Packets that wait for a client to read them: answers, events and pieces of streams, in one queue, in order.
//!
//! Nothing here waits for the client. Each kind of packet is bounded where it comes from: answers by the calls that the
//! connection lets in, streams by [`Outbox::room`], and events by ending the connection, since nobody can be asked to
//! cause fewer of them.

use std::collections::VecDeque;
use std::sync::Mutex;

use tokio::sync::Notify;

use crate::locked;

/// How much may wait before streams pause and no further call is read.
pub(crate) const ROOM: usize = 1 << 20;
/// How many events may wait for a client that does not read, and how many bytes of them.
pub(crate) const EVENTS_MAX: usize = 4096;
pub(crate) const EVENT_BYTES_MAX: usize = 2 << 20;

/// What waits for one client.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    queue: Mutex<Queue>,
    /// Something was pushed, or the connection is to end.
    pub(crate) ready: Notify,
    /// Something was sent.
    room: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    packets: VecDeque<Packet>,
    /// What was pushed and not yet sent.
    bytes: usize,
    events: usize,
    event_bytes: usize,
    closed: Option<Closed>,
}

/// One packet, whole.
#[derive(Debug)]
pub(crate) struct Packet {
    pub(crate) bytes: Vec<u8>,
    event: bool,
}

/// Why nothing is sent any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Closed {
    /// The connection has ended.
    Gone,
    /// Too many events wait.
    DoesNotRead { events: usize },
}

impl Outbox {
    /// An answer, or a piece of a stream.
    pub(crate) fn push(&self, bytes: Vec<u8>) {
        self.add(bytes, false);
    }

    /// An event. The connection ends when too many of them wait.
    pub(crate) fn push_event(&self, bytes: Vec<u8>) {
        self.add(bytes, true);
    }

    fn add(&self, bytes: Vec<u8>, event: bool) {
        let mut queue = locked(&self.queue);
        if queue.closed.is_some() {
            return;
        }
        queue.bytes += bytes.len();
        if event {
            queue.events += 1;
            queue.event_bytes += bytes.len();
            if queue.events > EVENTS_MAX || queue.event_bytes > EVENT_BYTES_MAX {
                let events = queue.events;
                queue.close(Closed::DoesNotRead { events });
                drop(queue);
                self.room.notify_waiters();
                self.ready.notify_one();
                return;
            }
        }
        queue.packets.push_back(Packet { bytes, event });
        drop(queue);
        self.ready.notify_one();
    }

    /// Moves what waits to `sending`. It counts until it was [`Outbox::sent`].
    pub(crate) fn take(&self, sending: &mut VecDeque<Packet>) -> Result<(), Closed> {
        let mut queue = locked(&self.queue);
        if let Some(closed) = queue.closed {
            return Err(closed);
        }
        sending.append(&mut queue.packets);
        Ok(())
    }

    /// A packet has gone out.
    pub(crate) fn sent(&self, packet: &Packet) {
        let mut queue = locked(&self.queue);
        queue.bytes = queue.bytes.saturating_sub(packet.bytes.len());
        if packet.event {
            queue.events = queue.events.saturating_sub(1);
            queue.event_bytes = queue.event_bytes.saturating_sub(packet.bytes.len());
        }
        let room = queue.bytes < ROOM;
        drop(queue);
        if room {
            self.room.notify_waiters();
        }
    }

    /// Whether so much waits that no more should be caused.
    pub(crate) fn is_full(&self) -> bool {
        locked(&self.queue).bytes >= ROOM
    }

    /// How much waits.
    pub(crate) fn bytes(&self) -> usize {
        locked(&self.queue).bytes
    }

    pub(crate) fn is_empty(&self) -> bool {
        locked(&self.queue).bytes == 0
    }

    /// Waits until there is room for a piece of a stream.
    pub(crate) async fn room(&self) -> Result<(), Closed> {
        self.when(|queue| match queue.closed {
            Some(closed) => Some(Err(closed)),
            None => (queue.bytes < ROOM).then_some(Ok(())),
        })
        .await
    }

    /// Waits until nothing is sent any more.
    pub(crate) async fn closed(&self) {
        self.when(|queue| queue.closed.map(drop)).await;
    }

    async fn when<T>(&self, ready: impl Fn(&Queue) -> Option<T>) -> T {
        loop {
            let mut notified = std::pin::pin!(self.room.notified());
            notified.as_mut().enable();
            let found = ready(&locked(&self.queue));
            match found {
                Some(found) => return found,
                None => notified.await,
            }
        }
    }

    /// Drops what waits, and what comes from now on.
    pub(crate) fn close(&self) {
        locked(&self.queue).close(Closed::Gone);
        self.room.notify_waiters();
        self.ready.notify_one();
    }
}

impl Queue {
    fn close(&mut self, why: Closed) {
        self.closed.get_or_insert(why);
        self.packets = VecDeque::new();
        self.bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_that_nobody_reads_end_the_connection() {
        let outbox = Outbox::default();
        for _ in 0..EVENTS_MAX {
            outbox.push_event(vec![0; 8]);
        }
        let mut sending = VecDeque::new();
        outbox.take(&mut sending).unwrap();
        assert_eq!(sending.len(), EVENTS_MAX);
        outbox.push_event(vec![0; 8]);
        let why = Closed::DoesNotRead { events: EVENTS_MAX + 1 };
        assert_eq!(outbox.take(&mut sending), Err(why));
        assert!(outbox.is_empty());
    }

    #[test]
    fn what_was_sent_makes_room() {
        let outbox = Outbox::default();
        outbox.push(vec![0; ROOM]);
        assert!(outbox.is_full());
        let mut sending = VecDeque::new();
        outbox.take(&mut sending).unwrap();
        assert!(outbox.is_full());
        outbox.sent(&sending.pop_front().unwrap());
        assert!(!outbox.is_full() && outbox.is_empty());
    }
}
