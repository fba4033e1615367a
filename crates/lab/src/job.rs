//! What the two halves of the lab say to each other: the job that goes in, the messages that come back.
//!
//! The job is a file of the outer machine's initramfs. Messages are JSON objects, one a line, on the status
//! channel; the bytes of the job's own streams have a channel each.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Where the job lies inside the outer machine.
pub(crate) const JOB_FILE: &str = "/run/sevirt/lab/job.json";
/// Where the lab's state directory of the host is mounted inside.
pub(crate) const STATE_MOUNT: &str = "/run/sevirt/lab/state";
/// The 9p mount tags of the two shares.
pub(crate) const ROOT_TAG: &str = "root";
pub(crate) const STATE_TAG: &str = "state";
/// The longest message.
pub(crate) const LONGEST_MESSAGE: usize = 1 << 20;

/// What is to be done inside the outer machine.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Job {
    /// The program and its arguments.
    pub command: Vec<String>,
    /// Where it starts; `/` if that does not exist inside.
    pub directory: PathBuf,
    /// Its whole environment, but for what the simulation adds.
    pub environment: BTreeMap<String, String>,
    /// Whether it gets a terminal, and of which size; otherwise it gets three pipes.
    pub terminal: Option<WindowSize>,
    /// Files that are written before it starts.
    pub files: Vec<JobFile>,
    /// Directories that are made before it starts.
    pub directories: Vec<PathBuf>,
    /// The simulated secure processor; without it the machine is a plain one with nested virtualization.
    pub simulation: Option<Simulation>,
}

/// A small text file that the job finds inside.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct JobFile {
    pub path: PathBuf,
    pub content: String,
}

/// The parts of the simulated secure processor, by their paths on the host (which are the same inside).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Simulation {
    /// The process that plays it.
    pub server: PathBuf,
    /// The library that is preloaded into all that asks for it.
    pub shim: PathBuf,
}

/// A terminal's size in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowSize {
    pub rows: u16,
    pub columns: u16,
}

/// From the outer machine to the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub(crate) enum Message {
    /// The agent is there; stages that ended before, in order.
    Started { stages: Vec<Stage>, uptime_ms: u64 },
    /// A stage has ended.
    Stage(Stage),
    /// The lab itself failed; nothing more will happen.
    Failed { reason: String },
    /// The job has ended, and so many bytes were written to each channel.
    Exit { code: u8, written: Written },
}

/// The end of a stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stage {
    pub(crate) name: String,
    /// Since the outer kernel started.
    pub(crate) uptime_ms: u64,
}

/// Bytes written to each channel, so that the host knows when it has read them all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Written {
    pub(crate) stdout: u64,
    pub(crate) stderr: u64,
    pub(crate) console: u64,
}

/// From the host to the outer machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "order", rename_all = "kebab-case")]
pub(crate) enum Order {
    /// The user's terminal has this size now.
    Resize(WindowSize),
}

/// The channels between the two, each a virtio-serial port; the number is the port's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Channel {
    Stdin = 1,
    Stdout = 2,
    Stderr = 3,
    Console = 4,
    /// Last, so that the other ports are connected when this one is.
    Status = 5,
}

impl Channel {
    pub(crate) const ALL: [Self; 5] = [Self::Stdin, Self::Stdout, Self::Stderr, Self::Console, Self::Status];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Stdin => "stdin",
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
            Self::Console => "console",
            Self::Status => "status",
        }
    }

    /// The port's number, on both sides.
    pub(crate) const fn number(self) -> u8 {
        self as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_survives_the_way_in() {
        let job = Job {
            command: vec!["uname".into(), "-a\n\"".into()],
            directory: "/root".into(),
            environment: BTreeMap::from([("TERM".to_owned(), "xterm".to_owned())]),
            terminal: Some(WindowSize { rows: 24, columns: 80 }),
            files: vec![JobFile { path: "/run/a".into(), content: "<domain/>".into() }],
            simulation: Some(Simulation { server: "/a/sevsim".into(), shim: "/a/libsevsim.so".into() }),
            ..Job::default()
        };
        let text = serde_json::to_string(&job).unwrap();
        let back: Job = serde_json::from_str(&text).unwrap();
        assert_eq!(serde_json::to_string(&back).unwrap(), text);
    }

    #[test]
    fn messages_are_one_line_each() {
        let message = Message::Failed { reason: "two\nlines".into() };
        let line = serde_json::to_string(&message).unwrap();
        assert_eq!(line, r#"{"event":"failed","reason":"two\nlines"}"#);
        assert_eq!(serde_json::from_str::<Message>(&line).unwrap(), message);
    }

    #[test]
    fn the_status_channel_comes_last() {
        let numbers: Vec<_> = Channel::ALL.iter().map(|channel| channel.number()).collect();
        assert_eq!(numbers, [1, 2, 3, 4, 5]);
        assert_eq!(Channel::ALL.last(), Some(&Channel::Status));
    }
}
