//! The QMP connection of one guest: queries out, answers and events in, as the state machine takes them.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use qemu::qmp::command::{
    Cont, QmpCapabilities, QueryChardev, QuerySev, QuerySevLaunchMeasure, QueryStatus, Quit,
    SevInjectLaunchSecret,
};
use qemu::qmp::{self, Codec, Command, CommandError, Incoming, Outcome, Ticket};
use tokio::net::UnixStream;

use super::state::{Answer, Event, Query};

/// A connection; what was asked and is not answered yet.
#[derive(Debug)]
pub(super) struct Monitor {
    stream: UnixStream,
    codec: Codec,
    waiting: BTreeMap<u64, Waiting>,
}

/// A reply that will come, and how it is to be read.
#[derive(Debug)]
enum Waiting {
    Negotiate(Ticket<QmpCapabilities>),
    Sev(Ticket<QuerySev>),
    Measure(Ticket<QuerySevLaunchMeasure>),
    Inject(Ticket<SevInjectLaunchSecret>),
    Chardevs(Ticket<QueryChardev>),
    Continue(Ticket<Cont>),
    Status(Ticket<QueryStatus>),
    Quit(Ticket<Quit>),
}

impl Waiting {
    fn read(self, outcome: Outcome) -> Result<Answer, CommandError> {
        Ok(match self {
            Self::Negotiate(ticket) => ticket.read(outcome).map(|_| Answer::Negotiated)?,
            Self::Sev(ticket) => Answer::Sev(ticket.read(outcome)?),
            Self::Measure(ticket) => Answer::Measured(ticket.read(outcome)?.data),
            Self::Inject(ticket) => ticket.read(outcome).map(|_| Answer::Injected)?,
            Self::Chardevs(ticket) => Answer::Chardevs(ticket.read(outcome)?),
            Self::Continue(ticket) => ticket.read(outcome).map(|_| Answer::Continued)?,
            Self::Status(ticket) => Answer::Status(ticket.read(outcome)?.status),
            Self::Quit(ticket) => ticket.read(outcome).map(|_| Answer::Quitting)?,
        })
    }
}

impl Monitor {
    /// Connects to a socket that listens already, so this does not wait for QEMU.
    pub(super) fn connect(path: &Path) -> io::Result<Self> {
        let stream = std::os::unix::net::UnixStream::connect(path)?;
        stream.set_nonblocking(true)?;
        Ok(Self { stream: UnixStream::from_std(stream)?, codec: Codec::new(), waiting: BTreeMap::new() })
    }

    /// Sends a query. QEMU reads its monitor promptly and queries are small, so one that does not fit into the
    /// socket's buffer is a sign that it does not read.
    pub(super) fn ask(&mut self, query: Query) -> Result<(), String> {
        let (waiting, bytes) = match query {
            Query::Negotiate => self.encode(&QmpCapabilities, Waiting::Negotiate),
            Query::Sev => self.encode(&QuerySev, Waiting::Sev),
            Query::Measure => self.encode(&QuerySevLaunchMeasure, Waiting::Measure),
            Query::Inject(packet) => self.encode(&packet, Waiting::Inject),
            Query::Chardevs => self.encode(&QueryChardev, Waiting::Chardevs),
            Query::Continue => self.encode(&Cont, Waiting::Continue),
            Query::Status => self.encode(&QueryStatus, Waiting::Status),
            Query::Quit => self.encode(&Quit, Waiting::Quit),
        };
        self.waiting.insert(waiting.0, waiting.1);
        match self.stream.try_write(&bytes) {
            Ok(written) if written == bytes.len() => Ok(()),
            Ok(_) => Err("QEMU does not read its QMP socket".into()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                Err("QEMU does not read its QMP socket".into())
            }
            Err(error) => Err(format!("QMP: {error}")),
        }
    }

    fn encode<C: Command>(
        &mut self,
        command: &C,
        wrap: fn(Ticket<C>) -> Waiting,
    ) -> ((u64, Waiting), Vec<u8>) {
        let (ticket, bytes) = self.codec.encode(command);
        ((ticket.id(), wrap(ticket)), bytes)
    }

    /// The next thing that QMP tells; what does not concern the guest's life is left out. Safe to cancel.
    pub(super) async fn next(&mut self) -> Event {
        loop {
            match self.codec.next() {
                Ok(Some(message)) => {
                    if let Some(event) = self.translate(message) {
                        return event;
                    }
                }
                Ok(None) => {
                    if let Err(ended) = self.fill().await {
                        return ended;
                    }
                }
                Err(error) => return Event::MonitorBroken(error.to_string()),
            }
        }
    }

    async fn fill(&mut self) -> Result<(), Event> {
        let broken = |error: io::Error| Event::MonitorBroken(format!("QMP: {error}"));
        let mut buffer = [0u8; 4096];
        loop {
            self.stream.readable().await.map_err(broken)?;
            match self.stream.try_read(&mut buffer) {
                Ok(0) => return Err(Event::MonitorClosed),
                Ok(length) => {
                    let bytes = buffer.get(..length).unwrap_or_default();
                    return self.codec.push(bytes).map_err(|error| Event::MonitorBroken(error.to_string()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                    return Err(Event::MonitorClosed);
                }
                Err(error) => return Err(broken(error)),
            }
        }
    }

    fn translate(&mut self, message: Incoming) -> Option<Event> {
        match message {
            Incoming::Greeting(greeting) => {
                tracing::debug!(version = %greeting.version, "QEMU greets");
                Some(Event::Greeted)
            }
            Incoming::Reply(reply) => {
                let waiting = self.waiting.remove(&reply.id)?;
                Some(match waiting.read(reply.outcome) {
                    Ok(answer) => Event::Answered(answer),
                    Err(error) => Event::Refused(crate::chain(&error)),
                })
            }
            Incoming::Event(event) => {
                tracing::debug!(?event, "QEMU tells");
                match event {
                    qmp::Event::Shutdown { guest, reason } => Some(Event::Shutdown { guest, reason }),
                    qmp::Event::Stop => Some(Event::Halted),
                    _ => None,
                }
            }
        }
    }
}
