//! The job as a process: its streams pumped to the host's channels, its end awaited, orphans reaped.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::thread::JoinHandle;

use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::{Pid, Resource, Rlimit, WaitOptions, setrlimit, wait};
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};

use super::{AgentError, channels};
use crate::CONSOLE;
use crate::job::{Channel, Job, WindowSize, Written};
use crate::process::own_terminal;

/// A job that was started.
pub(super) struct Running {
    process: Pid,
    code: u8,
    pumps: Vec<(Channel, JoinHandle<u64>)>,
    terminal: Option<File>,
    /// Keeps the console's pipe from ending while nobody writes to it.
    console: File,
}

/// The job's three standard streams, seen from the agent.
struct Streams {
    input: File,
    output: File,
    error: Option<File>,
}

impl Running {
    pub(super) fn start(
        job: &Job,
        open: &impl Fn(Channel) -> Result<File, AgentError>,
    ) -> Result<Self, AgentError> {
        let program = job.command.first().cloned().unwrap_or_default();
        let failed = |source| AgentError::Run { program: program.clone(), source };
        let (console, console_end) = console_pipe().map_err(failed)?;
        // All that runs in the lab may lock memory, as root on a real host may.
        let unlimited = Rlimit { current: None, maximum: None };
        setrlimit(Resource::Memlock, unlimited).map_err(|error| failed(error.into()))?;

        let mut command = Command::new(&program);
        command.args(job.command.iter().skip(1)).env_clear().envs(&job.environment);
        let inside = if job.directory.is_dir() { job.directory.as_path() } else { Path::new("/") };
        command.current_dir(inside);
        if job.simulation.is_some() {
            command.envs(super::simulated_host::environment(job.simulation.as_ref()));
        }
        let (process, streams) = match job.terminal {
            Some(size) => on_terminal(command, size),
            None => on_pipes(command),
        }
        .map_err(failed)?;

        let terminal = job.terminal.and_then(|_| streams.output.try_clone().ok());
        let mut pumps = vec![
            (Channel::Stdin, channels::pump(open(Channel::Stdin)?, streams.input)),
            (Channel::Stdout, channels::pump(streams.output, open(Channel::Stdout)?)),
            (Channel::Console, channels::pump(console_end, open(Channel::Console)?)),
        ];
        if let Some(error) = streams.error {
            pumps.push((Channel::Stderr, channels::pump(error, open(Channel::Stderr)?)));
        }
        Ok(Self { process, code: 0, pumps, terminal, console })
    }

    /// The terminal's controlling end, if there is one.
    pub(super) fn terminal(&self) -> Option<File> {
        self.terminal.as_ref().and_then(|terminal| terminal.try_clone().ok())
    }

    /// Waits for the job to end, and reaps what others leave behind meanwhile.
    pub(super) fn wait(&mut self) {
        while let Ok(Some((process, status))) = wait(WaitOptions::empty()) {
            if process == self.process {
                self.code = exit_code(ExitStatus::from_raw(status.as_raw()));
                return;
            }
        }
    }

    /// Waits until all that was written has gone to the channels. Nothing but this process may run any more,
    /// so that every pipe has ended.
    pub(super) fn finish(self) -> (u8, Written) {
        drop((self.console, self.terminal));
        let mut written = Written::default();
        for (channel, pump) in self.pumps {
            // Nobody waits for what the host might still type.
            if channel != Channel::Stdin {
                written.set(channel, pump.join().unwrap_or(0));
            }
        }
        (self.code, written)
    }
}

/// As shells do: 128 and the number for a signal.
fn exit_code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(255);
    u8::try_from(code).unwrap_or(255)
}

fn on_pipes(mut command: Command) -> io::Result<(Pid, Streams)> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let process = Pid::from_child(&child);
    let (Some(input), Some(output), Some(error)) =
        (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return Err(io::ErrorKind::BrokenPipe.into());
    };
    let file = |end: OwnedFd| File::from(end);
    Ok((
        process,
        Streams { input: file(input.into()), output: file(output.into()), error: Some(file(error.into())) },
    ))
}

fn on_terminal(mut command: Command, size: WindowSize) -> io::Result<(Pid, Streams)> {
    let controller = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    grantpt(&controller)?;
    unlockpt(&controller)?;
    let user = File::from(ioctl_tiocgptpeer(
        &controller,
        OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC,
    )?);
    let controller = File::from(controller);
    channels::resize(&controller, size);
    command.stdin(user.try_clone()?).stdout(user.try_clone()?).stderr(user);
    own_terminal(&mut command);
    let child = command.spawn()?;
    let input = controller.try_clone()?;
    Ok((Pid::from_child(&child), Streams { input, output: controller, error: None }))
}

/// The pipe to which the inner guest's console is written: an end that keeps it open, and the end to read.
fn console_pipe() -> io::Result<(File, File)> {
    mknodat(CWD, CONSOLE, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?;
    // Opened for both, a pipe does not wait for its other end.
    let both = OpenOptions::new().read(true).write(true).open(CONSOLE)?;
    let reader = OpenOptions::new().read(true).open(CONSOLE)?;
    let writer = OpenOptions::new().write(true).open(CONSOLE)?;
    drop(both);
    Ok((writer, reader))
}
