//! The QMP connection of one guest: queries out, answers and events in, as the state machine takes them.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use qemu::qmp::command::{
    Cont, QmpCapabilities, QueryChardev, QuerySev, QuerySevLaunchMeasure, QueryStatus, Quit, SetRebootAction,
    SevInjectLaunchSecret, SystemReset, TraceEventSetState,
};
use qemu::qmp::{self, Codec, Command, CommandError, Incoming, Outcome, Ticket};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use serde_json::{Map, Value};
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::sync::oneshot;

use super::life::Still;
use super::state::{Answer, Event, Query};

/// How many questions of others wait until QEMU has greeted.
const HELD_BACK: usize = 256;
/// How many bytes may wait for QEMU to read them.
const UNREAD: usize = 16 << 20;
/// How many questions may wait for an answer. One whose asker has given up counts, for its answer may still come.
const UNANSWERED: usize = 1024;

/// A question of somebody else's, and where its outcome goes.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) message: Map<String, Value>,
    /// A descriptor that goes with it.
    pub(super) fd: Option<OwnedFd>,
    pub(super) reply: oneshot::Sender<Outcome>,
}

/// A connection; what was asked and is not answered yet.
#[derive(Debug)]
pub(super) struct Monitor {
    stream: UnixStream,
    codec: Codec,
    waiting: BTreeMap<u64, Waiting>,
    /// What QEMU has not read yet.
    unsent: VecDeque<u8>,
    /// Descriptors that go with it, each with how many bytes come before those that it goes with.
    unsent_fds: VecDeque<(usize, OwnedFd)>,
    /// QEMU takes commands.
    negotiated: bool,
    held_back: VecDeque<Question>,
    /// What QEMU told and nobody has taken yet.
    heard: VecDeque<qmp::Event>,
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
    BindReboot(Ticket<SetRebootAction>),
    TraceShutdown(Ticket<TraceEventSetState>),
    Reset(Ticket<SystemReset>),
    Asked(oneshot::Sender<Outcome>),
}

impl Waiting {
    /// `None`: it concerns somebody else.
    fn read(self, outcome: Outcome) -> Result<Option<Answer>, CommandError> {
        Ok(Some(match self {
            Self::Asked(reply) => {
                // Whoever has stopped waiting needs no answer.
                let _ = reply.send(outcome);
                return Ok(None);
            }
            // A QEMU that was built without goes without.
            Self::TraceShutdown(ticket) => return Ok(ticket.read(outcome).ok().map(|_| Answer::Traced)),
            Self::BindReboot(ticket) => ticket.read(outcome).map(|_| Answer::RebootBound)?,
            Self::Reset(ticket) => ticket.read(outcome).map(|_| Answer::WasReset)?,
            Self::Negotiate(ticket) => ticket.read(outcome).map(|_| Answer::Negotiated)?,
            Self::Sev(ticket) => Answer::Sev(ticket.read(outcome)?),
            Self::Measure(ticket) => Answer::Measured(ticket.read(outcome)?.data),
            Self::Inject(ticket) => ticket.read(outcome).map(|_| Answer::Injected)?,
            Self::Chardevs(ticket) => Answer::Chardevs(ticket.read(outcome)?),
            Self::Continue(ticket) => ticket.read(outcome).map(|_| Answer::Continued)?,
            Self::Status(ticket) => Answer::Status(ticket.read(outcome)?.status),
            Self::Quit(ticket) => ticket.read(outcome).map(|_| Answer::Quitting)?,
        }))
    }
}

impl Monitor {
    /// Connects to a socket that listens already, so this does not wait for QEMU.
    pub(super) fn connect(path: &Path) -> io::Result<Self> {
        let stream = std::os::unix::net::UnixStream::connect(path)?;
        stream.set_nonblocking(true)?;
        Ok(Self {
            stream: UnixStream::from_std(stream)?,
            codec: Codec::new(),
            waiting: BTreeMap::new(),
            unsent: VecDeque::new(),
            unsent_fds: VecDeque::new(),
            negotiated: false,
            held_back: VecDeque::new(),
            heard: VecDeque::new(),
        })
    }

    /// Sends somebody else's question, once QEMU takes any. One that cannot be sent is dropped, which its asker sees.
    pub(super) fn pass_on(&mut self, question: Question) {
        let is_full = self.unsent.len() > UNREAD || self.waiting.len() >= UNANSWERED;
        if question.reply.is_closed() || is_full {
            return;
        }
        if !self.negotiated {
            if self.held_back.len() < HELD_BACK {
                self.held_back.push_back(question);
            }
            return;
        }
        let (id, bytes) = self.codec.encode_raw(question.message);
        self.waiting.insert(id, Waiting::Asked(question.reply));
        self.unsent_fds.extend(question.fd.map(|fd| (self.unsent.len(), fd)));
        self.unsent.extend(bytes);
        // A connection that has ended is seen by whoever reads from it.
        let _ = self.flush();
    }

    fn flush(&mut self) -> io::Result<()> {
        while !self.unsent.is_empty() {
            match self.write() {
                Ok(written) => {
                    self.unsent.drain(..written);
                    for (before, _) in &mut self.unsent_fds {
                        *before = before.saturating_sub(written);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Writes what can be written: up to the next descriptor, or that with what it goes with.
    fn write(&mut self) -> io::Result<usize> {
        let first = self.unsent.as_slices().0;
        match self.unsent_fds.front() {
            None => self.stream.try_write(first),
            Some((0, fd)) => {
                let written =
                    self.stream.try_io(Interest::WRITABLE, || with_fd(&self.stream, first, fd.as_fd()))?;
                self.unsent_fds.pop_front();
                Ok(written)
            }
            Some((before, _)) => self.stream.try_write(first.get(..*before).unwrap_or(first)),
        }
    }

    /// Sends a query. QEMU reads its monitor promptly and queries are small, so one that does not fit into the
    /// socket's buffer waits until it does.
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
            Query::BindReboot => self.encode(&SetRebootAction { reboot: "shutdown" }, Waiting::BindReboot),
            Query::TraceShutdown => {
                let on = TraceEventSetState { name: "qemu_system_shutdown_request", enable: true };
                self.encode(&on, Waiting::TraceShutdown)
            }
            Query::Reset => self.encode(&SystemReset, Waiting::Reset),
        };
        self.waiting.insert(waiting.0, waiting.1);
        self.unsent.extend(bytes);
        self.flush().map_err(|error| format!("QMP: {error}"))
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
            let interest = if self.unsent.is_empty() {
                Interest::READABLE
            } else {
                Interest::READABLE | Interest::WRITABLE
            };
            let ready = self.stream.ready(interest).await.map_err(broken)?;
            if ready.is_writable() {
                match self.flush() {
                    Err(error) if error.kind() != io::ErrorKind::BrokenPipe => return Err(broken(error)),
                    _ => {}
                }
            }
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
                match waiting.read(reply.outcome) {
                    Ok(answer) => {
                        if answer == Some(Answer::Negotiated) {
                            self.negotiated = true;
                            for question in std::mem::take(&mut self.held_back) {
                                self.pass_on(question);
                            }
                        }
                        answer.map(Event::Answered)
                    }
                    Err(error) => Some(Event::Refused(crate::chain(&error))),
                }
            }
            Incoming::Event(event) => {
                tracing::debug!(?event, "QEMU tells");
                let told = life_event(&event);
                self.heard.push_back(event);
                told
            }
        }
    }

    /// What QEMU told since this was last called, whatever it was about.
    pub(super) fn heard(&mut self) -> impl Iterator<Item = qmp::Event> + '_ {
        self.heard.drain(..)
    }
}

/// Writes bytes with which a descriptor goes.
fn with_fd(stream: &UnixStream, bytes: &[u8], fd: BorrowedFd<'_>) -> io::Result<usize> {
    let fds = [fd];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(&fds)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    Ok(sendmsg(stream, &[io::IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL)?)
}

/// What an event means for the guest's life.
fn life_event(event: &qmp::Event) -> Option<Event> {
    Some(match event {
        qmp::Event::Shutdown { guest, reason } => Event::Shutdown { guest: *guest, reason: reason.clone() },
        qmp::Event::Stop => Event::Halted,
        qmp::Event::Resume => Event::Continued,
        qmp::Event::Reset { .. } => Event::Reset,
        qmp::Event::GuestPanicked { action } if action != "run" => Event::Panicked,
        qmp::Event::BlockIoError { action, .. } if action == "stop" => Event::About(Still::IoError),
        qmp::Event::Watchdog { action } if action == "pause" => Event::About(Still::Watchdog),
        // It is looked at by those who listen.
        _ => Event::Heard,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_qemu_that_answers_nothing_is_not_asked_without_end() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("monitor.sock");
        let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let mut monitor = Monitor::connect(&path).unwrap();
        let (_qemu, _) = listener.accept().unwrap();
        monitor.negotiated = true;
        let questions = (0..2 * UNANSWERED).map(|_| {
            let (reply, outcome) = oneshot::channel();
            let message = Map::from_iter([("execute".into(), "query-status".into())]);
            monitor.pass_on(Question { message, fd: None, reply });
            outcome
        });
        let mut outcomes: Vec<_> = questions.collect();
        assert_eq!(monitor.waiting.len(), UNANSWERED);
        // Who is not heard learns so, and does not wait.
        let refused = outcomes.iter_mut().filter_map(|outcome| outcome.try_recv().err());
        let refused = refused.filter(|error| *error == oneshot::error::TryRecvError::Closed).count();
        assert_eq!(refused, UNANSWERED);
    }
}
