//! Listening to a machine until its job has ended: streams carried, messages read, signals and the deadline heeded.

use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};
use rustix::fs::OFlags;
use rustix::termios::tcgetwinsize;

use crate::job::{Channel, LONGEST_MESSAGE, Message, Order, Stage, WindowSize, Written};
use crate::machine::{Channels, Machine, ending};
use crate::process::Signals;
use crate::wait::poll_until;

const CHUNK: usize = 64 << 10;
/// How long the rest of the job's output may take once it has ended.
const GRACE: Duration = Duration::from_secs(10);

/// What happens in the machine.
#[derive(Debug)]
pub enum Event<'a> {
    /// A stage has ended, which took so long.
    Stage {
        name: &'a str,
        took: Duration,
    },
    Stdout(&'a [u8]),
    Stderr(&'a [u8]),
    /// The inner guest's console.
    Console(&'a [u8]),
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// The job ended with this code; 128 and more for a signal.
    Exited(u8),
    /// The time was up.
    TimedOut,
    /// This process was sent a signal, 2 for SIGINT.
    Interrupted(i32),
}

/// Why nothing is known about the job's end.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    #[error("listen to the lab's outer machine")]
    Listen(#[source] io::Error),
    #[error("pass on what the job prints")]
    Output(#[source] io::Error),
    #[error("the lab's outer machine failed: {reason}; its console says:\n{console}")]
    Failed { reason: String, console: String },
    #[error("the lab's outer machine ended too soon ({how}); its console says:\n{console}")]
    Died { how: String, console: String },
}

/// Where the job's input comes from, and whether the user's terminal is the job's.
#[derive(Debug, Clone, Copy)]
pub enum Input<'a> {
    None,
    Stream(BorrowedFd<'a>),
    /// As a stream; and its size is passed on whenever it changes.
    Terminal(BorrowedFd<'a>),
}

/// The size of a terminal.
#[must_use]
pub fn window_size(terminal: BorrowedFd<'_>) -> WindowSize {
    tcgetwinsize(terminal)
        .map(|size| WindowSize { rows: size.ws_row, columns: size.ws_col })
        .unwrap_or(WindowSize { rows: 24, columns: 80 })
}

impl Machine {
    /// Carries the job's streams until it ends, the deadline passes or a signal comes, and then ends the machine.
    ///
    /// SIGINT, SIGTERM and SIGHUP are taken over meanwhile by the calling thread.
    ///
    /// # Errors
    /// The machine broke, or `on_event` failed.
    pub fn listen(
        &mut self,
        input: Input<'_>,
        deadline: Option<Instant>,
        on_event: &mut dyn FnMut(Event<'_>) -> io::Result<()>,
    ) -> Result<Ending, ListenError> {
        let signals = Signals::take(&[libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGWINCH])
            .map_err(ListenError::Listen)?;
        let prepared = self.prepared();
        on_event(Event::Stage { name: "preparation", took: prepared }).map_err(ListenError::Output)?;
        let listener = Listener { input, deadline, signals, on_event, heard: Heard::default() };
        let result = listener.run(self);
        let status = self.stop();
        match result? {
            Some(ending) => Ok(ending),
            None => Err(ListenError::Died { how: ending(status), console: self.console_tail() }),
        }
    }
}

struct Listener<'a> {
    input: Input<'a>,
    deadline: Option<Instant>,
    signals: Signals,
    on_event: &'a mut dyn FnMut(Event<'_>) -> io::Result<()>,
    heard: Heard,
}

/// What has come so far.
#[derive(Default)]
struct Heard {
    /// An incomplete message.
    line: Vec<u8>,
    /// Input on its way.
    pending: Vec<u8>,
    input_ended: bool,
    read: Written,
    exit: Option<(u8, Written)>,
    /// Uptime at the end of the last stage.
    last_stage_ms: u64,
}

/// What can have something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    /// QEMU has ended.
    Process,
    Signal,
    Channel(Channel),
    /// The user has typed, or there is room for what was typed.
    Input,
}

/// What the job writes, and the machine's messages.
const FROM_MACHINE: [Channel; 4] = [Channel::Status, Channel::Stdout, Channel::Stderr, Channel::Console];

impl Listener<'_> {
    /// `None` if the machine ended by itself.
    fn run(mut self, machine: &mut Machine) -> Result<Option<Ending>, ListenError> {
        if let Some(stdin) = machine.channels.get(Channel::Stdin) {
            rustix::fs::fcntl_setfl(stdin, OFlags::NONBLOCK)
                .map_err(|error| ListenError::Listen(error.into()))?;
        }
        if let Input::None = self.input {
            machine.channels.end_sending(Channel::Stdin);
        }
        loop {
            let ready = self.wait(machine).map_err(ListenError::Listen)?;
            if ready.is_empty() {
                // After the job's end only its last output was waited for.
                return Ok(Some(self.exited().unwrap_or(Ending::TimedOut)));
            }
            if ready == [Source::Process] {
                return Ok(self.exited());
            }
            for source in ready {
                match source {
                    Source::Process => {}
                    Source::Signal => {
                        if let Some(ending) = self.signal(&machine.channels) {
                            return Ok(Some(ending));
                        }
                    }
                    Source::Channel(channel) => self.receive(channel, machine)?,
                    Source::Input => self.carry_input(&machine.channels),
                }
            }
            if self.heard.exit.is_some_and(|(_, written)| written == self.heard.read) {
                return Ok(self.exited());
            }
        }
    }

    fn exited(&self) -> Option<Ending> {
        self.heard.exit.map(|(code, _)| Ending::Exited(code))
    }

    /// Nothing when the deadline has passed.
    fn wait(&self, machine: &Machine) -> io::Result<Vec<Source>> {
        let channels = &machine.channels;
        let mut waiting = vec![
            (Source::Process, PollFd::new(&machine.process, PollFlags::IN)),
            (Source::Signal, PollFd::new(self.signals.descriptor(), PollFlags::IN)),
        ];
        for channel in FROM_MACHINE {
            if let Some(file) = channels.get(channel) {
                waiting.push((Source::Channel(channel), PollFd::new(file, PollFlags::IN)));
            }
        }
        match (channels.get(Channel::Stdin), self.input, self.heard.pending.is_empty()) {
            (Some(_), Input::Stream(from) | Input::Terminal(from), true) if !self.heard.input_ended => {
                waiting.push((Source::Input, PollFd::from_borrowed_fd(from, PollFlags::IN)));
            }
            (Some(to), _, false) => waiting.push((Source::Input, PollFd::new(to, PollFlags::OUT))),
            _ => {}
        }
        let (sources, mut descriptors): (Vec<_>, Vec<_>) = waiting.into_iter().unzip();
        poll_until(&mut descriptors, self.deadline)?;
        let ready = sources.into_iter().zip(descriptors).filter(|(_, fd)| !fd.revents().is_empty());
        Ok(ready.map(|(source, _)| source).collect())
    }

    fn signal(&self, channels: &Channels) -> Option<Ending> {
        let status = channels.get(Channel::Status);
        while let Some(signal) = self.signals.next() {
            if signal != libc::SIGWINCH {
                return Some(Ending::Interrupted(signal));
            }
            if let (Input::Terminal(terminal), Some(mut status)) = (self.input, status) {
                let order = Order::Resize(window_size(terminal));
                if let Ok(mut line) = serde_json::to_vec(&order) {
                    line.push(b'\n');
                    // A terminal of the wrong size is no reason to end.
                    let _ = status.write_all(&line);
                }
            }
        }
        None
    }

    /// Moves input towards the job. When either side has ended, the job's input ends.
    fn carry_input(&mut self, channels: &Channels) {
        if self.heard.pending.is_empty() {
            let (Input::Stream(from) | Input::Terminal(from)) = self.input else { return };
            let mut buffer = vec![0; CHUNK];
            match rustix::io::read(from, &mut buffer) {
                Ok(0) | Err(_) => return self.end_input(channels),
                Ok(length) => {
                    buffer.truncate(length);
                    self.heard.pending = buffer;
                }
            }
        }
        let Some(mut to) = channels.get(Channel::Stdin) else { return };
        match to.write(&self.heard.pending) {
            Ok(length) => drop(self.heard.pending.drain(..length)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => {
                self.heard.pending.clear();
                self.end_input(channels);
            }
        }
    }

    fn end_input(&mut self, channels: &Channels) {
        self.heard.input_ended = true;
        channels.end_sending(Channel::Stdin);
    }

    /// Takes what has come by a channel, or notes that it has ended.
    fn receive(&mut self, channel: Channel, machine: &mut Machine) -> Result<(), ListenError> {
        let Some(mut file) = machine.channels.get(channel) else { return Ok(()) };
        let mut buffer = vec![0; CHUNK];
        // An end that was closed with something unread is as closed as any.
        let length = file.read(&mut buffer).unwrap_or(0);
        let bytes = buffer.get(..length).unwrap_or_default();
        if bytes.is_empty() {
            machine.channels.close(channel);
            return Ok(());
        }
        let count = bytes.len() as u64;
        let read = &mut self.heard.read;
        let event = match channel {
            Channel::Stdout => {
                read.stdout += count;
                Event::Stdout(bytes)
            }
            Channel::Stderr => {
                read.stderr += count;
                Event::Stderr(bytes)
            }
            Channel::Console => {
                read.console += count;
                Event::Console(bytes)
            }
            Channel::Status => return self.messages(bytes, machine),
            Channel::Stdin => return Ok(()),
        };
        (self.on_event)(event).map_err(ListenError::Output)
    }

    fn messages(&mut self, bytes: &[u8], machine: &Machine) -> Result<(), ListenError> {
        self.heard.line.extend(bytes);
        while let Some(end) = self.heard.line.iter().position(|&byte| byte == b'\n') {
            let line: Vec<u8> = self.heard.line.drain(..=end).collect();
            let message = serde_json::from_slice(&line)
                .map_err(|error| ListenError::Listen(io::Error::new(io::ErrorKind::InvalidData, error)))?;
            self.message(message, machine)?;
        }
        if self.heard.line.len() > LONGEST_MESSAGE {
            return Err(ListenError::Listen(io::ErrorKind::InvalidData.into()));
        }
        Ok(())
    }

    fn message(&mut self, message: Message, machine: &Machine) -> Result<(), ListenError> {
        match message {
            Message::Started { stages, uptime_ms } => {
                let took = machine.started.elapsed().saturating_sub(Duration::from_millis(uptime_ms));
                (self.on_event)(Event::Stage { name: "power on", took }).map_err(ListenError::Output)?;
                stages.iter().try_for_each(|stage| self.stage(stage))
            }
            Message::Stage(stage) => self.stage(&stage),
            Message::Failed { reason } => {
                Err(ListenError::Failed { reason, console: machine.console_tail() })
            }
            Message::Exit { code, written } => {
                self.heard.exit = Some((code, written));
                self.deadline = Some(Instant::now() + GRACE);
                Ok(())
            }
        }
    }

    fn stage(&mut self, stage: &Stage) -> Result<(), ListenError> {
        let took = Duration::from_millis(stage.uptime_ms.saturating_sub(self.heard.last_stage_ms));
        self.heard.last_stage_ms = stage.uptime_ms;
        (self.on_event)(Event::Stage { name: &stage.name, took }).map_err(ListenError::Output)
    }
}

impl<'a> Input<'a> {
    /// Standard input: as a terminal if `terminal`, else as a stream.
    #[must_use]
    pub fn stdin(stdin: &'a io::Stdin, terminal: bool) -> Self {
        if terminal { Self::Terminal(stdin.as_fd()) } else { Self::Stream(stdin.as_fd()) }
    }
}
