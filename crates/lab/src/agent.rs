//! The first process of the outer machine once the host's root is in place: prepares the simulated host, runs
//! the job, tells how it ended.
//!
//! It is the `sevirt` binary itself, started by the initramfs as `sevirt lab-agent`. It keeps nothing: the
//! machine is thrown away after one job.

mod channels;
mod disks;
mod running;
mod simulated_host;

use std::fs;
use std::io::{self, BufRead as _, BufReader, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;

use rustix::process::{Pid, getpid};
use rustix::system::{RebootCommand, reboot};

use crate::job::{Channel, JOB_FILE, Job, Message, Order, Stage, Written};
use crate::process::kill_all_others;

use running::Running;

/// Times at which the stages before the agent ended, in the form `kernel=1.75 modules=2.26`, seconds of uptime.
const UPTIMES: &str = "LAB_UPTIMES";

/// What the agent exits with where it has no business: anywhere but in the outer machine.
const NOT_HERE: u8 = 2;

/// Why the agent could not do the job.
#[derive(Debug, thiserror::Error)]
enum AgentError {
    #[error("open the channel `{}`", channel.name())]
    Channel { channel: Channel, source: io::Error },
    #[error("read the job")]
    ReadJob(#[source] io::Error),
    #[error("understand the job")]
    ParseJob(#[from] serde_json::Error),
    #[error("write `{}`", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("prepare the simulated host: {what}")]
    Host { what: String, source: io::Error },
    #[error("start the simulated secure processor")]
    Sevsim(#[source] io::Error),
    #[error("run `{program}`")]
    Run { program: String, source: io::Error },
}

/// Runs the agent. Returns only if this is not the outer machine.
#[must_use]
pub fn run() -> ExitCode {
    if getpid() != Pid::INIT {
        return ExitCode::from(NOT_HERE);
    }
    if let Err(error) = attend() {
        // Standard error is the console log.
        let _ = writeln!(io::stderr(), "lab agent: {}", chain(&error));
    }
    power_off()
}

fn power_off() -> ! {
    rustix::fs::sync();
    let _ = reboot(RebootCommand::PowerOff);
    // A first process that returned would be a kernel panic, which also ends the machine.
    std::process::abort()
}

/// Does the job and reports; errors that could be reported are.
fn attend() -> Result<(), AgentError> {
    let open = |channel| channels::open(channel).map_err(|source| AgentError::Channel { channel, source });
    let mut status = Status { channel: open(Channel::Status)? };
    let ended = perform(&mut status, &open);
    kill_all_others();
    let message = match ended {
        Ok(running) => {
            let (code, written) = running.finish();
            rustix::fs::sync();
            Message::Exit { code, written }
        }
        Err(error) => Message::Failed { reason: chain(&error) },
    };
    status.send(&message);
    // The host ends the machine when it has read everything; the thread that reads its orders sees to the rest.
    loop {
        thread::park();
    }
}

fn perform(
    status: &mut Status,
    open: &impl Fn(Channel) -> Result<fs::File, AgentError>,
) -> Result<Running, AgentError> {
    let mut stages: Vec<Stage> = stages(&std::env::var(UPTIMES).unwrap_or_default()).collect();
    let uptime_ms = uptime();
    stages.push(Stage { name: "root".to_owned(), uptime_ms });
    status.send(&Message::Started { stages, uptime_ms });
    let text = fs::read_to_string(JOB_FILE).map_err(AgentError::ReadJob)?;
    let job: Job = serde_json::from_str(&text)?;
    let simulation = simulated_host::prepare(job.simulation.as_ref())?;
    disks::link().map_err(|source| AgentError::Host { what: "disks".to_owned(), source })?;
    write_files(&job)?;
    if job.simulation.is_some() {
        status.stage("secure processor");
    }
    let mut running = Running::start(&job, open)?;
    let terminal = running.terminal();
    let orders = status.channel.try_clone();
    thread::spawn(move || {
        if let Ok(orders) = orders {
            obey(orders, terminal.as_ref());
        }
        power_off()
    });
    running.wait();
    if let Some(simulation) = simulation {
        simulation.stop();
    }
    Ok(running)
}

/// Carries out the host's orders until it is gone.
fn obey(orders: fs::File, terminal: Option<&fs::File>) {
    for line in BufReader::new(orders).lines() {
        let Ok(line) = line else { return };
        match (serde_json::from_str(&line), terminal) {
            (Ok(Order::Resize(size)), Some(terminal)) => channels::resize(terminal, size),
            (Ok(Order::Resize(_)), None) | (Err(_), _) => {}
        }
    }
}

fn write_files(job: &Job) -> Result<(), AgentError> {
    let failed = |path: &PathBuf| {
        let path = path.clone();
        move |source| AgentError::Write { path, source }
    };
    for directory in &job.directories {
        fs::create_dir_all(directory).map_err(failed(directory))?;
    }
    for file in &job.files {
        if let Some(parent) = file.path.parent() {
            fs::create_dir_all(parent).map_err(failed(&file.path))?;
        }
        fs::write(&file.path, &file.content).map_err(failed(&file.path))?;
    }
    Ok(())
}

/// The channel on which the agent speaks to the host.
struct Status {
    channel: fs::File,
}

impl Status {
    /// Sends a message. When the host is gone there is nobody to tell.
    fn send(&mut self, message: &Message) {
        if let Ok(mut line) = serde_json::to_vec(message) {
            line.push(b'\n');
            let _ = self.channel.write_all(&line);
        }
    }

    fn stage(&mut self, name: &str) {
        self.send(&Message::Stage(Stage { name: name.to_owned(), uptime_ms: uptime() }));
    }
}

/// Milliseconds since the kernel started.
fn uptime() -> u64 {
    let uptime = fs::read_to_string("/proc/uptime").unwrap_or_default();
    milliseconds(uptime.split_whitespace().next().unwrap_or_default())
}

fn stages(uptimes: &str) -> impl Iterator<Item = Stage> {
    uptimes
        .split_whitespace()
        .filter_map(|stage| stage.split_once('='))
        .map(|(name, seconds)| Stage { name: name.to_owned(), uptime_ms: milliseconds(seconds) })
}

/// `1.75` is 1750; the kernel always prints two digits after the point.
fn milliseconds(seconds: &str) -> u64 {
    let (whole, hundredths) = seconds.split_once('.').unwrap_or((seconds, "0"));
    let number = |text: &str| text.parse::<u64>().unwrap_or(0);
    number(whole).saturating_mul(1000).saturating_add(number(hundredths).saturating_mul(10))
}

/// An error with its causes on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// Counts of what the pumps wrote.
impl Written {
    fn set(&mut self, channel: Channel, bytes: u64) {
        match channel {
            Channel::Stdout => self.stdout = bytes,
            Channel::Stderr => self.stderr = bytes,
            Channel::Console => self.console = bytes,
            Channel::Stdin | Channel::Status => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uptimes_are_read_as_milliseconds() {
        let read: Vec<_> = stages("kernel=1.75 modules=12.06 odd nothing=").collect();
        let want = [("kernel", 1750), ("modules", 12060), ("nothing", 0)];
        assert_eq!(read, want.map(|(name, uptime_ms)| Stage { name: name.to_owned(), uptime_ms }));
    }

    #[test]
    fn outside_the_machine_the_agent_does_nothing() {
        assert_eq!(format!("{:?}", run()), format!("{:?}", ExitCode::from(NOT_HERE)));
    }
}
