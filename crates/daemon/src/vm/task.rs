//! The task that owns one guest: it waits for whatever happens next, and carries out what the state machine decides.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::Signal;
use tokio::io::unix::AsyncFd;
use tokio::net::unix::pipe;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::console::{Console, Link};
use super::end::{End, ExitKind, Stopper};
use super::monitor::Monitor;
use super::rundir::RunDir;
use super::state::{Action, Event, Evidence, Goals, Milestone, State, Verdict};
use super::words::LastWords;
use crate::cgroup::Group;
use crate::isolate::Confinement;
use crate::process::{Lifetime, MemoryLock, Process, Spawn};

/// How long the console's last output may take to reach its reader.
const CONSOLE_DRAIN: Duration = Duration::from_secs(5);
/// How much of what a dead QEMU left in its pipe is read.
const LAST_READ: usize = 1 << 20;

/// All that a start needs; everything that could be refused before QEMU runs has been.
pub struct Request {
    pub emulator: PathBuf,
    /// QEMU's arguments, the program's own name left out.
    pub arguments: Vec<OsString>,
    /// QEMU's environment; the dynamic linker's variables are added from sevirt's own.
    pub environment: Vec<(OsString, OsString)>,
    pub run_dir: RunDir,
    /// The listening QMP socket, whose number is among the arguments.
    pub listener: UnixListener,
    /// What else QEMU inherits, by the numbers that are among the arguments.
    pub inherited: Vec<OwnedFd>,
    /// Files that QEMU will read from the run directory.
    pub files: Vec<(PathBuf, Vec<u8>)>,
    pub memory_lock: Option<MemoryLock>,
    /// The control group that QEMU runs in.
    pub group: Option<Group>,
    /// Whom QEMU runs as and what it sees.
    pub confinement: Confinement,
    /// Whether QEMU outlives the thread that runs it.
    pub lifetime: Lifetime,
    pub goals: Goals,
    /// Who judges the measurement, where the goals ask for it.
    pub owner: Option<Owner>,
    pub console: Option<Console>,
    /// How long the guest may live.
    pub timeout: Option<Duration>,
}

/// The guest's owner, or who speaks for them. It may take a moment to compute, and does not wait for anything.
pub type Owner = Box<dyn FnMut(&Evidence) -> Verdict>;

/// What an onlooker is told while a guest lives.
#[derive(Debug)]
pub enum Notice {
    Milestone(Milestone),
    /// The console is connected; the user leaves it by Ctrl-] if it is on a terminal. `None`: the guest has none.
    Console(Option<ConsoleNotice>),
}

#[derive(Debug)]
pub struct ConsoleNotice {
    pub pty: PathBuf,
    pub is_terminal: bool,
}

/// How it went.
#[derive(Debug)]
pub struct Outcome {
    pub end: End,
    /// The last lines that QEMU wrote; they tell why where the end is QEMU's own.
    pub last_words: Vec<String>,
    /// The most that its control group was charged for, in bytes, where it had one that tells.
    pub memory_peak: Option<u64>,
}

impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Request")
            .field("emulator", &self.emulator)
            .field("goals", &self.goals)
            .finish_non_exhaustive()
    }
}

/// Runs a guest to its end. When this returns, or is dropped, QEMU and the run directory are gone.
pub async fn run(
    request: Request,
    stop: &mut mpsc::Receiver<Stopper>,
    observer: &mut dyn FnMut(Notice),
) -> Outcome {
    let mut state = State::new(request.goals.clone());
    let mut task = Task::new(request, observer);
    let mut events = VecDeque::from([Event::Start]);
    loop {
        let event = match events.pop_front() {
            Some(event) => event,
            None => task.wait(stop).await,
        };
        tracing::trace!(?event, "event");
        let (next, actions) = state.on(event);
        state = next;
        for action in actions {
            if let Action::Finish(end) = action {
                return task.finish(end).await;
            }
            events.extend(task.carry_out(action));
        }
    }
}

struct Task<'a> {
    observer: &'a mut dyn FnMut(Notice),
    emulator: PathBuf,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    files: Vec<(PathBuf, Vec<u8>)>,
    memory_lock: Option<MemoryLock>,
    confinement: Confinement,
    lifetime: Lifetime,
    owner: Option<Owner>,
    wanted_console: Option<Console>,
    /// Until QEMU has it.
    listener: Option<UnixListener>,
    inherited: Vec<OwnedFd>,
    monitor: Option<Monitor>,
    output: Option<pipe::Receiver>,
    words: LastWords,
    console: Option<Link>,
    /// Where the console asks for an end.
    console_stop: (mpsc::Sender<Stopper>, mpsc::Receiver<Stopper>),
    deadline: Option<Instant>,
    time_up: Option<Instant>,
    // Dropped in this order: the process is gone before its directory goes.
    process: Option<AsyncFd<Process>>,
    run_dir: RunDir,
    group: Option<Group>,
}

impl<'a> Task<'a> {
    fn new(request: Request, observer: &'a mut dyn FnMut(Notice)) -> Self {
        let Request {
            emulator,
            arguments,
            environment,
            run_dir,
            listener,
            inherited,
            files,
            memory_lock,
            group,
            confinement,
            lifetime,
            goals: _,
            owner,
            console,
            timeout,
        } = request;
        Self {
            observer,
            emulator,
            arguments,
            environment,
            files,
            memory_lock,
            confinement,
            lifetime,
            owner,
            wanted_console: console,
            listener: Some(listener),
            inherited,
            monitor: None,
            output: None,
            words: LastWords::default(),
            console: None,
            console_stop: mpsc::channel(1),
            deadline: None,
            time_up: timeout.and_then(|limit| Instant::now().checked_add(limit)),
            process: None,
            run_dir,
            group,
        }
    }

    async fn wait(&mut self, stop: &mut mpsc::Receiver<Stopper>) -> Event {
        loop {
            tokio::select! {
                biased;
                Some(stopper) = stop.recv() => return Event::StopRequested(stopper),
                Some(stopper) = self.console_stop.1.recv() => return Event::StopRequested(stopper),
                event = next_message(&mut self.monitor) => {
                    if matches!(event, Event::MonitorClosed | Event::MonitorBroken(_)) {
                        self.monitor = None;
                    }
                    return event;
                }
                still_open = read_output(&mut self.output, &mut self.words) => {
                    if !still_open {
                        self.output = None;
                    }
                }
                exit = exited(&mut self.process) => {
                    return match exit {
                        Ok(exit) => Event::Exited(exit),
                        Err(error) => Event::MonitorBroken(format!("watch QEMU: {error}")),
                    };
                }
                () = until(self.deadline) => {
                    self.deadline = None;
                    return Event::DeadlinePassed;
                }
                () = until(self.time_up) => {
                    self.time_up = None;
                    return Event::TimeUp;
                }
            }
        }
    }

    /// Carries out one action, and tells what came of it.
    fn carry_out(&mut self, action: Action) -> Option<Event> {
        match action {
            Action::Spawn => Some(match self.spawn() {
                Ok(()) => Event::Spawned,
                Err(reason) => Event::SpawnFailed(reason),
            }),
            Action::Ask(query) => {
                let result = match &mut self.monitor {
                    Some(monitor) => monitor.ask(query),
                    None => Err("QEMU has closed its QMP socket".into()),
                };
                result.err().map(Event::MonitorBroken)
            }
            Action::Judge(evidence) => Some(Event::Judged(match &mut self.owner {
                Some(owner) => owner(&evidence),
                None => Verdict::Rejected { reason: "nobody is there to verify the measurement".into() },
            })),
            Action::OpenConsole(chardevs) => {
                let console = self.wanted_console.take()?;
                match console.connect(&chardevs, self.console_stop.0.clone()) {
                    Ok(link) => {
                        let notice = link.as_ref().map(|link| ConsoleNotice {
                            pty: link.pty.clone(),
                            is_terminal: link.is_terminal,
                        });
                        self.console = link;
                        (self.observer)(Notice::Console(notice));
                        None
                    }
                    Err(reason) => Some(Event::ConsoleFailed(reason)),
                }
            }
            Action::Deadline(limit) => {
                self.deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
                None
            }
            Action::Terminate => self.signal(Signal::TERM),
            Action::Kill => self.signal(Signal::KILL),
            Action::Tell(milestone) => {
                (self.observer)(Notice::Milestone(milestone));
                None
            }
            // The loop returns on it.
            Action::Finish(_) => None,
        }
    }

    fn signal(&self, signal: Signal) -> Option<Event> {
        if let Some(process) = &self.process {
            process.get_ref().signal(signal);
        }
        None
    }

    fn spawn(&mut self) -> Result<(), String> {
        for (path, contents) in &self.files {
            self.run_dir.write(path, contents).map_err(|error| crate::chain(&error))?;
        }
        let Some(listener) = self.listener.take() else { return Err("QEMU was started before".into()) };
        let monitor = Monitor::connect(&self.run_dir.monitor())
            .map_err(|error| format!("connect to QEMU's QMP socket: {error}"))?;
        let told = |error: io::Error| format!("prepare QEMU's pipes: {error}");
        let (reader, writer) =
            rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(|error| told(error.into()))?;
        let output = pipe::Receiver::from_owned_fd(reader).map_err(told)?;
        let second = writer.try_clone().map_err(told)?;
        let others = std::mem::take(&mut self.inherited);
        let inherited: Vec<_> =
            [listener.as_fd()].into_iter().chain(others.iter().map(AsFd::as_fd)).collect();
        let spawn = Spawn {
            program: &self.emulator,
            arguments: &self.arguments,
            environment: &self.environment,
            inherited: &inherited,
            memory_lock: self.memory_lock,
            group: self.group.as_ref().map(Group::entrance),
            lifetime: self.lifetime,
            confinement: &self.confinement,
            stdin: Stdio::null(),
            stdout: writer.into(),
            stderr: second.into(),
        };
        let process = spawn.spawn().map_err(|error| crate::chain(&error))?;
        self.process = Some(process.watch().map_err(|error| format!("watch QEMU by its pidfd: {error}"))?);
        self.monitor = Some(monitor);
        self.output = Some(output);
        Ok(())
    }

    async fn finish(mut self, end: End) -> Outcome {
        // Kills and reaps it if the kernel has not let it go before.
        drop(self.process.take());
        let memory_peak = self.group.as_ref().and_then(Group::peak);
        if let Some(output) = &self.output {
            let mut left = LAST_READ;
            let mut buffer = [0u8; 4096];
            while let Ok(length @ 1..) = output.try_read(&mut buffer) {
                self.words.push(buffer.get(..length).unwrap_or_default());
                left = left.saturating_sub(length);
                if left == 0 {
                    break;
                }
            }
        }
        if let Some(console) = &mut self.console
            && tokio::time::timeout(CONSOLE_DRAIN, console.finish()).await.is_err()
        {
            tracing::warn!("the console's reader stalls; its last output is lost");
        }
        Outcome { end, last_words: self.words.into_lines(), memory_peak }
    }
}

/// The next message; never, where there is no monitor.
async fn next_message(monitor: &mut Option<Monitor>) -> Event {
    match monitor {
        Some(monitor) => monitor.next().await,
        None => std::future::pending().await,
    }
}

/// Takes in what QEMU writes; false at its end.
async fn read_output(output: &mut Option<pipe::Receiver>, words: &mut LastWords) -> bool {
    let Some(output) = output else { return std::future::pending().await };
    let mut buffer = [0u8; 4096];
    loop {
        if output.readable().await.is_err() {
            return false;
        }
        match output.try_read(&mut buffer) {
            Ok(0) => return false,
            Ok(length) => {
                words.push(buffer.get(..length).unwrap_or_default());
                return true;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return false,
        }
    }
}

async fn exited(process: &mut Option<AsyncFd<Process>>) -> io::Result<ExitKind> {
    let Some(process) = process else { return std::future::pending().await };
    loop {
        let mut guard = process.readable_mut().await?;
        if let Some(exit) = guard.get_inner_mut().try_wait()? {
            return Ok(exit);
        }
        guard.clear_ready();
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
