//! One connection: one task that reads packets, begins calls, and writes what waits in the outbox. It owns no buffer
//! while nothing arrives.
//!
//! ```text
//!   socket ─► Decoder ─► arrived ─┬─ high priority ─► polled at once; what waits becomes a task
//!                                 ├─ low priority ──► the same, up to CALLS_MAX at a time; others wait in line
//!                                 ├─ ping ──────────► pong
//!                                 └─ stream ────────► the pump of that stream (stream.rs)
//!   socket ◄─────────────────────── outbox ◄───────── answers, events, pieces of streams
//! ```
//!
//! Nobody is dropped for sending much: reading pauses while too much of what one client sent waits, and a client that
//! believes in keepalive is told meanwhile that the daemon lives.

use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Poll, ready};
use std::time::Duration;

use rpc::packet::Header;
use rpc::{Decoder, Limit, Message, Priority, Rights, WireError, incoming, keepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;
use tokio::time::{Instant, Sleep};

use super::call;
use super::policy::Place;
use super::stream::{self, Inbound, Pieces};
use crate::service::outbox::{Closed, Packet};
use crate::service::{Client, Service};

/// How many calls of each priority one client has going on at a time; more wait in line.
pub(super) const CALLS_MAX: usize = 16;
/// How many streams one client may have open.
const STREAMS_MAX: usize = 64;
/// How many bytes of calls, and how many of streams, wait in line before reading pauses.
const WAITING_MAX: usize = 1 << 20;
/// What a message costs beside its bytes.
pub(super) const MESSAGE_COST: usize = 128;
/// How much is read at once.
const READ: usize = 64 << 10;
/// How many calls are begun before other clients have a turn.
const TURN: usize = 16;
/// How many packets are written at once.
const WRITE: usize = 16;

/// What bounds a connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// How long a client may take to open the connection.
    pub(crate) handshake: Duration,
    /// How long a client is silent before it is pinged.
    pub(crate) keepalive_interval: Duration,
    /// How many pings it may leave unanswered; 0 for no pings.
    pub(crate) keepalive_count: u32,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(30),
            keepalive_interval: Duration::from_secs(5),
            keepalive_count: 5,
        }
    }
}

/// Why a connection ended that the client did not close.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Ended {
    #[error("read or write its socket")]
    Socket(#[from] io::Error),
    #[error("it does not keep to the protocol")]
    Wire(#[from] WireError),
    #[error("it did not open the connection within {0:?}")]
    Handshake(Duration),
    #[error("it left {0} pings unanswered")]
    Silent(u32),
    #[error("clients that may only read hold too much memory, this one {0} bytes of it")]
    Memory(usize),
    #[error("{events} events wait for it, and it does not read")]
    DoesNotRead { events: usize },
}

/// What a connection shares with its calls and streams.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) service: Arc<Service>,
    pub(super) client: Arc<Client>,
    /// Calls that go on, by priority.
    high: AtomicUsize,
    low: AtomicUsize,
    /// What streams have not yet written.
    pub(super) inbound: AtomicUsize,
    /// The client counts, and a daemon that stops waits, until its last call has ended.
    place: Option<Place>,
    _stop: watch::Receiver<bool>,
}

impl Shared {
    pub(super) fn new(
        service: Arc<Service>,
        client: Arc<Client>,
        place: Option<Place>,
        stop: watch::Receiver<bool>,
    ) -> Self {
        let [high, low, inbound] = [(); 3].map(|()| AtomicUsize::new(0));
        Self { service, client, high, low, inbound, place, _stop: stop }
    }

    fn going_on(&self, priority: Priority) -> &AtomicUsize {
        match priority {
            Priority::High => &self.high,
            Priority::Low => &self.low,
        }
    }

    fn calls(&self) -> usize {
        self.high.load(Ordering::Acquire) + self.low.load(Ordering::Acquire)
    }

    /// A stream has taken a piece.
    pub(super) fn taken(&self, bytes: usize) {
        let before = self.inbound.fetch_sub(bytes, Ordering::AcqRel);
        if before >= WAITING_MAX {
            self.client.outbox.ready.notify_one();
        }
    }
}

struct Connection<R, W> {
    shared: Arc<Shared>,
    bounds: Bounds,
    reader: R,
    writer: W,
    decoder: Decoder,
    /// What was read and not yet looked at.
    arrived: VecDeque<Message>,
    /// Calls in line, by priority.
    high: VecDeque<Waiting>,
    low: VecDeque<Waiting>,
    waiting: usize,
    streams: BTreeMap<u32, Inbound>,
    sending: VecDeque<Packet>,
    /// How much of the first packet has been written.
    written: usize,
    clock: Clock,
}

/// A call in line, with the way of what the client sends to the stream that it opens.
type Waiting = (Message, Option<Pieces>);

/// Serves a client until it closes, breaks the protocol, or `stop` says true and its calls are answered. Whatever the
/// reason, its calls go on to their end, and its streams and registrations end.
pub(crate) async fn serve<R, W>(
    service: Arc<Service>,
    client: Arc<Client>,
    place: Option<Place>,
    bounds: Bounds,
    reader: R,
    writer: W,
    stop: watch::Receiver<bool>,
) -> Result<(), Ended>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let shared = Arc::new(Shared::new(Arc::clone(&service), Arc::clone(&client), place, stop.clone()));
    // However this ends, what the client registered is undone.
    let gone = Gone { service, client };
    let connection = Connection {
        shared,
        bounds,
        reader,
        writer,
        decoder: Decoder::new(Limit::Handshake),
        arrived: VecDeque::new(),
        high: VecDeque::new(),
        low: VecDeque::new(),
        waiting: 0,
        streams: BTreeMap::new(),
        sending: VecDeque::new(),
        written: 0,
        clock: Clock::new(bounds),
    };
    let result = connection.run(stop).await;
    drop(gone);
    result
}

struct Gone {
    service: Arc<Service>,
    client: Arc<Client>,
}

impl Drop for Gone {
    fn drop(&mut self) {
        self.service.events.drop_client(&self.client);
        self.client.disconnected();
    }
}

impl<R: AsyncRead + Unpin, W: AsyncWrite + Unpin> Connection<R, W> {
    async fn run(mut self, mut stop: watch::Receiver<bool>) -> Result<(), Ended> {
        let mut stopping = false;
        loop {
            self.begin_calls().await;
            match self.shared.client.outbox.take(&mut self.sending) {
                Ok(()) => {}
                Err(Closed::DoesNotRead { events }) => return Err(Ended::DoesNotRead { events }),
                Err(Closed::Gone) => return Ok(()),
            }
            self.account()?;
            if stopping && self.sending.is_empty() && self.shared.calls() == 0 {
                return Ok(());
            }
            let reads = !stopping && self.may_read();
            tokio::select! {
                wrote = write(&mut self.writer, &self.sending, self.written), if !self.sending.is_empty() => {
                    self.advance(wrote?);
                }
                read = read(&mut self.reader, &mut self.decoder, &mut self.arrived), if reads => {
                    if read? == 0 {
                        return Ok(());
                    }
                    self.clock.heard();
                }
                () = self.shared.client.outbox.ready.notified() => {}
                () = self.clock.tick() => self.look_at_clock(reads)?,
                _ = stop.wait_for(|stop| *stop), if !stopping => stopping = true,
            }
        }
    }

    /// Everybody may be a client that reads, so what such clients hold is bounded for all of them together.
    fn account(&self) -> Result<(), Ended> {
        let Shared { client, place, inbound, .. } = &*self.shared;
        let Some(place) = place.as_ref().filter(|_| client.rights() != Rights::Full) else { return Ok(()) };
        let lines = self.waiting + inbound.load(Ordering::Acquire);
        let holds = self.decoder.allocated() + lines + client.outbox.bytes();
        if place.holds(holds) { Ok(()) } else { Err(Ended::Memory(holds)) }
    }

    /// Whether more may be taken from this client.
    fn may_read(&self) -> bool {
        self.arrived.is_empty()
            && self.waiting < WAITING_MAX
            && self.shared.inbound.load(Ordering::Acquire) < WAITING_MAX
            && !self.shared.client.outbox.is_full()
    }

    /// Looks at what arrived, and begins the calls that may begin.
    async fn begin_calls(&mut self) {
        let mut begun = 0;
        while let Some((message, inbound)) = self.next() {
            self.begin(message, inbound);
            begun += 1;
            if begun % TURN == 0 {
                tokio::task::yield_now().await;
            }
        }
        self.opened();
    }

    /// The next call that may begin.
    fn next(&mut self) -> Option<Waiting> {
        while let Some(message) = self.arrived.pop_front() {
            let header = message.header;
            if !header.kind.is_call() {
                self.look_at(message);
                continue;
            }
            let inbound = match self.open_stream(header) {
                Ok(inbound) => inbound,
                Err(why) => {
                    call::refuse(&self.shared.client, header, &why);
                    continue;
                }
            };
            self.waiting += message.payload().len() + MESSAGE_COST;
            match incoming::priority(header) {
                Priority::High => self.high.push_back((message, inbound)),
                Priority::Low => self.low.push_back((message, inbound)),
            }
            if self.waiting >= WAITING_MAX {
                break;
            }
        }
        if self.shared.client.outbox.is_full() {
            return None;
        }
        let below = |priority| self.shared.going_on(priority).load(Ordering::Acquire) < CALLS_MAX;
        let line = match (below(Priority::High), below(Priority::Low)) {
            (true, _) if !self.high.is_empty() => &mut self.high,
            (_, true) => &mut self.low,
            _ => return None,
        };
        let call = line.pop_front()?;
        self.waiting = self.waiting.saturating_sub(call.0.payload().len() + MESSAGE_COST);
        Some(call)
    }

    fn begin(&mut self, message: Message, inbound: Option<Pieces>) {
        let priority = incoming::priority(message.header);
        let mut future = Box::pin(call::answer(Arc::clone(&self.shared), message, inbound));
        // Most calls are answered without waiting for anything, and then need no task.
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        match future.as_mut().poll(&mut context) {
            Poll::Ready(pump) => spawn_pump(pump),
            Poll::Pending => {
                let shared = Arc::clone(&self.shared);
                shared.going_on(priority).fetch_add(1, Ordering::AcqRel);
                tokio::spawn(async move {
                    let pump = future.await;
                    shared.going_on(priority).fetch_sub(1, Ordering::AcqRel);
                    shared.client.outbox.ready.notify_one();
                    spawn_pump(pump);
                });
            }
        }
    }

    /// What is not a call.
    fn look_at(&mut self, message: Message) {
        let header = message.header;
        match incoming::read(&message, Rights::None) {
            incoming::Incoming::Ping => {
                self.shared.client.outbox.push(keepalive::Procedure::Pong.packet().to_vec());
            }
            incoming::Incoming::Stream => {
                let Some(inbound) = self.streams.get(&header.serial) else { return };
                if !inbound.send(&self.shared, message) {
                    self.streams.remove(&header.serial);
                }
            }
            _ => {}
        }
    }

    /// Where what the client sends on a stream waits from now on, if the call opens one.
    fn open_stream(&mut self, header: Header) -> Result<Option<Pieces>, String> {
        if !stream::opens(header) {
            return Ok(None);
        }
        self.streams.retain(|_, inbound| !inbound.is_closed());
        if self.streams.len() >= STREAMS_MAX {
            return Err(format!("this connection has {STREAMS_MAX} streams open, which is the most"));
        }
        if self.streams.contains_key(&header.serial) {
            return Err(format!("serial {} names a stream that is open", header.serial));
        }
        let (inbound, pieces) = stream::inbound(&self.shared);
        self.streams.insert(header.serial, inbound);
        Ok(Some(pieces))
    }

    /// Long messages are taken from those who have opened the connection; pings are sent to those who know of them.
    fn opened(&mut self) {
        let client = &self.shared.client;
        if !self.clock.opened && client.is_open() {
            self.clock.opened = true;
            self.clock.sleep = None;
            self.decoder.set_limit(match client.rights() {
                Rights::Full => Limit::Full,
                Rights::Read | Rights::None => Limit::Reader,
            });
        }
        let pings = self.bounds.keepalive_count > 0 && client.keepalive.load(Ordering::Acquire);
        if self.clock.opened && pings && self.clock.sleep.is_none() {
            self.clock.again(self.bounds.keepalive_interval);
        }
    }

    fn advance(&mut self, wrote: usize) {
        self.written += wrote;
        while let Some(packet) = self.sending.front().filter(|packet| packet.bytes.len() <= self.written) {
            self.written -= packet.bytes.len();
            self.shared.client.outbox.sent(packet);
            self.sending.pop_front();
        }
    }

    fn look_at_clock(&mut self, reads: bool) -> Result<(), Ended> {
        let client = &self.shared.client;
        if !self.clock.opened {
            return Err(Ended::Handshake(self.bounds.handshake));
        }
        let silent = self.clock.heard.elapsed();
        if !reads {
            // What it sends is not looked at now, so it is not silent; and it hears that the daemon lives.
            if client.outbox.is_empty() {
                client.outbox.push(keepalive::Procedure::Pong.packet().to_vec());
            }
            self.clock.heard();
        } else if silent + Duration::from_millis(1) >= self.bounds.keepalive_interval {
            if self.clock.unanswered >= self.bounds.keepalive_count {
                return Err(Ended::Silent(self.clock.unanswered));
            }
            self.clock.unanswered += 1;
            if client.outbox.is_empty() {
                client.outbox.push(keepalive::Procedure::Ping.packet().to_vec());
            }
        }
        self.clock.again(self.bounds.keepalive_interval);
        Ok(())
    }
}

fn spawn_pump(pump: Option<stream::Pump>) {
    if let Some(pump) = pump {
        tokio::spawn(pump.run());
    }
}

/// When the client is next looked at.
struct Clock {
    opened: bool,
    heard: Instant,
    unanswered: u32,
    /// None while there is nothing to look at.
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Clock {
    fn new(bounds: Bounds) -> Self {
        let sleep = Some(Box::pin(tokio::time::sleep(bounds.handshake)));
        Self { opened: false, heard: Instant::now(), unanswered: 0, sleep }
    }

    fn heard(&mut self) {
        self.heard = Instant::now();
        self.unanswered = 0;
    }

    async fn tick(&mut self) {
        match &mut self.sleep {
            Some(sleep) => sleep.as_mut().await,
            None => std::future::pending().await,
        }
    }

    fn again(&mut self, after: Duration) {
        self.sleep = Some(Box::pin(tokio::time::sleep(after)));
    }
}

/// Reads once. The bytes lie on the stack: a connection on which nothing arrives holds no buffer.
async fn read<R: AsyncRead + Unpin>(
    reader: &mut R,
    decoder: &mut Decoder,
    arrived: &mut VecDeque<Message>,
) -> Result<usize, Ended> {
    poll_fn(|context| {
        let mut bytes = [const { MaybeUninit::uninit() }; READ];
        let mut buffer = ReadBuf::uninit(&mut bytes);
        ready!(Pin::new(&mut *reader).poll_read(context, &mut buffer))?;
        let mut input = buffer.filled();
        while let Some(message) = decoder.advance(&mut input)? {
            arrived.push_back(message);
        }
        Poll::Ready(Ok(buffer.filled().len()))
    })
    .await
}

async fn write<W: AsyncWrite + Unpin>(
    writer: &mut W,
    packets: &VecDeque<Packet>,
    written: usize,
) -> io::Result<usize> {
    let wrote = poll_fn(|context| {
        let mut slices = [IoSlice::new(&[]); WRITE];
        let mut count = 0;
        for (slice, packet) in slices.iter_mut().zip(packets) {
            let skip = if count == 0 { written } else { 0 };
            *slice = IoSlice::new(packet.bytes.get(skip..).unwrap_or_default());
            count += 1;
        }
        Pin::new(&mut *writer).poll_write_vectored(context, slices.get(..count).unwrap_or_default())
    })
    .await?;
    if wrote == 0 { Err(io::ErrorKind::WriteZero.into()) } else { Ok(wrote) }
}
