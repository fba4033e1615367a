//! What a QEMU binary can do here, asked of the binary itself in one start, and remembered for as long as nothing that
//! could change the answer has changed.
//!
//! A remembered answer holds the platform's certificates as they were; whoever attests asks anew ([`ask`]), since a
//! platform's owner can renew its keys without a trace that could be looked for.

mod cache;
mod identity;
mod memory;

use std::ffi::OsString;
use std::io::{self, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use qemu::Caps;
use qemu::caps::{CapsError, Part, Queries};
use qemu::qmp::command::{QmpCapabilities, Quit};
use qemu::qmp::{Codec, CodecError, Incoming, Reply};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::{Deserialize, Serialize};

use self::identity::Identity;
use crate::isolate::Confinement;
use crate::process::{Lifetime, Process, Spawn};

pub use cache::directory as cache_directory;
pub use memory::Memory;

/// How long QEMU may take to answer everything; it takes some 50 ms, and seconds where all of it is emulated.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long QEMU may take to quit; it takes some 5 ms.
const QUIT: Duration = Duration::from_secs(2);

/// How much of its complaints is kept.
const COMPLAINT_BYTES: usize = 4096;

/// What a start needs to know: all but what only documents tell.
pub const FOR_A_START: &[Part] = &[Part::Signatures];

/// What a QEMU binary is asked, and how it is started for it: once.
#[derive(Debug, Clone, Copy)]
pub struct Inquiry<'i> {
    pub emulator: &'i Path,
    pub accelerator: Accelerator,
    /// What is asked besides what every start needs.
    pub parts: &'i [Part],
}

/// What runs the guest's instructions. CPU models are judged by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Accelerator {
    /// KVM, or TCG where there is no KVM: the answer says which.
    Kvm,
    Tcg,
}

impl Accelerator {
    /// QEMU's, for an emulator that only answers questions on its standard input and output: no machine.
    pub fn arguments(self) -> [&'static str; 11] {
        let machine = match self {
            Self::Kvm => "none,accel=kvm:tcg",
            Self::Tcg => "none,accel=tcg",
        };
        [
            "-S",
            "-no-user-config",
            "-nodefaults",
            "-display",
            "none",
            "-machine",
            machine,
            "-chardev",
            "stdio,id=monitor,signal=off",
            "-mon",
            "chardev=monitor,mode=control",
        ]
    }
}

#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    #[error("look at the emulator `{path}`")]
    Emulator {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the emulator `{path}` is not an executable file")]
    NotExecutable { path: PathBuf },
    #[error("{0}")]
    Start(String),
    #[error("`{path}` does not answer on QMP within {} s", PATIENCE.as_secs())]
    Silent { path: PathBuf },
    #[error("`{path}` ended instead of answering{}", complaint(.words))]
    Ended { path: PathBuf, words: String },
    #[error("talk to `{path}`")]
    Talk {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("`{path}` does not speak QMP")]
    Codec {
        path: PathBuf,
        #[source]
        source: CodecError,
    },
    #[error("ask `{path}` what it can do")]
    Caps {
        path: PathBuf,
        #[source]
        source: CapsError,
    },
}

fn complaint(words: &str) -> String {
    if words.is_empty() { String::new() } else { format!(": {words}") }
}

/// What `emulator` can do, from the cache in `directory` where that still holds.
pub fn caps(emulator: &Path, directory: Option<&Path>) -> Result<Caps, ProbeError> {
    Inquiry { emulator, accelerator: Accelerator::Kvm, parts: FOR_A_START }.remembered(directory)
}

/// Asks `emulator` now.
pub fn ask(emulator: &Path) -> Result<Caps, ProbeError> {
    Inquiry { emulator, accelerator: Accelerator::Kvm, parts: FOR_A_START }.ask()
}

impl Inquiry<'_> {
    /// The answers, from the cache in `directory` where they still hold.
    pub fn remembered(&self, directory: Option<&Path>) -> Result<Caps, ProbeError> {
        let Some(directory) = directory else { return self.ask() };
        let identity = Identity::of(self.emulator)?;
        let known = cache::load(directory, &identity, self.accelerator);
        let wanted = |caps: &Caps| self.parts.iter().all(|part| caps.holds(*part));
        if let Some(caps) = known.as_ref().filter(|caps| wanted(caps)) {
            return Ok(caps.clone());
        }
        // Where there is no KVM, one start has given TCG's answers already.
        if self.accelerator == Accelerator::Tcg
            && let Some(caps) = cache::load(directory, &identity, Accelerator::Kvm)
            && !caps.kvm.enabled
            && wanted(&caps)
        {
            return Ok(caps);
        }
        // Nothing that was known is forgotten.
        let all = [Part::Signatures, Part::Extent];
        let known = |part: &Part| known.as_ref().is_some_and(|caps| caps.holds(*part));
        let parts: Vec<Part> =
            all.into_iter().filter(|part| self.parts.contains(part) || known(part)).collect();
        let caps = Inquiry { parts: &parts, ..*self }.ask()?;
        // What has changed meanwhile may or may not be in the answers: they are nobody's.
        if Identity::of(self.emulator)? == identity
            && let Err(error) = cache::store(directory, &identity, self.accelerator, &caps)
        {
            tracing::warn!(directory = %directory.display(), %error, "cannot remember what QEMU can do");
        }
        Ok(caps)
    }

    /// Asks now.
    pub fn ask(&self) -> Result<Caps, ProbeError> {
        let path = || self.emulator.to_owned();
        let arguments: Vec<OsString> = self.accelerator.arguments().map(OsString::from).into();
        let spawn = Spawn {
            program: self.emulator,
            arguments: &arguments,
            environment: &[],
            inherited: &[],
            memory_lock: None,
            group: None,
            lifetime: Lifetime::WithSpawner,
            confinement: &Confinement::default(),
            stdin: Stdio::piped(),
            stdout: Stdio::piped(),
            stderr: Stdio::piped(),
        };
        let mut process = spawn.spawn().map_err(|error| ProbeError::Start(crate::chain(&error)))?;
        let mut talk = Talk { codec: Codec::new(), deadline: Instant::now() + PATIENCE, words: Vec::new() };
        let (negotiate, mut bytes) = talk.codec.encode(&QmpCapabilities);
        let (queries, rest) = Queries::encode(&mut talk.codec, self.parts);
        bytes.extend(rest);
        // Pipelined: QEMU answers one after another, and this is far less than a pipe holds. One that reads nothing will
        // be heard to end.
        let mut stdin = process.stdin.take();
        let _ = stdin.as_mut().map(|stdin| stdin.write_all(&bytes));
        let replies = match talk.replies(&mut process, queries.count() + 1) {
            Ok(replies) => replies,
            Err(fault) => return Err(fault.at(self.emulator, &talk.words)),
        };
        // Not earlier: QEMU drops what the pipe had no room for when it quits. Told, not killed, for it may be a script's
        // child; one that does not listen is killed.
        let (_quit, bytes) = talk.codec.encode(&Quit);
        let _ = stdin.as_mut().map(|stdin| stdin.write_all(&bytes));
        process.wait_for(QUIT);
        if let Some(reply) = replies.iter().find(|reply| reply.id == negotiate.id()) {
            negotiate
                .read(reply.outcome.clone())
                .map_err(|source| ProbeError::Caps { path: path(), source: CapsError::Command(source) })?;
        }
        Caps::from_replies(&queries, &replies).map_err(|source| ProbeError::Caps { path: path(), source })
    }
}

enum Fault {
    Silent,
    Ended,
    Talk(io::Error),
    Codec(CodecError),
}

impl Fault {
    fn at(self, emulator: &Path, words: &[u8]) -> ProbeError {
        let path = emulator.to_owned();
        match self {
            Self::Silent => ProbeError::Silent { path },
            Self::Ended => ProbeError::Ended { path, words: printable(words) },
            Self::Talk(source) => ProbeError::Talk { path, source },
            Self::Codec(source) => ProbeError::Codec { path, source },
        }
    }
}

/// The last line of what it said, fit for a terminal.
fn printable(words: &[u8]) -> String {
    let text = String::from_utf8_lossy(words);
    let last = text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
    last.trim().chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

struct Talk {
    codec: Codec,
    deadline: Instant,
    /// What it writes to its standard error.
    words: Vec<u8>,
}

impl Talk {
    /// Reads until there are `count` replies.
    fn replies(&mut self, process: &mut Process, count: usize) -> Result<Vec<Reply>, Fault> {
        let mut replies = Vec::with_capacity(count);
        let (Some(mut stdout), Some(mut stderr)) = (process.stdout.take(), process.stderr.take()) else {
            return Err(Fault::Ended);
        };
        let mut buffer = vec![0u8; 64 << 10];
        let (mut answers, mut complains) = (true, true);
        while answers || complains {
            let left = self.deadline.saturating_duration_since(Instant::now());
            let timeout = Timespec::try_from(left).map_err(|_| Fault::Silent)?;
            // A closed end would always be ready, so it is not waited for.
            let (out, err) = (stdout.as_fd(), stderr.as_fd());
            let open = [(&out, answers), (&err, complains)];
            let mut fds: Vec<PollFd<'_>> = open
                .iter()
                .filter(|(_, open)| *open)
                .map(|(fd, _)| PollFd::new(*fd, PollFlags::IN))
                .collect();
            let count_ready = rustix::io::retry_on_intr(|| poll(&mut fds, Some(&timeout)))
                .map_err(|e| Fault::Talk(e.into()))?;
            if count_ready == 0 {
                return Err(Fault::Silent);
            }
            let ready = |index: usize| fds.get(index).is_some_and(|fd| !fd.revents().is_empty());
            let (out_ready, err_ready) = (answers && ready(0), complains && ready(usize::from(answers)));
            if err_ready {
                let length = stderr.read(&mut buffer).map_err(Fault::Talk)?;
                complains = length != 0;
                self.words.extend_from_slice(buffer.get(..length).unwrap_or_default());
                let excess = self.words.len().saturating_sub(COMPLAINT_BYTES);
                self.words.drain(..excess);
            } else if out_ready {
                let length = stdout.read(&mut buffer).map_err(Fault::Talk)?;
                answers = length != 0;
                self.codec.push(buffer.get(..length).unwrap_or_default()).map_err(Fault::Codec)?;
                while let Some(message) = self.codec.next().map_err(Fault::Codec)? {
                    if let Incoming::Reply(reply) = message {
                        replies.push(reply);
                    }
                }
                if replies.len() >= count {
                    return Ok(replies);
                }
            }
        }
        Err(Fault::Ended)
    }
}
