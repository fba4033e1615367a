//! The task that owns one guest: it waits for whatever happens next, and carries out what the state machine decides.
//!
//! A guest in the background has a handle beside it ([`super::Guest`]), through which everybody else asks; its QEMU,
//! its run directory and its control group stay when the task is dropped, and go when QEMU ends.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;
use tokio::io::unix::AsyncFd;
use tokio::net::unix::pipe;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::console::{Console, Link};
use super::end::{End, ExitKind, Stopper};
use super::guest::{Afterwards, Guest, Message};
use super::life::RunState;
use super::monitor::Monitor;
use super::rundir::RunDir;
use super::state::{Action, Event, Evidence, Goals, Milestone, State, Verdict};
use super::words::{LastWords, POWERED_OFF, why_shut_down};
use crate::cgroup::Group;
use crate::isolate::Confinement;
use crate::process::{Lifetime, MemoryLock, Process, Spawn, SpawnError};

/// How long the console's last output may take to reach its reader.
const CONSOLE_DRAIN: Duration = Duration::from_secs(5);
/// What is said where the kernel has ended something of the guest.
pub(super) const OUT_OF_MEMORY: &[u8] =
    b"\nthe memory limit of its control group was reached, and the kernel killed it (`virsh memtune` shows it)\n";
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
    pub goals: Goals,
    /// Who judges the measurement, where the goals ask for it.
    pub owner: Option<Owner>,
    pub console: Option<Console>,
    /// How long the guest may live.
    pub timeout: Option<Duration>,
    /// Where QEMU's output goes. Without one it is read while the guest runs, which a guest in the background does not
    /// survive.
    pub log: Option<Log>,
}

/// A file that QEMU writes to.
#[derive(Debug)]
pub struct Log {
    /// Opened to append.
    pub file: File,
    pub path: PathBuf,
    /// Where this guest's lines begin.
    pub start: u64,
}

/// The guest's owner, or who speaks for them. It may take a moment to compute, and does not wait for anything.
pub type Owner = Box<dyn FnMut(&Evidence) -> Verdict + Send>;

/// What an onlooker is told while a guest lives.
#[derive(Debug)]
pub enum Notice {
    Milestone(Milestone),
    /// The console is connected; the user leaves it by Ctrl-] if it is on a terminal. `None`: the guest has none.
    Console(Option<ConsoleNotice>),
    /// What QEMU told, whatever it is about; after what follows from it for the guest's life.
    Heard(qemu::qmp::Event),
}

#[derive(Debug)]
pub struct ConsoleNotice {
    pub pty: PathBuf,
    pub is_terminal: bool,
}

/// How it went.
#[derive(Debug, Clone)]
pub struct Outcome {
    pub end: End,
    /// The last lines that QEMU wrote; they tell why where the end is QEMU's own.
    pub last_words: Vec<String>,
    /// The most that its control group was charged for, in bytes, where it had one that tells.
    pub memory_peak: Option<u64>,
}

impl Outcome {
    /// What the protocol says of the guest now.
    pub fn run_state(&self) -> RunState {
        self.end.run_state()
    }
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
    let state = State::new(request.goals.clone());
    drive(Task::new(request, observer, None), state, Event::Start, stop).await
}

/// Lives a guest's life to its end.
pub(super) async fn drive<O: FnMut(Notice)>(
    mut task: Task<O>,
    mut state: State,
    first: Event,
    stop: &mut mpsc::Receiver<Stopper>,
) -> Outcome {
    let mut events = VecDeque::from([first]);
    loop {
        let event = match events.pop_front() {
            Some(event) => event,
            None => task.wait(stop).await,
        };
        tracing::trace!(?event, "event");
        let (next, actions) = state.on(event);
        state = next;
        // Whoever is told looks at the new state.
        if let Some(background) = task.background.as_ref().filter(|_| !state.is_over()) {
            background.guest.note(&state);
        }
        for action in actions {
            if let Action::Finish(end) = action {
                return task.finish(end).await;
            }
            events.extend(task.carry_out(action));
        }
        task.pass_on_heard();
    }
}

/// What a guest in the background has beside its task.
pub(super) struct Background {
    pub(super) inbox: mpsc::Receiver<Message>,
    pub(super) guest: Arc<Guest>,
    pub(super) afterwards: Option<Afterwards>,
}

pub(super) struct Task<O> {
    observer: O,
    background: Option<Background>,
    emulator: PathBuf,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    files: Vec<(PathBuf, Vec<u8>)>,
    memory_lock: Option<MemoryLock>,
    confinement: Confinement,
    owner: Option<Owner>,
    wanted_console: Option<Console>,
    /// Until QEMU has it.
    listener: Option<UnixListener>,
    inherited: Vec<OwnedFd>,
    monitor: Option<Monitor>,
    output: Option<pipe::Receiver>,
    log: Option<Log>,
    words: LastWords,
    console: Option<Link>,
    /// Where the console asks for an end.
    console_stop: (mpsc::Sender<Stopper>, mpsc::Receiver<Stopper>),
    deadline: Option<Instant>,
    time_up: Option<Instant>,
    // Dropped in this order: the process is gone before its directory goes.
    process: Option<AsyncFd<Process>>,
    run_dir: Option<RunDir>,
    group: Option<Group>,
}

impl<O: FnMut(Notice)> Task<O> {
    pub(super) fn new(request: Request, observer: O, background: Option<Background>) -> Self {
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
            goals: _,
            owner,
            console,
            timeout,
            log,
        } = request;
        Self {
            observer,
            background,
            emulator,
            arguments,
            environment,
            files,
            memory_lock,
            confinement,
            owner,
            wanted_console: console,
            listener: Some(listener),
            inherited,
            monitor: None,
            output: None,
            log,
            words: LastWords::default(),
            console: None,
            console_stop: mpsc::channel(1),
            deadline: None,
            time_up: timeout.and_then(|limit| Instant::now().checked_add(limit)),
            process: None,
            run_dir: Some(run_dir),
            group,
        }
    }

    /// For a guest whose QEMU runs already.
    pub(super) fn adopted(
        run_dir: RunDir,
        process: AsyncFd<Process>,
        group: Option<Group>,
        observer: O,
        background: Background,
    ) -> Self {
        let monitor = Monitor::connect(&run_dir.monitor());
        if let Err(error) = &monitor {
            let path = run_dir.monitor();
            tracing::warn!(path = %path.display(), %error, "QEMU cannot be talked to");
        }
        let record = background.guest.record();
        let log = record.log.and_then(|path| {
            let file = File::open(&path).ok()?;
            Some(Log { file, path, start: record.log_start })
        });
        Self {
            observer,
            background: Some(background),
            emulator: record.emulator,
            arguments: Vec::new(),
            environment: Vec::new(),
            files: Vec::new(),
            memory_lock: None,
            confinement: Confinement::default(),
            owner: None,
            wanted_console: None,
            listener: None,
            inherited: Vec::new(),
            monitor: monitor.ok(),
            output: None,
            log,
            words: LastWords::default(),
            console: None,
            console_stop: mpsc::channel(1),
            deadline: None,
            time_up: None,
            process: Some(process),
            run_dir: Some(run_dir),
            group,
        }
    }

    async fn wait(&mut self, stop: &mut mpsc::Receiver<Stopper>) -> Event {
        loop {
            tokio::select! {
                biased;
                Some(stopper) = stop.recv() => return Event::StopRequested(stopper),
                Some(stopper) = self.console_stop.1.recv() => return Event::StopRequested(stopper),
                message = next_request(&mut self.background) => match (message, &mut self.monitor) {
                    (Message::Event(event), _) => return event,
                    (Message::Ask(question), Some(monitor)) => monitor.pass_on(question),
                    // Dropping it tells its asker.
                    (Message::Ask(_), None) => {}
                },
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
            Action::FindCause => Some(Event::Shutdown { guest: true, reason: self.cause().to_owned() }),
            Action::Tell(milestone) => {
                (self.observer)(Notice::Milestone(milestone));
                None
            }
            // The loop returns on it.
            Action::Finish(_) => None,
        }
    }

    /// Why the guest has shut down while nobody listened.
    fn cause(&self) -> &'static str {
        let is_traced = |background: &Background| background.guest.record().traced;
        match &self.log {
            Some(log) if self.background.as_ref().is_some_and(is_traced) => {
                why_shut_down(&log.path, log.start)
            }
            _ => POWERED_OFF,
        }
    }

    /// Tells the observer what QEMU told.
    fn pass_on_heard(&mut self) {
        let Some(monitor) = &mut self.monitor else { return };
        for event in monitor.heard() {
            (self.observer)(Notice::Heard(event));
        }
    }

    fn signal(&self, signal: Signal) -> Option<Event> {
        if let Some(process) = &self.process {
            process.get_ref().signal(signal);
        }
        None
    }

    fn spawn(&mut self) -> Result<(), String> {
        let started_before = || "QEMU was started before".to_owned();
        let run_dir = self.run_dir.as_ref().ok_or_else(started_before)?;
        for (path, contents) in &self.files {
            run_dir.write(path, contents).map_err(|error| crate::chain(&error))?;
        }
        let listener = self.listener.take().ok_or_else(started_before)?;
        let monitor = Monitor::connect(&run_dir.monitor())
            .map_err(|error| format!("connect to QEMU's QMP socket: {error}"))?;
        let (process, output) = match self.spawn_into_group(&listener)? {
            // Somebody has removed what was empty, which is no reason to run without a limit.
            Err(error) if error.is_lost_group() => {
                self.make_group_again(&error)?;
                self.spawn_into_group(&listener)?
            }
            spawned => spawned,
        }
        .map_err(|error| crate::chain(&error))?;
        self.inherited.clear();
        if let Some(background) = &self.background {
            background.guest.spawned(process.pid());
            self.group.as_mut().into_iter().for_each(Group::outlive);
        }
        self.process = Some(process.watch().map_err(|error| format!("watch QEMU by its pidfd: {error}"))?);
        self.monitor = Some(monitor);
        self.output = output;
        Ok(())
    }

    /// QEMU's process, and what is to be read of it.
    fn spawn_into_group(
        &self,
        listener: &UnixListener,
    ) -> Result<Result<(Process, Option<pipe::Receiver>), SpawnError>, String> {
        let (writer, second, output) = self.outputs().map_err(|error| format!("QEMU's output: {error}"))?;
        let record = match (&self.background, &self.run_dir) {
            (Some(_), Some(run_dir)) => Some(run_dir.process_record().map_err(|error| {
                format!("write down QEMU's process in `{}`: {error}", run_dir.path().display())
            })?),
            _ => None,
        };
        let inherited: Vec<_> =
            [listener.as_fd()].into_iter().chain(self.inherited.iter().map(AsFd::as_fd)).collect();
        let spawn = Spawn {
            program: &self.emulator,
            arguments: &self.arguments,
            environment: &self.environment,
            inherited: &inherited,
            memory_lock: self.memory_lock,
            confinement: &self.confinement,
            group: self.group.as_ref().and_then(Group::entrance),
            lifetime: match &record {
                None => Lifetime::WithSpawner,
                Some(record) => Lifetime::Own { record: record.as_fd() },
            },
            stdin: Stdio::null(),
            stdout: writer,
            stderr: second,
        };
        Ok(spawn.spawn().map(|process| (process, output)))
    }

    fn make_group_again(&mut self, lost: &SpawnError) -> Result<(), String> {
        let again = self.group.as_ref().and_then(Group::again).ok_or_else(|| crate::chain(lost))?;
        let group = again.map_err(|error| crate::chain(&error))?;
        tracing::warn!(group = %group.path().display(), "a guest's control group was lost; it gets another");
        if let Some(background) = &self.background {
            background.guest.moved(group.path());
        }
        self.group = Some(group);
        Ok(())
    }

    /// QEMU's two outputs, and what is read of them while it runs.
    fn outputs(&self) -> io::Result<(Stdio, Stdio, Option<pipe::Receiver>)> {
        if let Some(log) = &self.log {
            return Ok((log.file.try_clone()?.into(), log.file.try_clone()?.into(), None));
        }
        let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
        let second = writer.try_clone()?;
        Ok((writer.into(), second.into(), Some(pipe::Receiver::from_owned_fd(reader)?)))
    }

    async fn finish(mut self, end: End) -> Outcome {
        // Kills and reaps it if the kernel has not let it go before.
        if let Some(process) = self.process.take() {
            process.into_inner().end();
        }
        if let Some(log) = &self.log {
            self.words.read_end(&log.path, log.start);
        }
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
        if let Some(group) = self.group.take() {
            if group.ran_out_of_memory() {
                self.words.push(OUT_OF_MEMORY);
            }
            // What is left there ends in its own time.
            let cleared = tokio::task::spawn_blocking(move || group.clear());
            let _ = cleared.await;
        }
        if let Some(run_dir) = self.run_dir.take() {
            let is_relaunched = |background: &Background| background.guest.is_relaunched();
            if end == End::Relaunch && self.background.as_ref().is_some_and(is_relaunched) {
                run_dir.leave_record();
            } else {
                run_dir.remove();
            }
        }
        let outcome = Outcome { end, last_words: self.words.into_lines(), memory_peak };
        if let Some(background) = self.background {
            background.guest.end(outcome.clone(), background.afterwards);
        }
        outcome
    }
}

/// The next thing that is asked through the guest's handle. The handle is held by the task too, so there is always one.
async fn next_request(background: &mut Option<Background>) -> Message {
    if let Some(background) = background
        && let Some(message) = background.inbox.recv().await
    {
        return message;
    }
    std::future::pending().await
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
